"""Looking for lines of a log in a thread, with an index of its own, which the view then goes on with: no line is
counted twice, and no index is used by two threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual.widget import Widget
from textual.worker import get_current_worker

from rmtui.app.widgets.log.page import LogPage
from rmtui.runs.log_index import LogIndex

Found = TypeVar("Found")


class LogSearch:
    """One search at a time over the file of a page. A new one cancels the one before; a failure, such as a pattern that
    does not compile or a file that went away, reaches the widget as the error of its worker."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget

    def start(
        self, page: LogPage, look: Callable[[LogIndex], Found], done: Callable[[LogPage, LogIndex, Found], None]
    ) -> None:
        """Hand what `look` found to `done`, on the screen's thread, with the page and the index it was found by."""

        def work() -> None:
            index = _another(page)
            found = look(index)
            if not cancelled():
                self._widget.app.call_from_thread(done, page, index, found)

        self._widget.run_worker(work, name="log search", group="log", thread=True, exclusive=True, exit_on_error=False)


def _another(page: LogPage) -> LogIndex:
    """An index of the same file for this thread, counted as far as the page's: the screen has nothing to count."""
    index = LogIndex(page.source.path)
    while index.counted_from > page.source.counted_from and not cancelled():
        index.grow(0.1, page.source.counted_from)
    return index


def cancelled() -> bool:
    """Whether the search of this thread is not wanted any more."""
    return get_current_worker().is_cancelled


def counted(index: LogIndex) -> LogIndex:
    """With every line counted, from the file's start on."""
    while not index.complete and not cancelled():
        index.grow(0.1)
    return index
