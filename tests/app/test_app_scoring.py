"""Evaluating from the app: its percentage in the top line of every screen, its end, and its end before the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import support
from app_pilot import NARROW, opened, sees, shown, told, until

from rmtui.app.screens.run import RunScreen

SCORER = """
import json, os, sys, time
from pathlib import Path
from trainer.events import Event, encode
sys.stderr.buffer.write(b"loading\\n" + encode(Event("progress", 0.0, data={"done": 3, "of": 8})))
sys.stderr.flush()
gate = Path(os.environ["GATE"])
(gate / "pid").write_text(str(os.getpid()))
while not (gate / "go").exists():
    time.sleep(0.01)
print(json.dumps({"accuracy": 0.75, "interval": [0.5, 0.9], "pairs": 8}))
"""


@pytest.fixture
def scorer(ws, tmp_path, monkeypatch):
    """A run that can be evaluated by a stand-in for the trainer, which waits at 37 % until `go` is there."""
    (ws.data / "val" / "tiny_pairs.jsonl").touch()
    support.make_run_folder(ws, name="good", config=support.config(data={"val": "data/val/tiny_pairs.jsonl"}))
    monkeypatch.setenv("GATE", str(tmp_path))
    monkeypatch.setattr("rmtui.operations.score.model_folder", lambda *_: tmp_path)
    monkeypatch.setattr("rmtui.operations.score.trainer_command", lambda _: [sys.executable, "-c", SCORER])
    return tmp_path


async def test_an_evaluation_says_its_percentage_on_every_screen_and_then_val_acc(ws, scorer):
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("V")
        top = (await sees(pilot, "37 %")).split("\n")[0]
        assert "scoring good 37 % · ^g cancels" in top and "…" not in top.partition("1 run  ")[2]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        assert "scoring good 37 % · ^g cancels" in (await sees(pilot, "37 %", "good")).split("\n")[0]
        (scorer / "go").touch()
        await told(pilot, "good: val_acc 75.0 (50.0–90.0) of 8 pairs")
        await until(pilot, lambda: "37 %" not in shown(pilot))


async def test_a_cancelled_evaluation_is_a_process_no_more(ws, scorer):
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("V")
        await sees(pilot, "37 %")
        pid = int((scorer / "pid").read_text())
        await pilot.press("ctrl+g")
        await told(pilot, "cancelled: scoring good")
        await until(pilot, lambda: not Path(f"/proc/{pid}").exists())
        await until(pilot, lambda: "37 %" not in shown(pilot))
