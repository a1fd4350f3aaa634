"""The screen's speed in a real pty, beside `wandb leet`, a bare Textual app, `tail -f` and `grep`.

    .venv/bin/python benchmarks/screen_speed.py [--times 7] [--leet VENV --leet-runs DIR] [--only start,keys] [--large]

Both sides take turns in one run; medians, with processor seconds beside wall seconds. `--large` adds 10,000 and 100,000
runs (minutes to make them). LEET's runs are made by any script that logs offline W&B runs into DIR.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import screen_stage as stage
from screen_pty import Program

from rmtui.workspace import Workspace

RMTUI = str(stage.REPO / ".venv" / "bin" / "rmtui")
CURVE = re.compile(rb"\xe2[\xa0-\xa3][\x80-\xbf]")
Rows = list[tuple[str, str]]


class Bench:
    """Options, and where workspaces are kept between cases."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.sizes = (200, 10_000, 100_000) if options.large else (200,)

    def fresh(self, name: str) -> Workspace:
        """A workspace of twenty runs that no app has remembered a selection of."""
        return stage.many(self.folder / f"{name}-{time.time_ns()}", 20)

    def rmtui(self, workspace: Path) -> Program:
        return Program([RMTUI, "-C", str(workspace)])

    def leet(self) -> Program | None:
        """`wandb leet` on its runs; None when it was not asked for."""
        if self.options.leet is None:
            return None
        return Program([str(self.options.leet / "bin" / "wandb"), "leet"], self.options.leet_runs, WANDB_SILENT="true")

    def repeat(self, measure: Callable[[], float]) -> float:
        return median(measure() for _ in range(self.options.times))


def drawn(program: Program, name: str) -> float:
    """Seconds until the list and the first curve stand on the screen."""
    end = time.perf_counter() + 120
    while time.perf_counter() < end:
        if name.encode() in program.output and CURVE.search(program.output):
            return program.last_byte - program.begun
        program.take(0.01)
    return float("nan")


def start(bench: Bench) -> Rows:
    """Interactive list and first curve; the sides take turns."""
    found: dict[str, list[tuple[float, float]]] = {}
    workspaces = {f"{size:,} runs": stage.many(bench.folder / f"many-{size}", size).root for size in bench.sizes}
    for workspace in workspaces.values():  # the first look at a workspace indexes it: not what is measured
        subprocess.run([RMTUI, "-C", str(workspace), "ls", "--json"], stdout=subprocess.DEVNULL, check=True)
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
    """Processor time of a key that moves to another run, its figures and curves drawn."""
    rows = []
    for size in bench.sizes:
        workspace = stage.many(bench.folder / f"many-{size}", size).root
        rows.append(
            (f"a key, {size:,} runs", f"{1000 * bench.repeat(lambda w=workspace: _keys(bench.rmtui(w))):.0f} ms of CPU")
        )
    if bench.options.leet is not None:
        rows.append(("a key, wandb leet", f"{1000 * bench.repeat(lambda: _keys(bench.leet())):.0f} ms of CPU"))
    return rows


def _keys(program: Program, presses: int = 10) -> float:
    with program:
        drawn(program, "-")
        program.settle()
        before = program.cpu()
        for _ in range(presses):
            program.press("j")
            program.take(0.5)
        return (program.cpu() - before) / presses


def long(bench: Bench) -> Rows:
    """A run of 100,000 steps × 5 figures, fully drawn."""
    workspace = stage.long_run(bench.folder / "long").root
    subprocess.run([RMTUI, "-C", str(workspace), "ls", "--json"], stdout=subprocess.DEVNULL, check=True)

    def once() -> float:
        with bench.rmtui(workspace) as program:
            drawn(program, "helpful-long")
            return program.settle()

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
        ("100,000 steps, from start to the last byte", f"{bench.repeat(once):.2f} s"),
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


