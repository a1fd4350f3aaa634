"""A log of any size: only the lines on screen are read, through a line index over the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from rmtui.app import actions
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.line_edit import LineEdit
from rmtui.app.widgets.log.lines import LogLines
from rmtui.app.widgets.log.page import MOST_MATCHES, LogPage, LogPicture
from rmtui.app.widgets.log.search import LogSearch, cancelled, counted
from rmtui.app.widgets.log.spans import ERROR, step_in
from rmtui.app.widgets.ordered_keys import OrderedKeys
from rmtui.app.widgets.palette import palette_of
from rmtui.runs.log_index import LogIndex
from rmtui.translation import tr

FEED, FEED_AT_REST, CATCH_UP = 0.1, 0.5, 0.005
"""Seconds between looks at a file that grows, at one that rests, and at one that gained more than a look takes in: keys
come in between."""
RESTING = 20
"""Looks without anything new after which a file rests."""

LineSource = LogIndex
"""What `open` takes."""


class NoSuchLine(Exception):
    """No line of the whole file is what was looked for, in words."""


def _found_words(index: LogIndex, found: int, pattern: str) -> str:
    """How many lines a filter left; of a file that was not read to its start, that they are the last."""
    if found and not index.complete:
        return f"the last {found:,} lines that match {pattern}"
    if found:
        return f"{found:,} of {index.whole_lines:,} lines match {pattern}"
    return f"no line of {index.whole_lines:,} matches {pattern}"


class LogView(OrderedKeys, Widget, can_focus=True):
    """Lines of a file above a status line; follows the end until one moves up."""

    DEFAULT_CSS = """
    LogView { height: 1fr; min-height: 2; }
    """
    BINDINGS = actions.bindings("log")

    @dataclass
    class FollowChanged(Message):
        """Following began or ended."""

        following: bool

    @dataclass
    class SearchDone(Message):
        """`line` is None when nothing was found."""

        pattern: str
        line: int | None

    @dataclass
    class StepWanted(Message):
        """Enter on a line that names a step: show the curve there."""

        step: int

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._page: LogPage | None = None
        self._search = LogSearch(self)
        self._pattern = ""
        self._notice = ""
        self._title = ""
        self._aside = 0
        self._prompt: tuple[str, LineEdit] | None = None
        self._idle = 0
        self._paint: tuple[LogLines, Style]
        self._picture: LogPicture | None = None

    # What the screen tells and asks

    def open(self, index: LineSource | None, title: str = "", at_rest: bool = False) -> None:
        """Show a log from its end, following; None empties the view. `at_rest`: nobody writes to it any more, as far as
        is known."""
        before, self._page = self._page, LogPage(index) if index is not None else None
        self._title, self._notice, self._aside, self._idle = title, "", 0, RESTING if at_rest else 0
        if self._page is not None:
            if before is not None:
                self._page.wrap, self._page.times = before.wrap, before.times
            self._page.start()
        self._redraw()

    def poll(self) -> bool:
        """Take in what the file gained; True when it did. The widget's own timer calls it, too."""
        changed = self._page is not None and self._page.take_in()
        self._idle = 0 if changed else self._idle + 1
        if changed:
            self._redraw()
        return changed

    @property
    def current_line(self) -> str:
        """The text under the cursor."""
        if self._page is None:
            return ""
        return next(iter(self._page.texts(self._page.cursor, 1)), "")

    @property
    def following(self) -> bool:
        return self._page is None or self._page.following

    @property
    def _height(self) -> int:
        return max(1, self.size.height - 1)

    # Searching

    def search(self, pattern: str, forward: bool = False) -> None:
        """Find a pattern (see `log_search.read_pattern`) from the cursor on, in a thread; answers with SearchDone."""
        page = self._page
        if page is None or not pattern:
            return
        here = page.source.offset(page.number(page.cursor)) if page.count else 0
        at_end = page.following and not forward

        def look(index: LogIndex) -> int | None:
            found = index.search(pattern, index.line_count if at_end else index.line_at(here), forward, cancelled)
            if found is None and not cancelled() and index.search(pattern, -1, True, cancelled) is None:
                raise NoSuchLine(f"no line of {counted(index).line_count:,} matches {pattern}")
            return found

        self._seek(pattern, f"searching {pattern}", look)

    def set_filter(self, pattern: str) -> None:
        """Show only the lines that fit a pattern (see `log_search.read_pattern`); "" shows all."""
        page = self._page
        if page is None:
            return
        if not pattern:
            page.set_filter("", [], self._height)
            self._show_notice("")
            return

        def filtered(page: LogPage, index: LogIndex, matches: list[int]) -> None:
            if page is self._page:
                page.adopt(index)
                page.set_filter(pattern, matches, self._height)
                self._show_notice(_found_words(index, len(matches), pattern))

        self._show_notice(f"filtering {glyphs_of(self).ellipsis}")
        self._search.start(page, lambda index: index.last_fits(pattern, MOST_MATCHES, cancelled), filtered)

    def go_to_line(self, line: int) -> None:
        """Show a line in the middle and stop following."""
        if self._page is not None:
            self._page.show_line(self._page.place(line), self._height)
            self._moved()

    def go_to_step(self, step: int) -> None:
        """Find the line that names the step (`step 412`) and show it; only what comes from now on is new."""

        def look(index: LogIndex) -> int:
            if (found := index.step(step)) is None:
                raise NoSuchLine(f"no line of {counted(index).line_count:,} names step {step}")
            return found

        self._seek(f"step {step}", f"step {step}", look, jump=True)

    def first_error(self) -> None:
        """Find the first line that looks like an error."""
        pattern = ERROR.pattern

        def look(index: LogIndex) -> int:
            if (found := counted(index).search(pattern, -1, True, cancelled)) is None:
                raise NoSuchLine(f"no line of {index.line_count:,} looks like an error")
            return found

        self._seek(pattern, "first error", look, jump=True)

    def _seek(self, pattern: str, notice: str, look: Callable[[LogIndex], int | None], jump: bool = False) -> None:
        """Go to the line that `look` finds; `pattern` is what is looked for again and marked in every line.

        After a jump only lines that come later are new.
        """

        def found(page: LogPage, index: LogIndex, line: int | None) -> None:
            if page is not self._page:
                return
            page.adopt(index)
            if jump:
                page.forget_new()
            if line is not None:
                self.go_to_line(line)
            else:
                self._show_notice(f"no more matches for {pattern}; n and N go down and up")
            self.post_message(self.SearchDone(pattern, line))

        if self._page is not None:
            self._pattern = pattern
            self._show_notice(f"{notice} {glyphs_of(self).ellipsis}")
            self._search.start(self._page, look, found)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """No line that fits, a file that went away: shown in the status line."""
        if event.state is WorkerState.ERROR:
            self._show_notice(str(event.worker.error))
            if isinstance(event.worker.error, NoSuchLine):
                self.post_message(self.SearchDone(self._pattern, None))

    # Keys

    def action_move(self, by: int) -> None:
        if self._page is not None:
            self.poll()  # a file at rest was looked at half a second ago
            self._page.move(by, self._height)
            self._moved()

    def action_page(self, by: int) -> None:
        self.action_move(by * max(2, self._height - 1))

    def action_top(self) -> None:
        if self._page is not None and self._page.source.complete:
            self.go_to_line(0)
        else:
            self._seek(self._pattern, "counting lines", lambda index: 0 if counted(index).line_count else None)

    def action_follow(self) -> None:
        if self._page is not None:
            self.poll()
            self._page.follow(True)
            self._moved()

    def action_toggle_follow(self) -> None:
        if self._page is not None:
            self._page.follow(not self._page.following)
            self._moved()

    def action_aside(self, by: int) -> None:
        self._aside = max(0, self._aside + by)
        self._redraw()

    def action_ask(self, sign: str) -> None:
        self._prompt = (sign, LineEdit())
        self._redraw()

    def action_again(self, forward: bool) -> None:
        self.search(self._pattern, forward)

    def action_wrap(self) -> None:
        if self._page is not None:
            self._page.wrap = not self._page.wrap
            self._aside = 0
            self._redraw()

    def action_times(self) -> None:
        if self._page is not None:
            self._page.times = not self._page.times
            self._show_notice("timestamps shown" if self._page.times else "timestamps hidden")

    def action_copy_line(self) -> None:
        self.app.copy_to_clipboard(self.current_line)
        self._show_notice("line copied")

    def action_copy_path(self) -> None:
        if self._page is not None:
            self.app.copy_to_clipboard(str(self._page.source.path))
            self._show_notice("path copied")

    def action_step_here(self) -> None:
        step = step_in(self.current_line)
        if step is None:
            self._show_notice("this line names no step")
        else:
            self.post_message(self.StepWanted(step))

    def take_key(self, event: events.Key) -> bool:
        """The prompt takes every key while it is open."""
        if self._prompt is None:
            return False
        sign, edit = self._prompt
        if event.key in ("escape", "enter"):
            self._prompt = None
            if event.key == "enter":
                self._answer(sign, edit.text)
        else:
            edit.key(event.key, event.character)
        self._redraw()
        return True

    def on_paste(self, event: events.Paste) -> None:
        if self._prompt is not None:
            self._prompt[1].insert(event.text)
            event.stop()
            self._redraw()

    def _answer(self, sign: str, text: str) -> None:
        if sign == "&":
            self.set_filter(text)
        else:
            self.search(text or self._pattern)

    def on_mouse_scroll_down(self) -> None:
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-3)

    def on_mount(self) -> None:
        self.set_timer(FEED, self._tick)

    def _tick(self) -> None:
        if self.is_on_screen:
            self.poll()
        else:
            self._idle += 1
        behind = self._page is not None and self._page.behind and self.is_on_screen
        self.set_timer(CATCH_UP if behind else FEED if self._idle < RESTING else FEED_AT_REST, self._tick)

    # Drawing

    def _moved(self) -> None:
        self.post_message(self.FollowChanged(self.following))
        self._show_notice("")

    def _show_notice(self, text: str) -> None:
        """Show a notice in the status line."""
        self._notice = tr(text, words=False)
        self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        """Only rows that changed, and the status line: a key that moves the cursor does not cost the whole page."""
        before, self._picture = self._picture, self._pictured()
        width, last = self.size.width, self.size.height - 1
        self.refresh(*(Region(0, y, width, 1) for y in (*self._picture.changed(before), last)))

    def _pictured(self) -> LogPicture:
        page, drawn_with = self._page, (self._pattern, self._aside, self.size)
        if page is None or not self.size:
            return LogPicture((), None, drawn_with)
        rows = page.rows(self.size.width - 1, self._height)
        return LogPicture(rows, None if page.following else page.cursor, drawn_with)

    def render_lines(self, crop: Region) -> list[Strip]:
        """What all lines share is worked out once."""
        self._paint = (LogLines(palette_of(self), glyphs_of(self), self.size.width), self.rich_style)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        (lines, base), page = self._paint, self._page
        if y == self.size.height - 1:
            strip = lines.prompt(*self._prompt) if self._prompt else lines.status(page, self._title, self._notice)
        else:
            picture = self._picture = self._picture or self._pictured()
            if picture.rows:
                strip = lines.of(picture, y, self._aside, self._pattern, self.has_focus)
            else:
                empty = self._title or "no log yet" if page is None else "nothing was written to this log"
                empty = (
                    "no line matches; & and enter show all" if page is not None and page.matches is not None else empty
                )
                strip = lines.notice(tr(empty) if y == 1 else "")
        return strip.adjust_cell_length(self.size.width).apply_style(base)
