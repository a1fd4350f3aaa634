"""The newest search: its trials as a tree, why each was made, its spend, the best so far; stop it, go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Static
from textual.widgets.option_list import Option

from rmtui.app import actions
from rmtui.app.base import Base, Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.text import clean
from rmtui.translation import tr

if TYPE_CHECKING:
    from rmtui.tune.search_report import TrialRow
    from rmtui.tune.show import SearchView

NONE_YET = "no search yet; n begins one, as does rmtui tune --data NAME --budget 12runs in a shell"


@dataclass
class LookedAtSearch(Message):
    """The newest search as it is now; None where there is none."""

    found: SearchView | None


class TuneScreen(Base):
    """What `rmtui tune --show` prints, kept up to date."""

    CSS_PATH = "tune.tcss"
    BINDINGS = actions.bindings("back", "tune")
    AUTO_FOCUS = "#trials"

    def __init__(self) -> None:
        super().__init__()
        self._seen: SearchView | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Static(id="summary", markup=False)
        yield Choices(id="trials", classes="-lines", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts("tune")
        self._fetch()

    def synced(self) -> None:
        self._fetch()

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _fetch(self) -> None:
        ws = self.ws

        def job() -> LookedAtSearch:
            from rmtui.tune import course, show

            newest = next(iter(course.folders(ws)), None)
            return LookedAtSearch(show.look(ws, newest) if newest is not None else None)

        self.ask("search", job, group="search")

    @on(LookedAtSearch)
    def _show(self, message: LookedAtSearch) -> None:
        from rmtui.tune import search_report

        self._seen = found = message.found
        self.query_one(KeyLine).renew()
        items = self.query_one(Choices)
        place = items.highlighted
        items.clear_options()
        if found is None:
            self.query_one("#summary", Static).update(Text(tr(NONE_YET), palette_of(self).quiet))
            return
        head = [*search_report.lines(found.order, found.course, found.summary), *reversed(found.course.notes)]
        self.query_one("#summary", Static).update(Text("\n".join(clean(tr(line)) for line in head)))
        items.add_options([Option(self._row(row)) for row in search_report.rows(found.order, found.course.trials)])
        if found.course.trials:
            items.highlighted = min(place or 0, len(found.course.trials) - 1)
        self.query_one(TopBar).show_parts("tune", f"{found.order.data} · {found.state}")

    def _row(self, row: TrialRow) -> Text:
        """A trial in two lines: figures, then the reason why it was made."""
        top = self._seen is not None and row.trial == self._seen.summary.best
        sign, indent = glyphs_of(self).best if top else " ", "  " * row.depth
        length = tr(f"{row.trial.epochs} epoch{'s' * (row.trial.epochs > 1)}")
        text = Text(f"{sign} {indent}{row.trial.n:>2}  {row.settings}  {length}  {tr('seed')} {row.trial.seed}  ")
        text.append(f"val_loss {row.val_loss}  val_acc {row.val_acc}", palette_of(self).accent if top else "")
        return text.append(f"\n  {indent}    {clean(tr(row.why))}", palette_of(self).quiet)

    def on_done(self, message: Done) -> None:
        self._fetch()

    def offers(self, action: str) -> bool:
        """Stopping and going on, where there is a search."""
        return action not in ("stop", "pause", "extend") or self._seen is not None

    def action_new_search(self) -> None:
        from rmtui.app.screens.new_search import NewSearchScreen

        self.app.push_screen(NewSearchScreen())

    def action_stop(self) -> None:
        self._command("stop the search", "ask_stop")

    def action_pause(self) -> None:
        self._command("pause the search", "ask_pause")

    def action_extend(self) -> None:
        self._command("go on with the search", "extend")

    def _command(self, name: str, what: str) -> None:
        found, ws = self._seen, self.ws
        if found is None:
            self.toast(NONE_YET)
            return

        def job() -> str:
            from rmtui.tune import begin

            asked = {"ask_stop": begin.ask_stop, "ask_pause": begin.ask_pause}
            return asked[what](found.folder) if what in asked else begin.extend(ws, found.folder)

        self.do(name, job)
