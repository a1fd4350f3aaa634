#!/usr/bin/env python3
"""Set-up and checks, with the standard library alone: `python3 dev.py demo`, `python3 dev.py check`.

demo   make .venv, train the demo (a process on each GPU, else two on the CPU), open the app
check  make .venv, then format, lint, types, import contracts, tests (`--fast`: without the slow ones; `--gpu`: those
       for a GPU, and nothing else)
setup  make .venv only
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("RMTUI_VENV", ROOT / ".venv"))
STAMP = VENV / ".rmtui-installed"


def main(argv: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  (this file runs before anything checked the version)
        print(f"rmtui needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if not argv or argv[0] not in ("demo", "check", "setup"):
        print(__doc__, file=sys.stderr)
        return 2
    setup()
    if argv[0] == "demo":
        return subprocess.call([bin("rmtui"), "demo", *argv[1:]])
    return check(argv[1:]) if argv[0] == "check" else 0


def bin(name: str) -> str:
    """A program of the environment."""
    return str(VENV / "bin" / name)


def setup() -> None:
    """Make the environment once, and again when its requirements change."""
    wanted = (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    print(f"Making the environment in {VENV} (once; the training stack is large)", flush=True)
    if not (VENV / "bin" / "python").exists():
        venv.create(VENV, with_pip=True)
    pip = [bin("python"), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.check_call([*pip, "--editable", f"{ROOT}[train,serve,tensorboard,dev]"])
    STAMP.write_text(wanted)


def check(options: list[str]) -> int:
    """Everything that has to hold; returns the number of checks that failed."""
    checks = {
        "format": [bin("ruff"), "format", "--check", "."],
        "lint": [bin("ruff"), "check", "."],
        "types": [bin("mypy")],
        "imports": [bin("lint-imports")],
        **tests("--fast" in options, [option for option in options if option != "--fast"]),
    }
    if "--gpu" in options:
        checks = {"tests on a GPU": [bin("pytest"), "-m", "gpu", *(option for option in options if option != "--gpu")]}
    failed = [name for name, command in checks.items() if not passes(name, command)]
    print("all checks passed" if not failed else f"failed: {', '.join(failed)}")
    return len(failed)


def tests(fast: bool, options: list[str]) -> dict[str, list[str]]:
    """All tests: the quick ones on two processes, then one by one those that start trainings, count on their timing,
    or break things. With options for pytest, which may choose tests, one call of it."""
    quick = [bin("pytest"), "-m", "not slow and not faults and not slurm and not gpu"]
    if options:
        return {"tests": [*(quick if fast else quick[:1]), *options]}
    beside = {"tests": [*quick, "--numprocesses", "2", "--dist", "loadfile"]}
    return (
        beside
        if fast
        else beside | {"slow tests and faults": [bin("pytest"), "-m", "(slow or faults or slurm) and not gpu"]}
    )


def passes(name: str, command: list[str]) -> bool:
    started = time.monotonic()
    print(f"── {name}", flush=True)
    done = subprocess.run(command, cwd=ROOT).returncode == 0
    print(f"── {name}: {'ok' if done else 'FAILED'} ({time.monotonic() - started:.0f} s)", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
