from dataclasses import replace

import data_worlds as worlds
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, MistralConfig, MistralForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from trainer.data import batches as packing
from trainer.loop.loss import pair_loss
from trainer.model import fused_lora, fused_norm, pretrained
from trainer.model import reward as model

PAIRS = worlds.token_pairs(9)
ROUNDING = 5e-6
"""Of a reward near 1: transformers' own float32 forward stood 2.1e-6 from its float64 one on an AMD EPYC (Zen 5), this
trainer's 6e-7."""
TRICKS = [
    {"share_prefix": False},
    {"unpadded": False},
    {"fused_adapter": False},
    {"fused_norm": False},
    {"trim_last_layer": False},
    {"gradient_checkpointing": True},
]


def gradients(reward_model, batches, config):
    """Mean loss over all pairs of the batches → rewards and gradients, flattened."""
    reward_model.zero_grad()
    total, found = sum(batch.pairs for batch in batches), []
    for batch in batches:
        chosen, rejected = model.rewards(reward_model, batch)
        (pair_loss(chosen, rejected, None, config).sum() / total).backward()
        found.append(torch.stack([chosen, rejected], dim=1).detach())
    trained = [parameter for parameter in reward_model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    return torch.cat(found), torch.cat([parameter.grad.flatten() for parameter in trained])


def trained_a_little(folder, **changes):
    """A model whose adapter is not zero, in evaluation order the same for the same seed."""
    config = worlds.config(folder, **changes)
    reward_model, _ = model.load(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(reward_model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.05)
    return reward_model.train(), config


def batch_of(reward_model, pairs=PAIRS):
    return packing.collate(pairs, reward_model.layout)


@pytest.mark.parametrize("kind", ["decoder", "encoder", "pad_is_end"])
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: next(iter(trick)))
def test_no_trick_changes_rewards_or_gradients(models, kind, trick):
    fast, config = trained_a_little(models / kind)
    plain, _ = trained_a_little(models / kind, **trick)
    rewards, grads = gradients(fast, [batch_of(fast)], config)
    plain_rewards, plain_grads = gradients(plain, [batch_of(plain)], config)
    assert torch.allclose(rewards, plain_rewards, rtol=0, atol=ROUNDING)
    assert (grads - plain_grads).abs().max() < 1e-5 * max(1.0, float(grads.abs().max()))
    assert grads.abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "shares"), [("decoder", True), ("pad_is_end", True), ("encoder", False)])
def test_the_fast_layout_is_taken_where_it_is_exact(models, kind, shares):
    """A fast layout that computes something else is given up at load, so a fault in it would only cost speed."""
    layout = worlds.load(models / kind)[0].layout
    assert (layout.unpadded, layout.share_prefix) == (True, shares)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_rewards_equal_one_by_one_scoring_by_transformers(models, kind):
    reward_model, _ = trained_a_little(models / kind)
    reward_model.eval()
    with torch.no_grad():
        chosen, rejected = model.rewards(reward_model, batch_of(reward_model))
        for pair, *found in zip(PAIRS, chosen, rejected, strict=True):
            for side, reward in zip((pair.chosen, pair.rejected), found, strict=True):
                ids = torch.from_numpy(side).long()[None]
                alone = reward_model.inner(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0]
                assert abs(float(alone - reward)) < ROUNDING


def test_a_model_with_a_sliding_window_is_scored_as_transformers_does(models, tmp_path):
    settings = MistralConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=6, initializer_range=0.2,
    )  # fmt: skip
    MistralForCausalLM(settings).save_pretrained(tmp_path)
    pretrained.load_tokenizer(str(models / "decoder")).save_pretrained(tmp_path)
    reward_model, _ = worlds.load(tmp_path)
    reward_model.eval()
    with torch.no_grad():
        found = reward_model(batch_of(reward_model))
        for pair, reward in zip(PAIRS, found, strict=False):
            alone = reward_model.inner(input_ids=torch.from_numpy(pair.chosen).long()[None]).logits[0, 0]
            assert abs(float(alone - reward)) < ROUNDING


