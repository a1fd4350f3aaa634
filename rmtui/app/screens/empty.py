"""A folder without a workspace: what it holds that can be taken in, and the other ways to start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, Label, TopBar, short_path
from rmtui.app.feed import Failed, in_thread
from rmtui.app.presentation.hanging_indent import HangingRows
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.palette import palette_of
from rmtui.translation import tr
from rmtui.workspace import Workspace, create, open_workspace

if TYPE_CHECKING:
    from rmtui.operations.imports import ImportedRun
    from rmtui.operations.take_in import FolderPart, Look

WAYS = (
    ("n", "launch", "set up a workspace here, then edit and launch preset A, B or C"),
    ("i", "import", "set up a workspace here and import runs from another place"),
    ("M", "guide", "set up a workspace here with the tuning guide's two runs to compare with"),
    ("d", "demo", "make a small model and data here and train preset A on them, two minutes on two cores"),
)


@dataclass
class Looked(Message):
    """What the folder holds."""

    look: Look


@dataclass
class DemoProgress(Message):
    """The demo tells what it does."""

    words: str


@dataclass
class Ready(Message):
    """There is a workspace now; `then` says what comes next."""

    workspace: Workspace
    then: str = ""
    run_id: str = ""
    words: str = ""
    """What was taken in, for a toast."""


class EmptyScreen(Base):
    """Nothing is written before a way is chosen."""

    BINDINGS = actions.bindings("empty")

    def __init__(self) -> None:
        super().__init__()
        self._busy = False
        self._look: Look | None = None
        self._failed = False
        """The look itself failed: the other ways are there all the same."""
        self._left_out: set[int] = set()
        """Places of the parts that are not to be taken in."""

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Vertical(id="welcome"):
            yield Label(id="words")
            yield Choices(id="parts", classes="-lines", markup=False)
            yield Label(id="found")
            yield HangingRows(id="ways")
            yield Label(id="progress")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts("rmtui", "", short_path(self.rmtui.folder))
        self._write()
        in_thread(self.app, self, "look", self._look_around)

    def _look_around(self) -> Looked:
        from rmtui.operations.take_in import look

        return Looked(look(self.rmtui.folder))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        self._look = message.look
        self._write()
        if self._parts:
            self.query_one(Choices).focus()

    @property
    def _parts(self) -> Sequence[FolderPart]:
        return self._look.parts if self._look else ()

    def offers(self, action: str) -> bool:
        """Taking in, where there is something to take; the demo, where it would not be among things of others."""
        return bool(self._parts) == (action in ("take", "leave_out")) or action not in ("take", "leave_out", "demo")

    def write_again(self) -> None:
        super().write_again()
        self._write()

    def _write(self) -> None:
        self.query_one("#words", Label).show_text(self._heading())
        choices, at = self.query_one(Choices), self.query_one(Choices).highlighted
        choices.display = bool(self._parts)
        choices.clear_options()
        choices.add_options([Option(self._line(place, part)) for place, part in enumerate(self._parts)])
        choices.highlighted = at or 0 if self._parts else None
        self.query_one("#found", Label).show_text(self._remarks())
        palette = palette_of(self)
        rows = [
            (Text(f"  {key}  ", palette.accent).append(fit(tr(word), 8), "bold"), Text(tr(explanation), palette.quiet))
            for key, word, explanation in WAYS
            if self.offers(word)
        ]
        self.query_one("#ways", HangingRows).show_rows(rows)
        self.query_one(KeyLine).renew()

    def _heading(self) -> Text:
        folder = short_path(self.rmtui.folder)
        text = Text().append(tr("Tune reward models from this terminal.") + "\n\n", "bold")
        if self._parts:
            text.append(tr(f"{folder} isn't a workspace yet. Found here; enter takes in what is marked:"))
        elif self._look is None and not self._failed:
            text.append(tr(f"{folder} isn't a workspace yet. Looking through it …") + "\n")
        else:
            text.append(tr(f"{folder} isn't a workspace yet. Ways to start:") + "\n")
        return text

    def _line(self, place: int, part: FolderPart) -> Text:
        palette = palette_of(self)
        taken = place not in self._left_out
        mark = Text("[x] " if taken else "[ ] ", palette.accent if taken else palette.quiet)
        return mark.append(tr(part.label), palette.text if taken else palette.quiet)

    def _remarks(self) -> Text:
        """What was not looked at, and the heading of the other ways."""
        look, text = self._look, Text()
        if look is None:
            return text
        for path in look.unreadable[:3]:
            text.append(tr(f"not readable: {path}") + "\n", palette_of(self).warn)
        if look.bounded:
            words = "only a part of the folder was looked at; i imports from the rest"
            text.append(tr(words) + "\n", palette_of(self).quiet)
        return text.append("\n" + tr("Other ways to start:") + "\n") if self._parts else text

    @on(Choices.OptionSelected)
    def action_take(self) -> None:
        """Make the workspace with every part that is marked."""
        parts = [part for place, part in enumerate(self._parts) if place not in self._left_out]
        if parts:
            self._make("taking in", partial(self._take, parts))

    def _take(self, parts: Sequence[FolderPart], guide: bool = False) -> Ready:
        from rmtui.operations.take_in import take_in

        def report(run: ImportedRun) -> None:
            self._post_progress(run.name)

        taken = take_in(self.rmtui.folder, parts, report, guide)
        return Ready(taken.workspace, words=taken.brief() if parts else "")

    def action_leave_out(self) -> None:
        """Take the part under the cursor, or leave it out."""
        place = self.query_one(Choices).highlighted
        if place is not None:
            self._left_out ^= {place}
            self._write()

    def action_guide(self) -> None:
        self._make("new workspace", partial(self._take, (), guide=True))

    def action_demo(self) -> None:
        self._make("demo", self._demo)

    def _demo(self) -> Ready:
        from rmtui.operations.demo import demo

        made = demo(self.rmtui.folder, self._post_progress)
        return Ready(open_workspace(made.root), "", made.run_id)

    def _post_progress(self, text: str) -> None:
        self.post_message(DemoProgress(text))

    def action_new(self) -> None:
        self._make("new workspace", lambda: Ready(create(self.rmtui.folder), "presets"))

    def action_import_runs(self) -> None:
        self._make("new workspace", lambda: Ready(create(self.rmtui.folder), "import"))

    def _make(self, name: str, job: object) -> None:
        if self._busy:
            return
        self._busy = True
        self.query_one("#progress", Label).show_text(tr(f"{name} …"))
        in_thread(self.app, self, name, job)  # type: ignore[arg-type]

    @on(DemoProgress)
    def _demo_progress(self, message: DemoProgress) -> None:
        self.query_one("#progress", Label).show_text(message.words)

    def on_failed(self, message: Failed) -> None:
        self._busy = False
        if message.job == "look":
            self._failed = True
            self._write()
        self.query_one("#progress", Label).show_text("")

    @on(Ready)
    async def _ready(self, message: Ready) -> None:
        rmtui = self.rmtui
        await rmtui.enter(message.workspace)
        if message.words:
            rmtui.notify(tr(message.words, words=False), timeout=10, markup=False)
        if message.run_id:
            rmtui.go_home(message.run_id)
        if message.then == "presets":
            from rmtui.app.screens.presets import PresetsScreen

            rmtui.push_screen(PresetsScreen())
        elif message.then == "import":
            await rmtui.run_action("import_runs")
