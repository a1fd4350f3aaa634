"""Preference data, checked line by line: findings ranked by harm, each with its line and what it does to a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, Label, TopBar
from rmtui.app.presentation.hanging_indent import HangingRows, Row, row
from rmtui.app.routes import SuspectsOf
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.datacheck.model import Cancelled, FileReport, Finding, Report
from rmtui.datacheck.report import counted, counted_rows, how_read, summarise_file
from rmtui.i18n import BETWEEN, translate
from trainer import pairs

LINES_A_KIND = 8
"""Findings of one kind that are spelled out; the verb lists all."""


@dataclass
class Checked(Message):
    report: Report | None
    """None: the check was cancelled before it could say anything."""


@dataclass
class CheckProgress(Message):
    """How far a check is."""

    name: str
    share: float

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, CheckProgress)


class DataScreen(Base):
    """Data sets of the workspace on the left; a training file is checked with its validation file."""

    CSS_PATH = "data.tcss"
    BINDINGS = actions.bindings("back", "data")
    AUTO_FOCUS = "#sets"

    def __init__(self) -> None:
        super().__init__()
        self._sets: list[tuple[Path, ...]] = []
        self._cancel = Event()
        self._busy = False
        self._report: Report | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Container(id="body"):
            yield Choices(id="sets", classes="-lines", markup=False)
            with VerticalScroll(id="report", can_focus=True):
                yield Label(id="progress", classes="quiet")
                yield HangingRows(id="findings")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts(self._sentence("screen"), "", str(self.ws.data))
        self._sets = pairs.data_files(self.ws.root)
        items = self.query_one(Choices)
        items.add_options([Option(" + ".join(self._path_label(path) for path in paths)) for paths in self._sets])
        if self._sets:
            items.highlighted = 0
        hint = self._sentence("begin") if self._sets else self._sentence("no_files", path=self.ws.data)
        self.query_one("#progress", Label).show_text(hint)

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"report.{key}", self.rmtui.lang, **values)

    def write_again(self) -> None:
        super().write_again()
        if self._report is not None:
            self._show(self._report)

    def _path_label(self, path: Path) -> str:
        return str(path.relative_to(self.ws.data))

    @on(Choices.OptionSelected)
    def _selected(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        place = self.query_one(Choices).highlighted
        if place is None or self._busy:
            return
        self._busy, self._cancel = True, Event()
        paths, cancel = self._sets[place], self._cancel

        def job() -> Checked:
            from rmtui.operations.check import check

            try:
                return Checked(check(paths, progress=self._post_progress, cancelled=cancel.is_set))
            except Cancelled:
                return Checked(None)

        self._report = None
        self.query_one("#findings", HangingRows).show_rows(())
        self.query_one("#progress", Label).show_text(self._sentence("checking"))
        self.ask("check", job)

    def action_suspects(self) -> None:
        """Those of the training file under the cursor."""
        place = self.query_one(Choices).highlighted
        if place is not None:
            self.go(SuspectsOf(self._sets[place][0]))

    def offers(self, action: str) -> bool:
        return action != "suspects" or bool(self._sets)

    def _post_progress(self, name: str, share: float) -> None:
        self.post_message(CheckProgress(name, share))

    @on(CheckProgress)
    def _progress(self, message: CheckProgress) -> None:
        if self._busy:
            name = self._sentence("pass_lines" if message.name == "lines" else "pass_near")
            self.query_one("#progress", Label).show_text(self._sentence("progress", name=name, share=message.share))

    def action_cancel(self) -> None:
        self._cancel.set()

    def on_unmount(self) -> None:
        self._cancel.set()

    def on_failed(self, message: object) -> None:
        self._busy = False

    @on(Checked)
    def _checked(self, message: Checked) -> None:
        self._busy = False
        self._report = message.report
        if message.report is None:
            self.query_one("#progress", Label).show_text(self._sentence("cancelled"))
        else:
            self._show(message.report)
            self.query_one("#report").focus()

    def _show(self, report: Report) -> None:
        self.query_one("#progress", Label).show_text("" if report.near_done else self._sentence("near_unfinished"))
        rows = [row for file in report.files for row in self._file_rows(file)]
        self.query_one("#findings", HangingRows).show_rows(rows)

    def _file_rows(self, file: FileReport) -> Iterator[Row]:
        palette, lang = palette_of(self), self.rmtui.lang
        comma = BETWEEN[lang]
        text = Text(comma.join(counted_rows(file, lang)) + comma)
        worst = comma.join([counted("error", file.errors, lang), counted("warning", file.warnings, lang)])
        text.append(worst, palette.bad if file.errors else palette.good)
        yield row("", Text(self._path_label(file.path), palette.accent))
        yield row("  ", text)
        if how := how_read(file, lang):
            yield row("  ", Text(how, palette.quiet))
        yield row("  ", Text(" · ".join(summarise_file(file, lang)), palette.quiet))
        for kind in file.counts:
            yield from self._kind_rows(kind, file.counts[kind], [one for one in file.findings if one.kind == kind])
        if not file.counts:
            yield row("  ", Text(f"{glyphs_of(self).ok} {self._sentence('nothing')}", palette.good))
        yield row("", "")

    def _kind_rows(self, kind: str, count: int, found: list[Finding]) -> Iterator[Row]:
        from rmtui.datacheck.kinds import KINDS

        palette, glyphs, lang = palette_of(self), glyphs_of(self), self.rmtui.lang
        bad = KINDS[kind].severity == "error"
        sign = Text(f"  {glyphs.gap if bad else glyphs.best_up} ", palette.bad if bad else palette.warn)
        text = Text().append(f"{KINDS[kind].title(lang)} {glyphs.times}{count}", "bold")
        yield row(sign, text.append(f"  {KINDS[kind].meaning(lang)}", palette.quiet))
        for finding in found[:LINES_A_KIND]:
            line = self._sentence("on_line", line=finding.line) if finding.line else self._sentence("whole_file")
            yield row("      ", f"{line}{formats.clean(finding.render(lang))}")
        if count > LINES_A_KIND:
            more = self._sentence("more_findings", n=count - min(len(found), LINES_A_KIND))
            yield row("      ", Text(more, palette.quiet))
