"""Logs as other programs write them, invented, with what each of them says: two epochs, an evaluation at each end.

The structure is that of the programs' sources and of public logs; the values are the same in all, so that what a reader
makes of one can be held against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

LOSSES = (0.691, 0.674, 0.652, 0.633)
"""Training losses of four places, two an epoch."""
EVALS = ((0.667, 0.58), (0.641, 0.63))
"""val_loss and val_acc at the end of each epoch."""
TRAINED = (0.55, 0.6, 0.7, 0.75)
"""Accuracies of the training batches."""


class ProducerLog(NamedTuple):
    """A log and what is in it."""

    kind: str
    name: str
    """The file's name."""
    text: str
    evaluations: tuple[tuple[float | None, float | None], ...] = EVALS
    epochs: int = 2
    """Whole epochs that it says; 0: it counts steps only."""
    over: bool = True
    trained: bool = True
    """Accuracies of training batches are in it."""


def _tqdm(title: str, done: int, of: int, entries: str = "") -> str:
    share = 100 * done // of
    speed = ", ".join(["00:10<00:30,  1.05it/s", *([entries] if entries else [])])
    return f"{title}: {share:3d}%|{'█' * (share // 10):<10}| {done}/{of} [{speed}]"


def openrlhf() -> str:
    lines = ["LogSigmoid Loss", "Train epoch:   0%|          | 0/2 [00:00<?, ?it/s]"]
    for epoch in (0, 1):
        title = f"Train step of epoch {epoch}"
        lines.append(_tqdm(title, 0, 2))
        for batch in (1, 2):
            at = 2 * epoch + batch - 1
            entries = (
                f"loss={LOSSES[at]}, acc={TRAINED[at]}, chosen_reward=0.31, reject_reward=-0.05, "
                f"loss_mean=0.0{at + 1}, acc_mean=0.1, lr=9e-6"
            )
            lines.append(_tqdm(title, batch - 1, 2, entries) + "\x1b[A\r" + _tqdm(title, batch, 2, entries))
        loss, accuracy = EVALS[epoch]
        evaluation = f"Eval stage of steps {epoch + 1}"
        lines += [_tqdm(evaluation, 0, 3), _tqdm(evaluation, 3, 3), "Set reward mean std"]
        lines.append(
            _tqdm(evaluation, 3, 3, f"eval_loss={loss}, acc_mean={accuracy}, reward_mean=0.311, reward_std=1.2")
        )
        lines += ["histgram", "hist=tensor([0.0000, 0.0010]),", _tqdm("Train epoch", epoch + 1, 2)]
    return "\n".join(lines) + "\n"


def deepspeed_chat() -> str:
    lines = ["***** Running training *****", "***** Evaluating reward, Epoch 0/2 *****"]
    lines.append("chosen_last_scores (higher is better) : 2.61, acc (higher is better) : 0.48")
    for epoch in (1, 2):
        lines.append(f"Beginning of Epoch {epoch}/2, Total Micro Batches 20")
        lines.append(
            f"[2026-01-05 03:3{epoch}:02,682] [INFO] [logging.py:96:log_dist] [Rank 0] step={10 * epoch}, skipped=0, "
            "lr=[5e-05, 5e-05], mom=[(0.9, 0.95), (0.9, 0.95)]"
        )
        lines.append(f"Epoch {epoch}/2 with loss {LOSSES[2 * epoch - 1]}")
        lines.append(f"***** Evaluating reward, Epoch {epoch}/2 *****")
        lines.append(
            f"chosen_last_scores (higher is better) : 2.03, rejected_last_scores (lower is better) : 1.7, "
            f"acc (higher is better) : {EVALS[epoch - 1][1]}"
        )
    return "\n".join([*lines, "saving model ..."]) + "\n"


def nemo_rl() -> str:
    text = ""
    for epoch in (1, 2):
        text += f"\n{'=' * 25} Epoch {epoch}/2 {'=' * 25}\n"
        for step in (1, 2):
            at = 2 * epoch + step - 3
            text += f"\n{'=' * 25} Step {step}/2 {'=' * 25}\n▶ Taking a training step...\n"
            if step == 2:
                text += (
                    f"▶ Starting validation at step {at + 1}...\n\n📊 Validation Results for `validation` set:\n"
                    f"    • Validation loss: {EVALS[epoch - 1][0]:.4f}\n"
                    f"    • Validation accuracy: {EVALS[epoch - 1][1]:.4f}\n"
                    "    • Validation rewards_chosen_mean: 0.5100\n    • Validation num valid samples: 128\n"
                    "\n  ⏱️  Validation Timing for `validation` set:\n    • Total validation time: 12.31s\n"
                )
            text += (
                f"\n📊 Training Results:\n  • loss: {LOSSES[at]:.4f}\n  • accuracy: {TRAINED[at]:.4f}\n"
                "  • rewards_chosen_mean: 0.1200\n  • num valid samples: 64\n"
                "\n⏱️  Timing:\n  • Total step time: 4.21s\n  • policy_training: 3.95s (93.8%)\n"
            )
    return text


