"""The first screen in a folder of work that is no workspace yet: one key takes it in, any part can be left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from app_pilot import NARROW, WIDE, opened, sees, shown, toasts, told, until

from rmtui.app.screens.empty import EmptyScreen
from rmtui.app.screens.home import HomeScreen
from rmtui.workspace import open_workspace

LOG = (
    "Epoch 1/2: train_loss=0.71, val_loss=0.66, val_acc=0.61\nEpoch 2/2: train_loss=0.64, val_loss=0.62, val_acc=0.66\n"
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("logs/first.log", "logs/second.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(LOG.replace("0.62", "0.6" + str(len(name))))
    (tmp_path / "rm_config.yaml").write_text("learning_rate: 2e-5\n")
    for side in ("train", "val"):
        (tmp_path / "data" / side).mkdir(parents=True)
        pair = {"prompt": "why?", "chosen": "because", "rejected": "no"}
        (tmp_path / "data" / side / "helpful_pairs.jsonl").write_text(json.dumps(pair) + "\n")
    return tmp_path


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_enter_takes_everything_in(work, size):
    async with opened(work, size) as pilot:
        await sees(pilot, "[x] 2 logs", "[x] rm_config.yaml", "[x] data set helpful", "enter takes in what is marked")
        assert not (work / "workspace.toml").exists()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await sees(pilot, "first", "second")
        await told(pilot, "preset rm_config")
        assert toasts(pilot)[-1].message.count("\n") == 0, "what went well takes one toast of one line"
    assert open_workspace(work).settings.data == "helpful"


async def test_a_part_is_left_out_with_space(work):
    async with opened(work, NARROW) as pilot:
        await sees(pilot, "[x] 2 logs")
        await pilot.press("space", "down", "down", "space")
        await sees(pilot, "[ ] 2 logs", "[x] rm_config.yaml", "[ ] data set helpful")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await told(pilot, "preset rm_config")
    assert list((work / "runs").iterdir()) == []
    assert (work / "presets/rm_config.toml").is_file() and open_workspace(work).settings.data == ""


async def test_with_everything_left_out_enter_makes_nothing(work):
    async with opened(work, NARROW) as pilot:
        await sees(pilot, "[x] 2 logs")
        await pilot.press("space", "down", "space", "down", "space", "enter")
        await sees(pilot, "[ ] data set helpful")
        assert isinstance(pilot.app.screen, EmptyScreen) and not (work / "workspace.toml").exists()


async def test_the_guides_runs_come_on_asking(tmp_path):
    async with opened(tmp_path, NARROW) as pilot:
        await sees(pilot, "Ways to start:")
        assert "[x]" not in shown(pilot)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await sees(pilot, "2 runs")
