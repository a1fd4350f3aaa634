"""Weights that stay in the half precision of their files: the same numbers to the bit as float32, and no copy."""

from pathlib import Path

import data_worlds as worlds
import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForSequenceClassification

from trainer.data.batches import collate
from trainer.loop import evaluate
from trainer.loop.loss import pair_loss
from trainer.model import plain, stored, toy
from trainer.model.reward import rewards

PAIRS = worlds.token_pairs(6)
FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Decoders and an encoder whose files are in half precision; one has its head in them."""
    folder = tmp_path_factory.mktemp("halves")
    made = {name: toy.make_family(name, folder / "f32" / name) for name in ("llama", "gpt2", "bert")}
    for name, base in made.items():
        for precision, dtype in FORMATS.items():
            model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype)
            (model if name == "gpt2" else model.base_model).save_pretrained(folder / precision / name)
            for file in base.glob("*token*"):
                (folder / precision / name / file.name).write_bytes(file.read_bytes())
    return folder


def trained(folder, precision, **changes):
    """Rewards, loss and gradients of a training pass, and the model."""
    model, _ = worlds.load(folder, mixed_precision=precision, lora={"dropout": 0.0, "r": 4}, **changes)
    model.train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
    batch = collate(PAIRS, model.layout)
    with plain.autocast(torch.device("cpu"), precision):
        chosen, rejected = rewards(model, batch)
    pair_loss(chosen, rejected, batch.margin, worlds.config(folder)).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    with plain.autocast(torch.device("cpu"), precision):
        scored = evaluate.score(model, PAIRS, model.layout, 4)
    return scored, gradients, model


@pytest.mark.parametrize(
    ("family", "held", "precision"),
    [("llama", "bf16", "bf16"), ("llama", "fp16", "bf16"), ("gpt2", "bf16", "bf16"), ("bert", "bf16", "bf16")],
)
def test_what_is_computed_is_the_same_to_the_bit(halves, monkeypatch, family, held, precision):
    """Adapters as they are drawn, the head, rewards and gradients; files in the run's format and in the other."""
    folder = halves / held / family
    scored, gradients, model = trained(folder, precision)
    monkeypatch.setattr(stored, "format_to_keep", lambda config: None)
    usual, wanted, wide = trained(folder, precision)
    assert model.layout == wide.layout and model.trimmed == wide.trimmed
    assert scored == usual and gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (wanted[name] is None), name
        assert gradient is None or torch.equal(gradient, wanted[name]), name
    other = dict(wide.named_parameters())
    for name, weight in model.named_parameters():
        assert torch.equal(weight.float(), other[name].float()), name
        assert not weight.requires_grad or weight.dtype == torch.float32, name


def test_frozen_weights_of_a_decoder_are_not_copied_from_their_file(halves):
    """They lie where the file is mapped, which all processes of a machine share."""
    _, _, model = trained(halves / "bf16" / "llama", "bf16")
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "safetensors" in line]
    mapped = [[int(end, 16) for end in places.split("-")] for places, *_ in maps]
    layers = [module.get_base_layer().weight for module in model.modules() if isinstance(module, LoraLayer)]
    table = model.classifier.get_input_embeddings().weight
    assert len(layers) == 14
    for weight in (*layers, table):
        assert weight.dtype == torch.bfloat16
        assert any(low <= weight.data_ptr() < high for low, high in mapped)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixed_precision": "no"},
        {"method": "full"},
        {"fused_adapter": False},
        {"lora": {"dora": True, "dropout": 0.0}},
    ],
)
def test_where_weights_are_trained_or_read_otherwise_they_are_float32(halves, changes):
    model, _ = worlds.load(halves / "bf16" / "llama", **{"mixed_precision": "bf16", **changes})
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_a_model_that_uses_a_layer_s_weight_without_calling_it_is_read_as_float32(halves, monkeypatch):
    monkeypatch.setattr(stored, "computes", lambda classifier: False)
    model, _ = worlds.load(halves / "bf16" / "gpt2", mixed_precision="bf16")
    assert model.classifier.get_input_embeddings().weight.dtype == torch.float32
