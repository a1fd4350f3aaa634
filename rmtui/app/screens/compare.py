"""Two to six runs side by side: configuration, epochs, curves, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.jobs.curves import CurvesLoaded, Shown, Wanted, load_curves
from rmtui.app.presentation.comparison import Comparison
from rmtui.app.presentation.hanging_indent import HangingRows, row
from rmtui.app.presentation.run_panel import Charts
from rmtui.app.routes import AdviceOf
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.runs.model import Run

if TYPE_CHECKING:
    from rmtui.documents.guide import CompareDocument


@dataclass
class Compared(Message):
    """The document of a comparison."""

    document: CompareDocument


class CompareScreen(Base):
    """Every difference is against the first run; colours are those of the curves."""

    CSS_PATH = "compare.tcss"
    BINDINGS = actions.bindings("back", "compare")
    AUTO_FOCUS = "#table"

    def __init__(self, run_ids: Sequence[str]) -> None:
        super().__init__()
        self._run_ids = tuple(run_ids)
        self._document: CompareDocument | None = None
        self._runs: list[Run] = []
        self._unfold = False
        self._wanted: Wanted | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield HangingRows(id="lead")
        with Container(id="body"):
            with VerticalScroll(id="table", can_focus=True):
                yield HangingRows(id="text")
            yield Charts(id="charts")
        yield KeyLine()

    def on_mount(self) -> None:
        self._title("comparing …")
        self._runs = self._read()
        self._fetch()

    def _title(self, verdict: str) -> None:
        self.query_one(TopBar).show_parts(f"comparison of {len(self._run_ids)} runs", verdict)

    def synced(self) -> None:
        before, self._runs = self._runs, self._read()
        if before != self._runs:
            self._fetch()

    def _read(self) -> list[Run]:
        try:
            return [self.feed.index.run(run_id) for run_id in self._run_ids]
        except UserError:  # one was deleted; what is shown stays
            return self._runs

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _fetch(self) -> None:
        ws, lang, run_ids = self.ws, self.rmtui.lang, self._run_ids

        def job() -> Compared:
            from rmtui.operations.compare import compare

            return Compared(compare(ws, run_ids, lang))

        self.ask("compare", job, group="compare")

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self._document = message.document
        self._title("")
        self._write()
        self.query_one(KeyLine).renew()
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._write)

    def _write(self) -> None:
        if self._document is not None:
            self.query_one("#lead", HangingRows).show_rows([row("", self._lead(self._document))])
            width = self.query_one("#table").size.width - 1
            look = (glyphs_of(self), palette_of(self))
            laid = Comparison(self._document, self.ws, *look, width, self._unfold, self.rmtui.lang)
            self.query_one("#text", HangingRows).show_rows(laid.rows())

    def _lead(self, document: CompareDocument) -> Text:
        """Who leads, and the next step with its keys."""
        text = Text(formats.clean(document["lead"]))
        if document["next"]:
            palette = palette_of(self)
            text.append(" " if text.plain.endswith(".") else "")  # a Chinese stop has its own
            text.append(formats.clean(document["next"]), palette.accent)
            text.append(f"\xa0a\xa0{glyphs_of(self).enter}", f"bold {palette.accent}")
        return text

    def offers(self, action: str) -> bool:
        return action != "advise" or bool(self._document and self._document["best"])

    def action_advise(self) -> None:
        """The advice on the run that leads."""
        best = self._document["best"] if self._document else None
        if best:
            self.go(AdviceOf(self.feed.index.run(best["run"])))

    def _draw(self) -> None:
        assert self._document is not None
        runs = self._document["runs"]
        charts = self.query_one(Charts)
        shown = tuple(Shown(run["id"], run["name"], slot) for slot, run in enumerate(runs))
        wanted = self._wanted = Wanted(shown, charts.view, charts.columns)
        feed = self.feed
        self.ask("curves", lambda: load_curves(feed.index, wanted, every_train=False), group="compare-curves")

    @on(CurvesLoaded)
    def _curves_loaded(self, message: CurvesLoaded) -> None:
        self.query_one(Charts).show(message)

    @on(Chart.ViewChanged)
    def _view_changed(self, message: Chart.ViewChanged) -> None:
        if self._wanted is not None and message.view != self._wanted.view:
            self._draw()

    def action_fold(self) -> None:
        self._unfold = not self._unfold
        self._write()

    def action_pairs(self) -> None:
        from rmtui.app.screens.pairs import PairsScreen

        self.app.push_screen(PairsScreen([self.feed.index.run(run_id) for run_id in self._run_ids[:2]]))

    def action_copy(self) -> None:
        from rmtui.guide import comparison_tables

        if self._document is not None:
            self.app.copy_to_clipboard(comparison_tables.markdown(self._document, self.rmtui.lang))
            self.toast("the comparison is in the clipboard, as Markdown")
