"""Keys that mean one thing: sorting by a letter, actions by their names, keys that reach the screen they open, paths
that complete, pairs as tabs, toasts that cover nothing."""

from __future__ import annotations

import json

import pytest
import support
from app_pilot import NARROW, SIZES, lines, opened, sees, table, toasts, told, type_text, until
from textual import events
from textual.widgets import Input

from rmtui.app import host
from rmtui.app.actions import ACTIONS, PLACES
from rmtui.app.chrome import KeyLine
from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.home import HomeScreen
from rmtui.app.screens.pairs import PairsScreen
from rmtui.app.screens.presets import PresetsScreen
from rmtui.app.screens.run import RunScreen
from rmtui.app.widgets.path_input import candidates
from rmtui.errors import UserError


async def screen_of(pilot, kind):
    return await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, kind) else None)


def burst(pilot, *keys):
    """Keys as a slow line delivers them: all at once."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_s_and_a_letter_sort_at_once_and_again_the_other_way_round(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("S", "l")
        await until(pilot, lambda: pilot.app.memory.sort == "val_loss")
        losses = [row.val_loss for row in table(pilot).source.fetch(0, 6) if row.val_loss is not None]
        assert losses == sorted(losses)
        await pilot.press("S", "l")
        losses = [row.val_loss for row in table(pilot).source.fetch(0, 6) if row.val_loss is not None]
        assert losses == sorted(losses, reverse=True)
        await pilot.press("S", "escape")
        assert pilot.app.memory.sort == "val_loss" and isinstance(pilot.app.screen, HomeScreen)


async def test_keys_typed_ahead_reach_the_screens_that_they_open(runs):
    async with opened(runs.root, NARROW) as pilot:
        burst(pilot, "n", "enter")
        await screen_of(pilot, FormScreen)
        burst(pilot, "escape", "escape", "enter", "5")
        screen = await screen_of(pilot, RunScreen)
        await until(pilot, lambda: screen.query_one("ContentSwitcher").current == "details")
        burst(pilot, "escape", "escape", "j", "j")
        await screen_of(pilot, HomeScreen)
        await until(pilot, lambda: table(pilot).selected == table(pilot).source.fetch(2, 1)[0])


async def test_any_action_is_found_by_its_name_and_one_is_taken_there(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("colon")
        await type_text(pilot, "duplicate")
        await sees(pilot, "duplicate", "preset list")
        await pilot.press("down", "enter")
        await screen_of(pilot, PresetsScreen)
        await told(pilot, "duplicate: y")
        await pilot.press("colon")
        await type_text(pilot, "next kind")
        await sees(pilot, "next kind  (] → tab)")
        await pilot.press("escape")
        await pilot.press("colon")
        await type_text(pilot, "first error")
        await sees(pilot, "first error", "a run")
        await pilot.press("down", "enter")
        await screen_of(pilot, RunScreen)
        await told(pilot, "first error: E")


def test_every_pane_with_actions_to_find_can_be_reached():
    """But those of questions, of a screen that is there before there is a workspace, and what works everywhere."""
    panes = {action.pane for action in ACTIONS if action.palette and action.help}
    assert panes - PLACES.keys() == {"app", "empty", "launch", "ask"}


def test_a_path_goes_on_with_what_is_there(tmp_path):
    (tmp_path / "logs" / "training").mkdir(parents=True)
    (tmp_path / "logs" / "trial.log").write_text("")
    (tmp_path / "logs" / ".hidden").write_text("")
    assert candidates(tmp_path, "lo") == ["logs/"]
    assert candidates(tmp_path, "logs/") == ["logs/training/", "logs/trial.log"]
    assert candidates(tmp_path, "logs/tri") == ["logs/trial.log"]
    assert candidates(tmp_path, "logs/.h") == ["logs/.hidden"]
    assert candidates(tmp_path, f"{tmp_path}/lo") == [f"{tmp_path}/logs/"]
    assert candidates(tmp_path, "nothing/here") == []


async def test_the_question_for_a_path_begins_with_the_logs_and_tab_completes(runs):
    (runs.root / "logs" / "nightly").mkdir(parents=True)
    (runs.root / "logs" / "nightly" / "one.log").write_text("Epoch 1: val_loss=0.5\n")
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("i")
        await sees(pilot, "logs/", "nightly/")
        await pilot.press("tab")
        assert pilot.app.screen.query_one(Input).value == "logs/nightly/"
        await sees(pilot, "one.log")
        await pilot.press("tab")
        assert pilot.app.screen.query_one(Input).value == "logs/nightly/one.log"


@pytest.fixture
def scored(ws):
    """Two runs on five pairs: none regressed, two fixed, one that both get wrong."""
    rows = [{"prompt": f"Say {n}.", "chosen": f"Yes {n}", "rejected": f"No {n}"} for n in range(5)]
    for part in ("train", "val"):
        (ws.data / part / "few_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from trainer.pairs import distinct_ids, read_rows

    ids = [row.id for row in distinct_ids(read_rows(ws.data / "val" / "few_pairs.jsonl"))]
    data = {"train": "data/train/few_pairs.jsonl", "val": "data/val/few_pairs.jsonl"}
    for number, margins in enumerate(((-1, -2, -1, 2, 3), (-1, 2, 1, 2, 3))):
        folder = support.make_run_folder(
            ws, name=f"run-{number}", created=support.START + number, config=support.config(data=data), fingerprints={}
        )
        (folder.path / "validation").mkdir()
        scores = [{"id": key, "chosen": margin, "rejected": 0.0} for key, margin in zip(ids, margins, strict=True)]
        (folder.path / "validation" / "epoch-3.jsonl").write_text("".join(json.dumps(one) + "\n" for one in scores))
    return ws


@pytest.mark.parametrize("size", SIZES)
async def test_pairs_open_at_the_first_kind_that_has_some_and_say_how_many_the_others_have(scored, size):
    async with opened(scored.root, size) as pilot:
        await pilot.press("G", "space", "k", "space", "c")
        await sees(pilot, "run-0", "run-1")
        await pilot.press("P")
        await screen_of(pilot, PairsScreen)
        text = await sees(pilot, "regressed 0", "fixed 2", "most wrong 1", "suspects")
        assert "Say 1." in text, "the fixed ones are shown"
        await pilot.press("left_square_bracket")
        await sees(pilot, "no pair is regressed")
        await pilot.press("right_square_bracket", "right_square_bracket")
        await sees(pilot, "−1.00 −1.00  Say 0.")


@pytest.mark.parametrize("size", SIZES)
async def test_a_toast_covers_neither_text_nor_keys_and_an_error_stays_until_a_key(runs, size, monkeypatch):
    monkeypatch.setattr(host, "LEAST_SECONDS", 0.0)
    async with opened(runs.root, size, toasts_drawn=True) as pilot:
        screen = pilot.app.screen
        before = screen.query_one("#body").size.height
        screen.complain(UserError("The run cannot start", "the port is taken", "choose another"))
        await sees(pilot, "The run cannot start", "the port is taken", "→ choose another")
        rack, keys, body = screen.query_one("ToastRack"), screen.query_one(KeyLine), screen.query_one("#body")
        await until(pilot, lambda: body.size.height < before)
        assert not rack.region.overlaps(keys.region) and not rack.region.overlaps(body.region)
        assert "help" in lines(pilot)[-1]
        assert toasts(pilot)[0].timeout > 3600
        await pilot.press("j")
        await until(pilot, lambda: not toasts(pilot) and body.size.height == before)
