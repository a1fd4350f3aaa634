"""A new search: what `rmtui tune` asks for as fields, its plan and cost, and then its start in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from rmtui.app import actions
from rmtui.app.base import Base, Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.feed import Failed
from rmtui.errors import UserError
from rmtui.text import clean
from rmtui.translation import tr

if TYPE_CHECKING:
    from rmtui.operations.plan import Plan
    from rmtui.tune.model import Search
    from rmtui.workspace import Workspace

HINTS = {
    "data": "data set; empty: the workspace's",
    "model": "folder or hub name; empty: the workspace's",
    "preset": "base configuration; empty: M, else A",
    "budget": "12runs, 8h, 90m or 40epochs",
    "space": "lr, epochs, r, batch, dropout",
    "repeats": "further seeds of the best settings",
    "goal": "val_loss or val_acc",
}
USUAL = {"budget": "12runs", "space": "lr,epochs", "repeats": "2", "goal": "val_loss"}
Fields = dict[str, str]


@dataclass
class SearchPlanned(Message):
    """The plan of these fields, or why there is none."""

    fields: Fields
    lines: tuple[str, ...]
    sound: bool


class NewSearchScreen(Base):
    """Nothing starts before its plan was shown: enter shows it; on a plan that is up to date it starts the search."""

    CSS_PATH = "new_search.tcss"
    BINDINGS = actions.bindings("back", "begin")
    AUTO_FOCUS = "#data"

    def __init__(self) -> None:
        super().__init__()
        self._planned: SearchPlanned | None = None
        self._asked: Fields = {}
        self._starting = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Vertical(id="fields"):
            for name, hint in HINTS.items():
                with Horizontal(classes="field"):
                    yield Static(tr(name), classes="label", markup=False)
                    yield Input(USUAL.get(name, ""), id=name, compact=True, select_on_focus=False)
                    yield Static(tr(hint), classes="hint", markup=False)
        with VerticalScroll(id="plan-pane", can_focus=False):
            yield Static(id="plan", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts("tune", tr("new search"))
        self._plan()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self._plan()

    def _fields(self) -> Fields:
        return {field.id: field.value.strip() for field in self.query(Input) if field.id}

    def _plan(self) -> None:
        """Ask for the plan of what is typed, unless that is under way or done."""
        fields, ws = self._fields(), self.ws
        if fields == self._asked:
            return
        self._asked = fields
        self.query_one("#plan", Static).update(tr("planning …"))

        def job() -> SearchPlanned:
            from rmtui.tune import show

            try:
                lines = show.plan_lines(show.planned(ws, *_read(ws, fields)))
            except UserError as error:
                words = "\n".join((error.what, error.why, error.remedy))
                return SearchPlanned(fields, tuple(line for line in words.splitlines() if line.strip()), False)
            return SearchPlanned(fields, tuple(lines), True)

        self.ask("search plan", job, group="search plan")

    @on(SearchPlanned)
    def _show(self, message: SearchPlanned) -> None:
        if message.fields != self._asked:
            return
        self._planned = message
        lines = [clean(tr(line, words=False)) for line in message.lines]
        lines += ["", tr("enter starts it")] if message.sound else []
        self.query_one("#plan", Static).update("\n".join(lines))

    @on(Input.Changed)
    def _outdated(self) -> None:
        if self._planned is not None and self._fields() != self._planned.fields:
            self._planned, self._asked = None, {}
            self.query_one("#plan", Static).update(tr("enter shows the plan and its cost"))

    def action_start(self) -> None:
        fields, ws = self._fields(), self.ws
        if self._planned is None or self._planned.fields != fields:
            self._plan()
            return
        if self._starting or not self._planned.sound:
            return
        self._starting = True

        def job() -> str:
            from rmtui.tune import begin

            return begin.start_apart(ws, begin.begin(ws, *_read(ws, fields))[0])

        self.do("start the search", job)

    def on_done(self, message: Done) -> None:
        if self.is_current:
            self.call_later(self.action_leave)

    def on_failed(self, message: Failed) -> None:
        self._starting = False


def _read(ws: Workspace, fields: Fields) -> tuple[Plan, Search]:
    from rmtui.operations.launch_request import LaunchRequest
    from rmtui.tune import asked

    repeats = fields["repeats"] or USUAL["repeats"]
    if not repeats.isdecimal():
        raise UserError(f"{repeats!r} is not a number of repeats", remedy="give a whole number from 0")
    request = LaunchRequest(fields["preset"], data=fields["data"], model=fields["model"], cwd=ws.root)
    return asked.read(ws, request, asked.Rules(fields["budget"], fields["space"], int(repeats), fields["goal"]))
