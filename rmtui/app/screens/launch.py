"""Before a training starts: its name, model, data and processes, what is unusual, and the exact command."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from rmtui.app import actions
from rmtui.app.chrome import Label
from rmtui.app.feed import Failed
from rmtui.app.host import WorkspaceApp
from rmtui.app.jobs.launch_plan import Planned, plan_launch
from rmtui.app.widgets.palette import palette_of
from rmtui.app.widgets.path_input import PathInput
from rmtui.operations.launch_request import LaunchRequest
from trainer.pairs import data_sets

FIELDS = (("name", "name"), ("model", "model"), ("data", "data set"), ("procs", "processes"), ("tags", "tags"))


class LaunchScreen(ModalScreen[LaunchRequest | None]):
    """Enter starts it, when nothing is wrong; tab goes through the fields; escape leaves."""

    CSS_PATH = "launch.tcss"
    BINDINGS = actions.bindings("launch")

    def __init__(self, request: LaunchRequest) -> None:
        super().__init__()
        self._request = request
        self.planned: Planned | None = None
        self._starts = False
        """Enter was pressed before the plan was there."""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        assert isinstance(self.app, WorkspaceApp)
        self._rmtui = self.app
        sets = ", ".join(data_sets(self._rmtui.ws.root)) or "none in data/"
        processes = self._rmtui.ws.settings.processes
        hints = {
            "name": "made from data and preset",
            "model": "a folder or a hub name",
            "data": self._request.usual_data or sets,
            "procs": f"{processes} (workspace.toml)" if processes else "visible GPUs, else 1",
            "tags": "night baseline",
        }
        texts = {"name": self._request.name, "data": self._request.data, "tags": " ".join(self._request.tags)}
        texts["procs"] = str(self._request.procs or "")
        texts["model"] = self._request.model or self._request.overrides.get("model", "")
        with Vertical(classes="dialog"):
            for key, label in FIELDS:
                with Horizontal(classes="field"):
                    yield Static(label, classes="label")
                    if key == "model":
                        yield PathInput(self._rmtui.ws.root, texts[key], placeholder=hints[key], id=key)
                    else:
                        yield Input(texts[key], placeholder=hints[key], id=key, compact=True, select_on_focus=False)
            with VerticalScroll(id="plan", can_focus=False):
                yield Label(id="wrong")
                yield Label("working it out …", id="command")
                yield Label(id="figures", classes="quiet")
            yield Static("enter start   tab next field   pgdn more   esc back", markup=False, classes="answers")

    def on_mount(self) -> None:
        self._work_out()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._starts = False
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(0.2, self._work_out)

    def request(self) -> LaunchRequest:
        """The request with what the fields hold."""
        text = {key: self.query_one(f"#{key}", Input).value.strip() for key, _ in FIELDS}
        procs = int(text["procs"]) if text["procs"].isdigit() else None
        tags = tuple(text["tags"].replace(",", " ").split())
        others = {key: value for key, value in self._request.overrides.items() if key != "model"}
        return replace(
            self._request,
            overrides=others,
            name=text["name"],
            model=text["model"],
            data=text["data"],
            procs=procs,
            tags=tags,
        )

    def _work_out(self) -> None:
        request, rmtui = self.request(), self._rmtui
        rmtui.feed.ask(
            self, "plan", lambda: plan_launch(rmtui.ws, rmtui.feed.index, request, check_data=True), "launch"
        )

    @on(Planned)
    def _worked_out(self, message: Planned) -> None:
        self.planned = message
        palette = palette_of(self)
        self.query_one("#data", Input).placeholder = str(message.plan.spec["data"])
        if model := str(message.plan.spec["config"]["model"]):
            self.query_one("#model", Input).placeholder = self._rmtui.ws.as_written(model)
        self.query_one("#figures", Label).show_text(
            " · ".join(f"{name} {text}" for name, text in message.derived.items())
        )
        wrong = Text()
        for problem in message.plan.problems:
            wrong.append(f"{problem}\n", palette.bad if problem.severity == "error" else palette.warn)
        wrong.rstrip()
        self.query_one("#wrong", Label).show_text(wrong)
        self.query_one("#wrong").display = bool(wrong.plain)
        self.query_one("#command", Label).show_text(message.plan.line)
        if self._starts:
            self.action_start()

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        message.stop()
        self.planned, self._starts = None, False
        self.query_one("#wrong", Label).show_text(Text(str(message.error), palette_of(self).bad))
        self.query_one("#wrong").display = True

    @on(Input.Submitted)
    def action_start(self) -> None:
        """Start, unless the plan has errors; where it is not that of the fields yet, as soon as it is."""
        if self.planned is None or self.planned.request != self.request():
            self._starts = True
            self.query_one("#command", Label).show_text("working out the plan, then it starts …")
            self._work_out()
        elif self.planned.plan.errors:
            self._starts = False
            self.notify("fix the fields in red first", severity="error", timeout=4)
        else:
            self.dismiss(self.request())

    def action_scroll_plan(self, by: int) -> None:
        self.query_one("#plan").scroll_page_down() if by > 0 else self.query_one("#plan").scroll_page_up()

    def action_leave(self) -> None:
        self.dismiss(None)
