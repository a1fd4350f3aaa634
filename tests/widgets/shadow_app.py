"""What the tmux test draws twice, plainly and through the shadow screen: table, chart, log, a question, a toast."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Static
from widgets_support import Made

from rmtui.app.terminal.output import ShadowScreen
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.chart.curve import Curve
from rmtui.app.widgets.log.view import LogView
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.runs.log_index import LogIndex


class Question(ModalScreen):
    CSS = "Question { align: center middle; } Question Static { width: 40; height: 5; border: round green; }"
    BINDINGS = [("escape", "dismiss", "no")]

    def compose(self):
        yield Static("really delete 中文模型-3?")


class Drawn(ShadowScreen):
    BINDINGS = [("ctrl+o", "ask"), ("ctrl+t", "toast"), Binding("tab", "focus_next", priority=True)]

    def compose(self):
        yield RunTable(Made(200))
        yield Chart("loss")
        yield LogView()

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.query_one(LogView).open(LogIndex(Path(sys.argv[1])), "rank0")
        self.query_one(Chart).show([Curve.points("a", "train", [(n, math.exp(-n / 50)) for n in range(200)])])
        self.query_one(RunTable).focus()

    def action_ask(self) -> None:
        self.push_screen(Question())

    def action_toast(self) -> None:
        self.notify("stopped by you at step 412, resumable", timeout=600)


if __name__ == "__main__":
    Drawn().run()
