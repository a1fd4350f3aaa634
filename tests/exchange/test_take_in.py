"""A folder of work that is no workspace yet: what is found in it, taken in, or left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmtui.cli import main
from rmtui.operations.take_in import MOST_OF_A_FOLDER, look, take_in
from rmtui.runs.folder import run_folders

LOG = (
    "Epoch 1/2: train_loss=0.71, val_loss=0.66, val_acc=0.61\nEpoch 2/2: train_loss=0.64, val_loss=0.62, val_acc=0.66\n"
)
PAIR = json.dumps({"prompt": "why?", "chosen": "because", "rejected": "no"}) + "\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two logs, a YAML, a data set, a base model, and what is none of it."""
    root = tmp_path / "work"
    for folder in ("logs/rm", "configs", "data/train", "data/val", "models/base", "scripts", ".git"):
        (root / folder).mkdir(parents=True)
    (root / "logs/rm/first.log").write_text(LOG)
    (root / "logs/rm/second.log").write_text(LOG.replace("0.66", "0.65"))
    (root / "logs/rm/server.log").write_text("listening on port 80\n")
    (root / "configs/rm_config.yaml").write_text("learning_rate: 2e-5\nnum_epochs: 2\n")
    (root / "configs/compose.yaml").write_text("services:\n  web:\n    image: nginx\n")
    (root / "data/train/helpful_pairs.jsonl").write_text(PAIR)
    (root / "data/val/helpful_pairs.jsonl").write_text(PAIR)
    (root / "models/base/config.json").write_text('{"model_type": "llama"}')
    (root / "models/base/model.safetensors").write_bytes(b"")
    (root / ".git/old.log").write_text(LOG)
    return root


def labels(root: Path) -> list[str]:
    return [part.label for part in look(root).parts]


def test_logs_settings_data_and_model_are_found(work):
    assert labels(work) == ["2 logs", "configs/rm_config.yaml", "data set helpful", "model models/base"]
    assert not (work / "workspace.toml").exists(), "a look writes nothing"


def test_what_is_taken_in_is_there_to_work_with(work, capsys):
    assert main(["init", str(work)]) == 0
    assert "2 logs, configs/rm_config.yaml, data set helpful, model models/base" in capsys.readouterr().out
    assert main(["-C", str(work), "ls", "--json"]) == 0
    assert {run["name"] for run in json.loads(capsys.readouterr().out)} == {"first", "second"}
    assert main(["-C", str(work), "presets", "rm_config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["learning_rate"] == 2e-5
    settings = (work / "workspace.toml").read_text()
    assert '\ndata = "helpful"\n' in settings and '\nmodel = "models/base"\n' in settings


def test_any_part_can_be_left_out(work, capsys):
    assert main(["init", str(work), "--without", "runs", "--without", "model"]) == 0
    assert list(run_folders(work / "runs")) == []
    settings = (work / "workspace.toml").read_text()
    assert '\ndata = "helpful"\n' in settings and '\nmodel = "' not in settings
    assert (work / "presets/rm_config.toml").is_file()


def test_bare_takes_nothing_and_the_guides_runs_come_on_asking(work, tmp_path, capsys):
    assert main(["init", str(work), "--bare"]) == 0
    assert list(run_folders(work / "runs")) == [] and not (work / "presets/rm_config.toml").exists()
    assert main(["init", str(tmp_path / "new")]) == 0
    assert list(run_folders(tmp_path / "new" / "runs")) == []
    assert main(["init", str(tmp_path / "other"), "--guide"]) == 0
    assert len(list(run_folders(tmp_path / "other" / "runs"))) == 2


def test_init_of_a_workspace_does_not_take_in_again(work, capsys):
    assert main(["init", str(work), "--without", "runs"]) == 0
    assert main(["init", str(work)]) == 0
    assert list(run_folders(work / "runs")) == []


def test_an_output_folder_is_one_training_with_its_checkpoints(tmp_path):
    out = tmp_path / "saves/rm"
    history = [{"step": 10 * n, "epoch": n / 2, "loss": 0.7 - n / 50} for n in range(1, 5)]
    state = {"log_history": history, "global_step": 40, "epoch": 2.0, "max_steps": 40, "num_train_epochs": 2}
    for folder in (out, out / "checkpoint-20", out / "checkpoint-40"):
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps(state))
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")
    assert labels(tmp_path) == ["training output saves/rm"], "its own model is no base to start from"
    assert [run.name for run in take_in(tmp_path, look(tmp_path).parts).runs] == ["rm"]


def test_two_models_are_shown_and_neither_becomes_the_default(work):
    shutil.copytree(work / "models/base", work / "models/large")
    assert labels(work)[-2:] == ["model models/base", "model models/large"]
    taken = take_in(work, look(work).parts)
    assert taken.settings == ('data = "helpful"',)


def test_an_empty_folder_holds_nothing(tmp_path):
    assert look(tmp_path).parts == () and not look(tmp_path).bounded


def test_a_folder_of_many_files_hides_nothing_beside_it(work):
    many = work / "images"
    many.mkdir()
    for number in range(MOST_OF_A_FOLDER + 1):
        (many / f"{number:05}.png").touch()
    found = look(work)
    assert found.bounded and found.parts[0].label == "2 logs"


def test_a_deep_or_endless_tree_is_looked_at_in_part(work):
    place = work / "a"
    for _ in range(40):
        place = place / "b"
    place.mkdir(parents=True)
    (work / "loop").symlink_to(work, target_is_directory=True)
    found = look(work)
    assert found.bounded and len(found.parts) == 4


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_found(work, monkeypatch, capsys):
    import os

    scandir = os.scandir

    def refusing(place):
        if Path(place).name == "scripts":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    found = look(work)
    assert [path.name for path in found.unreadable] == ["scripts"] and len(found.parts) == 4
    assert main(["init", str(work)]) == 0
    assert f"not read: {work / 'scripts'}" in capsys.readouterr().err
