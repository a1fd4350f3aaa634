"""Files of other programs: the same numbers as their own readers give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import make_workspace

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.importers import table_files, tensorboard, trainer_state
from rmtui.importers.sources import gather
from rmtui.importers.yaml_config import read_yaml

STATE = {
    "num_train_epochs": 2,
    "train_batch_size": 4,
    "log_history": [
        {"epoch": 0.5, "step": 10, "loss": 0.70, "learning_rate": 1e-5},
        {"epoch": 1.0, "step": 20, "loss": 0.60, "learning_rate": 5e-6},
        {"epoch": 1.0, "step": 20, "eval_loss": 0.58, "eval_accuracy": 0.70, "eval_margin": 0.4},
        {"epoch": 2.0, "step": 40, "loss": 0.50},
        {"epoch": 2.0, "step": 40, "eval_loss": 0.55, "eval_accuracy": 0.72},
        {"epoch": 2.0, "step": 40, "train_loss": 0.6, "train_runtime": 3.0},
    ],
}


def test_a_trainer_state_gives_epochs_steps_and_the_adapter(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoint-40"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps(STATE))
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 16, "lora_dropout": 0.05}))
    (folder / "training_args.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    run = trainer_state.read_state(folder / "trainer_state.json")
    assert run.name == "out"
    assert [(e.epoch, e.train_loss, e.val_loss, e.val_acc) for e in run.epochs] == [
        (1, pytest.approx(0.65), 0.58, 0.70),
        (2, 0.50, 0.55, 0.72),
    ]
    assert run.config == {"num_epochs": 2, "batch_size": 4, "lora": {"r": 8, "alpha": 16, "dropout": 0.05}}
    assert [point[:2] for point in run.series["learning_rate"]] == [(10.0, 1e-5), (20.0, 5e-6)]


def test_transformers_own_reader_gives_the_same_numbers(tmp_path: Path) -> None:
    """TRL's names: `accuracy` and `margin` are of a training step's pairs, `eval_…` of the validation set."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "out" / "checkpoint-40" / "trainer_state.json"
    path.parent.mkdir(parents=True)
    steps = [{"epoch": 0.5, "step": 10, "loss": 0.7012345678901234, "accuracy": 0.25, "margin": -0.1, "grad_norm": 2.5}]
    history = [*STATE["log_history"][:2], *steps, *STATE["log_history"][2:]]
    state = transformers.TrainerState(log_history=history, num_train_epochs=2, train_batch_size=4, global_step=40)
    state.save_to_json(str(path))
    held = transformers.TrainerState.load_from_json(str(path)).log_history
    run = trainer_state.read_state(path)
    theirs = {"loss": "loss", "learning_rate": "learning_rate", "train_acc": "accuracy", "train_margin": "margin"}
    theirs |= {"val_loss": "eval_loss", "val_acc": "eval_accuracy", "reward_margin": "eval_margin"}
    for ours, name in theirs.items():
        assert [point[:2] for point in run.series[ours]] == [(row["step"], row[name]) for row in held if name in row]


def test_of_many_checkpoints_the_newest_history_counts_once(tmp_path: Path) -> None:
    for step in (20, 40, 100):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps(STATE))
    (run,) = gather([tmp_path]).runs
    assert run.origin.parent.name == "checkpoint-100"


def test_tensorboards_own_writer_is_read_number_by_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    for step, value in enumerate([0.5, 0.25, 0.125]):
        scalar = Summary.Value(tag="eval/loss", simple_value=value)
        writer.add_event(Event(step=step, wall_time=1000.0 + step, summary=Summary(value=[scalar])))
    writer.close()
    run = tensorboard.read_events(*tensorboard.folders(tmp_path.iterdir()))
    assert list(run.series["val_loss"]) == [(0.0, 0.5, 1000.0), (1.0, 0.25, 1001.0), (2.0, 0.125, 1002.0)]


