import math
from types import SimpleNamespace

import pytest
import torch

from trainer.config import build
from trainer.loop.loss import pair_loss

CHOSEN, REJECTED, MARGIN = [2.0, -1.5, 0.25, 60.0, -70.0], [1.0, 0.5, 0.25, -60.0, 80.0], [0.5, 0.0, 1.0, 2.0, 0.0]
OPTIONS = [
    {},
    {"use_margin": True},
    {"label_smoothing": 0.1},
    {"center_rewards_coefficient": 0.01},
    {"use_margin": True, "label_smoothing": 0.2, "center_rewards_coefficient": 0.05},
]


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def reference(config):
    """The formula of the docstring in Python's own float64."""
    made = []
    for chosen, rejected, margin in zip(CHOSEN, REJECTED, MARGIN, strict=True):
        gap = chosen - rejected - (margin if config.use_margin else 0.0)
        loss = (1 - config.label_smoothing) * softplus(-gap) + config.label_smoothing * softplus(gap)
        made.append(loss + config.center_rewards_coefficient * (chosen + rejected) ** 2)
    return made


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
def test_loss_equals_a_float64_reference(options):
    config = build(options)
    found = pair_loss(torch.tensor(CHOSEN), torch.tensor(REJECTED), torch.tensor(MARGIN), config)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(reference(config), rel=2e-6, abs=1e-30)


def test_half_precision_rewards_still_give_a_float32_loss():
    config = build({})
    found = pair_loss(torch.tensor([1.0]).bfloat16(), torch.tensor([1.0]).bfloat16(), None, config)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("margin", [False, True])
@pytest.mark.parametrize("centre", [None, 0.01])
def test_loss_equals_that_of_trl(margin, centre):
    trainer = pytest.importorskip("trl", reason="TRL is not installed").RewardTrainer
    rewards = torch.tensor([*CHOSEN, *REJECTED])[:, None]
    asked = SimpleNamespace(
        model=SimpleNamespace(training=False),
        args=SimpleNamespace(center_rewards_coefficient=centre),
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
        _total_train_tokens=0,
        _metrics={"eval": {name: [] for name in ("min_reward", "mean_reward", "max_reward", "accuracy", "margin")}},
    )
    inputs = {"margin": torch.tensor(MARGIN)} if margin else {}
    theirs = trainer.compute_loss(asked, lambda **_: SimpleNamespace(logits=rewards), inputs)
    config = build({"use_margin": margin, "center_rewards_coefficient": centre or 0.0})
    ours = pair_loss(torch.tensor(CHOSEN), torch.tensor(REJECTED), torch.tensor(MARGIN), config).mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
