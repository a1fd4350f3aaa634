"""Models with an encoder and a decoder: the decoder is fed as plain transformers feed it, and rewards, gradients and
what is saved are theirs."""

from dataclasses import replace

import base_worlds as bases
import data_worlds as worlds
import numpy as np
import pytest
import torch

from trainer.data.batches import collate
from trainer.loop import start_check
from trainer.model import base_facts, plain, reward

END = 2
ENDED = {"eos_token_id": END, "bos_token_id": 1, "decoder_start_token_id": 1}
TYPES = ("bart", "mbart", "mt5", "mvp", "plbart", "t5", "t5gemma", "t5gemma2", "umt5")
WAYS = [
    pytest.param(kind, method, marks=() if (kind, method) == ("t5gemma", "lora") else pytest.mark.slow)
    for method, kinds in (("lora", TYPES), ("full", ("t5", "t5gemma")))
    for kind in kinds
]
PAIRS = [
    replace(pair, chosen=np.append(pair.chosen, np.int32(END)), rejected=np.append(pair.rejected, np.int32(END)))
    for pair in worlds.token_pairs(4)
]
SIDES = [pair.chosen.tolist() for pair in PAIRS] + [pair.rejected.tolist() for pair in PAIRS]
FIRST = torch.tensor([SIDES[0]])


@pytest.mark.parametrize(("kind", "method"), WAYS)
def test_rewards_and_gradients_are_those_of_plain_transformers(kind, method, tmp_path):
    base = bases.make(kind, tmp_path / "base", encoder=True, **ENDED)
    made, tokenizer = worlds.load(base, method=method)
    weights = [one for one in made.parameters() if one.requires_grad]
    scale = torch.linspace(-1, 1, len(SIDES))
    with start_check.nudged(made, 3):
        found = made.eval()(collate(PAIRS, made.layout))
        wanted = torch.cat([made.inner(input_ids=torch.tensor([side])).logits[0] for side in SIDES])
        assert torch.allclose(found, wanted, atol=2e-6 * max(1.0, float(wanted.detach().abs().max())))
        mine = torch.autograd.grad((found * scale).sum(), weights, allow_unused=True)
        theirs = torch.autograd.grad((wanted * scale).sum(), weights, allow_unused=True)
        assert [one is None for one in mine] == [one is None for one in theirs]
        both = [(one, other) for one, other in zip(mine, theirs, strict=True) if one is not None]
        gap = sum(float((one - other).square().sum()) for one, other in both) ** 0.5
        norm = sum(float(other.square().sum()) for _, other in both) ** 0.5
        assert norm > 0 and gap < 1e-5 * norm
        made.inner.save_pretrained(tmp_path / "saved")
        tokenizer.save_pretrained(tmp_path / "saved")
    torch.manual_seed(99)
    loaded = plain.load(tmp_path / "saved", torch.device("cpu"))
    allowed = plain.tolerance(wanted.tolist(), "no")
    assert plain.largest_difference(wanted.tolist(), loaded.alone(SIDES)) <= allowed
    again, _ = reward.load_trained(tmp_path / "saved", worlds.config(base, method=method))
    assert again(collate(PAIRS, again.layout)).tolist() == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["t5gemma", "t5gemma2", "llama"])
def test_a_head_that_does_not_read_the_body_at_the_last_token_is_found(kind, tmp_path):
    feeds = kind.startswith("t5")
    base = bases.make(kind, tmp_path / "base", encoder=feeds, **(ENDED if feeds else {}))
    made, _ = worlds.load(base)
    assert base_facts.reads_last(made.classifier) is not feeds
    assert made.layout.as_a_whole is feeds
