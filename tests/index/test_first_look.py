"""Many new run folders are looked at by helper processes: the index is the same as without them, whatever happens to
one of them and whatever lies in a folder."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import append_events, index_content, make_run_folder, make_runs, make_workspace, training

from rmtui.index import read_ahead
from rmtui.index.index import Index
from rmtui.index.read_events import EventBatch, ReadPosition, RunTotals
from rmtui.index.write_curves import CollectedPoints
from rmtui.workspace import Workspace
from trainer.events import Event


@pytest.fixture
def varied(tmp_path) -> Workspace:
    """Runs that ended, one that goes on, one of two attempts, one whose step says the same twice, and odd folders."""
    ws = make_workspace(tmp_path / "ws")
    make_runs(ws, 6, epochs=2, steps_per_epoch=20)
    make_run_folder(ws, "resumed", attempts=[training()[:30], training(first_step=25)])
    make_run_folder(ws, "twice", events=[*training(epochs=1), *training(epochs=1)], run_id="twice")
    make_run_folder(ws, "disordered", events=[*training(epochs=1)[12:], *training(epochs=1)[2:12]], run_id="disordered")
    make_run_folder(ws, "begun", events=[], outcome=None, run_id="begun")
    (ws.runs / "empty").mkdir()
    (ws.runs / "a file").write_text("x")
    odd = make_run_folder(ws, "odd", run_id="odd 中文 ✓")
    (odd.path / "attempt-1" / "exit.json").write_text('{"outcome": []}')
    return ws


def content(ws: Workspace, few: int, monkeypatch) -> dict:
    monkeypatch.setattr(read_ahead, "FEW", few)
    ws.database.unlink(missing_ok=True)
    with Index.open(ws) as index:
        index.sync()
    return index_content(ws)


def test_helpers_change_nothing(varied, monkeypatch):
    alone = content(varied, 1000, monkeypatch)
    assert content(varied, 1, monkeypatch) == alone
    assert len(alone["runs"]) == 12, "the file is no run"
    with Index.open(varied) as index:
        index.rebuild()
    assert index_content(varied) == alone, "nor does reading everything again"


def test_a_run_that_was_followed_is_as_one_that_is_read_whole(tmp_path):
    """Points, roll-ups and summaries are worked out in another way where nothing is known of a run."""
    ws = make_workspace(tmp_path / "ws")
    events = training(epochs=3, steps_per_epoch=120)
    run = make_run_folder(ws, "followed", events=events[:7], outcome=None)
    with Index.open(ws) as index:
        index.sync()
        for start in range(7, len(events), 50):
            append_events(run, events[start : start + 50])
            index.sync()
        (run.path / "attempt-1" / "exit.json").write_text('{"outcome": "finished", "ended": 1760000600.0}')
        index.sync()
    followed = index_content(ws)
    ws.database.unlink()
    with Index.open(ws) as index:
        index.sync()
    assert index_content(ws) == followed and len(followed["points"]) > 1000


@pytest.mark.parametrize("what", ["killed", "garbage", "cannot start"])
def test_a_helper_that_fails_is_done_without(varied, monkeypatch, what):
    alone = content(varied, 1000, monkeypatch)
    if what == "cannot start":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with Index.open(varied) as index:
            monkeypatch.setattr(read_ahead, "FEW", 1)
            index.rebuild()
    else:
        started = subprocess.Popen

        def broken(line, **how):
            if "rmtui.index.read_ahead" not in line:
                return started(line, **how)
            if what == "garbage":
                return started(["echo", "no pickle"], **how)
            helper = started(line, **how)
            os.kill(helper.pid, signal.SIGKILL)
            return helper

        monkeypatch.setattr(subprocess, "Popen", broken)
        assert content(varied, 1, monkeypatch) == alone
    assert index_content(varied) == alone


def test_helpers_end_with_whoever_asked(varied, monkeypatch):
    monkeypatch.setattr(read_ahead, "FEW", 1)
    started: list[subprocess.Popen[bytes]] = []
    start = read_ahead.start
    monkeypatch.setattr(read_ahead, "start", lambda *given: started.append(start(*given)) or started[-1])
    names = [path.name for path in varied.runs.iterdir()]
    with read_ahead.looks(Path(varied.runs), names) as looks:
        assert next(looks)[0] == names[0]
    assert started and all(helper.poll() is not None for helper in started)


NUMBERS = st.floats() | st.floats(0, 9)
METRICS = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(names, NUMBERS))
    for names in (["loss", "tokens"], ["loss", "tokens_per_s", "pairs_per_s"], [])
)
EVENTS = st.builds(
    Event,
    st.sampled_from([*["step"] * 12, "eval", "epoch", "derived"]),
    st.sampled_from([*map(float, range(30)), -1.0, 1e300]),
    st.sampled_from([*range(30), -1, 2**60]),
    st.sampled_from([*(n / 8 for n in range(30)), math.nan, 1e300]),
    METRICS,
    st.sampled_from([*[{}] * 9, {"set": "other"}, {"effective_batch": 8, "total_steps": 9}]),
)


@given(st.lists(EVENTS, max_size=30), st.sampled_from([None, 3]))
def test_steps_that_are_taken_as_columns_are_as_those_taken_one_by_one(events, ceiling):
    def taken(columns: bool) -> tuple:
        points, progress, totals = CollectedPoints(), ReadPosition(1), RunTotals()
        batch = EventBatch(points, None, progress, totals, ceiling, False)
        batch.take_all(events) if columns else [batch.take(event) for event in events]
        return repr(points.new), repr(points.steps), repr(progress), repr(totals)

    assert taken(columns=True) == taken(columns=False)
