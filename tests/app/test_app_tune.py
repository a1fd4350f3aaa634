"""The screen of a search: what it shows, and what its keys do."""

from __future__ import annotations

import pytest
from app_pilot import NARROW, lines, opened, sees, shown, told

from rmtui.tune.course import Course, Folder, create
from rmtui.tune.model import Budget, Score, Search, Trial
from rmtui.workspace import Workspace

RULES = Search(Budget(4, "runs"), {"learning_rate": 1e-4}, 3, repeats=1)
SPEC = {"name": "x", "preset": "A", "data": "helpful", "config": {"num_epochs": 3}, "launch": {"processes": 1}}


@pytest.fixture
def searched(ws: Workspace) -> Folder:
    folder = create(ws, SPEC, 40, RULES)

    def ended(loss: float, accuracy: float) -> Score:
        return Score(loss, accuracy, {}, 1.0, 60.0, loss, 0.7)

    first = Trial(1, "bracket", {"learning_rate": 1e-4}, 1, 42, "where the search begins", 0, "r1", ended(0.65, 0.6))
    second = Trial(2, "bracket", {"learning_rate": 3e-4}, 1, 42, "no higher rate was tried", 0, "r2", ended(0.6, 0.7))
    third = Trial(3, "extension", {"learning_rate": 3e-4}, 2, 42, "trained on to 2", 2, "r3")
    folder.write_course(Course((first, second, third), ("trial 1 is out: by the test",)))
    return folder


async def test_a_search_is_shown_as_a_tree_with_reasons_spend_and_the_best(ws, searched):
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("O")
        await sees(pilot, "best: trial 2", "spent: 3 of 4 runs", "trial 1 is out", "helpful · waiting")
        rows = [line for line in shown(pilot).split("\n") if "val_loss" in line or "trained on" in line]
        assert "★" in next(line for line in rows if "0.6000" in line and "seed" in line)
        inner = next(line for line in rows if "trained on to 2" in line)
        assert inner.index("trained") > shown(pilot).split("\n")[0].index("tune")
        await pilot.press("x")
        await told(pilot, "is not running")


async def test_without_a_search_it_says_how_to_begin_one(ws):
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("O")
        await sees(pilot, "no search yet; begin one in a shell: rmtui tune")
        assert "stop" not in lines(pilot)[-1], "there is nothing to stop"
        await pilot.press("escape")
