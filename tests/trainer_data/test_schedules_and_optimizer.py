"""Rates against transformers' own schedules, step by step; the optimizer against torch's AdamW with the same betas."""

import data_worlds as worlds
import pytest
import torch
from accelerate import Accelerator
from transformers import optimization

from trainer.loop.optimizer_step import Stepper
from trainer.loop.schedule import learning_rate

PEAK = 3e-4


def rates(schedule, total, **more):
    """Of each step, by a transformers schedule."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    made, found = schedule(optimizer, **more), []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return found


@pytest.mark.parametrize(("total", "warmup"), [(40, 0), (40, 4), (7, 3), (1, 0), (30, 29)])
@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_cosine_ends_at_its_floor(total, warmup, floor):
    schedule = optimization.get_cosine_with_min_lr_schedule_with_warmup
    more = {"num_warmup_steps": warmup, "num_training_steps": total, "min_lr_rate": floor}
    ours = [learning_rate(step, total, warmup, "cosine", PEAK, floor) for step in range(1, total + 1)]
    assert ours == pytest.approx(rates(schedule, total, **more), rel=1e-12)


@pytest.mark.parametrize(("total", "warmup", "ratio"), [(40, 4, 0.2), (40, 0, 0.5), (9, 3, 0.34), (40, 4, 0.0)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_wsd_is_stable_and_then_decays(total, warmup, ratio, floor):
    decay = int(ratio * total)
    more = {"num_warmup_steps": warmup, "num_decay_steps": decay, "num_stable_steps": total - warmup - decay}
    more |= {"decay_type": "linear", "min_lr_ratio": floor}
    ours = [learning_rate(step, total, warmup, "wsd", PEAK, floor, ratio) for step in range(1, total + 1)]
    theirs = rates(optimization.get_wsd_schedule, total, **more)
    assert ours[warmup:] == pytest.approx(theirs[warmup:], rel=1e-12)
    rising = rates(optimization.get_constant_schedule_with_warmup, total, num_warmup_steps=warmup)
    assert ours[:warmup] == pytest.approx(rising[:warmup], rel=1e-12), "transformers' wsd rises from the floor"


def test_linear_goes_to_its_floor_and_without_one_is_as_before():
    schedule = optimization.get_linear_schedule_with_warmup
    plain = rates(schedule, 20, num_warmup_steps=2, num_training_steps=20)
    assert [learning_rate(step, 20, 2, "linear", PEAK) for step in range(1, 21)] == pytest.approx(plain, rel=1e-12)
    floored = [learning_rate(step, 20, 2, "linear", PEAK, 0.25) for step in range(3, 21)]
    assert floored == pytest.approx([PEAK * 0.25 + rate * 0.75 for rate in plain[2:]])
    assert learning_rate(2, 20, 2, "linear", PEAK, 0.25) == pytest.approx(plain[1]), "a warm-up starts at 0"


def test_beta2_is_adams_also_after_a_checkpoint_with_another(models):
    changes = {"adam_beta2": 0.95, "max_grad_norm": 0.0, "mixed_precision": "no"}
    stepper = Stepper(
        Accelerator(cpu=True), worlds.load(models / "decoder")[0], worlds.config(models / "decoder", **changes)
    )
    for group in stepper.optimizer.param_groups:
        group["betas"] = (0.9, 0.5)  # as a checkpoint's state would leave it
    copies = [torch.nn.Parameter(parameter.detach().clone()) for parameter in stepper.parameters]
    reference = torch.optim.AdamW(copies, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    torch.manual_seed(0)
    for _ in range(4):
        stepper.begin(1e-2)
        for parameter, copy in zip(stepper.parameters, copies, strict=True):
            parameter.grad = torch.randn_like(parameter)
            copy.grad = parameter.grad.clone()
        stepper.update(stepper.reduce(torch.zeros(1)))
        reference.step()
    for parameter, copy in zip(stepper.parameters, copies, strict=True):
        assert torch.allclose(parameter, copy, rtol=1e-5, atol=1e-7)
