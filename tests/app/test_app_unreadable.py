"""The app over runs that somebody else's files spoil, and over a copy of a workspace."""

from __future__ import annotations

import os
import shutil

import pytest
from app_pilot import opened, table, told, until
from support import START, make_run_folder

from rmtui.runs import identity

BAD = {
    "attempt-1/exit.json": b'{"outcome": []}',
    "attempt-1/launch.json": b'{"t": "x"}',
    "spec.toml": "fifo",
    "meta.toml": b"tags = 3",
    "attempt-1/events.jsonl": "folder",
    "attempt-1/logs/rank0.log": "fifo",
    "validation/epoch-3.jsonl": "fifo",
    "forecasts.jsonl": b'{"metric": 1}',
}


@pytest.mark.parametrize("name", BAD)
async def test_a_spoilt_run_is_a_row_that_can_be_opened_and_left(ws, name):
    make_run_folder(ws, "good", created=START)
    bad = make_run_folder(ws, "bad", created=START + 60)
    path, content = bad.path / name, BAD[name]
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if content == "fifo":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    else:
        path.write_bytes(content)
    async with opened(ws.root) as pilot:
        first = await until(pilot, lambda: table(pilot).selected)
        if first.id != bad.id:  # without its spec.toml it is of no date
            await pilot.press("j")
        await until(pilot, lambda: table(pilot).selected.id == bad.id)
        await pilot.press("enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("2", "3", "5", "2", "escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await pilot.press("k" if first.id != bad.id else "j")
        await until(pilot, lambda: table(pilot).selected.name == "good")


async def test_a_copy_is_said_on_opening(ws, tmp_path):
    make_run_folder(ws, "good", created=START)
    identity.ensure(ws.root)
    copy = shutil.copytree(ws.root, tmp_path / "copy")
    async with opened(copy) as pilot:
        await told(pilot, f"this is a copy of {ws.root}")
