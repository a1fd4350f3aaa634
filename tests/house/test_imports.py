"""Which modules a verb drags in, seen in a fresh interpreter: a deferred import fools a static reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "peft", "accelerate", "numpy")

PROBE = """
import sys
from rmtui.cli import main
try:
    code = main({argv!r})
except SystemExit as end:
    code = end.code
print("\\nLOADED", *sorted(name for name in sys.modules if name in {names!r}))
sys.exit(code)
"""


def loaded_by(argv: list[str], names: tuple[str, ...]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(argv=argv, names=names)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "rmtui", "init", str(tmp_path / "ws")], check=True, capture_output=True)
    return tmp_path / "ws"


@pytest.mark.parametrize("verb", [["ls"], ["ls", "--json"], ["presets"], ["queue"]])
def test_a_reading_verb_loads_neither_the_training_stack_nor_textual(workspace: Path, verb: list[str]) -> None:
    assert loaded_by(["-C", str(workspace), *verb], (*HEAVY, "textual")) == set()


SLURM = "rmtui.launch.slurm", "rmtui.operations.cluster", "rmtui.operations.cluster_doctor"
"""And every module below the first."""


@pytest.mark.parametrize("verb", [["ls"], ["queue"], ["launch", "A", "--dry-run", "--json"], ["doctor"]])
def test_without_slurm_nothing_of_it_is_loaded(workspace: Path, verb: list[str]) -> None:
    code = (
        f"import sys; from rmtui.cli import main; main({['-C', str(workspace), *verb]!r}); "
        f"print('LOADED', *[n for n in sys.modules if n.startswith({SLURM!r})])"
    )
    env = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.stdout.rpartition("LOADED")[2].split() == [], done.stderr


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by(["--help"], (*HEAVY, "textual", "plotext", "sqlite3", "pysqlite3")) == set()


def test_the_app_loads_no_training_stack() -> None:
    code = f"import sys, rmtui.app.app; print(*[n for n in sys.modules if n in {HEAVY!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
