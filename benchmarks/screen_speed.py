"""The screen's speed in a real pty, beside `wandb leet`, a bare Textual app, `tail -f` and `grep`.

    .venv/bin/python benchmarks/screen_speed.py [--times 7] [--leet VENV --leet-runs DIR] [--only start,keys] [--large]

Both sides take turns in one run; medians, with processor seconds beside wall seconds. `--large` adds 10,000 and 100,000
runs (minutes to make them). LEET's runs are made by any script that logs offline W&B runs into DIR.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import screen_stage as stage
from screen_bench import RMTUI, Bench, Rows, drawn
from screen_logs import burst, large_log, logs
from screen_pty import Program


def start(bench: Bench) -> Rows:
    """Interactive list and first curve; the sides take turns."""
    found: dict[str, list[tuple[float, float]]] = {}
    workspaces = {f"{size:,} runs": stage.many(bench.folder / f"many-{size}", size).root for size in bench.sizes}
    for _ in range(bench.options.times):
        for name, workspace in workspaces.items():
            with bench.rmtui(workspace) as program:
                found.setdefault(f"rmtui, {name}", []).append((drawn(program, "helpful-"), program.cpu()))
        with Program([sys.executable, "-c", stage.BARE]) as program:
            found.setdefault("bare Textual", []).append((program.until("ready") or 0.0, program.cpu()))
        if (leet := bench.leet()) is not None:
            with leet:
                found.setdefault("wandb leet", []).append((drawn(leet, "rm-"), leet.cpu()))
    return [
        (f"start: {name}", f"{median(wall for wall, _ in pairs):.2f} s, CPU {median(cpu for _, cpu in pairs):.2f} s")
        for name, pairs in found.items()
    ]


def keys(bench: Bench) -> Rows:
    """Processor time of a key that moves to another run, its figures and curves drawn; then with the guide's words."""
    rows = []
    for size in bench.sizes:
        workspace = stage.many(bench.folder / f"many-{size}", size).root
        for rest, words in ((0.2, ""), (0.8, ", the guide's reading included")):
            taken = bench.repeat(lambda w=workspace, rest=rest: _keys(bench.rmtui(w), rest))
            rows.append((f"a key, {size:,} runs{words}", f"{1000 * taken:.0f} ms of CPU"))
    if bench.options.leet is not None:
        rows.append(("a key, wandb leet", f"{1000 * bench.repeat(lambda: _keys(bench.leet(), 0.5)):.0f} ms of CPU"))
    return rows


def _keys(program: Program, rest: float, presses: int = 10) -> float:
    with program:
        drawn(program, "-")
        program.settle()
        program.take(1)
        before = program.cpu()
        for _ in range(presses):
            program.press("j")
            program.take(rest)
        return (program.cpu() - before) / presses


def long(bench: Bench) -> Rows:
    """A run of 100,000 steps × 5 figures, fully drawn; the index read its events while it was trained."""
    workspace = stage.long_run(bench.folder / "long").root
    begun = time.perf_counter()
    subprocess.run([RMTUI, "-C", str(workspace), "ls", "--json"], stdout=subprocess.DEVNULL, check=True)
    read = time.perf_counter() - begun
    ends: list[tuple[float, float]] = []
    opened: list[float] = []

    def once() -> float:
        with bench.rmtui(workspace) as program:
            curves = drawn(program, "helpful-long")
            ends.append((curves, program.settle(quiet=1.0)))
            place, begun = len(program.output), time.perf_counter()
            program.press("\r")
            program.until("learning rate", "gradient norm", "steps", start=place, seconds=5)
            program.settle(quiet=0.3)
            opened.append(program.last_byte - begun)
        return curves

    def key() -> float:
        with bench.rmtui(workspace) as program:
            drawn(program, "helpful-long")
            program.settle()
            program.press("2")
            program.settle()
            before = program.cpu()
            for _ in range(10):
                program.press("\x1b[D")
                program.take(0.4)
            return (program.cpu() - before) / 10

    return [
        ("100,000 steps: list and curves after the start", f"{bench.repeat(once):.2f} s"),
        (
            "100,000 steps: last byte after the start (log, guide, look at the files)",
            f"{median(e for _, e in ends):.2f} s",
        ),
        ("100,000 steps: from the list to its own screen, all drawn", f"{median(opened):.2f} s"),
        ("100,000 steps: `rmtui ls` that looks at the files for the first time", f"{read:.1f} s"),
        ("a cursor key on its curve", f"{1000 * bench.repeat(key):.0f} ms of CPU"),
    ]


def idle(bench: Bench) -> Rows:
    """Nothing happens: bytes, processor time, memory."""
    workspace = stage.many(bench.folder / "many-200", 200).root
    with bench.rmtui(workspace) as program:
        drawn(program, "helpful-")
        program.settle()
        program.take(5)
        before, seconds = program.cpu(), 20.0
        sent = program.take(seconds)
        share = (program.cpu() - before) / seconds
        return [
            ("idle, 200 runs", f"{sent} bytes in {seconds:.0f} s, {100 * share:.2f} % of a core"),
            ("memory, 200 runs", f"{program.memory():.0f} MB"),
        ]


def overlay(bench: Bench) -> Rows:
    """200 runs in one chart."""
    ws = stage.many(bench.folder / "many-200", 200)
    ids = sorted(path.name for path in ws.runs.iterdir())
    memory = ws.state_dir / "app.json"
    before = memory.read_text() if memory.exists() else "{}"
    memory.write_text(json.dumps({"marked": ids, "sort": "created", "descending": True}))
    try:
        with bench.rmtui(ws.root) as program:
            drawn(program, "helpful-")
            program.settle(quiet=1.0)
            begun = program.cpu()
            for _ in range(10):
                program.press("j")
                program.take(0.2)
            spent = 100 * (program.cpu() - begun)
            return [("200 runs overlaid", f"{program.memory():.0f} MB; a key {spent:.0f} ms of CPU")]
    finally:
        memory.write_text(before)


def live(bench: Bench) -> Rows:
    """Ten steps and one log line a second, everything in view."""
    ws = bench.fresh("live")
    with stage.Live(ws, steps_a_second=10, lines_a_second=1) as _, bench.rmtui(ws.root) as program:
        program.until("helpful-live")
        program.take(2)
        program.press("g")
        program.take(5)
        before, seconds = program.cpu(), 30.0
        sent = program.take(seconds)
        share = (program.cpu() - before) / seconds
    return [("live run", f"{sent / seconds:.0f} B/s, {100 * share:.1f} % of a core")]


CASES: dict[str, Callable[[Bench], Rows]] = {
    "start": start,
    "keys": keys,
    "long": long,
    "idle": idle,
    "overlay": overlay,
    "live": live,
    "logs": logs,
    "burst": burst,
    "large": large_log,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7, help="repetitions, of which the median counts")
    parser.add_argument("--leet", type=Path, help="an environment with the wandb package")
    parser.add_argument("--leet-runs", type=Path, help="a folder with offline W&B runs")
    parser.add_argument("--large", action="store_true", help="10,000 and 100,000 runs, too")
    parser.add_argument("--only", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--keep", type=Path, help="make the workspaces here and keep them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        bench = Bench(options, options.keep or Path(made))
        bench.folder.mkdir(parents=True, exist_ok=True)
        print("| what | measured |\n|---|---|", flush=True)
        for name in options.only.split(","):
            for what, figure in CASES[name](bench):
                print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
