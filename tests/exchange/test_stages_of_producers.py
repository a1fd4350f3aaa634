"""Logs of a producer's other stages and older versions: their figures sound like a reward model's and are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather


class StageLog(NamedTuple):
    """A log, invented in the structure of its program's, and what it says."""

    name: str
    text: str
    val_loss: tuple[float, ...] = ()
    val_acc: tuple[float, ...] = ()
    curves: dict[str, list[float]] = {}
    """Others that have to be there."""
    last_step: float | None = None


def lines(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def printed(*rows: dict[str, Any]) -> str:
    return "".join(f"{row}\n" for row in rows)


def factory(step: int, **figures: Any) -> dict[str, Any]:
    return {
        "current_steps": step,
        "total_steps": 40,
        **figures,
        "epoch": step / 20,
        "percentage": step / 0.4,
        "elapsed_time": "0:00:10",
        "remaining_time": "0:01:00",
        "throughput": 812.4,
        "total_tokens": step * 1000,
    }


def swift(step: int, **figures: Any) -> dict[str, Any]:
    speed = {"memory(GiB)": 10.5, "train_speed(iter/s)": 0.11, "epoch": step / 20}
    return {**figures, **speed, "global_step/max_steps": f"{step}/40", "percentage": f"{step / 0.4:.2f}%"}


def bar(title: str, done: int, of: int, figures: str) -> str:
    return f"{title}: {100 * done // of}%|███       | {done}/{of} [00:01<00:09,  1.2it/s, {figures}]\n"


def ppo(at: int) -> dict[str, Any]:
    value_function = {"val/clipfrac_avg": 0.05, "val/ratio": 1.0, "val/num_eos_tokens": at}
    return {"eps": at, "objective/kl": at / 10, **value_function, "lr": 1e-6, "episode": at * 64, "epoch": at / 10}


def panel(**rows: str) -> str:
    """open-instruct's: a group's figures are wrapped at the width of the terminal."""
    lines = [f"╭{'─' * 20} Metrics {'─' * 20}╮"]
    for group, figures in rows.items():
        first, *others = figures.split("\n")
        lines += [f"│  {group:<5}  {first:<80}│", *(f"│  {'':<5}  {other:<80}│" for other in others)]
    return "\n".join([*lines, f"╰{'─' * 60}╯"]) + "\n"


def open_instruct(at: int) -> str:
    """A panel of training metrics; after each second one an evaluation's."""
    text = panel(
        other=f"episode: {64 * at} | epoch: {at / 4:.2f}",
        train=f"rm/accuracy: 0.5{at} | rm/loss: 0.6{9 - at} | rm/chosen_rewards: 0.10 |\n"
        f"rm/rejected_rewards: 0.05 | rm/reward_margin: 0.05 | rm/lr:\n3.00e-06",
    )
    evaluated = panel(
        eval=f"rm/accuracy: 0.6{at} | rm/loss: 0.5{9 - at} | rm/chosen_rewards: 0.20 |\nrm/reward_margin: 0.15"
    )
    return text + (evaluated if at % 2 == 0 else "")


RAY = "(TaskRunner pid=123) "
LOGS = (
    StageLog(
        "open_instruct_rm.log",
        "".join(map(open_instruct, (1, 2, 3, 4))),
        (0.57, 0.55),
        (0.62, 0.64),
        {
            "loss": [0.68, 0.67, 0.66, 0.65],
            "train_acc": [0.51, 0.52, 0.53, 0.54],
            "learning_rate": [3e-06] * 4,
            "reward_margin": [0.15, 0.15],
        },
    ),
    StageLog("open_instruct_cut.log", open_instruct(1) + open_instruct(2)[:-90], (), (), {"loss": [0.68, 0.67]}),
    StageLog(
        "medical_gpt_counts.log",
        printed({"loss": 0.69, "epoch": 0.5}, {"eval_loss": 0.66, "eval_samples": 100, "epoch": 0.5}),
        (0.66,),
        curves={"loss": [0.69], "eval_samples": []},
    ),
    StageLog(
        "pairwise_names.log",
        printed(
            {"preference_loss": 0.69, "pairwise_acc": 0.55, "learning_rate": 1e-6, "epoch": 0.5},
            {"eval_preference_loss": 0.66, "eval_pairwise_acc": 0.61, "epoch": 0.5},
        ),
        (0.66,),
        (0.61,),
        {"loss": [0.69], "train_acc": [0.55]},
    ),
    StageLog(
        "trl_sft.log",
        printed(
            {"loss": "1.2", "learning_rate": "1e-05", "mean_token_accuracy": "0.71", "epoch": "0.5"},
            {"eval_loss": "0.9", "eval_runtime": "3.1", "eval_mean_token_accuracy": "0.74", "epoch": "1"},
        ),
        (0.9,),
        curves={"mean_token_accuracy": [0.71], "eval_mean_token_accuracy": [0.74]},
    ),
    StageLog(
        "trl_grpo.log",
        printed(
            {"loss": 0.01, "learning_rate": 1e-6, "rewards/accuracy_reward/mean": 0.45, "reward": 1.35, "epoch": 0.5},
            {"eval_loss": 0.02, "eval_rewards/accuracy_reward/mean": 0.5, "eval_reward": 1.4, "epoch": 1.0},
        ),
        (0.02,),
        curves={"rewards/accuracy_reward/mean": [0.45], "eval_rewards/accuracy_reward/mean": [0.5]},
    ),
    StageLog(
        "trl_grpo_named_accuracy.log",
        printed(
            {"loss": 0.01, "learning_rate": 1e-6, "rewards/accuracy/mean": 0.45, "acc_reward": 0.2, "epoch": 0.5},
            {"eval_loss": 0.02, "eval_rewards/accuracy/mean": 0.5, "eval_acc_reward": 0.3, "epoch": 1.0},
        ),
        (0.02,),
        curves={"eval_rewards/accuracy/mean": [0.5], "eval_acc_reward": [0.3]},
    ),
    StageLog(
        "trl_ppo.log",
        printed(ppo(1), ppo(2), ppo(3)),
        curves={"learning_rate": [1e-6] * 3, "objective/kl": [0.1, 0.2, 0.3], "val/ratio": [1.0, 1.0, 1.0]},
    ),
    StageLog(
        "trl_dpo_with_a_test.log",
        printed(
            {"loss": 0.69, "rewards/accuracies": 0.55, "epoch": 0.5},
            {"eval_loss": 0.66, "eval_rewards/accuracies": 0.61, "epoch": 0.5},
            {"loss": 0.6, "rewards/accuracies": 0.7, "epoch": 1.0},
            {"test_loss": 0.5, "test_accuracy": 0.8, "epoch": 1.0},
        ),
        (0.66,),
        (0.61,),
        {"train_acc": [0.55, 0.7], "test_acc": [0.8], "test_loss": [0.5]},
    ),
    StageLog(
        "trl_two_sets.log",
        printed(
            {"loss": 0.69, "learning_rate": 1e-5, "epoch": 1.0},
            {"eval_helpful_loss": 0.66, "eval_helpful_accuracy": 0.61, "epoch": 1.0},
            {"eval_harmless_loss": 0.6, "eval_harmless_accuracy": 0.7, "epoch": 1.0},
        ),
        (0.66,),
        (0.61,),
        {"eval_harmless_accuracy": [0.7], "eval_harmless_loss": [0.6]},
    ),
    StageLog(
        "trainer_log.jsonl",
        lines(
            factory(10, loss=0.69, lr=1e-5, accuracy=0.5),
            factory(20, loss=0.65, lr=5e-6, accuracy=0.6),
            factory(20, eval_loss=0.66, accuracy=0.9),
        ),
        (0.66,),
        curves={"loss": [0.69, 0.65], "learning_rate": [1e-5, 5e-6]},
        last_step=20,
    ),
    StageLog("predicted/trainer_log.jsonl", lines(factory(10, predict_loss=0.5)), curves={"predict_loss": [0.5]}),
    StageLog(
        "resumed/trainer_log.jsonl",
        lines(*(factory(at, loss=loss) for at, loss in ((10, 0.69), (20, 0.65), (30, 0.64), (20, 0.66), (30, 0.6)))),
        curves={"loss": [0.69, 0.66, 0.6]},
        last_step=30,
    ),
    StageLog(
        "old/trainer_log.jsonl",
        lines(
            {"current_steps": 10, "total_steps": 40, "loss": 0.69, "eval_loss": None, "accuracy": 0.5, "epoch": 0.5},
            {"current_steps": 20, "total_steps": 40, "loss": None, "eval_loss": 0.66, "reward": None, "epoch": 1.0},
        ),
        (0.66,),
        curves={"train_acc": [0.5], "loss": [0.69]},
    ),
    StageLog(
        "llama_factory_stdout.log",
        "[INFO|2025-01-02 10:00:00] llamafactory.train.callbacks:143 >> {'loss': 0.6931, 'learning_rate': 5.0000e-06, "
        "'epoch': 1.00, 'throughput': 812.30}\n***** eval metrics *****\n  epoch          =   1.0\n"
        "  eval_accuracy  =  0.61\n  eval_loss      =  0.66\n  eval_runtime   = 0:00:02.00\n",
        (0.66,),
        (0.61,),
        {"loss": [0.6931]},
    ),
    StageLog(
        "openrlhf_sft.log",
        bar("Train step of epoch 0", 0, 2, "gpt_loss=1.2, loss_mean=1.2, lr=5e-6")
        + bar("Train step of epoch 0", 1, 2, "gpt_loss=1.1, loss_mean=1.15, lr=4e-6")
        + bar("Eval stage of steps 2", 2, 2, "eval gpt_loss=1.05"),
        curves={"gpt_loss": [1.2, 1.1], "val_gpt_loss": [1.05]},
        last_step=2,
    ),
    StageLog(
        "openrlhf_dpo.log",
        bar("Train step of epoch 0", 0, 1, "loss=0.69, acc=0.5, chosen_reward=0.1, reject_reward=-0.1, lr=5e-7")
        + bar("Eval stage of global_step 1", 2, 2, "eval_loss=0.66, eval_acc=0.63"),
        (0.66,),
        (0.63,),
        {"train_acc": [0.5]},
    ),
    StageLog(
        "openrlhf_ppo.log",
        bar("Episode [1/1]", 1, 3, "policy_loss=0.01, reward=0.3") + bar("Episode [1/1]", 2, 3, "reward=0.4"),
        curves={"reward": [0.3, 0.4]},
    ),
    StageLog(
        "logging.jsonl",
        lines(
            swift(1, loss=0.7, learning_rate=1e-6, **{"rewards/accuracies": 0.5}),
            swift(20, loss=0.66),
            {"eval_loss": 0.65, "eval_accuracy": 0.62, "epoch": 1.0, "global_step/max_steps": "20/40"},
            {"last_model_checkpoint": "/x/checkpoint-20", "best_metric": 0.65, "global_step": 20, "memory": 10.5},
        ),
        (0.65,),
        (0.62,),
        {"loss": [0.7, 0.66], "train_acc": [0.5]},
        20,
    ),
    StageLog(
        "swift_2_sft/logging.jsonl",
        lines(
            swift(1, loss=1.7, acc=0.6),
            {"eval_loss": 1.1, "eval_acc": 0.72, "epoch": 1.0, "global_step/max_steps": "20/40"},
        ),
        (1.1,),
        curves={"token_acc": [0.6], "eval_token_acc": [0.72]},
        last_step=20,
    ),
    StageLog(
        "swift_1_sft/logging.jsonl",
        lines(
            {"loss": 1.7, "acc": 0.6, "train_speed(iter/s)": 0.3, "epoch": 0.5, "global_step": 10},
            {"eval_loss": 1.1, "eval_acc": 0.72, "epoch": 1.0, "global_step": 20},
        ),
        (1.1,),
        curves={"token_acc": [0.6], "eval_token_acc": [0.72]},
        last_step=20,
    ),
    StageLog(
        "megatron_swift.log",
        "[INFO:swift] {'loss': 0.69, 'grad_norm': 1.2, 'iteration': '5/40', 'elapsed_time': '10s'}\n"
        "[INFO:swift] {'eval_loss': 0.65, 'eval_accuracy': 0.6, 'iteration': '20/40'}\n",
        (0.65,),
        (0.6,),
        {"loss": [0.69]},
        20,
    ),
    StageLog(
        "verl_grpo.log",
        f"{RAY}step:1 - actor/pg_loss:0.1 - actor/lr:1e-06 - critic/score/mean:0.4 - training/epoch:0\n"
        f"{RAY}step:2 - actor/pg_loss:0.2 - val-core/gsm8k/acc/mean@1:0.55 - val-aux/gsm8k/reward/best@4/mean:0.7\n",
        curves={"actor/pg_loss": [0.1, 0.2], "val-core/gsm8k/acc/mean@1": [0.55]},
        last_step=2,
    ),
    StageLog(
        "verl_numpy.log",
        "step:1 - actor/pg_loss:np.float64(0.1) - critic/score/mean:np.float64(0.4)\n"
        "step:2 - actor/pg_loss:np.float64(0.2) - val/test_score/gsm8k:np.float64(0.61)\n",
        curves={"actor/pg_loss": [0.1, 0.2], "critic/score/mean": [0.4], "val/test_score/gsm8k": [0.61]},
    ),
    StageLog(
        "verl_sft_evaluated_first.log",
        "step:0 - val/loss:1.5\nstep:1 - train/loss:1.4 - train/lr(1e-3):0.001\nstep:2 - val/loss:1.2\n",
        (1.5, 1.2),
        curves={"loss": [1.4], "learning_rate": [1e-6]},
    ),
    StageLog(
        "verl_sft_of_today.log",
        "step:1 - train/loss:1.4 - train/lr:1e-05 - train/total_tokens(B):5e-06\nstep:10 - val/loss:1.2\n",
        (1.2,),
        curves={"loss": [1.4], "learning_rate": [1e-5]},
        last_step=10,
    ),
    StageLog(
        "verl_two_data_sets.log",
        "step:5 - critic/score/mean:0.3 - val-core/math/acc/mean@8:0.5 - val-core/gsm8k/acc/mean@1:0.7\n",
        curves={"val-core/math/acc/mean@8": [0.5], "val-core/gsm8k/acc/mean@1": [0.7]},
    ),
)


def values(run: Foreign, name: str) -> list[float]:
    return [round(value, 9) for _, value, _ in run.series.get(name, ())]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
def test_only_what_validates_a_reward_model_is_its_validation(log: StageLog, tmp_path: Path) -> None:
    path = tmp_path / "out" / log.name
    path.parent.mkdir(parents=True)
    path.write_text(log.text)
    (run,) = gather([path]).runs
    assert values(run, "val_loss") == list(log.val_loss)
    assert values(run, "val_acc") == list(log.val_acc)
    assert {name: values(run, name) for name in log.curves} == log.curves
    if log.last_step is not None:
        assert max(step for points in run.series.values() for step, _, _ in points) == log.last_step
