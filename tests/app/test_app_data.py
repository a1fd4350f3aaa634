"""Preference data of others in the app: fields that a person names, names on the hub, metrics by validation file."""

from __future__ import annotations

import json

import pytest
import support
from app_pilot import WIDE, opened, sees, shown, type_text, until

from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.launch import LaunchScreen
from rmtui.app.widgets.form.form import Form
from trainer.events import Event


@pytest.fixture
def ready(ws):
    """A workspace with a model folder, whose pairs are in a table of nobody's layout."""
    for part, count in (("train", 12), ("val", 5)):
        rows = [{"ask": f"Hello {part} {n}?", "up": f"Hello, number {n}!", "down": f"No {n}."} for n in range(count)]
        (ws.data / part / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = ws.root / "models" / "m"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "models/m"\ndata = "tiny"\nprocesses = 1\n')
    return ws


async def screen_of(pilot, kind):
    return await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, kind) else None)


async def form_of_a(pilot):
    await pilot.press("n", "enter")
    screen = await screen_of(pilot, FormScreen)
    await until(pilot, lambda: screen.query_one(Form).texts()["num_epochs"])
    return screen, screen.query_one(Form)


async def test_fields_typed_into_the_form_make_a_file_of_nobodys_layout_readable(ready):
    async with opened(ready.root, WIDE) as pilot:
        screen, form = await form_of_a(pilot)
        await pilot.press("v")
        form.focus_key("data.fields")
        await pilot.pause()
        await pilot.press("enter")
        await type_text(pilot, "prompt=ask,chosen=up")
        await pilot.press("enter")
        await sees(pilot, "neither chosen and rejected")
        await pilot.press("enter", "end")
        await type_text(pilot, ",rejected=down")
        await pilot.press("enter")
        await until(pilot, lambda: screen.planned and screen.planned.plan.derived)
        assert screen.planned.plan.derived.train_pairs == 12
        assert screen.planned.plan.spec["config"]["data"]["fields"] == {
            "prompt": "ask",
            "chosen": "up",
            "rejected": "down",
        }
        await pilot.press("ctrl+r")
        launch = await screen_of(pilot, LaunchScreen)
        await until(pilot, lambda: launch.planned and not launch.planned.plan.errors)
        await sees(pilot, "data.train is read as given fields", "chosen ← up")


async def test_a_form_asks_no_hub_while_one_types(ready, monkeypatch):
    monkeypatch.setattr("trainer.hub.COMMAND", ("false",))
    async with opened(ready.root, WIDE) as pilot:
        _, form = await form_of_a(pilot)
        form.set_text("data.train", "hf:org/prefs@train")
        await sees(pilot, "hf:org/prefs@train is on the hub")
        await pilot.press("ctrl+r")
        await sees(pilot, "hf:org/prefs@train: it could")


async def test_metrics_by_validation_file_are_among_the_details(ws):
    figures = {"val_pairs": 50, "val_ties": 0}
    sets = {"": (0.61, 0.68), "val/helpful": (0.5512, 0.72), "val/harmless": (0.6688, 0.64)}
    events = support.training()
    end = events.pop()
    for name, (loss, accuracy) in sets.items():
        told = {**figures, "val_loss": loss, "val_acc": accuracy}
        events.append(Event("eval", end.t, 60, 3.0, told, {"set": name} if name else {}))
    support.make_run_folder(ws, name="mixed", events=[*events, end])
    support.make_run_folder(ws, name="plain", created=support.START - 3600)
    async with opened(ws.root, WIDE) as pilot:
        await pilot.press("enter", "5")
        await sees(pilot, "val/helpful   val_loss 0.5512 val_acc 72.0 of 50 pairs", "val/harmless  val_loss 0.6688")
        await pilot.press("escape", "escape", "down", "enter", "5")
        await sees(pilot, "plain", "attempts")
        assert "validation sets" not in shown(pilot)
