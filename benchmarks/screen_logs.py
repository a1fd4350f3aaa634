"""Cases of the screen's benchmark that look at logs: following at a rate, a burst, a file of 1 GB."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import screen_stage as stage
from screen_bench import Bench, Rows, drawn
from screen_pty import Program


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
    program.until(name)  # a newer run than those that the index knew
    program.settle(seconds=3)
    program.press("g")
    program.settle(seconds=3)
    program.press("\r")
    program.settle(seconds=3)
    program.press("3")
    program.settle(seconds=3)


def burst(bench: Bench) -> Rows:
    """100,000 lines at once while following: the slowest of twenty keys, and what was shown at the end."""
    return [row for pattern in ("", "loss") for row in _burst(bench, pattern)]


def _burst(bench: Bench, pattern: str) -> Rows:
    ws = bench.fresh("burst")
    with stage.Live(ws) as run, bench.rmtui(ws.root) as program:
        _open_log(program, "helpful-live")
        if pattern:
            run.add_lines(10)
            program.press(f"&{pattern}\r")
            program.until(" match loss", seconds=10)
            program.settle()
        run.add_lines(100_000)
        slowest = 0.0
        for number in range(20):
            place, begun = len(program.output), time.perf_counter()
            program.press("k" if number % 2 == 0 else "G")
            program.until(" of " if number % 2 == 0 else "following", start=place, seconds=5)
            slowest = max(slowest, time.perf_counter() - begun)
        program.press("G")
        program.settle(quiet=1.0)
        place = len(program.output)
        program.press("\x1b[15~")  # f5: every cell again, not only those that changed
        program.settle()
        whole = f"step {run.lines}/" in program.output[place:].decode(errors="replace")
    return [
        (
            f"burst of 100,000 lines{', filtered' if pattern else ''}",
            f"slowest key {1000 * slowest:.0f} ms, last line {'shown' if whole else 'MISSING'}",
        )
    ]


def large_log(bench: Bench) -> Rows:
    """A log of 1 GB: its end, memory, and the first hit of a search beside grep over the same bytes; none cached."""
    ws, path = stage.big_log(bench.folder / "log-1gb")
    _forget(path)
    with bench.rmtui(ws.root) as program:
        drawn(program, "helpful-log")
        program.settle(seconds=3)
        program.press("\r")
        program.settle(seconds=3)
        place, begun, before = len(program.output), time.perf_counter(), program.memory()
        program.press("3")
        program.until("last line of all", start=place)
        opened, more = time.perf_counter() - begun, program.memory() - before
        program.settle(seconds=3)
        place, begun = len(program.output), time.perf_counter()
        program.press("/needle\r")
        program.until("here is the", start=place)
        found = time.perf_counter() - begun
        memory = program.memory()
    _forget(path)
    begun = time.perf_counter()
    subprocess.run(
        ["grep", "-m1", "needle", str(path)], stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    grep = time.perf_counter() - begun
    return [
        ("log of 1 GB: its end", f"{opened:.2f} s, {more:.0f} MB more, {memory:.0f} MB in all"),
        ("log of 1 GB: first hit", f"{found:.2f} s; grep over as many bytes {grep:.2f} s"),
    ]


def _forget(path: Path) -> None:
    """Let the kernel drop what it holds of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