def nemo_aligner() -> str:
    states = ["Training steps:   0%|          | 0/4 [00:00<?, ?it/s]"]
    for step in range(1, 5):
        entries = (
            f"train_loss={LOSSES[step - 1]}, train_acc={TRAINED[step - 1]}, train_grad_norm=5.2, train_lr=9e-6, "
            f"train_consumed_samples={64 * step}, train_step_time=2.9, train_epoch={(step + 1) // 2}"
        )
        if step % 2 == 0:
            loss, accuracy = EVALS[step // 2 - 1]
            states.append(_tqdm("Validation steps", 2, 2, f"val_loss={loss}, val_acc={accuracy}"))
            entries += f", val_loss={loss}, val_acc={accuracy}"
        states += [_tqdm("Training steps", step - 1, 4, entries), _tqdm("Training steps", step, 4, entries)]
    return "\r".join(states[:-1]) + "\n"  # the loop ends before its last step is counted


def _verl_step(step: int) -> str:
    return f"step:{step} - train/loss:{LOSSES[step - 1]} - train/lr(1e-3):0.009 - train/time(s):9.2"


def verl_ray() -> str:
    lines = ["Total training steps: 4"]
    for step in range(1, 5):
        lines.append(_verl_step(step))
        if step % 2 == 0:
            lines.append(f"step:{step} - val/loss:{EVALS[step // 2 - 1][0]}")
    return "".join(f"(TaskRunner pid=2121) {line}\n" for line in lines)


def verl_sft() -> str:
    """torchrun's: the bar goes to stderr without a line's end, and the metrics follow it on its line."""
    text = "Number of steps/epoch 2, number of epochs 2, total number of steps 4\n"
    for step in range(1, 5):
        bar = f"Epoch {(step + 1) // 2}/2:  50%|███  | {(step - 1) % 2}/2 [00:09<09:36,  9.45s/it]"
        text += f"\r{bar}{_verl_step(step)}\n"
        if step % 2 == 0:
            text += f"step:{step} - val/loss:{EVALS[step // 2 - 1][0]}\n"
    return text + f"Final validation metrics: {{'val/loss': {EVALS[1][0]}}}\n"


def _rows(at: int, key: str = "rewards/accuracies") -> Iterator[dict[str, object]]:
    """What a Trainer logs at the `at`th of four places."""
    epoch = (at + 1) / 2
    yield {
        "loss": LOSSES[at],
        "grad_norm": 1.25,
        "learning_rate": 4.5e-06,
        key: TRAINED[at],
        "epoch": epoch,
    }
    if at % 2:
        loss, accuracy = EVALS[at // 2]
        yield {"eval_loss": loss, "eval_runtime": 20.1, f"eval_{key}": accuracy, "epoch": epoch}


def _trainer(key: str, before: str = "") -> str:
    lines = [str(row) for at in range(4) for row in _rows(at, key)]
    lines.append("{'train_runtime': 310.2, 'train_samples_per_second': 2.1, 'train_loss': 0.6625, 'epoch': 2.0}")
    return before + "\n".join(lines) + "\n"


def trainer_5() -> str:
    """transformers 5 prints every value as a text."""
    rows = [{key: f"{value:.4g}" for key, value in row.items()} for at in range(4) for row in _rows(at, "accuracy")]
    end = {"train_runtime": "310.2", "train_loss": "0.6625", "epoch": "2"}
    return "\n".join(map(str, [*rows, end])) + "\n"


def axolotl() -> str:
    head = (
        "[2026-01-05 10:00:00,000] [INFO] [axolotl.train.train:92] [PID:21] [RANK:0] Starting trainer...\n"
        "  0%|          | 0/4 [00:00<?, ?it/s]"
    )
    text = _trainer("rewards/accuracies", head)
    return text.replace("}\n", "}\n 25%|██▌       | 1/4 [00:03<00:09,  3.05s/it]\n")


def llama_factory() -> str:
    lines = []
    for at in range(4):
        place = {"current_steps": 50 * (at + 1), "total_steps": 200}
        for row in _rows(at, "accuracy"):
            values = {key: value for key, value in row.items() if key not in ("grad_norm", "learning_rate")}
            values.pop("eval_runtime", None)
            lines.append(json.dumps({**place, **values, "percentage": 25.0 * (at + 1), "elapsed_time": "0:01:00"}))
    return "\n".join(lines) + "\n"


def swift() -> str:
    lines = []
    for at in range(4):
        message = {"global_step/max_steps": f"{25 * (at + 1)}/100", "percentage": f"{25 * (at + 1):.2f}%"}
        lines += [json.dumps({**row, **message, "elapsed_time": "3m 2s"}) for row in _rows(at)]
    return "\n".join(lines) + "\n"


def medical_gpt() -> str:
    """MedicalGPT's evaluations give no accuracy, and its last one is only in the table at the end."""
    logged = [row for at in range(4) for row in _rows(at, "accuracy")][:-1]
    rows = [str({key: value for key, value in row.items() if "accuracy" not in key}) for row in logged]
    return (
        "2026-01-05 10:00:00.000 | INFO     | __main__:main:512 - *** Train ***\n"
        + "\n".join(rows)
        + "\n{'train_runtime': 310.2, 'train_loss': 0.6625, 'epoch': 2.0}\n"
        "***** train metrics *****\n  epoch                    =        2.0\n  train_loss               =     0.6625\n"
        "  train_runtime            = 0:05:10.20\n"
        "***** eval metrics *****\n  epoch                   =        2.0\n"
        f"  eval_loss               =     {EVALS[1][0]:.4f}\n  perplexity              =     1.9000\n"
    )


def brackets() -> str:
    return "".join(
        f"Epoch:[{at // 2 + 1}/2]({50 * (at % 2 + 1)}/100), loss: {LOSSES[at]}, learning_rate: 0.00000400\n"
        for at in range(4)
    )


def megatron() -> str:
    lines = []
    for at in range(4):
        lines.append(
            f" [2026-01-05 10:00:{at}0] iteration {50 * (at + 1):8d}/     200 | "
            f"consumed samples: {400 * (at + 1):12d} | elapsed time per iteration (ms): 812.1 | "
            f"learning rate: 9.000000E-06 | "
            f"global batch size:     8 | lm loss: {LOSSES[at]:.6E} | load_balancing_loss: 1.1E+00 | "
            f"loss scale: 1.0 | grad norm: 1.234 | "
            f"number of skipped iterations:   0 | number of nan iterations:   0 |"
        )
        if at % 2:
            loss = f"lm loss value: {EVALS[at // 2][0]:.6E} | lm loss PPL: 1.9E+00 |"
            lines += ["-" * 90, f" validation loss at iteration {50 * (at + 1)} | {loss} ", "-" * 90]
    lines.append(
        " validation loss at iteration 200 on validation set | lm loss value: 6.6E-01 | lm loss PPL: 1.9E+00 | "
    )
    return "\n".join(lines) + "\n"


def bars() -> str:
    lines = []
    for epoch in (1, 2):
        for half in (1, 2):
            at = 2 * epoch + half - 3
            entries = f"loss={LOSSES[at]}, acc={TRAINED[at]}"
            lines.append(_tqdm(f"Epoch {epoch}/2", 50 * half, 100, entries))
        loss, accuracy = EVALS[epoch - 1]
        lines.append(_tqdm("Evaluating", 5, 10, "loss=0.9, acc=0.1"))
        lines.append(_tqdm("Evaluating", 10, 10, f"loss={loss}, acc={accuracy}"))
    return "\n".join(lines) + "\n"


def json_lines() -> str:
    lines = []
    for at in range(4):
        lines.append({"step": 50 * (at + 1), "phase": "train", "loss": LOSSES[at], "accuracy": TRAINED[at]})
        if at % 2:
            loss, accuracy = EVALS[at // 2]
            lines.append({"step": 50 * (at + 1), "phase": "eval", "loss": loss, "accuracy": accuracy})
    return "\n".join(map(json.dumps, lines)) + "\n"


def _losses(evaluations: tuple[tuple[float, float], ...]) -> tuple[tuple[float, None], ...]:
    return tuple((loss, None) for loss, _ in evaluations)


LOGS = (
    ProducerLog("openrlhf", "rm.log", openrlhf()),
    ProducerLog(
        "deepspeed-chat", "training.log", deepspeed_chat(), tuple((None, value) for _, value in EVALS), trained=False
    ),
    ProducerLog("nemo-rl", "ray-driver.log", nemo_rl()),
    ProducerLog("nemo-aligner", "reward.log", nemo_aligner(), epochs=0),
    ProducerLog("verl", "ray.log", verl_ray(), _losses(EVALS), epochs=0, trained=False),
    ProducerLog("verl", "sft.log", verl_sft(), _losses(EVALS), trained=False),
    ProducerLog("trainer-log", "trl.log", _trainer("rewards/accuracies")),
    ProducerLog("trainer-log", "rlhflow.log", _trainer("accuracy")),
    ProducerLog("trainer-log", "trl_5.log", trainer_5()),
    ProducerLog("trainer-log", "axolotl.log", axolotl()),
    ProducerLog("trainer-log", "medical.log", medical_gpt(), _losses(EVALS), trained=False),
    ProducerLog("llama-factory", "trainer_log.jsonl", llama_factory()),
    ProducerLog("ms-swift", "logging.jsonl", swift()),
    ProducerLog("epoch-and-step", "minimind.log", brackets(), (), trained=False),
    ProducerLog("megatron", "pretrain.log", megatron(), _losses(EVALS), epochs=0, trained=False),
    ProducerLog("progress-bars", "bars.log", bars(), over=False),
    ProducerLog("json-lines", "steps.jsonl", json_lines(), epochs=0, over=False),
)
