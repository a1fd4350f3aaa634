"""Logs in the guide's format and the variants people really have."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rmtui.errors import UserError
from rmtui.importers.log_files import families, is_log
from rmtui.importers.log_files import read_log as read_logs
from rmtui.runs.model import Epoch

ONE = "Epoch 2: train_loss=0.67, val_loss=0.61, val_acc=71%"
WANTED = Epoch(2, train_loss=0.67, val_loss=0.61, val_acc=0.71)


def read(tmp_path: Path, text: str | bytes, name: str = "helpful_x.log") -> list[tuple[Epoch, ...]]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [run.epochs for run in read_logs([path])]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("logs/training/rm/helpful_20250101_120000.log", "helpful"),
        ("logs/training/rm/helpful_base_1.log.gz", "helpful_base"),
        ("logs/training/rm/helpful_x.log", "helpful"),
        ("logs/training/rm/rm.log", None),
        ("elsewhere/helpful_1.log", None),
    ],
)
def test_the_guides_log_names_its_data_set(tmp_path: Path, name: str, data: str | None) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(ONE.encode()) if name.endswith(".gz") else ONE.encode())
    assert [run.data for run in read_logs([path])] == [data]


@pytest.mark.parametrize(
    "text",
    [
        ONE,
        "Epoch 2/3 | train_loss=0.6700 | val_loss=0.6100 | val_acc=71.00%",
        "epoch: 2; val_acc: 0.71; val_loss: 0.61; train_loss: 0.67",
        "2025-03-01 10:22:07,113 INFO trainer Epoch [2/4] Train Loss: 0.67 Val Loss: 0.61 Val Acc: 71.0",
        "100%|██████████| 200/200 [03:10<00:00, 1.05it/s]\r" + ONE,
        "Epoch 2\n  train_loss 0.67\n  val_loss 0.61\n  val_acc 71 %",
        "{'eval_loss': 0.61, 'eval_accuracy': 0.71, 'train_loss': 0.67, 'epoch': 2.0}",
        "=== Epoch 2 ===\ntraining loss = 0.67\nvalidation loss = 0.61\nvalidation accuracy = 71%",
        "\x1b[32mEpoch 2\x1b[0m: train_loss=0.67, val_loss=0.61, val_acc=71%",
        ONE + "\x00\x00",
        ONE.replace(",", ";").upper() + "\r\n",
        "Epoch\t2\ttrain_loss\t0.67\tval_loss\t0.61\tval_acc\t71%",
        "Epoch (2/3) train-loss=0.67 val-loss=0.61 val-acc=71%",
        "Ep 2: trainLoss=0.67 valLoss=0.61 valAcc=71pct",
        "epoch_2: train_loss=0.67 val_loss=0.61 val_acc=71/100",
        "Epoch 2 finished. Training loss: 0.67. Validation loss: 0.61. Validation accuracy: 71%.",
        "Epoch 2: train_loss=0,67, val_loss=0,61, val_acc=71,0%",
        "Epoch 2：train_loss＝0.67，val_loss＝0.61，val_acc＝71％",
        "Epoch 2 | train: loss=0.67 acc=90% | val: loss=0.61 acc=71%",
        '{"epoch": 2, "train": {"loss": 0.67}, "val": {"loss": 0.61, "acc": 0.71}}',
        "Epoch 2/3\n10/10 [====] - 1s 2ms/step - loss: 0.67 - val_loss: 0.61 - val_accuracy: 0.71",
        "Epoch 2: train_loss=0.67, train acc=90%, val_loss=0.61, val_acc=71%, best val_acc=75%",
        "{'loss': '0.68', 'epoch': '1.5'}\n{'loss': '0.66', 'epoch': '2'}\n"
        "{'eval_loss': '0.61', 'eval_accuracy': '0.71', 'epoch': '2'}\n"
        "{'train_runtime': '12.3', 'train_loss': '0.8', 'epoch': '2'}",
        "第 2 轮：train_loss=0.67，val_loss=0.61，val_acc=71%",
        "第2个epoch\n训练损失：0.67\n验证损失：0.61\n验证准确率：71%",
        "[第2轮/共3轮] 训练损失为 0.67，验证损失为 0.61，验证准确率为 71%\n最佳轮次：第1轮，验证损失 0.6",
        "train_loss: 0.67\nval_loss: 0.61\nval_acc: 71%\nEpoch 2 done",
        "训练损失：0.67\n验证损失：0.61\n验证准确率：71%\n第 2/3 轮结束",
        "| epoch | train_loss | val_loss | val_acc |\n|---|---|---|---|\n| 2 | 0.67 | 0.61 | 71% |",
        "epoch | train loss | val loss | val acc\n:-: | --: | --: | --\n**2/3** | `0.67` | 0.61 | **71.0**\n",
        "| Training Loss | Epoch | Step | Validation Loss | Accuracy |\n|:---:|:---:|:---:|:---:|:---:|\n"
        "| 0.67 | 2.0 | 120 | 0.61 | 0.71 |",
    ],
)
def test_a_variant_of_the_guides_line_gives_its_figures(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [(WANTED,)]


def test_an_epoch_without_accuracy_keeps_it_unknown(tmp_path: Path) -> None:
    assert read(tmp_path, "Epoch 1: train_loss=0.9, val_loss=0.6") == [(Epoch(1, train_loss=0.9, val_loss=0.6),)]


def test_a_progress_bars_hundred_per_cent_is_no_accuracy(tmp_path: Path) -> None:
    (run,) = read(tmp_path, "Epoch 1: 100%|███| 10/10 train_loss=0.9\n")
    assert run == (Epoch(1, train_loss=0.9),)


def test_an_accuracy_that_makes_no_sense_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("Epoch 1: train_loss=0.9, val_acc=710%\n")
    (run,) = read_logs([path])
    assert run.epochs == (Epoch(1, train_loss=0.9),)
    assert "ignored: outside 0–1" in run.notes[0]


def test_a_steps_accuracy_never_stands_in_for_the_validations(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("Epoch 1: step 10 loss=0.7 acc=0.55\nEpoch 1: val_loss=0.6, val_acc=71%\nEpoch 1 acc=0.50\n")
    (run,) = read_logs([path])
    assert run.epochs == (Epoch(1, val_loss=0.6, val_acc=0.71),)
    assert next(iter(run.series["train_acc"])) == (10.0, 0.55, None)


def test_epochs_counted_from_zero_become_first_and_second(tmp_path: Path) -> None:
    (run,) = read(tmp_path, "Epoch 0: val_loss=0.6\nEpoch 1: val_loss=0.5\n")
    assert [(epoch.epoch, epoch.val_loss) for epoch in run] == [(1, 0.6), (2, 0.5)]


@pytest.mark.parametrize(
    "text",
    [
        '{"epoch": 0, "train_loss": 0.7, "val_loss": 0.6}\n{"epoch": 1, "train_loss": 0.65, "val_loss": 0.5}',
        "[rank0] Epoch 1: train_loss=0.7 val_loss=0.6\n[rank1] Epoch 1: train_loss=0.8 val_loss=0.6\n"
        "[rank1] Epoch 2: train_loss=0.8 val_loss=0.5\n[rank0] Epoch 2: train_loss=0.65 val_loss=0.5",
        "Epoch 1: train_loss=0.7 val_loss=0.6\nno improvement since epoch 1\nEpoch 2: train_loss=0.65 val_loss=0.5\n"
        "Best val_loss=0.6 (epoch 1)\nloading best model from epoch 1\n",
        "Epoch 1: train_loss=0.7 val_loss=0.6\nEpoch 2: train_loss=0.65\nno improvement since epoch 1\n"
        "Epoch 2: val_loss=0.5\n",
        "{'eval_loss': 0.69, 'epoch': 0}\n{'loss': 0.7, 'epoch': 0.5}\n{'eval_loss': 0.65, 'epoch': 0.5}\n"
        "{'eval_loss': 0.6, 'epoch': 1.0}\n{'loss': 0.65, 'epoch': 2.0}\n{'eval_loss': 0.5, 'epoch': 2.0}\n",
        "Epoch 1: train_loss=0.7 val_loss=0.6\nEpoch 2: train_loss=0.65 val_loss=0.5\ntest_loss=0.9 test",
    ],
    ids=["json from zero", "two ranks", "looking back", "looking back twice", "a Trainer's evaluations", "test set"],
)
def test_what_is_one_training_stays_one_with_its_own_figures(tmp_path: Path, text: str) -> None:
    first, second = Epoch(1, train_loss=0.7, val_loss=0.6), Epoch(2, train_loss=0.65, val_loss=0.5)
    assert read(tmp_path, text) == [(first, second)]


BEFORE = "train_loss: 0.7\nval_loss: 0.6\nEpoch 1{}\ntrain_loss: 0.65\nval_loss: 0.5\nEpoch 2{}\n"
BOTH = (Epoch(1, train_loss=0.7, val_loss=0.6), Epoch(2, train_loss=0.65, val_loss=0.5))


def told(tmp_path: Path, text: str) -> tuple[tuple[Epoch, ...], tuple[str, ...]]:
    path = tmp_path / "a.log"
    path.write_text(text)
    (run,) = read_logs([path])
    return run.epochs, run.notes


@pytest.mark.parametrize("word", [" done", "", " finished in 3 min", "/2"])
def test_figures_before_their_epochs_line_are_that_epochs(tmp_path: Path, word: str) -> None:
    assert told(tmp_path, BEFORE.format(word, word)) == (BOTH, ())
    assert told(tmp_path, BEFORE.format(word, word) + "no improvement since epoch 1\nTraining finished\n") == (BOTH, ())


def test_what_a_cut_off_log_has_of_a_further_epoch_is_said_and_given_to_none(tmp_path: Path) -> None:
    epochs, notes = told(tmp_path, BEFORE.format("", "") + "train_loss: 0.6\n")
    assert epochs == BOTH and notes[0].startswith("1 value was ignored: written after the last epoch line")


def test_an_evaluation_before_the_training_moves_no_figure(tmp_path: Path) -> None:
    text = "val_loss: 0.69\nEpoch 1\ntrain_loss: 0.7\nval_loss: 0.6\nEpoch 2\ntrain_loss: 0.65\nval_loss: 0.5\n"
    epochs, notes = told(tmp_path, text)
    assert epochs == BOTH and notes[0].startswith("1 value was ignored")


def test_steps_between_two_epochs_of_this_order_are_of_neither(tmp_path: Path) -> None:
    first, second = BEFORE.format("", "").split("Epoch 1")
    text = f"step 1 train_loss=0.9\n{first}Epoch 1\nstep 2 train_loss=0.8\n{second.strip()}\n"
    assert told(tmp_path, text) == (BOTH, ())


def test_a_second_training_in_a_log_of_this_order_begins_with_its_own_figures(tmp_path: Path) -> None:
    assert read(tmp_path, BEFORE.format(" done", " done") * 2) == [BOTH, BOTH]


def test_the_words_of_the_epochs_decide_where_both_orders_fit(tmp_path: Path) -> None:
    text = "val_loss: 0.7\nEpoch 1{}\nval_loss: 0.6\nEpoch 2{}\n"
    assert [epoch.val_loss for epoch in told(tmp_path, text.format(" done", " done"))[0]] == [0.7, 0.6]
    assert [epoch.val_loss for epoch in told(tmp_path, text.format(" begins", " begins"))[0]] == [0.6]


def test_figures_that_no_order_places_are_left_out_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("val_loss: 0.7\nEpoch 1\nval_loss: 0.6\nEpoch 2\n")
    with pytest.raises(UserError, match="2 values were ignored: unclear"):
        read_logs([path])
    path.write_text("val_loss: 0.7\nEpoch 1: train_loss=0.9\nval_loss: 0.6\nEpoch 2: train_loss=0.8\n")
    (run,) = read_logs([path])
    assert run.epochs == (Epoch(1, train_loss=0.9), Epoch(2, train_loss=0.8))
    assert run.notes[0].startswith("2 values were ignored: unclear")


def test_a_table_ends_where_its_lines_do(tmp_path: Path) -> None:
    text = (
        "| epoch | val_loss |\n|---|---|\n| 1 | 0.6 |\n| 2 | – |\n100%|███| 9/10\n| 3 | 0.4 |\nEpoch 2: val_loss=0.5\n"
    )
    assert [(epoch.epoch, epoch.val_loss) for epoch in told(tmp_path, text)[0]] == [(1, 0.6), (2, 0.5)]


def test_an_accuracy_of_training_is_none_of_validation(tmp_path: Path) -> None:
    assert read(tmp_path, "Epoch 1: train_loss=0.9, train acc: 90%") == [(Epoch(1, train_loss=0.9),)]
    assert read(tmp_path, "Epoch 1: train_loss=0.9, acc: 90%") == [(Epoch(1, train_loss=0.9),)]


def test_parts_named_by_dates_are_read_oldest_first(tmp_path: Path) -> None:
    for name, loss in (("rm.log-20260102.gz", 0.5), ("rm.log-20260101", 0.6), ("rm.log", 0.4)):
        text = f"Epoch {round(7 - 10 * loss)}: val_loss={loss}\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    (parts,) = families(path for path in tmp_path.iterdir() if is_log(path))
    assert [part.name for part in parts] == ["rm.log-20260101", "rm.log-20260102.gz", "rm.log"]
    (run,) = read_logs(parts)
    assert [epoch.val_loss for epoch in run.epochs] == [0.6, 0.5, 0.4]


def test_a_training_started_anew_in_the_same_log_is_a_second_run(tmp_path: Path) -> None:
    text = "Epoch 1: val_loss=0.6\nEpoch 2: val_loss=0.5\nEpoch 1: val_loss=0.7\nEpoch 2: val_loss=0.4\n"
    first, second = read(tmp_path, text)
    assert [epoch.val_loss for epoch in first] == [0.6, 0.5]
    assert [epoch.val_loss for epoch in second] == [0.7, 0.4]


def test_a_resumed_epoch_is_told_by_its_later_figures(tmp_path: Path) -> None:
    text = "Epoch 1: val_loss=0.6\nEpoch 2: val_loss=0.5\nresuming\nEpoch 2: val_loss=0.45\nEpoch 3: val_loss=0.44\n"
    (run,) = read(tmp_path, text)
    assert [epoch.val_loss for epoch in run] == [0.6, 0.45, 0.44]


def test_rotated_and_packed_parts_are_one_log_oldest_first(tmp_path: Path) -> None:
    (tmp_path / "rm.log").write_text("Epoch 3: val_loss=0.4\n")
    (tmp_path / "rm.log.1").write_text("Epoch 2: val_loss=0.5\n")
    with gzip.open(tmp_path / "rm.log.2.gz", "wt") as file:
        file.write("Epoch 1: val_loss=0.6\n")
    (parts,) = families(path for path in tmp_path.iterdir() if is_log(path))
    (run,) = read_logs(parts)
    assert run.name == "rm"
    assert [epoch.val_loss for epoch in run.epochs] == [0.6, 0.5, 0.4]


def test_a_line_without_end_is_cut_and_the_next_is_read(tmp_path: Path) -> None:
    (run,) = read(tmp_path, b"x" * (5 << 20) + b"\n" + ONE.encode())
    assert run == (WANTED,)


def test_steps_of_a_log_become_a_series(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("Epoch 1/2\nstep 10 loss=0.69 lr=1e-5\nstep 20 loss=0.66 lr=2e-5\nEpoch 1: val_loss=0.6\n")
    (run,) = read_logs([path])
    assert list(run.series["loss"]) == [(10.0, 0.69, None), (20.0, 0.66, None)]
    assert run.config == {"num_epochs": 2}
