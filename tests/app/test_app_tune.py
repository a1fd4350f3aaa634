"""The screen of a search: what it shows, and what its keys do."""

from __future__ import annotations

import json

import pytest
from app_pilot import NARROW, lines, opened, sees, shown, told, type_text

from rmtui.errors import UserError
from rmtui.tune import begin
from rmtui.tune.course import Course, Folder, create, folders
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
        await sees(pilot, "no search yet; n begins one")
        assert "stop" not in lines(pilot)[-1], "there is nothing to stop"
        await pilot.press("escape")


@pytest.fixture
def ready(ws: Workspace) -> Workspace:
    """A workspace in which a launch is right."""
    for name, count in (("train", 120), ("val", 20)):
        rows = [{"prompt": f"{name} {n}?", "chosen": f"Yes {n}.", "rejected": "No."} for n in range(count)]
        (ws.data / name / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = ws.root / "models" / "small"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "models/small"\ndata = "tiny"\nprocesses = 1\n')
    return ws


async def test_a_search_starts_from_its_form_after_its_plan_was_shown(ready, monkeypatch):
    ws = ready
    driven: list[Folder] = []
    monkeypatch.setattr(begin, "drive_apart", lambda ws, folder: driven.append(folder))
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("O", "n")
        await sees(pilot, "budget 12 runs", "in all", "enter starts it")
        await pilot.press("down", "down", "down", *["backspace"] * 6)
        await type_text(pilot, "5epochs")
        await sees(pilot, "enter shows the plan")
        assert not folders(ws)
        await pilot.press("enter")
        await sees(pilot, "budget 5 epochs", "enter starts it")
        assert not folders(ws) and not driven
        await pilot.press("enter")
        await told(pilot, "runs in the background")
        (folder,) = folders(ws)
        order = folder.order()
        assert [one.id for one in driven] == [folder.id] and order is not None
        assert order.search.budget == Budget(5, "epochs") and order.search.repeats == 2
        await sees(pilot, "waiting", "spent: 0 of 5 epochs")


async def test_a_new_search_is_found_by_name_from_the_list(ready):
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("colon")
        await type_text(pilot, "new search")
        await sees(pilot, "Fill in a new search")
        await pilot.press("enter")
        await told(pilot, "new search: n")
        await sees(pilot, "no search yet")


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [(3, "soon", "is not a budget"), (4, "lr,colour", "cannot be searched"), (5, "x", "is not a number of repeats"),
     (6, "luck", "is not a goal"), (0, "nowhere", "refused")],
)  # fmt: skip
async def test_a_field_that_cannot_be_is_named_and_nothing_starts(ready, field, typed, words):
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("O", "n")
        await sees(pilot, "enter starts it")
        await pilot.press(*["down"] * field, *["backspace"] * 12)
        await type_text(pilot, typed)
        await pilot.press("enter")
        await sees(pilot, words)
        await pilot.press("enter")
        await pilot.press("escape")
        await sees(pilot, "no search yet")
    assert not folders(ready)


def test_a_search_whose_process_ends_at_once_is_reported_and_does_not_look_alive(ws, searched):
    (searched.path / "order.json").write_text("{")
    with pytest.raises(UserError) as failed:
        begin.start_apart(ws, searched)
    assert "ended as soon as it began" in failed.value.what and "no readable search" in failed.value.why
    assert not searched.driven
