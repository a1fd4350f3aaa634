"""Searching and filtering in a log, in threads. Each opens an index of its own, which the view then goes on with: no
line is counted twice, and no index is used by two threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, WorkerState, get_current_worker

from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.log.page import MOST_MATCHES, LogPage
from rmtui.app.widgets.log.spans import ERROR
from rmtui.runs.log_index import LogIndex


class LogSeeker(Widget):
    """A page of a log that can be sent to lines; how it looks is the view's."""

    @dataclass
    class FollowChanged(Message):
        """Following began or ended."""

        following: bool

    @dataclass
    class SearchDone(Message):
        """`line` is None when nothing was found."""

        pattern: str
        line: int | None

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._page: LogPage | None = None
        self._pattern = ""
        self._said = ""

    @property
    def following(self) -> bool:
        return self._page is None or self._page.following

    @property
    def _height(self) -> int:
        return max(1, self.size.height - 1)

    def search(self, pattern: str, forward: bool = False) -> None:
        """Find a text or /regular expression/ from the cursor's line on, in a thread; answers with SearchDone."""
        page = self._page
        if page is None or not pattern:
            return
        self._pattern = pattern
        here = page.source.offset(page.number(page.cursor)) if page.count else 0
        at_end = page.following and not forward
        self._seek(
            f"searching {pattern} {glyphs_of(self).ellipsis}",
            lambda index: index.search(
                pattern, index.line_count if at_end else index.line_at(here), forward, _cancelled
            ),
        )

    def set_filter(self, pattern: str) -> None:
        """Show only the lines that contain a text or fit a /regular expression/; "" shows all."""
        page = self._page
        if page is None:
            return
        if not pattern:
            page.set_filter("", [], self._height)
            self._say("")
            return
        self._say(f"filtering {glyphs_of(self).ellipsis}")
        self._thread(partial(self._gather, page, pattern), "log filter")

    def go_to_line(self, line: int) -> None:
        """Show a line in the middle and stop following."""
        if self._page is not None:
            self._page.show_line(self._page.place(line), self._height)
            self._told_follow()

    def go_to_step(self, step: int) -> None:
        """Find the line that names the step (`step 412`) and show it."""
        self._pattern = f"step {step}"
        self._seek(f"step {step} {glyphs_of(self).ellipsis}", lambda index: index.step(step))

    def first_error(self) -> None:
        """Find the first line that looks like an error."""
        self._pattern = f"/{ERROR.pattern}/"
        self._seek(
            f"first error {glyphs_of(self).ellipsis}",
            lambda index: counted(index).search(self._pattern, -1, True, _cancelled),
        )

    # Threads

    def _seek(self, notice: str, find: Callable[[LogIndex], int | None]) -> None:
        if self._page is not None:
            self._say(notice)
            self._thread(partial(self._find, self._page, find), "log search")

    def _thread(self, work: Callable[[], None], name: str) -> None:
        self.run_worker(work, name=name, group="log", thread=True, exclusive=True, exit_on_error=False)

    def _find(self, page: LogPage, find: Callable[[LogIndex], int | None]) -> None:
        index = _another(page)
        line = find(index)
        if not _cancelled():
            self.app.call_from_thread(self._found, page, index, line)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A pattern that is none, a file that went away: said in the status line."""
        if event.state is WorkerState.ERROR:
            self._say(str(event.worker.error))

    def _found(self, page: LogPage, index: LogIndex, line: int | None) -> None:
        if page is not self._page:
            return
        page.adopt(index)
        if line is not None:
            self.go_to_line(line)
        else:
            self._say(f"nothing more for {self._pattern}")
        self.post_message(self.SearchDone(self._pattern, line))

    def _gather(self, page: LogPage, pattern: str) -> None:
        index = _another(page)
        matches = index.last_fits(pattern, MOST_MATCHES, _cancelled)
        if not _cancelled():
            self.app.call_from_thread(self._filtered, page, index, pattern, matches)

    def _filtered(self, page: LogPage, index: LogIndex, pattern: str, matches: list[int]) -> None:
        if page is self._page:
            page.adopt(index)
            page.set_filter(pattern, matches, self._height)
            self._say(f"only lines with {pattern}")

    def _told_follow(self) -> None:
        self.post_message(self.FollowChanged(self.following))
        self._said = ""
        self._redraw()

    def _say(self, text: str) -> None:
        self._said = text
        self._redraw()

    def _redraw(self) -> None:
        """Paint what changed."""
        raise NotImplementedError


def _another(page: LogPage) -> LogIndex:
    """An index of the same file for this thread, counted as far as the page's: the screen has nothing to count."""
    index = LogIndex(page.source.path)
    while index.counted_from > page.source.counted_from and not _cancelled():
        index.grow(0.1, page.source.counted_from)
    return index


def _cancelled() -> bool:
    return get_current_worker().is_cancelled


def counted(index: LogIndex) -> LogIndex:
    """With every line counted, from the file's start on."""
    while not index.complete and not _cancelled():
        index.grow(0.1)
    return index
