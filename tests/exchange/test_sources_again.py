"""Imported runs and their sources: read again with today's readers, several files about one training, provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import make_workspace

from rmtui.cli import main
from rmtui.importers.sources import gather
from rmtui.index.add_imported import add_imported
from rmtui.operations.runs import reading, set_note, show
from rmtui.runs.model import Epoch
from rmtui.workspace import Workspace

LOG = (
    "{'loss': 0.69, 'rewards/accuracies': 0.9, 'learning_rate': 1e-05, 'epoch': 0.5}\n"
    "{'eval_loss': 0.67, 'eval_rewards/accuracies': 0.58, 'epoch': 0.5}\n"
    "{'loss': 0.66, 'rewards/accuracies': 1.0, 'learning_rate': 1e-05, 'epoch': 1.0}\n"
    "{'eval_loss': 0.65, 'eval_rewards/accuracies': 0.61, 'epoch': 1.0}\n"
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "ws")


def shown(ws: Workspace, run_id: str) -> Any:
    with reading(ws) as index:
        return show(index, run_id)


def test_an_old_import_stays_and_can_be_read_again(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "rm.log"
    log.write_text(LOG)
    origin = {"kind": "guide-log", "source": str(log), "digest": "old", "created": 1.0}
    wrong = Epoch(1, train_loss=0.66, val_loss=0.65, val_acc=1.0)  # as a reader of before took the training's accuracy
    run_id = add_imported(ws, {"name": "rm", "config": {}}, [wrong], {}, origin)
    assert shown(ws, run_id)["best"]["val_acc"] == 1.0
    set_note(ws, run_id, "mine")
    assert main(["-C", str(ws.root), "import", "--again", "rm", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert "best val_acc: 1.0 → 0.61" in changes
    now = shown(ws, run_id)
    assert [(one["epoch"], one["val_acc"]) for one in now["evaluations"]] == [(0.5, 0.58), (1.0, 0.61)]
    assert now["note"] == "mine" and now["id"] == run_id
    assert now["origin"]["metrics"]["val_acc"] == "eval_rewards/accuracies"
    assert main(["-C", str(ws.root), "import", "--again", "rm"]) == 0
    assert "nothing changed" in capsys.readouterr().out


def test_of_several_trainings_in_a_source_the_one_is_read_again_that_the_run_is(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As workspaces of before have them: runs whose origin does not say which training of the source they are."""
    log = tmp_path / "rm.log"
    log.write_text(LOG + LOG.replace("0.58", "0.51").replace("0.61", "0.55").replace("0.6", "0.7"))
    origin = {"kind": "guide-log", "source": str(log), "created": 1.0}
    second = add_imported(ws, {"name": "late", "config": {}}, [Epoch(1, val_acc=0.55)], {}, origin | {"digest": "b"})
    assert main(["-C", str(ws.root), "import", "--again", "late", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert shown(ws, second)["best"]["val_acc"] == 0.55
    assert any(change.startswith("the source also holds rm-1") for change in changes)
    first = add_imported(ws, {"name": "early", "config": {}}, [Epoch(1, val_acc=0.61)], {}, origin | {"digest": "a"})
    part = add_imported(ws, {"name": "part", "config": {}}, [Epoch(1, val_acc=0.58)], {}, origin | {"digest": "c"})
    assert main(["-C", str(ws.root), "import", "--again", "early"]) == 0
    assert f"part ({part}) is the same training" in capsys.readouterr().out
    assert shown(ws, first)["best"]["val_acc"] == 0.61


def test_a_source_that_is_gone_cannot_be_read_again(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "rm.log"
    log.write_text(LOG)
    assert main(["-C", str(ws.root), "import", str(log)]) == 0
    log.unlink()
    assert main(["-C", str(ws.root), "import", "--again", "rm"]) == 2
    assert "is gone" in capsys.readouterr().err


def test_later_checkpoints_are_the_run_that_the_first_one_made(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (20, 40):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        history = [{"epoch": at / 20, "step": at, "eval_loss": 0.7 - at / 100} for at in range(20, step + 1, 20)]
        state = {"global_step": step, "epoch": step / 20, "log_history": history}
        (folder / "trainer_state.json").write_text(json.dumps(state))
        assert main(["-C", str(ws.root), "import", str(tmp_path / "out")]) == 0
    with reading(ws) as index:
        (run,) = index.runs()
    assert [one["epoch"] for one in shown(ws, run.id)["evaluations"]] == [1, 2]
    first, second = (tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json" for step in (20, 40))
    first.unlink()
    assert main(["-C", str(ws.root), "import", "--again", run.id]) == 0
    assert main(["-C", str(ws.root), "import", str(second)]) == 0
    with reading(ws) as index:
        assert len(index.runs()) == 1


def test_show_says_what_a_metric_is_called_in_its_source(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "rm.log"
    log.write_text(LOG)
    assert main(["-C", str(ws.root), "import", str(log)]) == 0
    assert "log of a transformers Trainer, 2 evaluations" in capsys.readouterr().out
    assert main(["-C", str(ws.root), "show", "rm"]) == 0
    assert "val_acc ← eval_rewards/accuracies" in capsys.readouterr().out


def test_checkpoints_and_summaries_of_one_training_are_one_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for step in (100, 200):
        folder = out / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        history = [
            {"epoch": at / 100, "step": at, "eval_loss": round(0.7 - at / 1000, 3)} for at in range(100, step + 1, 100)
        ]
        state = {"global_step": step, "max_steps": 200, "epoch": step / 100, "log_history": history[: step // 100]}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    (out / "all_results.json").write_text('{"epoch": 2.0, "eval_loss": 0.5, "train_loss": 0.6, "train_runtime": 1.0}')
    (out / "trainer_log.jsonl").write_text('{"current_steps": 100, "total_steps": 200, "loss": 0.6, "epoch": 1.0}\n')
    (out / "model.safetensors").write_bytes(b"weights")
    harvest = gather([out])
    (run,) = harvest.runs
    assert [epoch.val_loss for epoch in run.epochs] == [0.6, 0.5]
    reasons = " ".join(harvest.skipped)
    for reason in ("older checkpoint", "all_results.json", "trainer_log.jsonl", "model files"):
        assert reason in reasons


def test_of_a_log_and_a_summary_that_reach_as_far_the_log_counts(tmp_path: Path) -> None:
    files = tmp_path / "wandb" / "run-20260105_100000-ab12cd34" / "files"
    files.mkdir(parents=True)
    (files / "output.log").write_text(LOG)
    (files / "wandb-summary.json").write_text('{"train/epoch": 1.0, "train/global_step": 50, "eval/loss": 0.65}')
    (run,) = gather([tmp_path / "wandb"]).runs
    assert [value for _, value, _ in run.series["val_loss"]] == [0.67, 0.65]


@pytest.mark.parametrize(
    ("name", "text", "ends"),
    [
        ("keras.csv", "epoch,loss,val_loss\n0,0.68,0.67\n1,0.63,0.64\n", {1: 0.67, 2: 0.64}),
        ("own.csv", "epoch,loss,val_loss\n1,0.68,0.67\n2,0.63,0.64\n", {1: 0.67, 2: 0.64}),
        ("pl.csv", "epoch,step,loss,val_loss\n0,49,.68,\n0,99,,0.67\n1,149,.6,\n1,199,,0.64\n", {1: 0.67, 2: 0.64}),
        ("cut.csv", "epoch,step,loss,val_loss\n0,49,.68,\n0,99,,0.67\n1,149,.6,0.65\n", {1: 0.67}),
        ("german.csv", "epoch;loss;val_loss\n1;0,68;0,67\n2;0,63;0,64\n", {1: 0.67, 2: 0.64}),
        ("split.csv", "epoch,split,loss\n1,train,0.68\n1,val,0.67\n2,train,0.63\n2,val,0.64\n", {1: 0.67, 2: 0.64}),
        ("fast.log", "epoch     train_loss  valid_loss  time\n0         0.68  0.67  00:12\n1    0.63  0.64  00:12\n",
         {1: 0.67, 2: 0.64}),
    ],
)  # fmt: skip
def test_epochs_are_counted_as_the_source_counts_them(
    name: str, text: str, ends: dict[int, float], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    (run,) = gather([tmp_path / name]).runs
    assert {epoch.epoch: epoch.val_loss for epoch in run.epochs if epoch.val_loss is not None} == ends
