"""Preference data, checked line by line: findings ranked by harm, each with its line and what it does to a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.widgets.option_list import Option

from rmtui.app import actions
from rmtui.app.chrome import KeyLine, TopBar, Words
from rmtui.app.runactions import RunActions
from rmtui.app.widgets import figures
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.guide.datacheck.facts import FileReport, Finding, Report

LINES_A_KIND = 8
"""Findings of one kind that are spelled out; the verb lists all."""


@dataclass
class Checked(Message):
    report: Report


@dataclass
class Progress(Message):
    """How far a check is."""

    name: str
    share: float

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Progress)


class DataScreen(RunActions):
    """Data sets of the workspace on the left; a training file is checked with its validation file."""

    CSS_PATH = "data.tcss"
    BINDINGS = actions.bindings("back", "data")
    AUTO_FOCUS = "#sets"

    def __init__(self) -> None:
        super().__init__()
        self._sets: list[tuple[Path, ...]] = []
        self._cancel = Event()
        self._busy = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Container(id="body"):
            yield Choices(id="sets", classes="-lines", markup=False)
            with VerticalScroll(id="report", can_focus=True):
                yield Words(id="progress", classes="quiet")
                yield Static(id="findings")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).tell("data check", "", str(self.ws.data))
        self._sets = data_files(self.ws.data)
        items = self.query_one(Choices)
        items.add_options([Option(" + ".join(self._path_words(path) for path in paths)) for paths in self._sets])
        if self._sets:
            items.highlighted = 0
        else:
            self.query_one("#progress", Words).say(f"no .jsonl file below {self.ws.data}")

    def _path_words(self, path: Path) -> str:
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

            return Checked(check(paths, progress=self._tell, cancelled=cancel.is_set))

        self.query_one("#findings", Static).update("")
        self.query_one("#progress", Words).say("checking …")
        self.ask("check", job)

    def _tell(self, name: str, share: float) -> None:
        self.post_message(Progress(name, share))

    @on(Progress)
    def _progress(self, message: Progress) -> None:
        if self._busy:
            self.query_one("#progress", Words).say(f"{message.name} {message.share:.0%}   x cancels")

    def action_cancel(self) -> None:
        self._cancel.set()

    def on_unmount(self) -> None:
        self._cancel.set()

    def on_failed(self, message: object) -> None:
        self._busy = False
        super().on_failed(message)  # type: ignore[arg-type]

    @on(Checked)
    def _checked(self, message: Checked) -> None:
        self._busy = False
        report = message.report
        near = "" if report.near_done else "near-duplicates were not looked for to the end"
        self.query_one("#progress", Words).say(near)
        text = Text()
        for file in report.files:
            text.append_text(self._written(file))
        self.query_one("#findings", Static).update(text)
        self.query_one("#report").focus()

    def _written(self, file: FileReport) -> Text:
        palette, glyphs = palette_of(self), glyphs_of(self)
        text = Text().append(self._path_words(file.path), palette.accent)
        text.append(f"   {figures.count(file.lines)} lines, {figures.count(file.good)} good pairs, ")
        text.append(f"{file.errors} errors, {file.warnings} warnings\n", palette.bad if file.errors else palette.good)
        for kind in file.counts:
            found = [finding for finding in file.findings if finding.kind == kind]
            text.append_text(self._kind(kind, file.counts[kind], found))
        if not file.counts:
            text.append(f"  {glyphs.ok} nothing found\n", palette.good)
        return text.append("\n")

    def _kind(self, kind: str, count: int, found: list[Finding]) -> Text:
        from rmtui.guide.datacheck.kinds import KINDS

        palette, glyphs = palette_of(self), glyphs_of(self)
        bad = KINDS[kind].severity == "error"
        text = Text().append(f"  {glyphs.gap if bad else glyphs.best_up} ", palette.bad if bad else palette.warn)
        text.append(f"{kind} {glyphs.times}{count}", "bold").append(f"  {KINDS[kind].meaning}\n", palette.quiet)
        for finding in found[:LINES_A_KIND]:
            line = f"line {finding.line}" if finding.line else "file"
            text.append(f"      {line}: {figures.clean(finding.message)}\n")
        if count > LINES_A_KIND:
            text.append(f"      … and {count - min(len(found), LINES_A_KIND)} more\n", palette.quiet)
        return text


def data_files(data: Path) -> list[tuple[Path, ...]]:
    """Every training file with its validation file, then files that stand alone."""
    sets: list[tuple[Path, ...]] = []
    for train in sorted(data.glob("train/*.jsonl")) + sorted(data.glob("*/train.jsonl")):
        val = data / "val" / train.name if train.parent.name == "train" else train.parent / "val.jsonl"
        sets.append((train, val) if val.is_file() else (train,))
    paired = {path for paths in sets for path in paths}
    alone = sorted(path for path in data.rglob("*.jsonl") if path not in paired)
    return sets + [(path,) for path in alone]
