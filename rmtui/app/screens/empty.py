"""A folder without a workspace: what rmtui is, and the three ways on: demo, launch, import."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, Label, TopBar, short_path
from rmtui.app.feed import Failed, in_thread
from rmtui.app.widgets.choices import hanging
from rmtui.app.widgets.palette import palette_of
from rmtui.workspace import Workspace, create, open_workspace

WAYS = (
    (
        "d",
        "demo",
        "a small model and data made here; preset A trains on them for real, in two minutes on two cores",
    ),
    ("n", "launch", "a workspace here (presets, data, runs), then preset A, B or C as a form"),
    (
        "i",
        "import",
        "a workspace here with past runs: logs, trainer_state.json, TensorBoard, W&B, exports",
    ),
)


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


class EmptyScreen(Base):
    """Nothing is written before a way is chosen."""

    BINDINGS = actions.bindings("empty")

    def __init__(self) -> None:
        super().__init__()
        self._busy = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Vertical(id="welcome"):
            yield Label(id="words")
            yield Static(id="ways")
            yield Label(id="progress")
        yield KeyLine()

    def on_mount(self) -> None:
        folder = self.rmtui.folder
        self.query_one(TopBar).show_parts("rmtui", "", short_path(folder))
        text = Text().append("Tune reward models from this terminal.\n\n", "bold")
        self.query_one("#words", Label).show_text(
            text.append(f"{short_path(folder)} is not a workspace yet. Three ways on:\n")
        )
        self._write()

    def write_again(self) -> None:
        super().write_again()
        self._write()

    def _write(self) -> None:
        palette = palette_of(self)
        rows = [
            (Text(f"  {key}  ", palette.accent).append(f"{word:<8}", "bold"), Text(explanation, palette.quiet))
            for key, word, explanation in WAYS
        ]
        self.query_one("#ways", Static).update(hanging(*rows))

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
        self.query_one("#progress", Label).show_text(f"{name} …")
        in_thread(self.app, self, name, job)  # type: ignore[arg-type]

    @on(DemoProgress)
    def _demo_progress(self, message: DemoProgress) -> None:
        self.query_one("#progress", Label).show_text(message.words)

    def on_failed(self, message: Failed) -> None:
        self._busy = False
        self.query_one("#progress", Label).show_text("")

    @on(Ready)
    async def _ready(self, message: Ready) -> None:
        rmtui = self.rmtui
        await rmtui.enter(message.workspace)
        if message.run_id:
            rmtui.go_home(message.run_id)
        if message.then == "presets":
            from rmtui.app.screens.presets import PresetsScreen

            rmtui.push_screen(PresetsScreen())
        elif message.then == "import":
            await rmtui.run_action("import_runs")
