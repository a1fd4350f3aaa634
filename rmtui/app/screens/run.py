"""A run on the whole screen: curves and progress, its logs, its configuration, attempts and epochs."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.widgets import ContentSwitcher

from rmtui.app import actions
from rmtui.app.chrome import KeyLine, Label, TopBar
from rmtui.app.jobs.curves import CurvesLoaded, Shown, Wanted, load_curves
from rmtui.app.jobs.devices import Loads, look
from rmtui.app.jobs.log import LogOpened, open_log
from rmtui.app.jobs.run import EXTRA, ExtraLoaded, RunLoaded, load_extra, load_run, speeds
from rmtui.app.presentation import details, run_header
from rmtui.app.presentation.hanging_indent import HangingRows, row
from rmtui.app.presentation.run_panel import Charts
from rmtui.app.presentation.summary import Summarised, summarise
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.chart.curve import Axis
from rmtui.app.widgets.device_load import Device, DeviceLoad
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.log.view import LogView
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.runs.model import Run

LOOK_SECONDS = 5.0
"""Between two looks at the devices while the run is alive."""


PANES = {"overview": "overview", "log": "logpane", "summary": "overview", "details": "details"}
"""Actions of the panes, with the ids of what they show."""


class RunScreen(RunCommands):
    """Three panes: 2 curves with what they say (4), 3 log, 5 details; 1 is the list below."""

    CSS_PATH = "run.tcss"
    BINDINGS = actions.bindings("back", "run")
    AUTO_FOCUS = "#loss"

    def __init__(self, run_id: str, pane: str = "overview") -> None:
        super().__init__()
        self._run_id = run_id
        self._first = pane
        self._run: Run | None = None
        self.is_filled = False
        self._log_place = 0
        self._log_open = False
        self._pulse: list[str] = []
        self._wanted: Wanted | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Label(id="pulse", classes="quiet")
        yield HangingRows(id="verdict")
        with ContentSwitcher(initial="overview"):
            with Container(id="overview"):
                with Container(id="grid"):
                    yield Charts(id="charts")
                    with Container(id="extra"):
                        for metric in EXTRA:
                            yield Chart(metric.replace("_", " "), id=metric)
                with VerticalScroll(id="summary", can_focus=True):
                    yield HangingRows(id="says")
                yield DeviceLoad(id="devices")
            with Container(id="logpane"):
                yield LogView(id="log")
            with VerticalScroll(id="details", can_focus=True):
                yield DeviceLoad()
                facts = HangingRows(id="facts")
                facts.is_verbatim = True
                yield facts
        yield KeyLine()

    def current(self) -> Run | None:
        return self._run

    def offers(self, action: str) -> bool:
        """Of the panes, those that are not on screen."""
        if action in PANES and action != "summary":
            return bool(self.query_one(ContentSwitcher).current != PANES[action])
        return super().offers(action)

    def on_mount(self) -> None:
        if self._first == "details":
            self.call_after_refresh(self.action_details)
        self._fetch()
        self.set_interval(LOOK_SECONDS, self._look)

    def synced(self) -> None:
        try:
            if self.feed.index.run(self._run_id) != self._run:
                self._fetch()
        except UserError:
            self.app.pop_screen()

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _fetch(self) -> None:
        feed, lang = self.feed, self.rmtui.lang
        self.ask("run", lambda: load_run(feed.index, self._run_id, lang), group="run")
        if not self._log_open:
            self._open_log()

    @on(RunLoaded)
    def _loaded(self, message: RunLoaded) -> None:
        before, run = self._run, message.run
        self._run, self.is_filled = run, True
        if before is None or before.state.alive != run.state.alive:
            self._look()
        glyphs, palette, lang = glyphs_of(self), palette_of(self), self.rmtui.lang
        line = run_header.head(run, glyphs, palette, self.size.width - 2)
        self.query_one(TopBar).show_line(line)
        self.query_one(KeyLine).renew()
        self._pulse = [
            *run_header.pulse(run),
            *(speeds(message.latest) if run.state.alive else filter(None, [run.note])),
        ]
        self._show_heartbeat()
        self.query_one("#facts", HangingRows).show_rows(
            details.render_details(
                run, self.ws, message.attempts, message.evaluation, message.sealed, glyphs, palette, lang
            )
        )
        self._draw(run)
        feed, ws = self.feed, self.ws
        self.ask("summary", lambda: summarise(ws, feed.index, run, glyphs, palette, lang), group="run-summary")

    def _draw(self, run: Run) -> None:
        charts = self.query_one(Charts)
        wanted = self._wanted = Wanted((Shown(run.id, run.name, 0),), charts.view, charts.columns)
        feed = self.feed
        self.ask("curves", lambda: load_curves(feed.index, wanted), group="run-curves")
        self.ask("extra", lambda: load_extra(feed.index, run.id, wanted.view, wanted.columns), group="run-extra")

    def _show_heartbeat(self) -> None:
        """Two lines where one is too short for what a running run has to say, and there is height for them."""
        pulse = self.query_one("#pulse", Label)
        pulse.show_text(
            run_header.run_on(self._pulse, pulse.size.width or self.size.width - 2, 1 if self.size.height < 20 else 2)
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_heartbeat)

    @on(CurvesLoaded)
    def _curves_loaded(self, message: CurvesLoaded) -> None:
        self.query_one(Charts).show(message)

    @on(ExtraLoaded)
    def _extra_loaded(self, message: ExtraLoaded) -> None:
        for metric, curves in zip(EXTRA, message.curves, strict=True):
            chart = self.query_one(f"#{metric}", Chart)
            chart.show(curves)
            chart.display = bool(curves)
        self.query_one("#extra").display = any(message.curves)

    @on(Summarised)
    def _summarised(self, message: Summarised) -> None:
        self.query_one("#verdict", HangingRows).show_rows([row("", message.verdict)])
        self.query_one("#pulse").display = not (message.run.state.final and message.verdict.plain)
        self.query_one("#says", HangingRows).show_rows(message.rows)
        self.query_one(Charts).expect(message.run, message.bands)

    @on(Chart.ViewChanged)
    def _view_changed(self, message: Chart.ViewChanged) -> None:
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.look(message.view)
        if self._run is not None and self._wanted is not None and message.view != self._wanted.view:
            self._draw(self._run)

    # Devices

    def _look(self) -> None:
        if self._run is not None and self._run.state.alive:
            self.ask("devices", look, group="devices")
        else:
            self._show_devices(())

    @on(Loads)
    def _looked(self, message: Loads) -> None:
        self._show_devices(message.devices)

    def _show_devices(self, devices: tuple[Device, ...]) -> None:
        for shown in self.query(DeviceLoad):
            shown.show(devices)

    # Logs

    def _open_log(self) -> None:
        try:
            folder = self.feed.index.run(self._run_id).folder
        except UserError as error:
            self.complain(error)
            return
        run_id, place = self._run_id, self._log_place
        self.ask("log", lambda: open_log(run_id, folder, place), group="run-log")

    @on(LogOpened)
    def _log_opened(self, message: LogOpened) -> None:
        self._log_open = message.ranks
        self.query_one(LogView).open(message.index, message.title)

    def action_rank(self) -> None:
        self._log_place += 1
        self._open_log()
        self.action_log()

    @on(LogView.SearchDone)
    def _searched(self, message: LogView.SearchDone) -> None:
        if message.line is None:
            self.toast(f"{message.pattern!r} is not in this log")

    def action_first_error(self) -> None:
        self.action_log()
        self.query_one(LogView).first_error()

    # Log and curve

    @on(Chart.LogWanted)
    def _log_wanted(self, message: Chart.LogWanted) -> None:
        step = self._step_at(message.x)
        if step is not None:
            self.action_log()
            self.query_one(LogView).go_to_step(step)

    def _step_at(self, x: float) -> int | None:
        """The optimizer step at a place of the axis; None where that is not known."""
        run = self._run
        axis = self.query_one(Charts).view.axis
        if axis is Axis.STEP:
            return round(x)
        if axis is Axis.EPOCH and run and run.total_steps and run.num_epochs:
            return round(x * run.total_steps / run.num_epochs)
        self.toast("choose step or epoch as the axis first")
        return None

    @on(LogView.StepWanted)
    def _step_wanted(self, message: LogView.StepWanted) -> None:

        charts = self.query_one(Charts)
        view = charts.view._replace(axis=Axis.STEP, cursor=float(message.step))
        for chart in self.query(Chart):
            chart.look(view)
        self.action_overview()

    # Panes

    def _pane(self, name: str, target: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self.query_one(target).focus()
        self.query_one(KeyLine).renew()

    def action_overview(self) -> None:
        self._pane("overview", "#loss" if self.query_one("#loss").display else "#accuracy")

    def action_list(self) -> None:
        self.app.pop_screen()

    def action_leave(self) -> None:
        """One step back: to the curves, from there to the list."""
        if self.query_one(ContentSwitcher).current != "overview":
            self.action_overview()
        else:
            self.app.pop_screen()

    def action_summary(self) -> None:
        self._pane("overview", "#summary")

    def action_log(self) -> None:
        self._pane("logpane", "#log")

    def action_details(self) -> None:
        self._pane("details", "#details")

    def action_stacks(self) -> None:
        run = self._run
        if run is None or not run.state.alive:
            self.toast("only a running run has ranks to show")
            return

        def job() -> str:
            from rmtui.operations.stop import stacks

            stacks(self.ws, run.id)
            return "every rank writes its stack traces to its log"

        self.do("stacks", job)
