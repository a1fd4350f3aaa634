"""What the guide says of keys, files, presets and paths, held against the program's own tables."""

from __future__ import annotations

import json

import pytest

from rmtui import presets
from rmtui.cli import main
from rmtui.guide import published_figures
from rmtui.guide.published_figures import better
from trainer.config import OPTIONS, flatten
from trainer.pairs import find_data


@pytest.mark.parametrize(
    "key",
    [
        "num_epochs",
        "learning_rate",
        "batch_size",
        "gradient_accumulation_steps",
        "lora.r",
        "lora.alpha",
        "lora.dropout",
    ],
)
def test_the_guides_keys_are_options(key):
    assert key in OPTIONS


def test_warmup_is_ten_per_cent_on_a_linear_schedule_with_cosine_as_the_alternative():
    assert OPTIONS["warmup_ratio"].default == 0.1 and OPTIONS["lr_scheduler"].default == "linear"
    assert "cosine" in OPTIONS["lr_scheduler"].meta.choices


@pytest.mark.parametrize("name", ["helpful", "harmless"])
def test_a_data_set_is_found_by_its_name(ws, name):
    for part in ("train", "val"):
        (ws.data / part / f"{name}_pairs.jsonl").write_text("{}\n")
    assert find_data(ws.root, name) == (
        ws.data / "train" / f"{name}_pairs.jsonl",
        ws.data / "val" / f"{name}_pairs.jsonl",
    )


@pytest.mark.parametrize(
    ("name", "purpose", "epochs", "rate", "batch", "accumulation", "dropout"),
    [
        ("A", "val_loss falls steadily", 3, 1.5e-5, 4, 2, 0.1),
        ("B", "is the learning rate the problem?", 2, 2e-5, 4, 2, 0.1),
        ("C", "long-run optimum", 3, 1.5e-5, 6, 2, 0.15),
    ],
)
def test_the_three_presets(ws, name, purpose, epochs, rate, batch, accumulation, dropout):
    preset = presets.find(ws, name)
    assert preset.purpose == purpose
    assert flatten(preset.config) == {
        "num_epochs": epochs,
        "learning_rate": rate,
        "batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.1,
        "lora.r": 32,
        "lora.alpha": 64,
        "lora.dropout": dropout,
    }


def test_of_a_figures_are_expected_and_of_b_and_c_none(ws):
    assert dict(presets.find(ws, "A").expect) == dict(published_figures.PRESET_A)
    assert not presets.find(ws, "B").expect and not presets.find(ws, "C").expect


def test_the_paths_are_the_guides():
    assert [(row.train_loss, row.val_loss, row.val_acc) for row in published_figures.IDEAL] == [
        (0.87, 0.59, 0.68),
        (0.67, 0.61, 0.71),
        (0.58, 0.57, 0.74),
        (0.52, 0.55, 0.76),
    ]
    assert [(row.train_loss, row.val_loss, row.val_acc) for row in published_figures.RATE_RAISED] == [
        (0.87, 0.59, 0.68),
        (0.65, 0.58, 0.72),
        (0.56, 0.54, 0.75),
    ]


def test_which_direction_is_better():
    assert better("val_acc", 0.01) is True and better("val_acc", -0.01) is False
    assert better("val_loss", -0.01) is True and better("train_loss", 0.01) is False
    assert better("val_acc", 0.0) is None and better("grad_norm", 1.0) is None


def test_the_lines_are_counted_and_the_first_rows_shown(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": f"Answer {n}", "rejected": f"Other {n}"} for n in range(7)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["check", str(file), "--head", "2"]) == 0
    page = capsys.readouterr().out
    assert "7" in page and "Question 1?" in page and "Answer 1" in page and "Question 2?" not in page
