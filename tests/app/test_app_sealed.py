"""A sealed test from the app: what a look costs is said before it is taken, and what it found stays to be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import support
from app_pilot import NARROW, opened, sees, shown, told, until

from rmtui.operations import sealed_test

PAIRS = 40


@pytest.fixture
def scored(ws, monkeypatch):
    """Two runs with a sealed test set and a checkpoint; the list of the runs that were scored, by a stand-in for the
    trainer that finds b right on 30 pairs of 40, a on 20."""
    file = ws.root / "data" / "test.jsonl"
    file.parent.mkdir(exist_ok=True)
    rows = [{"id": f"t{n}", "prompt": f"q{n} {n * n}", "chosen": "yes", "rejected": "no"} for n in range(PAIRS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, name in enumerate("ab"):
        config = support.config(data={"test": str(file)})
        events = support.training()
        run = support.make_run_folder(ws, name, events, created=support.START + number, config=config)
        (run.path / "checkpoints" / "step-000060").mkdir(parents=True)
        best = {"checkpoint": "step-000060", "metric": "val_acc", "value": 0.7, "step": 60}
        (run.path / "checkpoints" / "best").write_text(json.dumps(best))
    names = []

    def finished(name, folder, file, options, progress, cancelled):
        names.append(name)
        right = 30 if name == "b" else 20
        rewards = [{"id": f"t{n}", "chosen": float(n < right), "rejected": 0.5} for n in range(PAIRS)]
        Path(options[options.index("--out") + 1]).write_text("".join(json.dumps(row) + "\n" for row in rewards))

    monkeypatch.setattr(sealed_test, "finished_score", finished)
    return names


async def test_a_look_is_asked_for_taken_shown_again_for_nothing_and_kept_in_the_details(ws, scored):
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "2 runs")
        await pilot.press("I")
        question = await sees(pilot, "Test b on sealed pairs?")
        assert "It is the first look." in question and "test.jsonl" in question
        await pilot.press("n")
        await until(pilot, lambda: "sealed pairs?" not in shown(pilot))
        assert scored == []
        await pilot.press("I")
        await sees(pilot, "Test b on sealed pairs?")
        await pilot.press("y")
        await told(pilot, "Sealed test set, first look: b gets 75.0")
        pilot.app.clear_notifications()
        await pilot.press("I")
        await told(pilot, "Sealed test set, first look: b gets 75.0")
        assert scored == ["b"]
        await pilot.press("enter", "5")
        await sees(pilot, "sealed test", "b gets 75.0")


async def test_the_marked_run_is_the_comparator_and_a_further_look_says_its_number(ws, scored):
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "2 runs")
        await pilot.press("I")
        await sees(pilot, "Test b on sealed pairs?")
        await pilot.press("y")
        await told(pilot, "first look")
        await pilot.press("j", "space", "k", "I")
        question = await sees(pilot, "Test b beside a on sealed pairs?")
        assert "A further look is number 2" in question
        await pilot.press("y")
        await told(pilot, "look 2 of 2")
        assert scored == ["b", "b", "a"]


async def test_without_a_sealed_set_it_says_what_to_do(ws):
    support.make_runs(ws, 1)
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "1 run")
        await pilot.press("I")
        await told(pilot, "no checkpoint")
