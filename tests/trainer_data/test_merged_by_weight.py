"""A merged folder is written weight by weight: to the byte what peft and transformers write of the whole model."""

from collections import namedtuple
from pathlib import Path

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer.loop import checkpoint, evaluate
from trainer.model import plain, reward
from trainer.release import by_weight, export, merge

CPU = torch.device("cpu")
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}


def adapter(tmp_path, kind, dtype, head=False, encoder=False, lora=None, **more):
    """A base in this format, and an adapter over it that has moved; the adapter's folder."""
    base = bases.make(kind, tmp_path / "f32", encoder=encoder, **more)
    tokenizer = AutoTokenizer.from_pretrained(base)
    held = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype)
    held.config.pad_token_id = tokenizer.pad_token_id
    (held if head else held.base_model).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    made, tokenizer = worlds.load(tmp_path / "base", lora={"r": 4, **(lora or {})})
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    checkpoint.write_weights(made, tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def wanted(folder, out, **how):
    """What plain peft and transformers make of it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(folder.parent / "base", num_labels=1, dtype=torch.float32)
    base.config.pad_token_id = tokenizer.pad_token_id
    PeftModel.from_pretrained(base, folder).merge_and_unload(safe_merge=True).save_pretrained(out, **how)


def write(folder, out):
    trained, _ = reward.load_trained(folder, worlds.config(folder.parent / "base"), mapped=True)
    merge._prepare(trained.classifier)
    by_weight.write(trained.inner, out)


def same_files(one, other):
    there = sorted(file.name for file in other.iterdir())
    assert any("safetensors" in name for name in there)
    for name in there:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(
    ("kind", "dtype", "more"),
    [
        ("llama", torch.bfloat16, {}),
        ("llama", torch.float16, {"head": True}),
        ("llama", torch.float32, {}),
        ("gpt2", torch.bfloat16, {"head": True}),
        ("qwen2", torch.bfloat16, {"lora": {"rslora": True, "target_modules": ["q_proj"]}}),
        ("llama", torch.bfloat16, {"lora": {"dora": True}}),
        ("mixtral", torch.bfloat16, EXPERTS),
        ("mixtral", torch.bfloat16, {**EXPERTS, "lora": {"target_parameters": ["auto"], "dropout": 0.0}}),
        ("bert", torch.bfloat16, {"encoder": True}),
        ("gemma2", torch.bfloat16, {"query_pre_attn_scalar": 8}),
    ],
)
def test_the_files_are_those_of_a_whole_merge(tmp_path, kind, dtype, more):
    folder = adapter(tmp_path, kind, dtype, **more)
    write(folder, tmp_path / "out")
    wanted(folder, tmp_path / "wanted")
    same_files(tmp_path / "out", tmp_path / "wanted")


def test_a_large_model_is_split_as_transformers_split_it(tmp_path, monkeypatch):
    folder = adapter(tmp_path, "llama", torch.bfloat16)
    monkeypatch.setattr(by_weight, "SHARD", "30KB")
    write(folder, tmp_path / "out")
    wanted(folder, tmp_path / "wanted", max_shard_size="30KB")
    assert len(list((tmp_path / "wanted").glob("*-of-*"))) > 2
    same_files(tmp_path / "out", tmp_path / "wanted")


def test_layers_that_are_computed_and_merged_stay_where_their_file_is_mapped(tmp_path):
    folder = adapter(tmp_path, "llama", torch.bfloat16)
    trained, tokenizer = reward.load_trained(folder, worlds.config(folder.parent / "base"), mapped=True)
    merge.some_pairs(trained, tokenizer, worlds.config(folder.parent / "base"))
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "safetensors" in line]
    mapped = [[int(end, 16) for end in places.split("-")] for places, *_ in maps]
    layers = [one.get_base_layer() for one in trained.modules() if isinstance(one, LoraLayer)]
    assert len(layers) == 14
    for weight in (*(one.weight for one in layers), trained.classifier.get_input_embeddings().weight):
        assert any(low <= weight.data_ptr() < high for low, high in mapped)
    usual, _ = reward.load_trained(folder, worlds.config(folder.parent / "base"))
    pairs = worlds.token_pairs(6)
    for sides, other in zip(
        evaluate.score(trained, pairs, trained.layout, 4), evaluate.score(usual, pairs, usual.layout, 4), strict=True
    ):
        assert sides == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize(("kind", "more"), [("llama", {"head": True}), ("gpt2", {}), ("mixtral", EXPERTS)])
def test_a_base_that_stays_in_half_precision_gives_the_same_rewards_to_the_bit(tmp_path, kind, more, precision):
    """In the fresh process of the round trip, and where pairs are scored in half precision."""
    folder = adapter(tmp_path, kind, torch.bfloat16, **more)
    sides = [pair.chosen.tolist() for pair in worlds.token_pairs(5)]
    found = []
    for mapped in (True, False):
        loaded = plain.load(folder, CPU, mapped=mapped)
        halves = {weight.dtype for weight in loaded.model.parameters()} - {torch.float32}
        assert halves == ({torch.bfloat16} if mapped else set())
        config = worlds.config(folder.parent / "base", mixed_precision=precision)
        trained, _ = reward.load_trained(folder, config, mapped=mapped)
        with plain.autocast(CPU, precision):
            found.append((loaded.alone(sides), loaded.padded(sides, "right"), loaded.padded(sides, "left")))
            if precision != "no":
                found[-1] += (evaluate.score(trained, worlds.token_pairs(5), trained.layout, 4),)
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_base_in_half_precision_is_merged_and_proved(tmp_path, capsys):
    folder = adapter(tmp_path, "llama", torch.bfloat16)
    assert export.main(["merge", str(folder), str(tmp_path / "out")]) == 0
    wanted(folder, tmp_path / "wanted")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "wanted" / name).read_bytes()
    assert "reward is read at the last token" in (tmp_path / "out" / "README.md").read_text()


def test_a_disk_without_room_refuses_and_leaves_no_folder(tmp_path, monkeypatch, capsys):
    folder = adapter(tmp_path, "llama", torch.bfloat16)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(by_weight.shutil, "disk_usage", lambda _: usage(1 << 20, 1 << 20, 1000))
    assert export.main(["merge", str(folder), str(tmp_path / "out")]) == 2
    assert "are free there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
