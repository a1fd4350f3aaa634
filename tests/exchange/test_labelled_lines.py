"""Lines of scripts that nobody knows: whose figures they are, by what stands before them on the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather

LINES = {
    "INFO:root:Evaluation at step 200: pairwise accuracy 0.63, loss 0.64": {"val_acc": 0.63, "val_loss": 0.64},
    "[Eval] step 200 | loss 0.64 | acc 0.61": {"val_loss": 0.64, "val_acc": 0.61},
    "Validation results @ step 200: loss 0.64, accuracy 0.7": {"val_loss": 0.64, "val_acc": 0.7},
    "evaluate step=200 loss=0.64 acc=0.61": {"val_loss": 0.64, "val_acc": 0.61},
    "dev set, iteration 200: loss 0.64, acc 0.61": {"val_loss": 0.64, "val_acc": 0.61},
    "step 200: loss 0.66, acc 0.58, eval at step 200: loss 0.64, acc 0.61": {
        "loss": 0.66,
        "train_acc": 0.58,
        "val_loss": 0.64,
        "val_acc": 0.61,
    },
    "评估 step 200: loss 0.64, 准确率 0.61": {"val_loss": 0.64, "val_acc": 0.61},
    "Train step 200: loss 0.64, acc 0.61": {"loss": 0.64, "train_acc": 0.61},
    "step 200 | next eval at step 400 | loss 0.64 | acc 0.61": {"loss": 0.64, "train_acc": 0.61},
    "step 200 | loss:0.64 lr:2e-05 rewards/accuracies:0.61": {"loss": 0.64, "learning_rate": 2e-5, "train_acc": 0.61},
    "iter 200: train loss 0.66, val loss 0.64, val acc 61.0%": {"train_loss": 0.66, "val_loss": 0.64, "val_acc": 0.61},
    "step 200: loss 0.64, aux loss 0.01, KL loss: 0.02": {"loss": 0.64},
    "step 200: loss 0.64, RewardBench accuracy: 0.83, token accuracy 0.7": {"loss": 0.64},
    "step 200: total loss 0.64 with accuracy 0.61": {"loss": 0.64, "train_acc": 0.61},
    "step 200 loss: tensor(0.64, device='cuda:0'), lr 1e-05": {"loss": 0.64, "learning_rate": 1e-5},
    "step 200: loss 0.64, val_acc=0.7, val_acc_helpful=0.71, val_acc_harmless: 69%": {
        "loss": 0.64,
        "val_acc": 0.7,
        "val_acc_helpful": 0.71,
        "val_acc_harmless": 69.0,
    },
    "step 200: loss 0.64 eval_accuracy_harmless 0.69": {"loss": 0.64, "eval_accuracy_harmless": 0.69},
    "step 200: loss 0.64 | val/acc/helpful: 0.71": {"loss": 0.64, "val/acc/helpful": 0.71},
    "step 200: loss 0.64, val_acc[helpful]=0.71, val_acc@harmless=0.69": {
        "loss": 0.64,
        "val_acc[helpful]": 0.71,
        "val_acc@harmless": 0.69,
    },
    "step 200: loss 0.64, val acc on helpful: 0.71, val acc (harmless) = 0.69": {
        "loss": 0.64,
        "val acc on helpful": 0.71,
        "val acc (harmless)": 0.69,
    },
    "step 200: loss 0.64, eval_helpful_loss=0.6, test_harmless_acc=0.69": {
        "loss": 0.64,
        "eval_helpful_loss": 0.6,
        "test_harmless_acc": 0.69,
    },
    "step 200: loss 0.64, target val_acc 0.8, improved from val_loss 0.7": {"loss": 0.64},
    "step 200: loss 0.64, target_val_acc_helpful=0.8, best_val_acc_helpful=0.7": {"loss": 0.64},
}
BEFORE = "step 100: loss 0.69\n"
"""A log of training steps, so that the line is one of several."""


def read(tmp_path: Path, text: str) -> Foreign:
    path = tmp_path / "out" / "run.log"
    path.parent.mkdir()
    path.write_text(text)
    (run,) = gather([path]).runs
    return run


@pytest.mark.parametrize("line", LINES)
def test_what_stands_before_figures_says_whose_they_are(line: str, tmp_path: Path) -> None:
    run = read(tmp_path, BEFORE + line + "\n")
    at_200 = {name: value for name, points in run.series.items() for step, value, _ in points if step == 200}
    assert at_200 == pytest.approx(LINES[line])


def test_an_evaluation_of_an_epoch_by_its_number_has_a_loss_too(tmp_path: Path) -> None:
    epochs = [f"epoch: {n}, loss: 0.6{9 - n}\nEval Epoch {n}: accuracy=0.6{n} loss=0.6{6 - n}\n" for n in (0, 1)]
    run = read(tmp_path, "".join(epochs))
    assert [(one.epoch, one.train_loss, one.val_loss, one.val_acc) for one in run.epochs] == [
        (1, 0.69, 0.66, 0.60),
        (2, 0.68, 0.65, 0.61),
    ]


def test_a_bar_at_100_per_cent_is_no_epoch_100(tmp_path: Path) -> None:
    """llama-recipes prints so."""
    run = read(
        tmp_path,
        "Training Epoch: 1/2, step 99/100 completed (loss: 0.6512): 100%|##| 100/100 [01:00<00:00, 1.6it/s]\n"
        "evaluating Epoch: 100%|##| 20/20 [00:10<00:00]\n"
        " eval_ppl=tensor(1.91, device='cuda:0') eval_epoch_loss=tensor(0.6471, device='cuda:0')\n"
        "Epoch 1: train_perplexity=1.9301, train_epoch_loss=0.6576, epoch time 60.1s\n",
    )
    assert [(one.epoch, one.train_loss, one.val_loss) for one in run.epochs] == [(1, 0.6576, 0.6471)]


def test_what_looks_like_a_figure_and_is_not_read_is_named(tmp_path: Path) -> None:
    run = read(tmp_path, BEFORE + "step 200: loss 0.64, helpful_acc=0.71, aux_loss=0.01, target_val_acc_helpful=0.8\n")
    assert run.unused == ("helpful_acc", "aux_loss", "target_val_acc_helpful")


def test_a_set_of_an_epoch_has_a_curve_and_the_whole_keeps_its_own(tmp_path: Path) -> None:
    lines = (f"Epoch {n}: val_acc=0.6{n}, val_acc_helpful=0.7{n}, val_acc_harmless=0.5{n}\n" for n in (1, 2))
    run = read(tmp_path, "".join(lines))
    assert [one.val_acc for one in run.epochs] == [0.61, 0.62]
    assert [value for _, value, _ in run.series["val_acc_helpful"]] == [0.71, 0.72]
    assert [value for _, value, _ in run.series["val_acc_harmless"]] == [0.51, 0.52]
