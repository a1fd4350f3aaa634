"""DoRA and rank-stabilized LoRA compute what peft computes; Adafactor steps as transformers' own does."""

import data_worlds as worlds
import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForSequenceClassification
from transformers.optimization import Adafactor

from trainer.config import build, check_inputs
from trainer.data.batches import collate
from trainer.loop import optimizers
from trainer.loop.optimizer_step import Stepper
from trainer.loop.start_check import nudged, unsaved
from trainer.model import fused_lora, plain, reward
from trainer.release import merge
from trainer.spec import Refused

PAIRS = worlds.token_pairs(4)
SIDES = [side.tolist() for side in (*(pair.chosen for pair in PAIRS), *(pair.rejected for pair in PAIRS))]
VARIANTS = {"dora": {"use_dora": True}, "rslora": {"use_rslora": True}}
LORA = {"r": 4, "alpha": 8.0, "dropout": 0.0}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_rewards_and_gradients_are_those_of_pefts_own_forward(models, tmp_path, variant, kind):
    made, tokenizer = worlds.load(models / kind, lora=LORA | {variant: True})
    base = AutoModelForSequenceClassification.from_pretrained(models / kind, num_labels=1)
    targets = made.inner.peft_config["default"].target_modules
    settings = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=targets, **VARIANTS[variant])
    reference = get_peft_model(base, settings).eval()
    with nudged(made, seed=2):
        reference.load_state_dict(made.inner.state_dict())
        found = made(collate(PAIRS, made.layout))
        expected = torch.cat([reference(input_ids=torch.tensor([side])).logits[:, 0] for side in SIDES])
        assert torch.allclose(found, expected, atol=1e-5), (found, expected)
        (found * torch.linspace(-1, 1, len(found))).sum().backward()
        (expected * torch.linspace(-1, 1, len(found))).sum().backward()
        theirs = {name: one.grad for name, one in reference.named_parameters() if one.grad is not None}
        ours = {name: one.grad for name, one in made.inner.named_parameters() if one.grad is not None}
        assert ours.keys() == theirs.keys()
        largest = max(float(one.abs().max()) for one in theirs.values())
        assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5 * largest) for name in ours)
        made.inner.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        rewards = found.tolist()
    assert plain.largest_difference(rewards, plain.load(tmp_path, torch.device("cpu")).alone(SIDES)) < 1e-5
    again, _ = reward.load_trained(tmp_path, worlds.config(models / kind))
    assert again(collate(PAIRS, again.layout)).tolist() == pytest.approx(rewards, abs=1e-5)
    assert unsaved(made) == []


def fused(made):
    """Whether each adapted layer computes as one function; the last layer's trimmed one is wrapped once more."""
    return [
        getattr(vars(module).get("forward"), "__func__", None) is fused_lora.forward
        for module in made.modules()
        if isinstance(module, LoraLayer)
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_they_differ_from_lora_and_only_plain_layers_are_fused(models, variant):
    made, _ = worlds.load(models / "decoder", lora=LORA | {variant: True})
    usual, _ = worlds.load(models / "decoder", lora=LORA)
    trained = dict(made.named_parameters())
    assert any("lora_magnitude_vector" in name for name in trained) == (variant == "dora")
    scale = {module.scaling["default"] for module in made.modules() if isinstance(module, LoraLayer)}
    assert scale == {8 / 4 if variant == "dora" else 8 / 4**0.5}
    assert any(fused(made)) == (variant != "dora") and any(fused(usual))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_merge_gives_the_same_rewards(models, tmp_path, variant):
    made, tokenizer = worlds.load(models / "decoder", lora=LORA | {variant: True})
    with nudged(made, seed=2):
        made.inner.save_pretrained(tmp_path / "adapter")
        tokenizer.save_pretrained(tmp_path / "adapter")
    assert merge.merge(tmp_path / "adapter", tmp_path / "merged").difference < 1e-5


def test_adafactor_steps_as_transformers_own(models):
    changes = {"optimizer": "adafactor", "max_grad_norm": 0.0, "weight_decay": 0.1, "mixed_precision": "no"}
    config = worlds.config(models / "decoder", **changes)
    stepper = Stepper(Accelerator(cpu=True), reward.load(config)[0], config)
    copies = [parameter.detach().clone().requires_grad_() for parameter in stepper.parameters]
    groups = [
        {"params": [one for one in copies if one.ndim > 1], "weight_decay": 0.1},
        {"params": [one for one in copies if one.ndim <= 1], "weight_decay": 0.0},
    ]
    reference = Adafactor(
        [group for group in groups if group["params"]], lr=1.0, relative_step=False, scale_parameter=False
    )
    draw = torch.Generator().manual_seed(1)
    for rate in (1e-3, 5e-4, 2e-3):
        for one, other in zip(stepper.parameters, copies, strict=True):
            one.grad = torch.randn(one.shape, generator=draw)
            other.grad = one.grad.clone()
        stepper.begin(rate)
        stepper.update(stepper.reduce(torch.zeros(1)))
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
    assert all(torch.equal(one, other) for one, other in zip(stepper.parameters, copies, strict=True))


def test_8_bit_states_are_refused_where_they_cannot_be_computed(models, monkeypatch):
    config = build({"model": str(models / "decoder"), "optimizer": "adamw8bit"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install bitsandbytes" in " ".join(str(one) for one in check_inputs(config) if one.key == "optimizer")
    with pytest.raises(Refused, match="CUDA"):
        optimizers.refuse_impossible(config, Accelerator(cpu=True))
