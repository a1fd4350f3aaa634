"""Each screen as text at three sizes, as `snapshots/` holds it; RMTUI_SNAPSHOTS=write draws them anew, to be read."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from app_pilot import SIZES, opened, shown, until
from textual.pilot import Pilot

from rmtui.app import notifications as news

KEPT = Path(__file__).parent / "snapshots"
NOW = support.START + 6 * 3600
SHOWN_HOME = "/home/mirabel"
"""Stands for the temporary folder, and is as long, so that nothing moves."""
SCENES: dict[str, tuple[str, ...]] = {
    "home": (),
    "help": ("question_mark",),
    "filter": ("escape", "slash", "C"),
    "run": ("escape", "enter"),
    "log": ("3",),
    "details": ("5",),
    "advice": ("escape", "escape", "a"),
    "pairs": ("escape", "P"),
    "queue": ("escape", "Q"),
    "data": ("escape", "D"),
    "presets": ("escape", "n"),
    "form": ("enter",),
    "compare": ("escape", "G", "space", "k", "space", "c"),
}
"""Keys that lead from each screen to the next."""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder whose name has always the same length, a clock that stands, no devices, two cores."""
    home = Path(tempfile.mkdtemp(prefix="", dir="/tmp"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(news, "devices", lambda: news.Devices(""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    yield home
    shutil.rmtree(home)


def fill(home: Path) -> Path:
    ws = support.make_workspace(home / "rm")
    pair = {"chosen": "It is a pleasure to help you with that.", "rejected": "No."}
    for name, count in (("train", 40), ("val", 12)):
        rows = [pair | {"prompt": f"How do I write a {name} letter, number {n}?"} for n in range(count)]
        (ws.data / name / "helpful_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "workspace.toml").write_text('model = "models/base"\ndata = "helpful"\nprocesses = 2\n')
    support.make_runs(ws, 6)
    return ws.root


async def settled(pilot: Pilot[Any]) -> str:
    """The screen once no worker is at work and nothing changes any more."""
    before = ""
    while True:
        await until(pilot, lambda: all(worker.is_finished for worker in pilot.app.workers))
        await asyncio.sleep(0.4)
        text = shown(pilot)
        if text == before:
            return text
        before = text


def compare(name: str, size: tuple[int, int], text: str) -> str:
    """What differs from the kept picture; nothing when it is the same."""
    path = KEPT / f"{name}-{size[0]}x{size[1]}.txt"
    fresh = "\n".join(line.rstrip() for line in text.split("\n")) + "\n"
    if os.environ.get("RMTUI_SNAPSHOTS") == "write":
        KEPT.mkdir(exist_ok=True)
        path.write_text(fresh)
    return "" if path.is_file() and path.read_text() == fresh else f"{path.name} differs; now:\n{fresh}"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_screens_look_as_they_were_drawn(home: Path, size: tuple[int, int]) -> None:
    root = fill(home)
    wrong = []
    async with opened(root, size) as pilot:
        await settled(pilot)
        for name, keys in SCENES.items():
            for key in keys:
                await pilot.press(key)
                await until(pilot, lambda: all(worker.is_finished for worker in pilot.app.workers))
            wrong.append(compare(name, size, (await settled(pilot)).replace(str(home), SHOWN_HOME)))
    (home / "new").mkdir()
    async with opened(home / "new", size) as pilot:
        wrong.append(compare("empty", size, (await settled(pilot)).replace(str(home), SHOWN_HOME)))
    assert not any(wrong), "\n".join(filter(None, wrong))
