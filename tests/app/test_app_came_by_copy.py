"""A run that came by copy is foreign in the app, too: a resume shows its command first, and runs it only on a yes."""

from __future__ import annotations

import pytest
from app_pilot import WIDE, opened, sees, until
from support import make_run_folder, training

from rmtui.app.screens.dialogs import Confirm
from rmtui.launch import spawn
from rmtui.runs import identity, queue_tickets


@pytest.fixture
def came(ws, monkeypatch):
    """A stopped run that another workspace launched; nothing is really started."""
    identity.ensure(ws.root)
    trainer = {"command": ["sh", "-c", "echo strange"], "launcher": "direct"}
    made = make_run_folder(ws, "gift", events=training(1), outcome="stopped", workspace="f00d", trainer=trainer)
    monkeypatch.setattr("rmtui.operations.resume.provenance.fingerprints", lambda data: {})
    monkeypatch.setattr(spawn, "wait_in_line", lambda *_: True)
    return made


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_a_resume_asks_with_the_command(ws, came, answer):
    async with opened(ws.root, WIDE) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await sees(pilot, "gift is not known to be launched here: run its command?", "sh -c 'echo strange'")
        assert queue_tickets.read(ws.queue, came.id) is None, "nothing waits before the answer"
        await pilot.press(answer)
        await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm))
        if answer == "y":
            await until(pilot, lambda: queue_tickets.read(ws.queue, came.id))
            assert came.id in identity.read(ws.root).runs
        else:
            await pilot.pause()
            assert queue_tickets.read(ws.queue, came.id) is None and came.id not in identity.read(ws.root).runs
