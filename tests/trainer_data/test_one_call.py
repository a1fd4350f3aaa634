"""One attention call over a row of pair blocks: its index arithmetic by brute force, and what it computes against the
plain path. The kernel itself is a GPU's; here a plain loop over the sequences stands in for it."""

import itertools
import math
from dataclasses import replace

import data_worlds as worlds
import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from trainer.data.batches import collate
from trainer.data.sequences import sequences_of
from trainer.loop.loss import pair_loss
from trainer.model import attention, varlen
from trainer.model import reward as model

PAIRS = worlds.token_pairs(7)
CPU = torch.device("cpu")
SETTINGS = LlamaConfig(hidden_size=32, num_attention_heads=4, num_key_value_heads=2)


def looped(query, key, value, sequences, causal, scale, aligned_to_the_end=True):
    """What flash attention with bounds is documented to compute, sequence by sequence."""
    assert query.dtype == key.dtype == value.dtype
    groups, found = query.shape[1] // key.shape[1], []
    bounds = sequences.bounds.tolist()
    for (a, b), (c, d) in zip(*map(itertools.pairwise, bounds), strict=True):
        assert b - a <= sequences.longest_query and d - c <= sequences.longest_key
        keys, values = (part[c:d].repeat_interleave(groups, 1) for part in (key, value))
        scores = torch.einsum("qhs,khs->hqk", query[a:b], keys) * (scale or query.shape[-1] ** -0.5)
        if causal:
            shift = (d - c) - (b - a) if aligned_to_the_end else 0
            hidden = torch.ones(b - a, d - c, dtype=torch.bool).triu(shift + 1)
            scores = scores.masked_fill(hidden, -math.inf)
        found.append(torch.einsum("hqk,khs->qhs", scores.float().softmax(-1).to(value.dtype), values))
    return torch.cat(found)


@pytest.fixture
def in_float32(monkeypatch):
    """The one call in float32, so that it can be compared to rounding."""
    monkeypatch.setattr(varlen, "FORMATS", (torch.float32,))
    monkeypatch.setattr(varlen, "flash", looped)


def blocks_of(draw):
    start = 0
    for _ in range(draw.integers(1, 6)):
        shared = int(draw.integers(0, 5))
        branches = tuple(int(size) for size in draw.integers(1, 6, draw.integers(1, 4)))
        yield start, shared, branches
        start += shared + sum(branches)


@pytest.mark.parametrize("seed", range(20))
def test_each_sequence_has_the_keys_that_its_tokens_see(seed):
    blocks = list(blocks_of(np.random.default_rng(seed)))
    made = sequences_of(blocks)
    source, own, shared, shared_at = (part.tolist() for part in made.split())
    wanted = []
    for start, common, (first, *others) in blocks:
        wanted.append((list(range(start, start + common + first)),) * 2)
        at = start + common + first
        for size in others:
            tokens = list(range(at, at + size))
            wanted.append((tokens, [*range(start, start + common), *tokens]))
            at += size
    queries, keys = made.bounds.tolist()
    found = [
        (list(range(*queries[n : n + 2])), [source[place] for place in range(*keys[n : n + 2])])
        for n in range(len(queries) - 1)
    ]
    assert found == wanted
    assert [source[place] for place in own] == list(range(made.tokens))
    assert [source[place] for place in shared_at] == shared
    assert sorted([*own, *shared_at]) == list(range(made.keys))


def test_the_gradient_of_a_key_is_the_sum_over_its_copies():
    made = sequences_of([(0, 3, (2, 1, 2)), (8, 0, (4,))])
    x = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(varlen.laid_out(x, made), x[made.split()[0]])
    assert torch.autograd.gradcheck(lambda x: varlen.laid_out(x, made), (x,))


@pytest.mark.parametrize(
    "changes", [{}, {"share_prefix": False}, {"gradient_checkpointing": True}, {"trim_last_layer": False}], ids=str
)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_rewards_and_gradients_are_the_plain_paths(models, in_float32, kind, changes):
    config = worlds.config(models / kind, mixed_precision="no", **changes)
    found = []
    for one_call in (False, True):
        reward_model = model.load(config)[0].train()
        torch.manual_seed(0)
        with torch.no_grad():
            for _, parameter in sorted(reward_model.named_parameters()):
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape) * 0.05)
        batch = collate(PAIRS, replace(reward_model.layout, one_call=one_call)).to(CPU)
        assert (batch.sequences is not None) is one_call
        chosen, rejected = model.rewards(reward_model, batch)
        pair_loss(chosen, rejected, None, config).sum().backward()
        trained = [parameter.grad.flatten() for parameter in reward_model.parameters() if parameter.requires_grad]
        found.append((torch.cat([chosen, rejected]).detach(), torch.cat(trained)))
    (plain, plain_grads), (fast, grads) = found
    assert (plain - fast).abs().max() < 5e-6
    assert (plain_grads - grads).abs().max() < 1e-5 * max(1.0, float(plain_grads.abs().max()))


def test_float32_never_goes_to_a_kernel_of_half_precision(models, monkeypatch):
    def flash(*given):
        raise AssertionError("called")

    monkeypatch.setattr(varlen, "flash", flash)
    reward_model = worlds.load(models / "decoder")[0]
    batch = collate(PAIRS, replace(reward_model.layout, one_call=True))
    plain = collate(PAIRS, reward_model.layout)
    with torch.no_grad():
        reward_model.eval()
        assert torch.equal(reward_model(batch), reward_model(plain))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_trial_takes_a_right_kernel_and_no_other(dtype):
    def from_the_start(*given):
        return looped(*given, aligned_to_the_end=False)

    def refuses(*given):
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nmore")

    assert varlen.why_not(CPU, dtype, SETTINGS, looped) == ""
    assert "it differs by" in varlen.why_not(CPU, dtype, SETTINGS, from_the_start)
    assert "differs by inf" in varlen.why_not(CPU, dtype, SETTINGS, lambda *given: looped(*given) * math.nan)
    assert varlen.why_not(CPU, dtype, SETTINGS, refuses).endswith("only supports Ampere GPUs or newer.")


def test_what_is_in_the_way_is_named(models):
    assert varlen.has_flash()
    assert varlen.why_not(CPU, torch.bfloat16, SETTINGS) == "it is for GPUs"
    assert varlen.why_not(CPU, None, SETTINGS) == "it takes bf16 or fp16"
    reward_model = worlds.load(models / "decoder")[0]
    assert model.choose_attention(reward_model, CPU, "bf16") == "shared prefixes once, no padding"
    assert not reward_model.layout.one_call
    padded = worlds.load(models / "decoder", unpadded=False)[0]
    assert model.choose_attention(padded, CPU, "bf16") == "padded rows"


@pytest.mark.parametrize("name", attention.MORE_THAN_PRODUCTS)
def test_scores_that_are_more_than_products_are_refused(name):
    part = torch.zeros(1, 1, 3, 8)
    with pytest.raises(ValueError, match="scaled products"):
        attention.attend(torch.nn.Module(), part, part, part, None, pair_blocks=(), is_causal=True, **{name: 30.0})
