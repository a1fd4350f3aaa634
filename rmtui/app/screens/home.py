"""Home: the list of runs, and of the run under the cursor the curves, what they say, and the log."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.timer import Timer

from rmtui.app import actions
from rmtui.app.base import breakpoints
from rmtui.app.chrome import KeyLine, TopBar, short_path
from rmtui.app.filterline import FilterLine
from rmtui.app.jobs.curves import MOST_RUNS, CurvesLoaded, Kept, Wanted, load_curves, overlay
from rmtui.app.jobs.log import LogOpened, open_log
from rmtui.app.listkeys import ListKeys
from rmtui.app.presentation.run_panel import RunPanel
from rmtui.app.presentation.summary import Summarised, summarise
from rmtui.app.terminal.first_paint import Curtain
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.errors import UserError
from rmtui.runs.model import Run

SETTLE_SECONDS = 0.05
"""A cursor that moves on within this time draws no curves: the figures come first, the curves follow."""
READ_SECONDS = 0.25
"""After this rest of the cursor the guide reads the run."""
PANELS = ("curves", "log", "summary")


class HomeScreen(Curtain, ListKeys):
    """List and panel side by side; one above the other below 110 columns; one at a time below 20 rows."""

    BINDINGS = actions.bindings("home")
    AUTO_FOCUS = "RunTable"
    is_list = True

    def __init__(self) -> None:
        super().__init__()
        self._wanted: Wanted | None = None
        self._kept: Kept = {}
        self._log_of = ""
        self._settle: Timer | None = None
        self._awaited = ""
        self._reader: Timer | None = None
        self._read: object = None
        self._followed: list[Run | None] = []

    def compose(self) -> ComposeResult:
        self._show_panel(self.memory.panel if self.memory.panel in PANELS else PANELS[0])
        self.set_class(self.memory.alone, "-alone")
        self.add_class(*breakpoints(self.app))  # before there are widgets that would have to be styled anew
        yield TopBar()
        with Container(id="body"):
            with Vertical(id="list"):
                yield FilterLine()
                yield RunTable(id="runs")
            yield RunPanel(id="panel")
        yield KeyLine()

    @property
    def panel(self) -> RunPanel:
        return self.query_one(RunPanel)

    def current(self) -> Run | None:
        return self.table.selected

    def chosen(self) -> list[Run]:
        marked = self._marked_runs()
        return marked or super().chosen()

    def _marked_runs(self, most: int | None = None) -> list[Run]:
        found = []
        for run_id in self.table.marked[:most]:
            try:
                found.append(self.feed.index.run(run_id))
            except UserError:
                continue
        return found

    # Opening and live updates

    def on_mount(self) -> None:
        self.table.placed = False  # while the list is read in for the first time
        self.query_one(FilterLine).fill(self.memory.query)
        if not self._show_rows():
            self._filter("")
        self._tell_landmarks()
        self.table.set_marked(self.memory.marked)
        if self.rmtui.awaited:
            self.await_run(self.rmtui.awaited)
        elif self.memory.cursor:
            self.table.select(self.memory.cursor)
        self._tell_top()
        if self.feed.index.trouble:
            self.complain(self.feed.index.trouble)
        if self.current() is None:
            self.lift()

    def synced(self) -> None:
        self._tell_top()
        self._tell_landmarks()
        self._show_rows()
        self.table.placed = True
        if self._awaited and self.table.select(self._awaited):
            self._awaited = ""
        crowded = not set(self.rmtui.counts.changed).isdisjoint(self.table.marked[MOST_RUNS:])
        self._kept = {}
        if crowded or self._facts() != self._followed:
            self._show_current()
            self._follow()

    def _facts(self) -> list[Run | None]:
        """Everything that the panel shows: when it is as it was, nothing is drawn."""
        return [self.current(), *self._marked_runs(MOST_RUNS)]

    def await_run(self, run_id: str) -> None:
        """Put the cursor on a run that was launched just now, as soon as it is in the list."""
        self._awaited = "" if self.table.select(run_id) else run_id
        self.table.focus()

    def on_screen_resume(self) -> None:
        self._read = None  # something may have been silenced meanwhile

    def write_again(self) -> None:
        super().write_again()
        self._read = None
        self._show_current()
        self._follow()

    def _tell_top(self) -> None:
        counts = self.rmtui.counts
        parts = [f"{counts.alive} running"] if counts.alive else []
        parts += [f"{counts.queued} queued"] if counts.queued else []
        total = self.feed.index.count("")
        middle = " · ".join([*parts, f"{total} run{'' if total == 1 else 's'}", *filter(None, [self.rmtui.remark])])
        self.query_one(TopBar).tell(f"rmtui  {short_path(self.ws.root)}", middle, self.rmtui.devices)

    # The run under the cursor

    @on(RunTable.Moved)
    def _moved(self, message: RunTable.Moved) -> None:
        self.memory.cursor = message.run_id or ""
        self._show_current()
        if self._settle is not None:
            self._settle.stop()
        if self.is_down:
            self._follow()
        else:
            self._settle = self.set_timer(SETTLE_SECONDS, self._follow)

    def _show_current(self) -> None:
        self.panel.show_run(self.current())
        self.query_one(KeyLine).renew()

    @on(RunTable.Opened)
    def _opened(self, message: RunTable.Opened) -> None:
        from rmtui.app.screens.run import RunScreen

        self.app.push_screen(RunScreen(message.run_id))

    @on(RunTable.Marked)
    def _marks_changed(self, message: RunTable.Marked) -> None:
        self.memory.marked = list(message.run_ids)
        self._follow()

    def _follow(self) -> None:
        """Fetch curves, words and log of the run under the cursor."""
        self._followed = self._facts()
        run = self.current()
        if run is None:
            self.panel.charts.clear("")
            self.panel.say(())
            self.panel.log_view.open(None)
            self.table.set_slots({})
            return
        shown = overlay(run, self._marked_runs(MOST_RUNS))
        self.table.set_slots({one.run_id: one.slot for one in shown})
        charts = self.panel.charts
        wanted = self._wanted = Wanted(shown, charts.view, charts.columns, self._crowd(run))
        self._fetch_curves(wanted)
        if self._log_of != run.id:
            self._log_of = run.id
            self.panel.has_log = False
        if not self.panel.has_log:
            self.ask("log", lambda: open_log(run.id, run.folder), group="log")
        if self._reader is not None:
            self._reader.stop()
        self._reader = self.set_timer(READ_SECONDS, self._read_figures)

    def _crowd(self, run: Run) -> tuple[str, ...]:
        """Marked runs beyond those with a colour."""
        return tuple(run_id for run_id in self.table.marked[MOST_RUNS:] if run_id != run.id)

    def _fetch_curves(self, wanted: Wanted) -> None:
        """In a thread; those of the first frame here and now, since all else waits for them."""
        feed, kept = self.feed, self._kept
        if not self.is_down:
            self.ask("curves", lambda: load_curves(feed.index, wanted, kept=kept), group="curves")
            return
        try:
            self._curves_loaded(load_curves(feed.index, wanted, kept=kept))
        except UserError as error:
            self.complain(error)
        self.lift()

    def _read_figures(self) -> None:
        """Have the guide read the run, when it has something new to read: an epoch, a state, another language."""
        run, ws, lang = self.current(), self.ws, self.rmtui.lang
        subject = (run.id, run.state, run.epochs, lang) if run else None
        if run is not None and subject != self._read:
            self._read = subject
            feed, glyphs, palette = self.feed, glyphs_of(self), palette_of(self)
            self.ask("summary", lambda: summarise(ws, feed.index, run, glyphs, palette, lang), group="summary")

    @on(CurvesLoaded)
    def _curves_loaded(self, message: CurvesLoaded) -> None:
        if message.wanted == self._wanted:
            self.panel.charts.show(message)

    @on(Summarised)
    def _summarised(self, message: Summarised) -> None:
        if message.run.id == self.memory.cursor:
            self.panel.say(message.rows)
            self.panel.charts.expect(message.run, message.bands)

    @on(LogOpened)
    def _log_opened(self, message: LogOpened) -> None:
        if message.run_id == self._log_of:
            self.panel.open_log(message)

    @on(Chart.ViewChanged)
    def _view_changed(self, message: Chart.ViewChanged) -> None:
        if self._wanted is not None and message.view != self._wanted.view:
            self._follow()

    # Panes

    def _show_panel(self, name: str) -> None:
        self.memory.panel = name
        for panel in PANELS:
            self.set_class(panel == name, f"-show-{panel}")

    def action_list(self) -> None:
        self.remove_class("-away")
        self.table.focus()

    def action_widen(self) -> None:
        self.memory.alone = not self.memory.alone
        self.set_class(self.memory.alone, "-alone")
        self.action_list()

    def action_curves(self) -> None:
        self._go("curves", "#loss")

    def action_log(self) -> None:
        self._go("log", "#log")

    def action_summary(self) -> None:
        self._go("summary", "#summary")

    def _go(self, panel: str, target: str) -> None:
        self._show_panel(panel)
        self.memory.alone = False
        self.remove_class("-alone")
        self.add_class("-away")
        self.query_one(target).focus()

    # Other screens

    def action_new(self) -> None:
        from rmtui.app.screens.presets import PresetsScreen

        self.app.push_screen(PresetsScreen())

    def action_compare(self) -> None:
        runs = self._marked_runs()
        current = self.current()
        if len(runs) == 1 and current is not None and current.id != runs[0].id:
            runs.append(current)
        if not 2 <= len(runs) <= 6:
            self.say("mark two to six runs with space, then press c")
            return
        from rmtui.app.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen([run.id for run in runs]))
