"""Driving the real app without a terminal: what stands on the screen, and waiting until something is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import support
from textual.app import App
from textual.notifications import Notification
from textual.pilot import Pilot
from textual.strip import Strip

from rmtui.app.app import RmtuiApp
from rmtui.app.start import find_workspace
from rmtui.app.widgets.table.run_table import RunTable

SMALL, NARROW, WIDE = (60, 16), (80, 24), (160, 45)
SIZES = [SMALL, NARROW, WIDE]


@asynccontextmanager
async def opened(
    folder: Path, size: tuple[int, int] = WIDE, ascii_mode: bool = False, toasts_drawn: bool = False
) -> AsyncIterator[Pilot[Any]]:
    """The app on a folder, first frame drawn and the index synced once."""
    workspace = find_workspace(folder)
    app = RmtuiApp(workspace, folder, ascii_mode)
    async with app.run_test(size=size, notifications=toasts_drawn) as pilot:
        if workspace is not None:
            await until(pilot, lambda: app.counts.total == len(list(workspace.runs.iterdir())))
        yield pilot


def table(pilot: Pilot[Any]) -> RunTable:
    """The list of runs on the screen in front."""
    return pilot.app.screen.query_one(RunTable)


async def until(pilot: Pilot[Any], condition: Callable[[], Any], seconds: float = support.PATIENCE) -> Any:
    """Let the app work until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        await pilot.pause()
        try:
            value = condition()
        except Exception as error:  # a widget that is not there yet
            value = None
            missing = error
        else:
            missing = None
        if value:
            return value
        assert time.monotonic() < deadline, f"never happened within {seconds} s ({missing}); on screen:\n{shown(pilot)}"
        await asyncio.sleep(0.01)


def strips_of(app: App[Any]) -> list[Strip]:
    """The screen in front as it is drawn."""
    return app.screen._compositor.render_strips()


def toasts(pilot: Pilot[Any]) -> list[Notification]:
    """The toasts that were not closed yet."""
    return list(pilot.app._notifications)


def shown(pilot: Pilot[Any]) -> str:
    """The screen as text, line by line."""
    strips = strips_of(pilot.app)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def lines(pilot: Pilot[Any]) -> list[str]:
    return shown(pilot).split("\n")


async def sees(pilot: Pilot[Any], *words: str) -> str:
    """Wait until all these words stand on the screen; the screen's text."""
    await until(pilot, lambda: all(word in shown(pilot) for word in words))
    return shown(pilot)


async def type_text(pilot: Pilot[Any], text: str) -> None:
    """Type into what has the focus."""
    names = {" ": "space", ".": "full_stop", "-": "minus", ":": "colon", ">": "greater_than_sign", "=": "equals_sign"}
    names |= {"<": "less_than_sign", "/": "slash", "|": "vertical_line", ",": "comma", "_": "underscore"}
    await pilot.press(*[names.get(character, character) for character in text])


async def told(pilot: Pilot[Any], words: str) -> None:
    """Wait for a toast with these words."""
    await until(pilot, lambda: any(words in f"{note.title} {note.message}" for note in toasts(pilot)))
