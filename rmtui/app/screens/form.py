"""A preset, or a past run's configuration, as a form; what follows from it; the command; saving and launching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.timer import Timer

from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, Label, TopBar
from rmtui.app.jobs.launch_plan import (
    Launched,
    Planned,
    launch,
    plan_launch,
    short_line,
    texts_of,
)
from rmtui.app.presentation.preset_line import expectation
from rmtui.app.widgets.form.fields import Fallback
from rmtui.app.widgets.form.form import Form, Reference
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.operations.launch_again import as_preset, asked_of_cluster
from rmtui.operations.launch_request import ClusterRequest, LaunchRequest, usual_cluster
from rmtui.presets import Preset, changed_on_disk, load, save, save_as, spellings
from rmtui.runs.model import Run
from rmtui.text import fit, wrap
from rmtui.translation import tr
from rmtui.workspace import Workspace

TYPING_SECONDS = 0.15
"""Pause in typing after which the derived numbers are worked out anew."""
WATCH_SECONDS = 2.0
"""Between two looks whether the preset's file was changed outside."""
LINES_OF_COMMAND = 2


class FormScreen(Base):
    """Every field with its unit, range and a line of explanation; nothing starts before its command was shown."""

    CSS_PATH = "form.tcss"
    BINDINGS = actions.bindings("back", "form")

    def __init__(
        self, preset: Preset | None, run: Run | None, changes: Mapping[str, str] | None = None, launch: bool = False
    ) -> None:
        super().__init__()
        self._preset = preset
        self._run = run
        self._given = dict(changes or {})
        self._data = ""
        self._timer: Timer | None = None
        self.planned: Planned | None = None
        self._line = ""
        self._told_of_change = False
        self._launch_next = launch
        self._cluster: tuple[ClusterRequest, str] | None = None
        """What the run that is launched again asked its cluster for, and its devices."""

    @classmethod
    def of(cls, preset: Preset, changes: Mapping[str, str] | None = None) -> FormScreen:
        """A preset's form, with values filled in by an advice, say."""
        return cls(preset, None, changes)

    @classmethod
    def again(
        cls, run: Run, ws: Workspace, changes: Mapping[str, object] | None = None, launch: bool = False
    ) -> FormScreen:
        """`re-run`: a past run's configuration. With `launch` the launch dialog follows."""
        return cls(None, run, texts_of(_nested(changes or {}), ws), launch)

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Form(id="form")
        yield Label(id="problems")
        yield Label(id="expected", classes="quiet -none")
        yield Label(id="line", classes="quiet")
        yield KeyLine()

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    def on_mount(self) -> None:
        from rmtui.operations import launch_defaults

        newest = next(iter(self.feed.index.runs("", limit=1)), None)
        self._cluster = asked_of_cluster(self.ws, self._run) if self._run is not None else None
        self._fill_in(newest)
        self._load()
        if self._preset is not None and (model := launch_defaults.model(self.ws, self._preset, newest)):
            self._given.setdefault("model", model)
        for key, text in self._given.items():
            self.form.set_text(key, text)
        if self._preset is not None and (words := expectation(self._preset)):
            self.query_one("#expected", Label).show_text(words)
            self.query_one("#expected").remove_class("-none")
        self.set_interval(WATCH_SECONDS, self._watch_file)
        self.form.focus()
        self._work_out()

    def _fill_in(self, newest: Run | None) -> None:
        """What empty fields stand for, by workspace.toml and the data that is there."""
        from rmtui.operations import launch_defaults

        self._settings = self.ws.settings
        self._data = self._run.data or "" if self._run else launch_defaults.data_set(self.ws, newest)
        usual = launch_defaults.data_files(self.ws, self._data) if self._data else {}
        if self._settings.model:
            usual["model"] = (self._settings.model, "workspace.toml")
        self.form.fields.fallbacks = {key: Fallback(*usual_value) for key, usual_value in usual.items()}

    def _load(self) -> None:
        if self._preset is not None:
            texts = spellings(self._preset)
            last = next(iter(self.feed.index.runs(f"preset:{self._preset.name}", limit=1)), None)
            self.form.load(texts, (Reference("file", texts), *self._runs_beside(last)))
        elif self._run is not None:
            texts = texts_of(self._run.config, self.ws)
            self.form.load(texts, (Reference(self._run.name, texts), *self._runs_beside()))
        self._show_top()

    def _runs_beside(self, last: Run | None = None) -> list[Reference]:
        """The last run of the preset, and the run that was chosen as baseline in the list."""
        try:
            baseline = self.feed.index.run(self.memory.baseline) if self.memory.baseline else None
        except UserError:  # deleted meanwhile
            baseline = None
        runs = {run.id: run for run in (last, baseline) if run is not None and run.config}
        if self._run is not None:
            runs.pop(self._run.id, None)
        return [Reference(run.name, texts_of(run.config, self.ws)) for run in runs.values()]

    def _show_top(self) -> None:
        changes = len(self.form.changes())
        if self._preset is not None:
            left = " · ".join(filter(None, (f"preset {self._preset.name}", self._preset.title)))
            right = str(self._preset.path.name)
            middle = f"differs from the file: {changes}" if changes else "as in the file"
        else:
            name = self._run.name if self._run else ""
            left, right = f"{name} re-run with changes", ""
            middle = f"differs from {name}: {changes}" if changes else f"as {name}"
        self.query_one(TopBar).show_parts(left, middle, right)

    # While one types

    @on(Form.Changed)
    def _changed(self, message: Form.Changed) -> None:
        self._show_top()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(TYPING_SECONDS, self._work_out)

    def request(self) -> LaunchRequest:
        """What would be launched now."""
        changes = self.form.changes()
        if self._preset is not None:
            usual = usual_cluster(self.ws)
            request = LaunchRequest(self._preset, changes, usual_data=self._data, cluster=usual)
        else:
            assert self._run is not None
            request = LaunchRequest(as_preset(self._run), changes, usual_data=self._data, procs=self._run.processes)
        return (
            request if self._cluster is None else replace(request, cluster=self._cluster[0], devices=self._cluster[1])
        )

    def _work_out(self) -> None:
        if any(problem.severity == "error" for problem in self.form.problems()):
            self._show_problems()
            return
        request = self.request()
        self.ask("plan", lambda: plan_launch(self.ws, self.feed.index, request), group="plan")

    @on(Planned)
    def _worked_out(self, message: Planned) -> None:
        self.planned = message
        self.form.set_derived(message.derived)
        self._line = short_line(message.plan)
        self._show_line()
        self._show_problems()
        self._share_room()
        if self._launch_next:
            self._launch_next = False
            self.action_launch()

    def _show_problems(self) -> None:
        """What prevents a launch and is not shown beside a field already."""
        palette = palette_of(self)
        problems = self.form.problems()
        planned = self.planned.plan.problems if self.planned and not problems else ()
        shown = [("bad" if one.severity == "error" else "warn", one.in_form()) for one in [*problems, *planned][:4]]
        text = Text("\n").join(Text(words, palette.tone(tone)) for tone, words in shown)
        expected = self.query_one("#expected", Label).plain
        self.form.set_notes([*shown, *(("quiet", words) for words in (expected, self._line) if words)])
        self.query_one("#problems", Label).show_text(text)
        self.query_one("#problems").set_class(not text.plain, "-none")

    def _share_room(self) -> None:
        """Where the form has a second column, it has problems, expectation and command, too."""
        self.set_class(self.form.has_column, "-beside")

    def _show_line(self) -> None:
        """The command's first lines; an ellipsis where there is more of it, which the launch dialog shows."""
        cells = max(1, self.size.width - 2)
        shown = wrap(self._line, cells)
        if len(shown) > LINES_OF_COMMAND:
            last = " ".join(shown[LINES_OF_COMMAND - 1 : LINES_OF_COMMAND + 1])
            shown = [*shown[: LINES_OF_COMMAND - 1], fit(last, cells, ellipsis=glyphs_of(self).ellipsis)]
        self.query_one("#line", Label).show_text("\n".join(shown))

    def on_resize(self) -> None:
        self._show_line()
        self.call_after_refresh(self._share_room)

    def write_again(self) -> None:
        super().write_again()
        self._show_problems()

    def _watch_file(self) -> None:
        if self.ws.settings != self._settings:
            self._fill_in(next(iter(self.feed.index.runs("", limit=1)), None))
            self.form.refresh()
            self._work_out()
        if self._preset is not None and not self._told_of_change and changed_on_disk(self._preset):
            self._told_of_change = True
            self.notify(
                tr(f"{self._preset.path.name} was changed on disk; ctrl+o re-reads it"),
                severity="warning",
                timeout=10,
                markup=False,
            )

    # Saving

    def action_save(self) -> None:
        if self._preset is None:
            self.action_save_as()
        elif not self.form.changes():
            self.toast("nothing to save: the form matches the file")
        else:
            self._saved(lambda preset: save(preset, self.form.changes()))

    def _saved(self, write: Any) -> None:
        try:
            self._preset = write(self._preset)
        except UserError as error:
            self.complain(error)
            return
        assert self._preset is not None
        self._load()
        self.toast(f"saved in {self._preset.path.name}")

    def action_save_as(self) -> None:
        from rmtui.app.screens.dialogs import Ask

        self.app.push_screen(Ask("Name of the new preset", "", "A-longer"), self._save_as)

    def _save_as(self, name: str | None) -> None:
        if not name:
            return
        try:
            base = self._preset or self._base_preset()
        except UserError as error:
            self.complain(error)
            return
        changes = self.form.changes() if self._preset else self.form.texts()
        self._run = None
        self._saved(lambda preset: save_as(self.ws, base, name, changes))

    def _base_preset(self) -> Preset:
        from rmtui.presets import find

        return find(self.ws, (self._run.preset if self._run else "") or "A")

    def action_revert(self) -> None:
        if self._preset is not None:
            try:
                self._preset = load(self._preset.path)
            except UserError as error:
                self.complain(error)
                return
        self._told_of_change = False
        self._load()
        self._work_out()

    # Launching

    def _ready(self) -> bool:
        wrong = [problem for problem in self.form.problems() if problem.severity == "error"]
        if wrong:
            self.form.focus_key(wrong[0].key)
            self.notify(tr("\n".join(map(str, wrong))), title=tr("nothing was started"), severity="error", markup=False)
        return not wrong

    def action_launch(self) -> None:
        if self._ready():
            from rmtui.app.screens.launch import LaunchScreen

            self.app.push_screen(LaunchScreen(self.request()), self._start)

    def _start(self, request: LaunchRequest | None) -> None:
        if request is not None:
            self.ask("launch", lambda: launch(self.ws, [request]))

    def action_queue(self) -> None:
        if self._ready():
            self._start(self.request())

    def action_seeds(self) -> None:
        if self._ready():
            requests = self.request().with_seeds((1, 2, 3))
            self.ask("launch", lambda: launch(self.ws, requests))

    @on(Launched)
    def _launched(self, message: Launched) -> None:
        self.rmtui.memory.cursor = message.run_ids[0]
        self.toast(f"{len(message.run_ids)} runs queued" if len(message.run_ids) > 1 else "launched; it is in the list")
        self.feed.sync()
        self.rmtui.go_home(message.run_ids[0])


def _nested(changes: Mapping[str, object]) -> dict[str, object]:
    from trainer.config import nest

    return nest(changes)
