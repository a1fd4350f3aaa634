"""Settings come from the log's own lines; then from the YAML beside it, where that is older than the run."""

from __future__ import annotations

import json
import os
from datetime import datetime

import pytest
from scipy import stats

from rmtui.cli import main
from rmtui.importers.log_settings import read_settings

DONE = "2026-11-20 21:14:02,511 - INFO - Epoch 1: train_loss=0.8755, val_loss=0.5928, val_acc=68.45%\n"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("2026-11-20 20:01:11,121 - INFO - learning_rate: 2e-05\n", {"learning_rate": 2e-5}),
        ("[INFO] LoRA r=16, alpha=32, dropout=0.1\n", {"lora.r": 16, "lora.alpha": 32, "lora.dropout": 0.1}),
        ("Namespace(lr=2e-05, num_train_epochs=3, lora_r=8, seed=7)\n",
         {"learning_rate": 2e-5, "num_epochs": 3, "lora.r": 8, "seed": 7}),
        ("args: learning_rate=3e-5 batch_size=16 lr_scheduler=cosine\n",
         {"learning_rate": 3e-5, "batch_size": 16, "lr_scheduler": "cosine"}),
        ('{"learning_rate": 1e-4, "lora": {"r": 4}}\n', {"learning_rate": 1e-4, "lora.r": 4}),
        ("{'learning_rate': 1e-05, 'max_length': 512}\n", {"learning_rate": 1e-5, "max_length": 512}),
        ("Using lr=1e-5 at rank=0 of world size: 8\n", {}),
        ("dropout=0.5 of the head\n", {}),
        ("step 10 loss=0.7 learning_rate=1e-6\nlearning_rate: 9e-5\n", {}),
        ("Epoch 1/2:   0%|  | 0/685 [loss=1.0644]\nseed: 3\n", {}),
        ("learning_rate: fast\nnum_epochs: -2\n", {}),
        ("{'loss': 0.66, 'learning_rate': 4.5e-06, 'epoch': 0.5}\n{'learning_rate': 2e-05}\n", {}),
        ("{'grad_norm': '1.2', 'learning_rate': '4.5e-06', 'epoch': '0.5'}\n", {}),
        ('{"current_steps": 10, "loss": 0.6, "learning_rate": 1e-06}\n', {}),
        ("{'learning_rate': 1e-05, 'loss': 'sigmoid', 'epochs': 3}\n", {"learning_rate": 1e-5, "num_epochs": 3}),
    ],
)  # fmt: skip
def test_what_the_first_lines_say(tmp_path, lines, wanted):
    log = tmp_path / "x.log"
    log.write_text(lines + DONE)
    assert read_settings(log).flat == wanted


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("2026-11-20 20:01:20,004 - INFO - Train pairs: 43,835  Val pairs: 2,354\n", 2354),
        ("Loaded 43835 train pairs and 2354 val pairs\n", 2354),
        ("num_eval_samples=2354, seed=1\n", 2354),
        ("Validation set size: 2,354\n", 2354),
        ("validation set: 2354 pairs (held out)\n", 2354),
        ("训练集：43835 对，验证集：2354 对\n", 2354),
        ("train/val pairs: 43835/2354\n", None),
        ("val_size: 0.1\n", None),
        ("validation size = 5 %\n", None),
        ("eval_batch_size: 8, max_eval_samples: 99\n", None),
        ("eval samples per second: 12\n", None),
        ("Epoch 1/2:  10%|#  | 10/68 [loss=1.06]\nVal pairs: 7\n", None),
    ],
)
def test_the_number_of_validation_pairs_is_that_of_the_line_that_counts_them(tmp_path, line, pairs):
    log = tmp_path / "x.log"
    log.write_text(line + DONE)
    assert read_settings(log).val_pairs == pairs


def test_the_interval_of_an_imported_val_acc_rests_on_the_pairs_that_its_log_counts(ws, tmp_path, capsys):
    log = tmp_path / "helpful_1.log"
    log.write_text("Train pairs: 43,835  Val pairs: 2,354\n" + DONE)
    assert main(["-C", str(ws.root), "import", str(log)]) == 0
    capsys.readouterr()
    assert main(["-C", str(ws.root), "show", "helpful_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"][0]["val_pairs"] == 2354
    assert main(["-C", str(ws.root), "advise", "helpful_1", "--lang", "en"]) == 0
    around = stats.binomtest(round(0.6845 * 2354), 2354).proportion_ci(method="wilson")
    assert f"(±{50 * (around.high - around.low):.1f})" in capsys.readouterr().out.split("\n")[0]


@pytest.fixture
def beside(ws, tmp_path):
    """A log that states its rate and LoRA, and a YAML beside it that says otherwise."""
    folder = tmp_path / "work"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "rm_config.yaml").write_text("learning_rate: 9e-5\nweight_decay: 0.01\nlora:\n  r: 32\n")
    log = folder / "helpful_1.log"
    log.write_text(
        "2026-11-20 20:01:11,121 - INFO - learning_rate: 2e-05\n2026-11-20 20:01:11 - INFO - LoRA r=32, alpha=64\n"
        + DONE
    )
    return ws, folder


def imported(ws, folder, capsys):
    assert main(["-C", str(ws.root), "import", str(folder)]) == 0
    said = capsys.readouterr().out
    assert main(["-C", str(ws.root), "show", "helpful_1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["config"], said


@pytest.mark.parametrize("older", [True, False])
def test_the_log_wins_and_the_yaml_counts_where_it_is_older_than_the_run(beside, capsys, older):
    ws, folder = beside
    moment = datetime.fromisoformat(f"2026-11-{19 if older else 21} 12:00:00").timestamp()
    os.utime(folder / "configs" / "rm_config.yaml", (moment, moment))
    config, said = imported(ws, folder, capsys)
    assert config["learning_rate"] == 2e-5 and config["lora"]["alpha"] == 64
    assert config.get("weight_decay") == (0.01 if older else None)
    assert "learning_rate: the log says 2e-5, rm_config.yaml 9e-5; the log's value is used" in said
    assert ("was changed after this run began" in said) is not older
    assert "lora.r: the log says" not in said
    assert main(["-C", str(ws.root), "show", "helpful_1"]) == 0
    assert "the log says 2e-5" in capsys.readouterr().out
