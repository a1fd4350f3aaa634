"""A source that evaluates by steps, never at an epoch's end, is advised on by its last evaluation inside the epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmtui.cli import main
from rmtui.workspace import Workspace


@pytest.fixture
def state(tmp_path: Path) -> Path:
    history = [{"epoch": step / 100, "step": step, "loss": 0.7 - step / 2000} for step in range(10, 101, 10)]
    history += [
        {"epoch": step / 100, "step": step, "eval_loss": 0.69 - step / 1000, "eval_accuracy": 0.5 + step / 800}
        for step in (20, 40, 80)
    ]
    document = {"global_step": 100, "max_steps": 100, "num_train_epochs": 1, "epoch": 1.0, "log_history": history}
    folder = tmp_path / "by_steps"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps(document))
    return folder


def test_advice_speaks_of_the_last_evaluation(ws: Workspace, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(ws.root), "import", str(state)]) == 0
    capsys.readouterr()
    assert main(["-C", str(ws.root), "advise", "by_steps", "--all"]) == 0
    said = capsys.readouterr().out
    assert "is 60.0 %, measured at epoch 0.8" in said and "is not known" not in said.replace("Its source does", "")
    assert main(["-C", str(ws.root), "show", "by_steps", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"][0]["val_acc"] is None, "an epoch's end was never evaluated"
