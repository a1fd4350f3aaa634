"""A resumed run that waits is called so wherever its state is shown, in the app and on the command line."""

from __future__ import annotations

import fcntl
import os

import pytest
from app_pilot import WIDE, opened, sees, until
from support import make_run_folder, training

from rmtui.app.screens.dialogs import Confirm
from rmtui.cli import main
from rmtui.runs import queue_tickets
from rmtui.runs.queue_tickets import Needs

WORDS = "queued (resumes from step 53)"


@pytest.fixture
def resumed(ws):
    """A stopped run whose second attempt waits for the CPU; this process is the one that waits."""
    folder = make_run_folder(ws, "paused", events=training(1), outcome="stopped", reason="stopped by anna at step 53")
    with queue_tickets.turn(ws.queue):
        queue_tickets.add(ws.queue, folder.id, 2, Needs(), str(folder.path / "checkpoints" / "step-000053"))
    lock = os.open(queue_tickets.waiter_lock(ws.queue, folder.id), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield ws
    os.close(lock)


@pytest.mark.parametrize("verb", [["ls"], ["show", "paused"], ["queue"]])
def test_on_the_command_line(resumed, capsys, verb):
    assert main(["-C", str(resumed.root), *verb]) == 0
    assert WORDS in capsys.readouterr().out


async def test_in_the_app(resumed):
    async with opened(resumed.root, WIDE) as pilot:
        text = await sees(pilot, f"{WORDS}: place 1")
        assert text.count(WORDS) == 2, "in the list and above the curves"
        await pilot.press("Q")
        await sees(pilot, "1 waiting", WORDS)
        await pilot.press("escape", "x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await sees(pilot, "It stays as it was and can be resumed later.")


def test_a_first_start_that_waits_resumes_nothing(ws, capsys):
    folder = make_run_folder(ws, "fresh", events=[], outcome=None)
    (folder.path / "attempt-1").rename(folder.path / "elsewhere")
    with queue_tickets.turn(ws.queue):
        queue_tickets.add(ws.queue, folder.id, 1, Needs())
    assert main(["-C", str(ws.root), "ls"]) == 0
    page = capsys.readouterr().out
    assert "queued" in page and "resumes" not in page