def live(bench: Bench) -> Rows:
    """Ten steps and one log line a second, everything in view."""
    ws = bench.fresh("live")
    with stage.Live(ws, steps_a_second=10, lines_a_second=1) as _, bench.rmtui(ws.root) as program:
        drawn(program, "helpful-live")
        program.take(5)
        before, seconds = program.cpu(), 30.0
        sent = program.take(seconds)
        share = (program.cpu() - before) / seconds
    return [("live run", f"{sent / seconds:.0f} B/s, {100 * share:.1f} % of a core")]


def logs(bench: Bench) -> Rows:
    """Bytes of the log view beside those of `tail -f` on the same lines."""
    return [row for rate in (10, 1000) for row in _log_at(bench, rate)]


def _log_at(bench: Bench, rate: int, seconds: float = 10.0) -> Rows:
    ws = bench.fresh(f"log-{rate}")
    with stage.Live(ws, lines_a_second=rate) as run, bench.rmtui(ws.root) as program:
        _open_log(program, "helpful-live")
        with Program(["tail", "-f", str(run.log)]) as tail:
            tail.take(2)
            program.take(2)
            before, sent, plain = program.cpu(), 0, 0
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                sent += program.take(0.05)
                plain += tail.take(0.01)
            share = 100 * (program.cpu() - before) / seconds
    figure = f"{sent / plain:.2f} × tail -f ({sent / seconds:.0f} B/s), {share:.0f} % of a core"
    return [(f"log at {rate} lines/s", figure)]


def _open_log(program: Program, name: str) -> None:
    drawn(program, name)
    program.settle(seconds=3)
    program.press("\r")
    program.settle(seconds=3)
    program.press("2")
    program.settle(seconds=3)


def burst(bench: Bench) -> Rows:
    """100,000 lines at once while following: the slowest of twenty keys, and what was shown at the end."""
    ws = bench.fresh("burst")
    with stage.Live(ws) as run, bench.rmtui(ws.root) as program:
        _open_log(program, "helpful-live")
        run.add_lines(100_000)
        slowest = 0.0
        for number in range(20):
            place, begun = len(program.output), time.perf_counter()
            program.press("k" if number % 2 == 0 else "G")
            program.until(" of " if number % 2 == 0 else "following", start=place, seconds=5)
            slowest = max(slowest, time.perf_counter() - begun)
        program.press("G")
        program.settle()
        whole = "step 100000/6000" in program.output.decode(errors="replace") or b"100000" in program.output
    return [
        ("burst of 100,000 lines", f"slowest key {1000 * slowest:.0f} ms, last line {'shown' if whole else 'MISSING'}")
    ]


def large_log(bench: Bench) -> Rows:
    """A log of 1 GB: its end, memory, and the first hit of a search beside grep over the same bytes."""
    ws, path = stage.big_log(bench.folder / "log-1gb")
    with bench.rmtui(ws.root) as program:
        drawn(program, "helpful-log")
        program.settle(seconds=3)
        program.press("\r")
        program.settle(seconds=3)
        place, begun, before = len(program.output), time.perf_counter(), program.memory()
        program.press("2")
        program.until("last line of all", start=place)
        opened, more = time.perf_counter() - begun, program.memory() - before
        program.settle(seconds=3)
        place, begun = len(program.output), time.perf_counter()
        program.press("/needle\r")
        program.until("here is the", start=place)
        found = time.perf_counter() - begun
        memory = program.memory()
    begun = time.perf_counter()
    subprocess.run(
        ["grep", "-m1", "needle", str(path)], stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    grep = time.perf_counter() - begun
    return [
        ("log of 1 GB: its end", f"{opened:.2f} s, {more:.0f} MB more, {memory:.0f} MB in all"),
        ("log of 1 GB: first hit", f"{found:.2f} s; grep over as many bytes {grep:.2f} s"),
    ]


CASES: dict[str, Callable[[Bench], Rows]] = {
    "start": start,
    "keys": keys,
    "long": long,
    "idle": idle,
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
