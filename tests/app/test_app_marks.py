"""Going through suspects by keyboard: mark, see what is marked, undo, and write a version of the file."""

from __future__ import annotations

import json
import random

import pytest
import support
from app_pilot import NARROW, SIZES, WIDE, opened, sees, shown, told, until

from rmtui.app.screens.dialogs import Confirm
from rmtui.app.screens.pairs import PairsScreen
from rmtui.app.screens.suspects import SuspectsScreen
from trainer.pairs import Row, distinct_ids, read_rows

FILLER = [f"word{n}" for n in range(30)]
WRONG = (7, 60, 111)


def rows(count=200):
    """The chosen answer says `kind`, the rejected one `rude`; of WRONG the other way round."""
    draw, made = random.Random(1), []
    for n in range(count):
        sides = [" ".join([*draw.choices(FILLER, k=8), mark]) for mark in ("kind", "rude")]
        chosen, rejected = reversed(sides) if n in WRONG else sides
        made.append({"id": f"p{n}", "prompt": f"About {FILLER[n % 30]} {n}?", "chosen": chosen, "rejected": rejected})
    return made


def read(path):
    return {row.id: row for row in distinct_ids(row for row in read_rows(path) if isinstance(row, Row))}


@pytest.fixture
def data(ws):
    for part, count in (("train", 200), ("val", 20)):
        path = ws.data / part / "few_pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    return ws


async def suspects(pilot):
    await pilot.press("D", "P")
    screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, SuspectsScreen) else None)
    await until(pilot, lambda: len(screen.listed()) == len(WRONG))
    return screen


def version_of(ws, part="train"):
    """The one file beside the original."""
    (found,) = (path for path in (ws.data / part).glob("*.jsonl") if path.name != "few_pairs.jsonl")
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_suspects_are_marked_by_key_and_written_after_a_question(data, size):
    train = data.data / "train" / "few_pairs.jsonl"
    before = train.read_bytes()
    async with opened(data.root, size) as pilot:
        screen = await suspects(pilot)
        first, second, third = screen.listed()
        await pilot.press("f", "j", "t", "j", "d")
        await sees(pilot, "marked: flip 1 · tie 1 · drop 1")
        assert any(line.lstrip().startswith("tie") for line in shown(pilot).split("\n"))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        text = await sees(pilot, "few_pairs-", "198 pairs are left", "stays as it is")
        assert first in text and second in text and third in text
        assert [path.name for path in train.parent.iterdir()] == ["few_pairs.jsonl"], "nothing is written yet"
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        named = next(word for word in pilot.app.screen.question.split() if word.startswith("few_pairs-"))
        await pilot.press("y")
        await told(pilot, "written: ")
        version = version_of(data)
        assert named.rstrip("?") == version.name and train.read_bytes() == before
        old, new = read(train), read(version)
        assert new[first].chosen == old[first].rejected and set(old) - set(new) == {second, third}
        log = [json.loads(line) for line in version.with_suffix(".changes").read_text().splitlines()]
        assert {one["id"]: one["action"] for one in log[1:]} == {first: "flip", second: "tie", third: "drop"}
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, (Confirm, SuspectsScreen)))


async def test_a_mark_is_changed_taken_away_and_undone(data):
    async with opened(data.root, WIDE) as pilot:
        screen = await suspects(pilot)
        first = screen.listed()[0]
        await pilot.press("f")
        await sees(pilot, "marked: flip 1")
        await pilot.press("d")
        await sees(pilot, "marked: drop 1")
        await pilot.press("d")
        await until(pilot, lambda: "marked" not in shown(pilot))
        await pilot.press("C")
        await told(pilot, "no pair is marked")
        await pilot.press("u", "j", "t")
        await sees(pilot, "marked: tie 1 · drop 1")
        await pilot.press("u", "u")
        await sees(pilot, "marked: flip 1")
        assert screen.query_one("#list").highlighted == 0 and screen.listed()[0] == first
        await pilot.press("u", "u")
        await until(pilot, lambda: "marked" not in shown(pilot))


async def test_leaving_unwritten_marks_asks(data):
    async with opened(data.root, NARROW) as pilot:
        screen = await suspects(pilot)
        await pilot.press("f", "escape")
        await sees(pilot, "Leave 1 marked pair", "the marks are lost")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen)
        await sees(pilot, "marked: flip 1")
        await pilot.press("q")
        await sees(pilot, "Leave 1 marked pair")
        await pilot.press("n", "escape", "y")
        await until(pilot, lambda: not isinstance(pilot.app.screen, (Confirm, SuspectsScreen)))
        assert len(list((data.data / "train").iterdir())) == 1


async def test_what_cannot_be_written_is_said_and_the_marks_stay(data):
    train = data.data / "train" / "few_pairs.jsonl"
    async with opened(data.root, WIDE) as pilot:
        await suspects(pilot)
        await pilot.press("f")
        train.write_text(train.read_text() + '{"id": "torn", "pro')
        await pilot.press("C")
        await told(pilot, "line 201 holds no pair")
        await sees(pilot, "marked: flip 1")
        train.write_text(train.read_text().replace('{"id": "torn", "pro', ""))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await told(pilot, "written: ")
        await pilot.press("C")
        await told(pilot, "is there already")


async def test_where_nobody_is_suspected_the_screen_says_why(ws):
    for part in ("train", "val"):
        few = [{"prompt": "Same?", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(8)]
        (ws.data / part / "few_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("D", "P")
        await sees(pilot, "holds 1 groups of pairs", "suspects need ten")
        await pilot.press("f", "u")
        assert "marked" not in shown(pilot)


async def test_validation_pairs_of_a_run_are_marked_too_over_all_kinds(data):
    val = data.data / "val" / "few_pairs.jsonl"
    names = {"train": "data/train/few_pairs.jsonl", "val": "data/val/few_pairs.jsonl"}
    folder = support.make_run_folder(data, name="one", config=support.config(data=names), fingerprints={})
    (folder.path / "validation").mkdir()
    scores = [{"id": f"p{n}", "chosen": float(n - 2), "rejected": 0.0} for n in range(20)]
    (folder.path / "validation" / "epoch-3.jsonl").write_text("".join(json.dumps(one) + "\n" for one in scores))
    async with opened(data.root, WIDE) as pilot:
        await pilot.press("P")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, PairsScreen) else None)
        await sees(pilot, "About word0 0?")
        await pilot.press("f", "right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: len(screen.listed()) and screen.listed()[0] == "p2")
        await pilot.press("d")
        await sees(pilot, "marked: flip 1 · drop 1")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await told(pilot, "written: ")
        old, new = read(val), read(version_of(data, "val"))
        assert new["p0"].chosen == old["p0"].rejected and set(old) - set(new) == {"p2"}
