"""The run under the cursor beside the list: what it is at once, its curves, its words and its log as they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.timer import Timer

from rmtui.app.base import Base
from rmtui.app.chrome import Label
from rmtui.app.feed import Failed, Job
from rmtui.app.jobs.curves import CurvesLoaded, Kept, Wanted, band, load_curves, load_with_bands
from rmtui.app.jobs.log import LogOpened, open_log
from rmtui.app.presentation import run_header
from rmtui.app.presentation.hanging_indent import HangingRows, wrapped
from rmtui.app.presentation.summary import Summarised, summarise
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.chart.curve import Band, View
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.log.view import LogView
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.runs.model import Run

if TYPE_CHECKING:
    from rmtui.documents.guide import BandDocument

LEAST_ROWS = 2
"""Of the lines above the curves, before they are laid out."""
READ_SECONDS = 0.25
"""After this rest of the cursor the guide reads the run."""


class Charts(Container):
    """Loss and accuracy, looked at in step."""

    DEFAULT_CSS = """
    Charts { layout: vertical; height: 1fr; }
    Charts Chart { height: 1fr; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._loaded: CurvesLoaded | None = None
        self._expected: tuple[Run, Sequence[BandDocument]] | None = None

    def compose(self) -> ComposeResult:
        yield Chart("loss", id="loss")
        yield Chart("val_acc", percent=True, id="accuracy")

    @property
    def view(self) -> View:
        return self.query_one("#loss", Chart).view

    @property
    def columns(self) -> int:
        return max(40, *(chart.columns for chart in self.query(Chart)))

    @on(Chart.ViewChanged)
    def _in_step(self, message: Chart.ViewChanged) -> None:
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.look(message.view)

    def show(self, loaded: CurvesLoaded, expected: tuple[Run, Sequence[BandDocument]] | None = None) -> None:
        """Draw these curves, over the band of the run they begin with, which may be told along with them."""
        self._loaded = loaded
        self._expected = expected or self._expected
        self._draw()

    def expect(self, run: Run, bands: Sequence[BandDocument]) -> None:
        """What is expected of a run: a band behind its curves."""
        self._expected = (run, bands)
        self._draw()

    def _draw(self) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        losses, accuracies = (self._band(metric, loaded) for metric in ("val_loss", "val_acc"))
        self._spread(loaded)
        loss, accuracy = self.query_one("#loss", Chart), self.query_one("#accuracy", Chart)
        loss.show(loaded.losses, losses, "no loss yet")
        accuracy.show(loaded.accuracies, accuracies)
        loss.display = bool(loaded.losses) or not loaded.accuracies
        accuracy.display = bool(loaded.accuracies)

    def _spread(self, loaded: CurvesLoaded) -> None:
        """The same x in both charts, so that one stands above the other; while a run is at work, to its planned end."""
        curves = (*loaded.losses, *loaded.accuracies)
        ends = [(curve.x[0], curve.x[-1]) for curve in curves if len(curve.x)]
        span = None
        if ends:
            last = max(last for _, last in ends)
            span = min(first for first, _ in ends), max(last, loaded.planned or last)
        for chart in self.query(Chart):
            chart.spread(span, loaded.end)

    def _band(self, metric: str, loaded: CurvesLoaded) -> Band | None:
        if self._expected is None or loaded.wanted.runs[0].run_id != self._expected[0].id:
            return None
        run, bands = self._expected
        return band(bands, metric, run, loaded.wanted.view.axis)

    def clear(self, note: str) -> None:
        self._loaded = None
        for chart in self.query(Chart):
            chart.show((), None, note)


class RunPanel(Vertical):
    """Head, charts, summary and log; which of them are seen on a small screen is the screen's choice."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.wanted: Wanted | None = None
        """The curves that were asked for last; None before the first."""
        self._told: Run | None = None
        self._verdict = Text()
        self._summaries: dict[str, Summarised] = {}
        """By run, until the index has something new: the guide reads a run once, however often the cursor passes."""
        self._run: Run | None = None
        self._kept: Kept = {}
        self._log_of = ""
        self._has_log = False
        """Whether the log on screen is one: a run that starts gets its log a moment later."""
        self._reader: Timer | None = None
        self._read: object = None

    def compose(self) -> ComposeResult:
        yield Label(id="head")
        yield Label(id="pulse")
        yield Charts(id="charts")
        with VerticalScroll(id="summary", can_focus=True):
            yield HangingRows(id="says")
        yield LogView(id="log")

    @property
    def charts(self) -> Charts:
        return self.query_one(Charts)

    @property
    def log_view(self) -> LogView:
        return self.query_one(LogView)

    def show_run(self, run: Run | None) -> None:
        """What is known at once: the metrics come first; curves, verdict and readings follow."""
        before, self._told = self._told, run
        if run is None:
            self.query_one("#head", Label).show_text("")
            self.query_one("#pulse", Label).show_text("")
        if run is None or before is None or before.id != run.id:
            self._show_summary(self._summaries.get(run.id) if run else None)
        elif run is not None:
            self._show_header()

    def on_resize(self) -> None:
        self._show_header()

    def _show_header(self) -> None:
        """The lines above the curves, as wide as the panel: what it is; how it goes, and the verdict."""
        run = self._told
        if run is None:
            return
        width = self.query_one("#head").size.width or self.size.width or 80
        head = run_header.head(run, glyphs_of(self), palette_of(self), width)
        self.query_one("#head", Label).show_text(head)
        pulse = self.query_one("#pulse", Label)
        rows = pulse.size.height or LEAST_ROWS
        lines = wrapped(self._verdict, width, self.app.console) if self._verdict.plain else []
        if not lines or (not run.state.final and len(lines) < rows):
            going = run_header.run_on([*run_header.pulse(run), *filter(None, [run.note])], width)
            lines.insert(0, Text(going, palette_of(self).quiet))
        if (reason := run_header.cut_reason(run, head, palette_of(self))) is not None:
            whole = wrapped(reason, width, self.app.console)
            lines = [*whole, *lines] if len(whole) + len(lines) <= rows else lines
        if len(lines) > rows:
            lines[rows - 1].truncate(width - 1)
            lines[rows - 1].append(glyphs_of(self).ellipsis)
        pulse.show_text(Text("\n").join(lines[:rows]))

    def _show_summary(self, summary: Summarised | None) -> None:
        """The verdict above the curves, readings and epochs below them; nothing of the run before."""
        self._verdict = summary.verdict if summary else Text()
        self._show_header()
        says = self.query_one("#says", HangingRows)
        if summary is None and self._told is not None:
            says.blank()
        else:
            says.show_rows(summary.rows if summary else ())

    def open_log(self, opened: LogOpened) -> None:
        self._has_log = opened.ranks
        self.log_view.open(opened.index, opened.title, at_rest=self._run is not None and self._run.state.final)

    # Following a run

    @property
    def _base(self) -> Base:
        assert isinstance(self.screen, Base)
        return self.screen

    def clear(self) -> None:
        """No run is followed."""
        self._run = None
        self.charts.clear("")
        self._show_summary(None)
        self.log_view.open(None)

    def forget_curves(self) -> None:
        """The index has something new: read the curves again, and runs that the cursor comes to."""
        self._kept = {}
        self._summaries = {}

    def forget_reading(self) -> None:
        """Have the guide read the run again the next time it is followed."""
        self._read = None
        self._summaries = {}

    def follow(self, run: Run, wanted: Wanted, at_once: bool) -> None:
        """Fetch curves, readings and log of a run in threads; with `at_once` its curves are here on return."""
        self._run, self.wanted = run, wanted
        ws, feed, kept = self._base.ws, self._base.feed, self._kept
        if at_once:
            try:
                self._curves_loaded(load_curves(feed.index, wanted, kept=kept))
            except UserError as error:
                self._base.complain(error)
        elif run.id in self._summaries:
            self._ask("curves", lambda: load_curves(feed.index, wanted, kept=kept))
        else:
            self._ask("curves", lambda: load_with_bands(ws, feed.index, run, wanted, kept))
        if self._log_of != run.id:
            self._log_of = run.id
            self._has_log = False
        if not self._has_log:
            self._ask("log", lambda: open_log(run.id, run.folder))
        if self._reader is not None:
            self._reader.stop()
        self._reader = self.set_timer(READ_SECONDS, self._read_metrics)

    def _ask(self, name: str, job: Job) -> None:
        self._base.ask(name, job, group=name, target=self)

    def _read_metrics(self) -> None:
        """Have the guide read the run, when it has something new to read: an epoch, a state, another language."""
        run, ws, lang = self._run, self._base.ws, self._base.rmtui.lang
        subject = (run.id, run.state, run.epochs, lang) if run else None
        if run is None or subject == self._read:
            return
        self._read = subject
        if summary := self._summaries.get(run.id):
            self.charts.expect(summary.run, summary.bands)
            return
        feed, glyphs, palette = self._base.feed, glyphs_of(self), palette_of(self)
        self._ask("summary", lambda: summarise(ws, feed.index, run, glyphs, palette, lang))

    @on(CurvesLoaded)
    def _curves_loaded(self, message: CurvesLoaded) -> None:
        if message.wanted == self.wanted and (run := self._run) is not None:
            summary = self._summaries.get(run.id)
            bands = message.bands if summary is None else summary.bands
            self.charts.show(message, None if bands is None else (run, bands))

    @on(Summarised)
    def _summarised(self, message: Summarised) -> None:
        self._summaries[message.run.id] = message
        if self._run is not None and message.run.id == self._run.id:
            self._show_summary(message)
            self.charts.expect(message.run, message.bands)

    @on(LogOpened)
    def _log_opened(self, message: LogOpened) -> None:
        if message.run_id == self._log_of:
            self.open_log(message)

    def on_failed(self, message: Failed) -> None:
        message.stop()
        self._base.on_failed(message)
