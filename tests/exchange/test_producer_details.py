"""What single programs write besides the common course: evaluations inside an epoch, limits, lines of several ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import make_workspace

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather
from rmtui.operations import imports
from rmtui.operations.runs import reading, show


def read(tmp_path: Path, text: str, name: str = "train.log") -> Foreign:
    (tmp_path / name).write_text(text)
    (run,) = gather([tmp_path / name]).runs
    return run


def points(run: Foreign, name: str) -> list[tuple[float, float]]:
    return [(step, value) for step, value, _ in run.series.get(name, ())]


DEEPSPEED_STEP = (
    "[2026-01-05 03:31:02,682] [INFO] [logging.py:96:log_dist] [Rank 0] step={0}, skipped=0, lr=[5e-05, 5e-05], "
    "mom=[(0.9, 0.95), (0.9, 0.95)]\n"
)


def test_deepspeed_chat_evaluates_inside_an_epoch(tmp_path: Path) -> None:
    text = "***** Running training *****\n***** Evaluating reward, Epoch 0/1 *****\n"
    text += "chosen_last_scores (higher is better) : 2.6, rejected_last_scores (lower is better) : 2.7, "
    text += "acc (higher is better) : 0.48\nBeginning of Epoch 1/1, Total Micro Batches 40\n"
    for step, accuracy in ((10, 0.55), (20, 0.61)):
        text += DEEPSPEED_STEP.format(step)
        text += f"Iter {step}: Evaluating reward\n"
        text += f"Iter {step}: c_scores: 0.9, r_scores: 0.2, diff: 0.7, acc: {accuracy}\n"
    text += "Epoch 1/1 with loss 0.625\n***** Evaluating reward, Epoch 1/1 *****\n"
    text += "chosen_last_scores (higher is better) : 1.2, rejected_last_scores (lower is better) : 0.4, "
    run = read(tmp_path, text + "acc (higher is better) : 0.63\nsaving model ...\n")
    assert points(run, "val_acc") == [(0, 0.48), (10, 0.55), (20, 0.61), (20, 0.63)]
    assert [(epoch.epoch, epoch.train_loss, epoch.val_acc) for epoch in run.epochs] == [(1, 0.625, 0.63)]
    assert run.last_word


def test_deepspeed_chat_with_warnings_of_other_ranks_first(tmp_path: Path) -> None:
    text = "[rank3]:[W102 15:46:40 ProcessGroupNCCL.cpp] using GPU 3 to perform barrier as devices used are unknown\n"
    text += "***** Evaluating rewards, Epoch 1/1 *****\nchosen: 0.0, rejected: 0.0, loss: 0.6933\n"
    text += "Beginning of Epoch 1/1, Total Micro Batches 40\n" + DEEPSPEED_STEP.format(10) + DEEPSPEED_STEP.format(20)
    text += "***** Evaluating rewards, Epoch 1/1 *****\n[2026-01-05 03:40:00,000] [INFO] something: 3\n"
    run = read(tmp_path, text + "chosen: -31.9, rejected: -33.9, loss: 0.6651\nsaving the final model ...\n")
    assert points(run, "learning_rate") == [(10, 5e-5), (20, 5e-5)]
    assert points(run, "val_loss") == [(0, 0.6933), (20, 0.6651)]


def test_metrics_are_those_of_the_lowest_rank_that_prints_some(tmp_path: Path) -> None:
    lines = ["[rank1]: Epoch 1: train_loss=0.9, val_loss=0.9", "[rank0]: Epoch 1: train_loss=0.66, val_loss=0.61"]
    run = read(tmp_path, "\n".join(["[rank2]: hello", *lines]) + "\n")
    assert [(epoch.train_loss, epoch.val_loss) for epoch in run.epochs] == [(0.66, 0.61)]


def nemo_rl(limit: int | None, epochs: int, steps: list[tuple[int, int, int]], end: str = "") -> str:
    """Steps as (epoch, step, of); an evaluation at the last one."""
    text = "Final config:\n" + (f"{{'rm': {{'max_num_steps': {limit},\n" if limit is not None else "")
    for epoch, step, of in steps:
        text += f"\n{'=' * 25} Epoch {epoch}/{epochs} {'=' * 25}\n" if step == 1 else ""
        text += f"\n{'=' * 25} Step {step}/{of} {'=' * 25}\n▶ Taking a training step...\n"
        if (epoch, step, of) == steps[-1]:
            text += "\n📊 Validation Results for `validation` set:\n    • Validation loss: 0.6500\n"
            text += "    • Validation accuracy: 0.6200\n"
        text += f"\n📊 Training Results:\n  • loss: 0.{70 - step}00\n\n⏱️  Timing:\n  • Total step time: 4.21s\n"
    return text + end


STOPPED = "Max number of steps has been reached, stopping training early\n"


@pytest.mark.parametrize(
    ("limit", "epochs", "steps", "end", "place", "total", "over"),
    [
        (-1, 1, [(1, 1, 2), (1, 2, 2)], "", 1.0, 2, True),
        (-1, 2, [(1, 1, 2), (1, 2, 2)], "", 1.0, 4, False),
        (3, 2, [(1, 1, 2), (1, 2, 2), (2, 1, 2)], STOPPED, 1.5, 3, True),
        (2, 1, [(1, 1, 2), (1, 2, 2)], STOPPED, None, 2, True),  # the epoch may have more steps
        (None, 2, [(1, 1, 2), (1, 2, 2), (2, 1, 2)], "", 1.5, None, False),
        (None, 1, [(1, 1, 2), (1, 2, 2)], STOPPED, None, None, True),
        (None, 3, [(1, 1, 2), (1, 2, 2)], "", None, None, False),
    ],
)
def test_nemo_rl_limits_steps_and_no_epoch_is_made_of_them(
    limit: int | None,
    epochs: int,
    steps: list[tuple[int, int, int]],
    end: str,
    place: float | None,
    total: int | None,
    over: bool,
    tmp_path: Path,
) -> None:
    run = read(tmp_path, nemo_rl(limit, epochs, steps, end))
    ((step, accuracy),) = points(run, "val_acc")
    assert (step, accuracy) == (len(steps), 0.62)
    assert run.places.get(len(steps)) == place
    assert (run.total_steps, bool(run.last_word)) == (total, over)
    assert [epoch.val_acc for epoch in run.epochs] == ([0.62] if place == 1.0 else [])


def test_a_bar_shows_the_metrics_of_the_batch_that_it_counts_next(tmp_path: Path) -> None:
    states = [(0, ""), (0, "loss=0.71"), (1, "loss=0.71"), (1, "loss=0.65"), (2, "loss=0.65"), (2, "loss=0.60")]
    bars = [
        f"Train step of epoch 0:  {done}%|## | {done}/3 [00:01<00:03,  1.0it/s{', ' if loss else ''}{loss}]"
        for done, loss in states
    ]
    run = read(tmp_path, "\r".join(bars) + "\n")
    assert points(run, "loss") == [(1, 0.71), (2, 0.65), (3, 0.60)]


def test_llama_factory_logs_an_accuracy_in_every_training_on_pairs(tmp_path: Path) -> None:
    row = '{"current_steps": 1, "total_steps": 9, "loss": 0.64, "accuracy": 1.0, "lr": 1e-6, "epoch": 0.1}\n'
    run = read(tmp_path, row, "trainer_log.jsonl")
    assert run.recognised == "LLaMA-Factory log of a training on pairs, no evaluation"


def test_what_swift_says_of_its_best_checkpoint_is_no_metric(tmp_path: Path) -> None:
    rows = [
        '{"loss": 0.6, "learning_rate": 1e-5, "epoch": 1.0, "global_step/max_steps": "4/4"}',
        '{"best_metric": 0.55, "best_model_checkpoint": "x", "global_step": 4, "log_history": [{"loss": 0.6}]}',
    ]
    run = read(tmp_path, "\n".join(rows) + "\n", "logging.jsonl")
    assert set(run.series) == {"loss", "learning_rate"}


def test_equal_evaluations_inside_an_epoch_and_at_its_end_keep_their_own_places(tmp_path: Path) -> None:
    lines = ["Epoch 1/2", "Step 50: loss=0.65", "Step 50: val_loss=0.61, val_acc=60%", "Step 100: loss=0.63"]
    lines += ["Epoch 1/2: train_loss=0.64, val_loss=0.61, val_acc=60%", "Epoch 2/2", "Step 150: loss=0.60"]
    lines += ["Step 150: val_loss=0.62, val_acc=59%", "Step 200: loss=0.58"]
    (tmp_path / "own.log").write_text(
        "\n".join([*lines, "Epoch 2/2: train_loss=0.59, val_loss=0.6, val_acc=62%"]) + "\n"
    )
    ws = make_workspace(tmp_path / "ws")
    (run,) = imports.import_paths(ws, [tmp_path / "own.log"]).runs
    with reading(ws) as index:
        shown = show(index, run.id)
    found = [(one["step"], one["epoch"], one["val_acc"]) for one in shown["evaluations"]]
    assert found == [(50, 0.5, 0.6), (100, 1, 0.6), (150, 1.5, 0.59), (200, 2, 0.62)]
    assert [(epoch["epoch"], epoch["train_loss"], epoch["val_acc"]) for epoch in shown["epochs"]] == [
        (1, 0.64, 0.6),
        (2, 0.59, 0.62),
    ]
    assert (shown["best"]["step"], shown["best"]["epoch"]) == (200, 2)


def test_an_evaluation_inside_the_first_epoch_begins_no_other_training(tmp_path: Path) -> None:
    text = "Epoch 1/1\nStep 5: val_loss=0.7, val_acc=50%\nStep 9: val_loss=0.66, val_acc=57%\n"
    run = read(tmp_path, text + "Epoch 1/1: train_loss=0.68, val_loss=0.64, val_acc=61%\n", "own.log")
    assert points(run, "val_acc")[:2] == [(5, 0.5), (9, 0.57)]
    assert [(epoch.train_loss, epoch.val_acc) for epoch in run.epochs] == [(0.68, 0.61)]


def test_epochs_with_the_same_rounded_loss_are_epochs_each(tmp_path: Path) -> None:
    losses = [0.66, 0.61, 0.61, 0.60, 0.61]
    text = "".join(
        f"Step {100 * epoch}: loss=0.6\nEpoch {epoch}/5: train_loss=0.6, val_loss={loss}\n"
        for epoch, loss in enumerate(losses, 1)
    )
    (tmp_path / "own.log").write_text(text)
    ws = make_workspace(tmp_path / "ws")
    (run,) = imports.import_paths(ws, [tmp_path / "own.log"]).runs
    with reading(ws) as index:
        shown = show(index, run.id)
    assert [(epoch["epoch"], epoch["val_loss"]) for epoch in shown["epochs"]] == list(enumerate(losses, 1))
    assert [(one["step"], one["epoch"]) for one in shown["evaluations"]] == [(100 * at, at) for at in range(1, 6)]
