"""What the cases of the screen's benchmark share: options, workspaces, both programs, and when a screen is drawn."""

from __future__ import annotations

import argparse
import re
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
    """Seconds until the list and the first curve are on the screen."""
    end = time.perf_counter() + 120
    while time.perf_counter() < end:
        if name.encode() in program.output and CURVE.search(program.output):
            return program.last_byte - program.begun
        program.take(0.01)
    return float("nan")
