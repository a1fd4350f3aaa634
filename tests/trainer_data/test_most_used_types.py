"""The most used base models, LoRA and full: what is saved gives the same rewards in plain transformers and peft, and
gradients are those of the plain computation."""

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch

from trainer.data.batches import collate
from trainer.loop.start_check import nudged
from trainer.model import plain, reward

PAIRS = worlds.token_pairs(6)
PLAIN = {
    "unpadded": False,
    "share_prefix": False,
    "fused_adapter": False,
    "fused_norm": False,
    "trim_last_layer": False,
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", bases.MOST_USED)
def test_saved_rewards_and_gradients_are_those_of_plain_transformers(kind, method, tmp_path):
    base = bases.make(kind, tmp_path / "base", **bases.MOST_USED[kind])
    fast, tokenizer = worlds.load(base, method=method)
    slow, _ = worlds.load(base, method=method, **PLAIN)
    sides = [side.tolist() for side in (*(pair.chosen for pair in PAIRS), *(pair.rejected for pair in PAIRS))]
    with nudged(fast, seed=1), nudged(slow, seed=1):
        found = fast(collate(PAIRS, fast.layout))
        weights = torch.linspace(-1, 1, len(found))
        (found * weights).sum().backward()
        (slow(collate(PAIRS, slow.layout)) * weights).sum().backward()
        largest = max(float(other.grad.abs().max()) for other in slow.parameters() if other.grad is not None)
        for (name, one), other in zip(fast.named_parameters(), slow.parameters(), strict=True):
            if one.requires_grad and other.grad is not None:
                # A gradient that is zero by its formula (a key's bias) is rounding, in proportion to the others.
                near = 1e-4 * float(other.grad.abs().max()) + 1e-6 * largest
                assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=near), (name, largest)
        fast.inner.save_pretrained(tmp_path / "saved")
        tokenizer.save_pretrained(tmp_path / "saved")
    torch.manual_seed(99)
    loaded = plain.load(tmp_path / "saved", torch.device("cpu"))
    rewards = found.tolist()
    allowed = plain.tolerance(rewards, "no")
    assert plain.largest_difference(rewards, loaded.alone(sides)) <= allowed
    assert plain.largest_difference(rewards, loaded.padded(sides, tokenizer.padding_side)) <= allowed
    assert reward.load_trained(tmp_path / "saved", worlds.config(base, method=method))[0](
        collate(PAIRS, fast.layout)
    ).tolist() == pytest.approx(rewards, abs=1e-5)
