"""What waits for a device: its order, what it needs, and whether somebody still waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.base import Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.cells import cut_middle, fit
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.app.widgets.table.columns import done, ends_at
from rmtui.runs.model import Run, State, state_words
from rmtui.translation import tr

if TYPE_CHECKING:
    from rmtui.operations.queue import Place


NAME = 40
"""Cells of the longest name that is shown whole."""


@dataclass
class Waiting(Message):
    """The queue as it is now, and the runs that are under way."""

    places: tuple[Place, ...]
    alive: tuple[Run, ...]


class QueueScreen(RunCommands):
    """Running above, waiting below in order."""

    CSS_PATH = "queue.tcss"
    BINDINGS = actions.bindings("back", "queue")
    AUTO_FOCUS = "#waiting"

    def __init__(self) -> None:
        super().__init__()
        self._places: tuple[Place, ...] = ()
        self._follow = ""

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Choices(id="waiting", classes="-lines", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts("queue")
        self._fetch()

    def synced(self) -> None:
        self._fetch()

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _fetch(self) -> None:
        ws, feed = self.ws, self.feed

        def job() -> Waiting:
            from rmtui.app.feed import ALIVE
            from rmtui.operations.queue import places

            return Waiting(tuple(places(ws)), tuple(feed.index.runs(ALIVE)))

        self.ask("queue", job, group="queue")

    @on(Waiting)
    def _show(self, message: Waiting) -> None:
        self._places = message.places
        items = self.query_one(Choices)
        chosen = self._follow or self._chosen()
        self._follow = ""
        palette, glyphs = palette_of(self), glyphs_of(self)
        items.clear_options()
        names = [*(run.name for run in message.alive), *(place.name for place in message.places)]
        width = min(NAME, max(map(cell_len, names), default=0))
        for run in message.alive:
            name = fit(cut_middle(run.name, width, glyphs.ellipsis), width)
            text = Text(f"  {glyphs.states[run.state]}  {name}  ", palette.state(run.state))
            items.add_option(Option(text.append(_under_way(run), palette.quiet), disabled=True))
        items.add_options([Option(self._line(place, width), id=place.id) for place in message.places])
        if not message.places:
            items.add_option(
                Option(Text(tr("the queue is empty; ctrl+q in a form queues a run"), palette.quiet), disabled=True)
            )
        ids = [place.id for place in message.places]
        if ids:
            items.highlighted = len(message.alive) + (ids.index(chosen) if chosen in ids else 0)
        self.query_one(TopBar).show_parts("queue", f"{len(message.alive)} running · {len(ids)} waiting")

    def _line(self, place: Place, width: int) -> Text:
        palette = palette_of(self)
        text = Text(f"{place.place:>3}  {fit(cut_middle(place.name, width, glyphs_of(self).ellipsis), width)}  ")
        since = tr(f"since {formats.clock(place.since, time.time())}")
        head, _ = state_words(State.QUEUED, place.reason)
        text.append(f"{tr(head)}  " if head != State.QUEUED else "")
        if place.attended:
            return text.append(tr(f"waits for {place.needs}  ")).append(since, palette.quiet)
        return text.append(tr("needs you: r starts it again  "), palette.warn).append(since, palette.quiet)

    def _chosen(self) -> str:
        items = self.query_one(Choices)
        if items.highlighted is None or items.highlighted >= items.option_count:
            return ""
        return items.get_option_at_index(items.highlighted).id or ""

    def current(self) -> Run | None:
        chosen = self._chosen()
        return self.feed.index.run(chosen) if chosen else None

    def on_done(self, message: Done) -> None:
        self._fetch()

    def action_up(self) -> None:
        self._move(-1)

    def action_down(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        place = next((place for place in self._places if place.id == self._chosen()), None)
        if place is None:
            return
        self._follow = place.id

        def job() -> str:
            from rmtui.operations.queue import move

            move(self.ws, place.id, place.place + by)
            return ""

        self.do("move", job)

    def action_remove(self) -> None:
        self.action_stop()

    def action_pump(self) -> None:
        def job() -> str:
            from rmtui.operations.queue import start_again

            started = start_again(self.ws)
            return f"{len(started)} waiting again" if started else "every queued run has a process waiting for it"

        self.do("start again", job)


def _under_way(run: Run) -> str:
    """`running  80 %  ends 14:32`, `running  80 %  evaluating 120/341`."""
    share, end = done(run), ends_at(run, time.time())
    parts = [run.state.value, f"{int(100 * share)} %" if share is not None else ""]
    parts.append(formats.clean(run.reason) or (f"ends {formats.clock(end, time.time())}" if end else ""))
    return "  ".join(map(tr, filter(None, parts)))