@pytest.mark.parametrize("left", [False, True])
def test_a_padded_batch_scores_as_the_side_alone_does_with_pad_equal_to_the_end(models, left):
    reward_model, _ = trained_a_little(models / "pad_is_end", unpadded=False)
    layout = replace(reward_model.layout, pad_left=left, pad_id=0)
    pairs = worlds.token_pairs(6)
    for pair in pairs:
        pair.chosen[-1] = pair.rejected[-1] = 0  # the end token, which is the pad token too
    with torch.no_grad():
        together = reward_model(packing.collate(pairs, layout))
        alone = [reward_model(packing.collate([pair], layout)) for pair in pairs]
    assert torch.allclose(together, torch.stack(alone, dim=1).flatten(), rtol=0, atol=2e-6)


def test_gradients_do_not_depend_on_how_a_step_is_split(models):
    reward_model, config = trained_a_little(models / "decoder")
    pairs = worlds.token_pairs(8)
    splits = [(8,), (2, 2, 2, 2), (3, 3, 2)]
    found = []
    for split in splits:
        parts, start = [], 0
        for size in split:
            parts.append(batch_of(reward_model, pairs[start : start + size]))
            start += size
        found.append(gradients(reward_model, parts, config)[1])
    scale = max(1.0, float(found[0].abs().max()))
    assert (found[0] - found[1]).abs().max() < 1e-6 * scale
    assert (found[0] - found[2]).abs().max() < 1e-6 * scale


def test_head_and_rewards_stay_float32_under_autocast(models):
    reward_model, _ = trained_a_little(models / "decoder", mixed_precision="bf16")
    full, _ = trained_a_little(models / "decoder")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rewards = reward_model(batch_of(reward_model))
    assert rewards.dtype == torch.float32
    assert reward_model.classifier.score.modules_to_save.default.weight.dtype == torch.float32
    assert len(set(rewards.tolist())) == len(rewards)
    assert torch.allclose(rewards, full(batch_of(full)), atol=0.15)
    assert not torch.equal(rewards, rewards.bfloat16().float())


def test_dropout_is_what_was_asked_for_and_only_while_training(models):
    reward_model, _ = trained_a_little(models / "decoder", lora={"dropout": 0.3, "r": 4})
    batch = batch_of(reward_model)
    with torch.no_grad():
        torch.manual_seed(1)
        first = reward_model(batch)
        torch.manual_seed(1)
        assert torch.equal(first, reward_model(batch))
        assert not torch.equal(first, reward_model(batch))
        reward_model.eval()
        assert torch.equal(reward_model(batch), reward_model(batch))


def test_kept_share_and_scale_of_the_mask():
    torch.manual_seed(0)
    keep, probability = fused_lora.keep_mask(torch.empty(1000, 999), 0.1)
    assert abs(probability - 0.9) < 1e-5
    assert abs(float(keep.float().mean()) - 0.9) < 5 * (0.09 / keep.numel()) ** 0.5
    assert abs(float(keep.float().mean(0).std()) - (0.09 / 1000) ** 0.5) < 0.002


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_fused_adapter_has_the_gradient_of_its_formula(share):
    torch.manual_seed(0)
    x, weight, down, up = (torch.randn(size, dtype=torch.float64) for size in ((6, 5), (4, 5), (2, 5), (4, 2)))
    inputs = [part.requires_grad_() for part in (x, down, up)]

    def fused(x, down, up):
        torch.manual_seed(7)
        return fused_lora.AdaptedLinear.apply(x, weight, None, down, up, 1.5, share)

    torch.manual_seed(7)
    keep, kept = fused_lora.keep_mask(x, share) if share else (torch.ones_like(x), 1.0)
    expected = x @ weight.t() + 1.5 * ((x * keep / kept) @ down.t()) @ up.t()
    assert torch.allclose(fused(*inputs), expected)
    assert torch.autograd.gradcheck(fused, inputs)