def test_a_torn_event_file_keeps_what_was_whole(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    test_tensorboards_own_writer_is_read_number_by_number(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    run = tensorboard.read_events(*tensorboard.folders([path]))
    assert [point[:2] for point in run.series["val_loss"]] == [(0.0, 0.5), (1.0, 0.25)]


def test_a_table_by_epoch_and_a_table_by_step(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("epoch,train_loss,val_acc\n1,0.9,68\n2,0.7,0.71\n")
    (tmp_path / "s.csv").write_text("Wall time,Step,Value\n1000,1,0.7\n1001,2,0.6\n")
    (by_epoch,) = table_files.read_table(tmp_path / "e.csv")
    assert [(e.train_loss, e.val_acc) for e in by_epoch.epochs] == [(0.9, 0.68), (0.7, 0.71)]
    (by_step,) = table_files.read_table(tmp_path / "s.csv")
    assert list(by_step.series["loss"]) == [(1.0, 0.7, 1000.0), (2.0, 0.6, 1001.0)]


def test_a_table_of_several_runs_is_several_runs(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("run,step,loss,val_acc\nA,1,0.7,\nB,1,0.9,\nA,2,0.6,0.7\n")
    first, second = table_files.read_table(tmp_path / "r.csv")
    assert (first.name, second.name) == ("A", "B")
    assert [point[:2] for point in first.series["loss"]] == [(1.0, 0.7), (2.0, 0.6)]
    assert [point[:2] for point in second.series["loss"]] == [(1.0, 0.9)]
    assert first.identity != second.identity
    assert not first.notes


def test_a_table_without_step_or_epoch_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column is named step or epoch"):
        table_files.read_table(tmp_path / "x.csv")


def test_yaml_numbers_that_yaml_takes_for_text_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rm_config.yaml"
    path.write_text(
        "num_epochs: 2\nlearning_rate: 1e-5\nlora:\n  r: 32\n  alpha: 64\nlora_dropout: 0.1\nwandb_project: x\n"
    )
    read = read_yaml(path)
    assert read.config == {"num_epochs": 2, "learning_rate": 1e-5, "lora": {"r": 32, "alpha": 64, "dropout": 0.1}}
    assert read.unknown == ("wandb_project",)


def test_yaml_that_unfolds_without_end_or_calls_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: &a [1]\nb: [*a, *a]\n")
    with pytest.raises(UserError, match="aliases"):
        read_yaml(path)
    path.write_text(f"a: !!python/object/apply:os.system ['touch {tmp_path}/pwned']\n")
    with pytest.raises(UserError):
        read_yaml(path)
    assert not (tmp_path / "pwned").exists()


def test_the_guides_folder_gives_runs_with_the_yaml_beside_the_newest(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "training" / "rm"
    logs.mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "rm_config.yaml").write_text("learning_rate: 2e-5\n")
    (logs / "helpful_1.log").write_text("Epoch 1: train_loss=0.8755, val_loss=0.5928, val_acc=68.45%\n")
    (logs / "broken.log.gz").write_bytes(b"\x1f\x8b\x08broken")
    harvest = gather([logs])
    assert [(run.name, run.config) for run in harvest.runs] == [("helpful_1", {"learning_rate": 2e-5})]
    assert len(harvest.unread) == 1 and "gzip" in harvest.unread[0]


def test_a_configuration_that_only_lies_somewhere_above_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "rm_config.yaml").write_text("learning_rate: 2e-5\n")
    below = tmp_path / "mine" / "logs"
    below.mkdir(parents=True)
    for folder in (tmp_path, below):
        (folder / "run.log").write_text("Epoch 1: train_loss=0.8755, val_loss=0.5928\n")
    assert gather([below / "run.log"]).runs[0].config == {}
    assert gather([tmp_path / "run.log"]).runs[0].config == {"learning_rate": 2e-5}


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="nowhere"):
        gather([Path("nowhere")])


@pytest.mark.parametrize(
    ("name", "text", "option", "said"),
    [
        ("rm_config.yaml", "learning_rate: 1e-5\n", [], "--as-preset NAME"),
        ("pairs.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n', [], "rmtui check FILE"),
        ("rm_config.yaml", "learning_rate: high\n", ["--as-preset", "mine"], "rm_config.yaml: learning_rate: 'high'"),
    ],
)
def test_what_cannot_be_imported_says_where_it_belongs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, option: list[str], said: str
) -> None:
    ws = make_workspace(tmp_path / "ws")
    (tmp_path / name).write_text(text)
    assert main(["-C", str(ws.root), "import", str(tmp_path / name), *option]) != 0
    assert said in capsys.readouterr().err
