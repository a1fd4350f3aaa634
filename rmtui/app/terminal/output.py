"""Output over slow links: a mixin for the app that sends changed cells only, and no frame while the last is on its way.
No frame leaves with a text in it that a terminal would obey, whichever widget drew it.

It replaces `App._display` of Textual 8.2 and looks into its Linux driver's writer, both private. So it is behind a
switch (`RMTUI_SCREEN=plain`), and what it does not know (another driver, an inline app, hyperlinks) goes out plainly.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.console import RenderableType
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.strip import Strip

from rmtui import text
from rmtui.app.terminal.screen_diff import Abilities, DoubtError, Shadow

SWITCH = "RMTUI_SCREEN"
RETRY = 0.03
"""Seconds until a skipped frame is tried again."""
GONE = 2.0
"""Seconds between two looks whether the terminal is still there."""
ATOMIC = 256
"""Bytes that a terminal takes in at once: no need to mark begin and end of the frame."""
_KNOWN = ("xterm", "tmux", "screen", "alacritty", "kitty", "foot", "rxvt", "wezterm", "ghostty", "konsole", "vte")


def abilities(environ: dict[str, str] | os._Environ[str], colours: ColorSystem) -> Abilities:
    """What a terminal of this name is trusted to do; screen erases in the default colour unless it is tmux."""
    name = environ.get("TERM", "")
    known = name.startswith(_KNOWN)
    bare_screen = name.startswith("screen") and "TMUX" not in environ
    return Abilities(scroll=known, erase=known and not bare_screen, colours=colours)


class ShadowScreen(App[None]):
    """Mixin: put it before `App` in the bases."""

    SHADOW: ClassVar[bool] = True

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._shadow: Shadow | None = None
        self._shadow_on = self.SHADOW and os.environ.get(SWITCH, "shadow") != "plain"
        self._frame_waits = False
        self.frames_skipped = 0

    def forget_screen(self) -> None:
        """The terminal may show anything: after a resize, a suspension, or on the user's wish."""
        self._shadow = None

    def on_mount(self) -> None:
        if isinstance(self._driver, LinuxDriver):
            for number in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
            self.set_interval(GONE, self._leave_with_terminal)
        self.app_resume_signal.subscribe(self, lambda _: self.forget_screen(), immediate=True)

    def on_resize(self) -> None:
        self.forget_screen()

    def _leave_with_terminal(self) -> None:
        """Not every terminal that goes sends SIGHUP (`docker exec`, a pty without a session, a signal that came while
        Python started), and Textual would ask one that is gone for keys for ever, on a whole core."""
        assert isinstance(self._driver, LinuxDriver)
        if _gone(self._driver.fileno):
            self.exit(None, 128 + signal.SIGHUP)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        _make_harmless(renderable)
        if not self._shadow_on or not self._shadows(renderable):
            super()._display(screen, renderable)
            return
        try:
            self._take(renderable)
        except DoubtError:
            self._shadow = None
            super()._display(screen, renderable)
            return
        self._send()
        self.post_display_hook()

    def _shadows(self, renderable: RenderableType | None) -> bool:
        """A frame of the kind that is understood, and a terminal that is being drawn on."""
        return (
            isinstance(renderable, (LayoutUpdate, ChopsUpdate))
            and isinstance(self._driver, LinuxDriver)
            and not self._driver.is_inline
            and self._running
            and not self._closed
            and not self._batch_count
        )

    def _take(self, update: object) -> None:
        width, height = self.size
        if isinstance(update, LayoutUpdate):
            width, height = max(width, update.region.right), max(height, update.region.bottom)
        shadow = self._shadow
        if shadow is None or (shadow.width, shadow.height) != (width, height):
            colours = self.console._color_system or ColorSystem.TRUECOLOR
            shadow = self._shadow = Shadow(width, height, abilities(os.environ, colours))
        assert isinstance(update, (LayoutUpdate, ChopsUpdate))
        for x, y, strip, end in _pieces(update):
            shadow.put(x, y, strip, end)

    def _send(self) -> None:
        """The frame, unless the terminal has not taken the last one yet: then later, whatever is wanted by then."""
        assert isinstance(self._driver, LinuxDriver)
        if self._shadow is None:
            return
        if not _drained(self._driver):
            self.frames_skipped += 1
            if not self._frame_waits:
                self._frame_waits = True
                self.set_timer(RETRY, self._send_late)
            return
        frame = self._shadow.frame()
        if not frame:
            return
        if self.cursor_position != (0, 0):
            x, y = self.cursor_position
            frame += f"\x1b[{y + 1};{x + 1}H"
        if len(frame) > ATOMIC and self._sync_available:
            frame = f"\x1b[?2026h{frame}\x1b[?2026l"
        self._driver.write(frame)
        self._driver.flush()

    def _send_late(self) -> None:
        self._frame_waits = False
        if isinstance(self._driver, LinuxDriver) and self._running:
            self._send()


def _make_harmless(update: RenderableType | None) -> None:
    """Take out of a frame what a terminal would obey: the one exit of every widget, Textual's own included."""
    if isinstance(update, LayoutUpdate):
        update.strips = [[harmless_strip(strip) for strip in row] for row in update.strips]
    elif isinstance(update, ChopsUpdate):
        rows = {y for y, _, _ in update.spans}  # of the others nothing is drawn
        update.chops = [_harmless_chop(chop) if y in rows else chop for y, chop in enumerate(update.chops)]


def _harmless_chop(chop: Mapping[int, Strip | None]) -> dict[int, Strip | None]:
    return {x: strip if strip is None else harmless_strip(strip) for x, strip in chop.items()}


def harmless_strip(strip: Strip) -> Strip:
    """A strip as wide as it was, each segment without what a terminal obeys or what hides other text."""
    if all(segment.text.isprintable() for segment in strip):
        return strip
    return Strip([_harmless_segment(segment) for segment in strip], strip.cell_length)


def _harmless_segment(segment: Segment) -> Segment:
    if segment.control or segment.text.isprintable():
        return segment
    return Segment(set_cell_size(text.clean(segment.text), cell_len(segment.text)), segment.style)


def _drained(driver: LinuxDriver) -> bool:
    """Nothing waits in the writer's queue, and the terminal takes bytes."""
    writer = driver._writer_thread
    if writer is None or writer._queue.qsize():
        return False
    _, ready, _ = select.select([], [writer.fileno()], [], 0)
    return bool(ready)


def _gone(terminal: int) -> bool:
    look = select.poll()
    look.register(terminal, 0)
    return any(seen & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, seen in look.poll(0))


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip, int]]:
    """(x, y, strip, end): strips of a whole frame, or of the spans that changed."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in strips:
                yield x, y, strip, x + strip.cell_length
                x += strip.cell_length
    else:
        for y, first, last in update.spans:
            for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if chop is not None and x <= last and end > first:
                    yield x, y, chop, min(end, last)
