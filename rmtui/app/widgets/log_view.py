"""A log of any size: only the lines on screen are read, through a line index over the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import Worker, WorkerState, get_current_worker

from rmtui.app.widgets import figures
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.line_edit import LineEdit
from rmtui.app.widgets.log_page import LogPage, Row, compiled, last_matches
from rmtui.app.widgets.log_text import ERROR, step_in, tone
from rmtui.app.widgets.palette import palette_of
from rmtui.records.logindex import LogIndex

FEED = 0.1
"""Seconds between looks at a file that grows; ten times rarer while it rests."""

LineSource = LogIndex
"""What `open` takes."""


class LogView(Widget, can_focus=True):
    """Lines of a file above a status line; follows the end until one moves up."""

    DEFAULT_CSS = """
    LogView { height: 1fr; min-height: 2; }
    LogView > .log-view--cursor { background: $foreground 10%; }
    LogView > .log-view--hit { background: $warning; color: $background; }
    """
    COMPONENT_CLASSES = {"log-view--cursor", "log-view--hit"}
    BINDINGS = [
        Binding("j,down", "move(1)", "line down", show=False, id="log.down"),
        Binding("k,up", "move(-1)", "line up", show=False, id="log.up"),
        Binding("pagedown,ctrl+f", "page(1)", "a page down", show=False, id="log.page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "a page up", show=False, id="log.page_up"),
        Binding("g,home", "top", "first line", show=False, id="log.top"),
        Binding("G,end", "follow", "end, and follow", show=False, id="log.end"),
        Binding("right", "aside(20)", "to the right", show=False, id="log.right"),
        Binding("left", "aside(-20)", "to the left", show=False, id="log.left"),
        Binding("f", "toggle_follow", "follow", id="log.follow"),
        Binding("slash", "ask('/')", "search", id="log.search"),
        Binding("ampersand", "ask('&')", "filter", id="log.filter"),
        Binding("n", "again(True)", "next hit", show=False, id="log.next"),
        Binding("N", "again(False)", "previous hit", show=False, id="log.previous"),
        Binding("w", "wrap", "wrap", id="log.wrap"),
        Binding("T", "times", "timestamps", show=False, id="log.times"),
        Binding("y", "copy_line", "copy line", show=False, id="log.copy_line"),
        Binding("Y", "copy_path", "copy path", show=False, id="log.copy_path"),
        Binding("enter", "step_here", "curve at this step", show=False, id="log.step"),
    ]

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
        self.empty_text = "no log yet"
        self._page: LogPage | None = None
        self._title = ""
        self._aside = 0
        self._pattern = ""
        self._said = ""
        self._prompt: tuple[str, LineEdit] | None = None
        self._idle = 0
        self._drawn: list[Row] | None = None

    # What the screen tells and asks

    def open(self, index: LineSource | None, title: str = "") -> None:
        """Show a log from its end, following; None empties the view."""
        before, self._page = self._page, LogPage(index) if index is not None else None
        self._title, self._said, self._aside, self._idle = title, "", 0, 0
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
            page.set_filter("", [])
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
            lambda index: _counted(index).search(self._pattern, -1, True, _cancelled),
        )

    @property
    def following(self) -> bool:
        return self._page is None or self._page.following

    @property
    def current_line(self) -> str:
        """The text under the cursor."""
        if self._page is None:
            return ""
        return next(iter(self._page.texts(self._page.cursor, 1)), "")

    # Threads: each opens an index of its own, and the view goes on with it, so that nothing is counted twice

    def _seek(self, said: str, find: Callable[[LogIndex], int | None]) -> None:
        if self._page is not None:
            self._say(said)
            self._thread(partial(self._find, self._page, find), "log search")

    def _thread(self, work: Callable[[], None], name: str) -> None:
        self.run_worker(work, name=name, group="log", thread=True, exclusive=True, exit_on_error=False)

    def _find(self, page: LogPage, find: Callable[[LogIndex], int | None]) -> None:
        index = LogIndex(page.source.path)
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
        index = LogIndex(page.source.path)
        matches = last_matches(index, pattern, _cancelled)
        if not _cancelled():
            self.app.call_from_thread(self._filtered, page, index, pattern, matches)

    def _filtered(self, page: LogPage, index: LogIndex, pattern: str, matches: list[int]) -> None:
        if page is self._page:
            page.adopt(index)
            page.set_filter(pattern, matches)
            self._say(f"only lines with {pattern}")

    # Keys

    @property
    def _height(self) -> int:
        return max(1, self.size.height - 1)

    def action_move(self, by: int) -> None:
        if self._page is not None:
            self._page.move(by, self._height)
            self._told_follow()

    def action_page(self, by: int) -> None:
        self.action_move(by * max(2, self._height - 1))

    def action_top(self) -> None:
        if self._page is not None and self._page.source.complete:
            self.go_to_line(0)
        else:
            self._seek(
                f"counting lines {glyphs_of(self).ellipsis}", lambda index: 0 if _counted(index).line_count else None
            )

    def action_follow(self) -> None:
        if self._page is not None:
            self._page.follow(True)
            self._told_follow()

    def action_toggle_follow(self) -> None:
        if self._page is not None:
            self._page.follow(not self._page.following)
            self._told_follow()

    def action_aside(self, by: int) -> None:
        self._aside = max(0, self._aside + by)
        self.refresh()

    def action_ask(self, sign: str) -> None:
        self._prompt = (sign, LineEdit())
        self.refresh()

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
            self._say("timestamps shown" if self._page.times else "timestamps hidden")

    def action_copy_line(self) -> None:
        self.app.copy_to_clipboard(self.current_line)
        self._say("line copied")

    def action_copy_path(self) -> None:
        if self._page is not None:
            self.app.copy_to_clipboard(str(self._page.source.path))
            self._say("path copied")

    def action_step_here(self) -> None:
        step = step_in(self.current_line)
        if step is None:
            self._say("this line names no step")
        else:
            self.post_message(self.StepWanted(step))

    def on_key(self, event: events.Key) -> None:
        """The prompt takes every key while it is open."""
        if self._prompt is None:
            return
        sign, edit = self._prompt
        event.stop()
        event.prevent_default()
        if event.key in ("escape", "enter"):
            self._prompt = None
            if event.key == "enter":
                self._answer(sign, edit.text)
        else:
            edit.key(event.key, event.character)
        self.refresh()

    def on_paste(self, event: events.Paste) -> None:
        if self._prompt is not None:
            self._prompt[1].insert(event.text)
            event.stop()
            self.refresh()

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
        self.set_interval(FEED, self._tick)

    def _tick(self) -> None:
        if self._idle < 20 or self._idle % 10 == 0:
            if self.is_on_screen:
                self.poll()
        else:
            self._idle += 1

    def _told_follow(self) -> None:
        self.post_message(self.FollowChanged(self.following))
        self._said = ""
        self._redraw()

    def _say(self, text: str) -> None:
        self._said = text
        self._redraw()

    # Drawing

    def _redraw(self) -> None:
        self._drawn = None
        self.refresh()

    def on_resize(self) -> None:
        self._redraw()

    def render_line(self, y: int) -> Strip:
        if y == self.size.height - 1:
            strip = self._status()
        else:
            if self._drawn is None:
                self._drawn = self._page.rows(self.size.width - 1, self._height) if self._page is not None else []
            strip = self._line(self._drawn[y]) if y < len(self._drawn) else self._blank(y)
        return strip.adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _blank(self, y: int) -> Strip:
        text = self.empty_text if y == 1 and not self._drawn else ""
        return Strip([Segment(f"  {text}", palette_of(self).quiet)])

    def _line(self, row: Row) -> Strip:
        assert self._page is not None
        text = Strip(self._segments(row)).crop(self._aside)
        strip = Strip.join([Strip([Segment(" ")]), text])
        if row.place == self._page.cursor and not self._page.following:
            ground = self.get_component_rich_style("log-view--cursor")
            strip = strip.adjust_cell_length(self.size.width).apply_style(Style(bgcolor=ground.bgcolor))
        return strip

    def _segments(self, row: Row) -> list[Segment]:
        """The text in its tone, hits of the search marked."""
        style = palette_of(self).tone(tone(row.whole))
        if not self._pattern:
            return [Segment(row.text, style)]
        hit = style + self.get_component_rich_style("log-view--hit")
        segments: list[Segment] = []
        end = 0
        for found in compiled(self._pattern).finditer(row.text):
            segments += [Segment(row.text[end : found.start()], style), Segment(found.group(), hit)]
            end = found.end()
        return [*segments, Segment(row.text[end:], style)]

    def _status(self) -> Strip:
        palette, glyphs = palette_of(self), glyphs_of(self)
        if self._prompt is not None:
            sign, edit = self._prompt
            word = "search" if sign == "/" else "only lines with"
            at = edit.text[edit.caret : edit.caret + 1] or " "
            before, after = edit.text[: edit.caret], edit.text[edit.caret + 1 :]
            return Strip(
                [
                    Segment(f" {word} ", palette.accent),
                    Segment(before, palette.text),
                    Segment(at, palette.text + Style(reverse=True)),
                    Segment(after, palette.text),
                ]
            )
        left = [Segment(f" {self._title}  ", palette.quiet)]
        page = self._page
        if page is not None and page.unseen:
            left.append(Segment(f"{glyphs.more} {figures.count(page.unseen)} new  ", palette.accent))
        left.append(Segment(self._said or ("following" if self.following else ""), palette.quiet))
        right = self._position()
        used = sum(cell_len(segment.text) for segment in left)
        gap = " " * max(1, self.size.width - used - cell_len(right) - 1)
        return Strip([*left, Segment(gap + right, palette.quiet)])

    def _position(self) -> str:
        page = self._page
        if page is None or page.following or not page.count:
            return ""
        if not page.source.complete:
            place = page.source.offset(page.number(page.cursor))
            return f"at {figures.size(place)} of {figures.size(page.source.size)}"
        return f"line {figures.count(page.number(page.cursor) + 1)} of {figures.count(page.source.line_count)}"


def _cancelled() -> bool:
    return get_current_worker().is_cancelled


def _counted(index: LogIndex) -> LogIndex:
    """With every line counted, from the file's start on."""
    while not index.complete and not _cancelled():
        index.grow(0.1)
    return index
