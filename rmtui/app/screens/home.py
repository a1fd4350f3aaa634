"""Home: the list of runs, and of the run under the cursor the curves, what they say, and the log."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Input

from rmtui.app import actions
from rmtui.app.base import breakpoints
from rmtui.app.chrome import KeyLine, TopBar, short_path
from rmtui.app.jobs.curves import MOST_RUNS, Wanted, overlay
from rmtui.app.presentation.run_list import RunList
from rmtui.app.presentation.run_panel import RunPanel
from rmtui.app.run_commands import BY_STATE, RunCommands
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.errors import UserError
from rmtui.runs.model import Run

SETTLE_SECONDS = 0.05
"""A cursor that moves on within this time draws no curves: the metrics come first, the curves follow."""
FIRST_FRAME_SECONDS = 0.25
"""The first frame waits for its curves this long at most."""
PANELS = {"curves": "#loss", "log": "#log", "summary": "#summary"}
"""What each pane gives the focus to."""


class HomeScreen(RunCommands):
    """List and panel side by side; one above the other below 110 columns; one at a time below 20 rows."""

    BINDINGS = actions.bindings("home")
    AUTO_FOCUS = "RunTable"
    is_list = True

    is_painted = False
    """Whether the first frame was drawn: all of it at once, when its curves are there, rather than in four pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._settle: Timer | None = None
        self._awaited = ""
        self._followed: list[Run | None] = []
        self._offered: list[str] = []
        """Of the keys that depend on the run's state, those that the footer names."""

    def compose(self) -> ComposeResult:
        self._show_panel(self.memory.panel if self.memory.panel in PANELS else "curves")
        self.set_class(self.memory.alone, "-alone")
        self.add_class(*breakpoints(self.app))  # before there are widgets that would have to be styled anew
        yield TopBar()
        with Container(id="body"):
            yield RunList(id="list")
            yield RunPanel(id="panel")
        yield KeyLine()

    @property
    def panel(self) -> RunPanel:
        return self.query_one(RunPanel)

    @property
    def run_list(self) -> RunList:
        return self.query_one(RunList)

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    def current(self) -> Run | None:
        return self.table.selected

    def offers(self, action: str) -> bool:
        """`/` is a letter of the filter while that is typed."""
        return super().offers(action) and (action != "filter" or not isinstance(self.focused, Input))

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
        self.set_timer(FIRST_FRAME_SECONDS, self.paint)
        self.table.placed = False  # while the list is read in for the first time
        self.run_list.filter_line.fill(self.memory.query)
        if not self.run_list.show_rows():
            self.run_list.filter_by("")
        self.run_list.show_landmarks()
        self.table.set_marked(self.memory.marked)
        if self.rmtui.awaited:
            self.await_run(self.rmtui.awaited)
        elif self.memory.cursor:
            self.table.select(self.memory.cursor)
        self._show_top()
        if self.feed.index.trouble:
            self.complain(self.feed.index.trouble)
        if self.current() is None:
            self.paint()

    def synced(self) -> None:
        self.run_list.looked = True
        self._show_top()
        self.run_list.show_landmarks()
        self.run_list.show_rows()
        self.table.placed = True
        if self._awaited and self.table.select(self._awaited):
            self._awaited = ""
        crowded = not set(self.rmtui.counts.changed).isdisjoint(self.table.marked[MOST_RUNS:])
        self.panel.forget_curves()
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
        self.panel.forget_reading()  # something may have been silenced meanwhile

    def write_again(self) -> None:
        super().write_again()
        self.panel.forget_reading()
        self._show_current()
        self._follow()

    def _show_top(self) -> None:
        counts = self.rmtui.counts
        parts = [f"{counts.alive} running"] if counts.alive else []
        parts += [f"{counts.queued} queued"] if counts.queued else []
        total = self.feed.index.count("")
        middle = " · ".join([*parts, f"{total} run{'' if total == 1 else 's'}", *filter(None, [self.rmtui.remark])])
        self.query_one(TopBar).show_parts(f"rmtui  {short_path(self.ws.root)}", middle, self.rmtui.devices)

    # The run under the cursor

    @on(RunTable.Moved)
    def _moved(self, message: RunTable.Moved) -> None:
        self.memory.cursor = message.run_id or ""
        self._show_current()
        if self._settle is not None:
            self._settle.stop()
        if not self.is_painted:
            self._follow()
        else:
            self._settle = self.set_timer(SETTLE_SECONDS, self._follow)

    def _show_current(self) -> None:
        self.panel.show_run(self.current())
        offered = [action for action in BY_STATE if self.offers(action)]
        if offered != self._offered:
            self._offered = offered
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
        """Have the panel show curves, readings and log of the run under the cursor."""
        self._followed = self._facts()
        run = self.current()
        if run is None:
            self.panel.clear()
            self.table.set_slots({})
            return
        shown = overlay(run, self._marked_runs(MOST_RUNS))
        self.table.set_slots({one.run_id: one.slot for one in shown})
        charts = self.panel.charts
        crowd = tuple(run_id for run_id in self.table.marked[MOST_RUNS:] if run_id != run.id)
        self.panel.follow(run, Wanted(shown, charts.view, charts.columns, crowd), at_once=not self.is_painted)
        self.paint()

    @on(Chart.ViewChanged)
    def _view_changed(self, message: Chart.ViewChanged) -> None:
        if self.panel.wanted is not None and message.view != self.panel.wanted.view:
            self._follow()

    # The first frame

    def paint(self) -> None:
        """Draw now, and whatever changes from now on."""
        if not self.is_painted:
            self.is_painted = True
            self._repaint_required = False  # laying out draws all that was held back: once is enough
            self.refresh(repaint=False, layout=True)
            self.call_later(self._on_timer_update)  # at once, not at the next beat of sixty in a second

    @on(events.ScreenResume)
    def _keep_styles(self, event: events.ScreenResume) -> None:
        if not self.is_painted:
            event.refresh_styles = False  # every widget has just got its styles

    def _compositor_refresh(self) -> None:
        if self.is_painted:
            super()._compositor_refresh()

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
        self.run_list.fit()
        self.action_list()

    def action_pane(self, panel: str) -> None:
        """A pane beside the list; the details, which need the room, on the run's own screen."""
        if panel == "details":
            from rmtui.app.screens.run import RunScreen

            if (run := self.current()) is not None:
                self.app.push_screen(RunScreen(run.id, panel))
            return
        self._show_panel(panel)
        self.memory.alone = False
        self.remove_class("-alone")
        self.run_list.fit()
        self.add_class("-away")
        target = self.query_one(PANELS[panel])
        self.set_focus(target if target.display else self.query_one("#accuracy"))

    # The list

    def action_filter(self) -> None:
        self.run_list.filter_line.open()

    def action_clear(self) -> None:
        """One step back: from a pane to the list, there the filter, then the marks."""
        if self.table.has_focus:
            self.run_list.clear()
        else:
            self.action_list()

    def action_sort_by(self, direction: int) -> None:
        self.run_list.sort_by(direction)

    def action_sort(self) -> None:
        from rmtui.app.screens.dialogs import Letters

        self.app.push_screen(Letters("Sort by", self.run_list.sort_letters()), self.run_list.sort_by_letter)

    def action_turn(self) -> None:
        self.run_list.reverse()

    def action_baseline(self) -> None:
        run = self.current()
        if run is None:
            return
        if run.val_acc is None:
            self.toast(f"{run.name} has no val_acc to measure from")
            return
        self.memory.baseline = "" if self.memory.baseline == run.id else run.id
        self.run_list.show_landmarks()
        self.toast(f"differences are measured from {run.name if self.memory.baseline else 'no run'}")

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
            self.toast("mark two to six runs with space, then press c")
            return
        from rmtui.app.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen([run.id for run in runs]))