def test_the_fused_norm_has_the_gradient_of_its_formula():
    torch.manual_seed(0)
    x, weight = torch.randn(6, 5).requires_grad_(), torch.randn(5)
    exact = x.detach().double().requires_grad_()
    mean = exact.square().mean(-1, keepdim=True)
    expected = weight.double() * exact / (mean + 1e-5).sqrt()
    found = fused_norm.RootMeanSquare.apply(x, weight, 1e-5)
    along = torch.randn(6, 5)
    found.backward(along)
    expected.backward(along.double())
    assert (found - expected).abs().max() < 1e-6
    assert (x.grad - exact.grad).abs().max() < 1e-6


def test_only_a_frozen_norm_of_that_formula_is_fused():
    class LikeGemmaRMSNorm(LlamaRMSNorm):
        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon) * (1 + self.weight)

    frozen, trained, other = LlamaRMSNorm(8), LlamaRMSNorm(8), LikeGemmaRMSNorm(8)
    for module in (frozen, other):
        module.weight.requires_grad_(False)
    assert fused_norm.fuse(torch.nn.ModuleList([frozen, trained, other, torch.nn.LayerNorm(8)])) == 1
    assert "forward" in vars(frozen)


def test_an_activation_is_rounded_once_for_all_layers_that_read_it_until_it_changes():
    x = torch.randn(3, 4)
    first = fused_lora.rounded(x, torch.bfloat16)
    assert fused_lora.rounded(x, torch.bfloat16) is first
    assert fused_lora.rounded(x, torch.float32) is x
    x.add_(1.0)
    assert torch.equal(fused_lora.rounded(x, torch.bfloat16), x.bfloat16())
    with torch.inference_mode():
        assert fused_lora.rounded(torch.randn(2), torch.bfloat16).dtype == torch.bfloat16
    with torch.no_grad():
        graphless = fused_lora.rounded(y := x.clone().requires_grad_(), torch.bfloat16)
    assert fused_lora.rounded(y, torch.bfloat16).requires_grad and not graphless.requires_grad


def test_new_weights_depend_on_the_seed_only(models):
    def weights(seed):
        torch.manual_seed(seed * 100)
        return [p.clone() for p in worlds.load(models / "decoder", seed=seed)[0].parameters() if p.requires_grad]

    assert all(torch.equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_targets_and_what_is_trained(models):
    auto, _ = worlds.load(models / "decoder")
    trained = {name for name, parameter in auto.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[-4] for name in trained if "lora_A" in name} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert any("score" in name for name in trained)
    few, _ = worlds.load(models / "decoder", lora={"target_modules": ["q_proj"], "r": 4})
    assert model.trainable_parameters(few)[0] < model.trainable_parameters(auto)[0]
    everything, _ = worlds.load(models / "decoder", method="full")
    assert len(set(model.trainable_parameters(everything))) == 1
    with pytest.raises(ValueError, match="w_proj is not in this model"):
        worlds.load(models / "decoder", lora={"target_modules": ["w_proj"]})


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_saved_adapter_and_head_load_with_transformers_and_peft_alone(models, kind, tmp_path):
    reward_model, _ = trained_a_little(models / kind)
    reward_model.eval().inner.save_pretrained(tmp_path)
    torch.manual_seed(99)
    base = AutoModelForSequenceClassification.from_pretrained(models / kind, num_labels=1)
    fresh = PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        for pair, reward in zip(PAIRS, reward_model(batch_of(reward_model)), strict=False):
            ids = torch.from_numpy(pair.chosen).long()[None]
            assert abs(float(fresh(input_ids=ids).logits[0, 0] - reward)) < ROUNDING


def test_the_pad_token_is_never_the_end_token(models):
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_last_layer_is_computed_for_the_scored_tokens_only(models, kind):
    """Where it is not exact it is given up at load, so a fault would only cost speed."""
    reward_model, _ = worlds.load(models / kind)
    batch, seen = batch_of(reward_model), []
    parts = [module for name, module in reward_model.named_modules() if name.endswith(("mlp.up_proj", "intermediate"))]
    inner = parts[-1] if kind == "decoder" else next(iter(parts[-1].children()))
    inner.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    reward_model(batch)
    assert seen == [2 * batch.pairs] and batch.tokens > 2 * batch.pairs
