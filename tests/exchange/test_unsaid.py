"""What a log leaves open is not made up: per cent or a share, whose pairs an accuracy is of, of what it is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather


def read(tmp_path: Path, text: str, name: str = "train.log") -> Foreign:
    path = tmp_path / name
    path.write_text(text)
    (run,) = gather([path]).runs
    return run


def as_lines(values: list[str]) -> tuple[str, str]:
    return "".join(f"Epoch {at}: val_loss=0.6, val_acc={value}\n" for at, value in enumerate(values, 1)), "a.log"


def as_table(values: list[str]) -> tuple[str, str]:
    rows = "".join(f"{at},0.6,{value}\n" for at, value in enumerate(values, 1))
    return f"epoch,val_loss,val_acc\n{rows}", "a.csv"


def as_json_lines(values: list[str]) -> tuple[str, str]:
    rows = (
        f'{{"step": {at}, "epoch": {at}, "val_loss": 0.6, "val_acc": "{value}"}}\n'
        for at, value in enumerate(values, 1)
    )
    return "".join(rows), "a.jsonl"


@pytest.mark.parametrize("form", [as_lines, as_table, as_json_lines])
@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["61", "1", "63"], [0.61, None, 0.63]),
        (["61%", "1", "63%"], [0.61, None, 0.63]),
        (["61%", "1%", "63%"], [0.61, 0.01, 0.63]),
        (["0.61", "1", "0.63"], [0.61, 1.0, 0.63]),
        (["61", "0.62", "63"], [0.61, 0.62, 0.63]),
        (["61", "0.05", "0"], [0.61, None, 0.0]),
        (["0.61", "5", "0.63"], [0.61, None, 0.63]),
        (["1", "1", "0"], [1.0, 1.0, 0.0]),
        (["0.5%", "100%", "50%"], [0.005, 1.0, 0.5]),
        (["1.0000001", "0.5", "0.6"], [1.0, 0.5, 0.6]),
    ],
)
def test_a_value_that_may_be_one_or_a_hundred_per_cent_is_left_out_in_words(  # type: ignore[no-untyped-def]
    tmp_path: Path, form, values: list[str], wanted: list[float | None]
) -> None:
    run = read(tmp_path, *form(values))
    assert [row.val_acc for row in run.epochs] == pytest.approx(wanted)
    assert any("1 accuracy was ignored: per cent or a share" in note for note in run.notes) is (None in wanted)


def named(run: Foreign) -> dict[str, list[float]]:
    return {name: [value for _, value, _ in points] for name, points in run.series.items()}


def test_an_accuracy_of_named_pairs_is_neither_the_trainings_nor_the_validations(tmp_path: Path) -> None:
    epochs = "Epoch 1: train_loss=0.65\nhelpful: acc=0.71\nharmless: loss=0.6, acc=0.66\n"
    run = read(tmp_path, epochs)
    assert named(run) == {"helpful acc": [0.71], "harmless loss": [0.6], "harmless acc": [0.66]}
    assert [(row.train_loss, row.val_loss, row.val_acc) for row in run.epochs] == [(0.65, None, None)]
    columns = read(tmp_path, "Epoch 1 | train_loss=0.5 acc=0.8 | helpful: acc=0.71 | harmless: acc=0.66\n", "b.log")
    assert named(columns) == {"train_acc": [0.8], "helpful acc": [0.71], "harmless acc": [0.66]}


@pytest.mark.parametrize(
    "text",
    [
        "Epoch 1: train_loss=0.6\nValidation:\nhelpful: acc=0.71\nharmless: acc=0.66\n",
        "Epoch 1 | train_loss=0.6 | val helpful: acc=0.71 | val harmless: acc=0.66\n",
    ],
)
def test_of_two_labelled_validation_sets_the_first_is_the_validation(tmp_path: Path, text: str) -> None:
    run = read(tmp_path, text)
    assert [row.val_acc for row in run.epochs] == [0.71]
    assert named(run)["val_harmless acc"] == [0.66]


@pytest.mark.parametrize(
    "label", ["INFO", "trainer", "[rank0]", "rm_trainer", "Epoch metrics", "results", "worker1", "a.b"]
)
def test_who_speaks_is_no_set_of_pairs(tmp_path: Path, label: str) -> None:
    run = read(tmp_path, f"Epoch 1\n{label}: loss=0.65 acc=0.7\n")
    assert (run.epochs[0].train_loss, named(run)["train_acc"]) == (0.65, [0.7])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.log", "Epoch 1 acc=0.71\nEpoch 2 acc=0.72\n"),
        ("a.csv", "epoch,acc\n1,0.71\n2,0.72\n"),
        ("a.jsonl", '{"epoch": 1, "acc": 0.71}\n{"epoch": 2, "acc": 0.72}\n'),
    ],
)
def test_without_a_word_of_training_a_bare_accuracy_keeps_its_name(tmp_path: Path, name: str, text: str) -> None:
    assert named(read(tmp_path, text, name)) == {"acc": [0.71, 0.72]}


@pytest.mark.parametrize("name", ["eval_step_accuracy", "val_acc_step", "eval/batch_acc", "val_running_accuracy"])
def test_the_accuracy_of_one_batch_of_an_evaluation_is_not_the_evaluations(tmp_path: Path, name: str) -> None:
    rows = f'{{"step": 10, "loss": 0.6, "{name}": 0.9}}\n{{"step": 20, "loss": 0.5, "{name}": 0.4}}\n'
    assert named(read(tmp_path, rows, "a.jsonl"))[name] == [0.9, 0.4]
    assert "val_acc" not in named(read(tmp_path, rows, "b.jsonl"))


def test_a_process_reward_models_accuracy_is_of_steps(tmp_path: Path) -> None:
    bar = "Train step of epoch 0: 100%|##| 2/2 [00:01<00:01, prm_loss=0.6, acc=0.7, lr=1e-5]\n"
    end = "Eval stage of steps 1: 100%|##| 2/2 [00:01<00:01, eval prm_loss=0.5, eval acc=0.8]\n"
    found = named(read(tmp_path, bar + end))
    assert (found["val_loss"], found["val_step_acc"], found["train_step_acc"]) == ([0.5], [0.8], [0.7])
    assert found.keys().isdisjoint({"val_acc", "train_acc"})


def of_epochs(run: Foreign) -> list[tuple[float | None, float | None, float | None]]:
    return [(row.train_loss, row.val_loss, row.val_acc) for row in run.epochs]


@pytest.mark.parametrize(
    "text",
    [
        "Epoch 1: train_loss=0.6\nEvaluation Loss: 0.61, Accuracy: 0.66\n",
        "Epoch 1: train_loss=0.6\n[val] loss=0.61 acc=0.66\n",
        '{"epoch": 1, "split": "train", "loss": 0.6}\n{"epoch": 1, "split": "val", "loss": 0.61, "acc": 66.0}\n',
        "epoch=1 phase=train loss=0.6\nepoch=1 phase=eval loss=0.61 acc=0.66\n",
        "Epoch 1: train_loss=0.6\nvalidation set loss 0.61, validation set accuracy 66%\n",
        "Epoch 1: train_loss=0.6 val_loss=0.61 val_acc=0.66\nEarly stopping at target val_acc=0.9\n",
        "Epoch 1: train_loss=0.6 val_loss=0.61 val_acc=0.66 (improved from val_acc=0.5)\n",
        "Epoch 1: train_loss=0.6 val_loss=0.61 pairwise eval: acc=0.66 random acc=0.5\n",
        "Epoch 1: train_loss=0.6\nval_loss=0.61\nval_acc=0.66\nhelpful val_acc=0.7\nharmless val_acc=0.6\n",
        "Epoch 1: train_loss=0.6\n[val/helpful] loss=0.61 acc=0.66\n[val/harmless] loss=0.65 acc=0.6\n",
        "Epoch 1: train_loss=0.6\nEval on helpful: loss=0.61 acc=0.66\nEval on harmless: loss=0.65 acc=0.6\n",
        "Epoch 1: train_loss=0.6\nval_loss=0.61\nval_pairwise_accuracy=0.66\n",
    ],
)
def test_an_evaluations_figures_are_its_own_and_those_of_now(tmp_path: Path, text: str) -> None:
    assert of_epochs(read(tmp_path, text)) == [(0.6, 0.61, 0.66)]


def test_an_evaluation_at_a_step_in_chinese_gives_no_loss_of_the_training(tmp_path: Path) -> None:
    run = read(tmp_path, "Epoch 1/2\nStep 100 训练损失=0.65\nStep 100 评估结果: 损失=0.61, 准确率=0.66\n")
    assert (named(run)["val_loss"], named(run)["val_acc"]) == ([0.61], [0.66])
    assert "loss" not in named(run)


def test_lightnings_epoch_has_the_loss_of_the_epoch_and_not_of_its_last_batch(tmp_path: Path) -> None:
    bar = "Epoch 0: 100%|##| 10/10 [00:01<00:00, 9.0it/s, train_loss_step=0.3, val_loss=0.61, train_loss_epoch=0.6]\n"
    assert of_epochs(read(tmp_path, bar)) == [(0.6, 0.61, None)]


@pytest.mark.parametrize(("low", "high", "said"), [("0.55", "0.61", True), ("0.58", "0.58", False), ("", "", False)])
def test_a_panels_means_of_several_runs_are_called_so(tmp_path: Path, low: str, high: str, said: bool) -> None:
    heading = ",".join(f'"Grouped runs - val/acc{end}"' for end in ("", "__MIN", "__MAX"))
    path = tmp_path / "panel.csv"
    path.write_text(f'"Step",{heading}\n"100","0.58","{low}","{high}"\n')
    (run,) = gather([path]).runs
    assert [value for _, value, _ in run.series["val_acc"]] == [0.58]
    assert any("means between a MIN and a MAX" in note for note in run.notes) == said
