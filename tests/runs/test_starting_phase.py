"""What a start is busy with, from the trainer's line to the words that a list shows."""

from __future__ import annotations

import time

import pytest

from rmtui.app.widgets.table.columns import state_label
from rmtui.runs.folder import AttemptFolder
from rmtui.runs.model import Run, State
from rmtui.runs.state import starting
from trainer import heartbeat


def test_a_start_says_its_phase_and_how_long_it_takes(tmp_path, monkeypatch):
    attempt = AttemptFolder(tmp_path)
    assert starting(attempt) == "", "a trainer from before says nothing"
    tell = heartbeat.phase(tmp_path, True)
    tell("importing torch", 0, 0)
    later = time.time() + 6.2
    monkeypatch.setattr(time, "time", lambda: later)
    assert starting(attempt) == "importing torch, 6 s"
    tell("tokenizing", 26738, 43835)
    assert starting(attempt) == "tokenizing 43,835 pairs, 60 %"
    tell("loading the model", 0, 0)
    assert starting(attempt) == "loading the model, 0 s"


def test_other_ranks_say_nothing(tmp_path):
    heartbeat.phase(tmp_path, False)("importing torch", 0, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reason", ["tokenizing 43,835 pairs, 60 %", "importing torch, 6 s"])
def test_the_list_says_it_in_place_of_a_time(tmp_path, reason):
    run = Run("id", "name", tmp_path, State.STARTING, reason)
    assert state_label(run, 0.0, spelled=True) == reason
