"""No weight that decides rewards is made anew unseen: not in training, scoring, merging or a resume."""

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForPreTraining, AutoModelForSequenceClassification

from trainer.data.batches import collate
from trainer.loop import checkpoint
from trainer.model import pretrained, reward
from trainer.release import export
from trainer.spec import Refused

PAIRS = worlds.token_pairs(3)
HEADS = {
    "deberta-v2": {"pooler"},
    "deberta": {"pooler"},
    "bert": {"bert.pooler"},
    "distilbert": {"pre_classifier"},
    "modernbert": {"head"},
    "eurobert": {"dense"},
}
"""Parts beside classifier and score that a folder without a head lacks, as in transformers' source."""
MORE = {"bert": {"as_class": AutoModelForCausalLM, "is_decoder": False}}
"""BERT loses its pooler where it was saved as a language model."""


def nudged(folder, **changes):
    """A model as a training leaves it: every trained weight moved."""
    made, tokenizer = worlds.load(folder, **changes)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return made.eval(), tokenizer


def saved(made, tokenizer, folder):
    made.inner.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def without(folder, *endings):
    """Drop weights from the folder's file."""
    file = next(iter(folder.glob("*.safetensors")))
    weights = load_file(file)
    kept = {name: weight for name, weight in weights.items() if not name.endswith(endings)}
    assert len(kept) < len(weights)
    save_file(kept, file, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", HEADS)
def test_new_parts_of_the_head_are_trained_whole_and_load_in_peft_with_another_seed(kind, tmp_path):
    base = bases.make(kind, tmp_path / "base", encoder=True, **MORE.get(kind, {}))
    made, tokenizer = nudged(base)
    assert HEADS[kind] <= set(made.new_parts)
    trained = {name for name, parameter in made.named_parameters() if parameter.requires_grad}
    for part in made.new_parts:
        assert any(f"{part}.modules_to_save" in name for name in trained), part
    out = saved(made, tokenizer, tmp_path / "adapter")
    torch.manual_seed(99)
    plain = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1), out)
    with torch.inference_mode():
        rewards = made(collate(PAIRS, made.layout))
        for pair, found in zip(PAIRS, rewards, strict=False):
            alone = plain.eval()(input_ids=torch.from_numpy(pair.chosen).long()[None]).logits[0, 0]
            assert float(alone) == pytest.approx(float(found), abs=1e-5)


def test_a_hole_in_the_body_is_refused_by_name(models, tmp_path):
    base = bases.make("qwen2", tmp_path / "base")
    without(base, "layers.1.mlp.up_proj.weight", "layers.1.self_attn.q_proj.bias")
    with pytest.raises(Refused, match=r"lacks 2 of the \d+ weights.*layers.1.mlp.up_proj.weight"):
        worlds.load(base)
    norm = bases.make("llama", tmp_path / "norm")
    without(norm, "model.norm.weight")  # directly in the body, as a pooler is, but no part of a head
    with pytest.raises(Refused, match=r"model\.norm\.weight"):
        worlds.load(norm)


def test_the_last_layer_of_an_encoder_is_no_pooler(tmp_path):
    base = bases.make("bert", tmp_path / "base", encoder=True)
    without(base, *(f"layer.1.{rest}" for rest in ("output.dense.weight", "output.dense.bias")), "pooler.dense.weight")
    with pytest.raises(Refused, match=r"encoder.layer.1"):
        worlds.load(base)


def test_a_classifier_with_other_labels_is_refused_and_takes_a_fresh_head_when_asked(tmp_path):
    base = bases.make("llama", tmp_path / "base")
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=2).save_pretrained(base)
    with pytest.raises(Refused, match=r"2 outputs.*--fresh-head.*score.weight is \[2, 32\]"):
        worlds.load(base)
    made, _ = worlds.load(base, fresh_head=True)
    assert made.new_parts == ("score",)


def test_a_fresh_head_replaces_a_reward_models_head_and_nothing_else(tmp_path):
    base = bases.make("roberta", tmp_path / "base", encoder=True)
    torch.manual_seed(3)
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).save_pretrained(base)
    kept, _ = worlds.load(base, method="full")
    fresh, _ = worlds.load(base, method="full", fresh_head=True)
    changed = {
        name.partition(".")[0]
        for (name, one), other in zip(kept.inner.named_parameters(), fresh.inner.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    assert changed == {"classifier"}


def left_out(folder):
    made, _ = worlds.load(folder)
    return " ".join(pretrained.left_out(made.classifier, made.unused, made.new_parts, str(folder)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"v_head.summary.weight": torch.ones(1, 32), "v_head.summary.bias": torch.ones(1)}, "a reward head under a"),
        ({"model.layers.2.mlp.up_proj.weight": torch.ones(64, 32)}, "layers that its config.json does not count"),
        ({"dense.weight": torch.ones(32, 32), "dense.out.weight": torch.ones(1, 32)}, ""),
        ({}, ""),
    ],
)
def test_what_is_left_out_of_a_base_is_said_where_nobody_would_expect_it(more, words, tmp_path):
    folder = bases.make("llama", tmp_path / "base")
    save_file({**load_file(folder / "model.safetensors"), **more}, folder / "model.safetensors", {"format": "pt"})
    found = left_out(folder)
    assert words in found if words else not found


@pytest.mark.parametrize("kind", ["electra", "bert", "t5"])
def test_heads_of_pretraining_are_left_out_without_a_word(kind, tmp_path):
    ended = {"eos_token_id": 2, "decoder_start_token_id": 1} if kind == "t5" else {}
    folder = bases.make(kind, tmp_path / "base", encoder=True, as_class=AutoModelForPreTraining, **ended)
    assert not left_out(folder)


def test_a_language_model_is_not_scored_with_a_random_head(tmp_path, capsys):
    base = bases.make("llama", tmp_path / "base")
    rows = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(2))
    assert export.main(["score", str(base), str(rows)]) == 2
    error = capsys.readouterr().err
    assert "score.weight" in error and "rmtui launch" in error
    assert export.main(["merge", str(base), str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", ["pooler.dense.weight", "layer.0.attention.self.query_proj.lora_B.weight"])
def test_an_adapter_that_lacks_a_weight_is_neither_scored_nor_merged_nor_resumed(lost, tmp_path, capsys):
    base = bases.make("deberta-v2", tmp_path / "base", encoder=True)
    targets = {"lora": {"target_modules": ["query_proj", "value_proj"], "r": 4, "dropout": 0.0}}
    made, tokenizer = nudged(base, **targets)
    out = saved(made, tokenizer, tmp_path / "adapter")
    checkpoint.load_weights(made, out)
    without(out, lost)
    rows = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(2))
    assert export.main(["score", str(out), str(rows)]) == 2
    assert lost in capsys.readouterr().err
    assert export.main(["merge", str(out), str(tmp_path / "merged")]) == 2
    assert lost in capsys.readouterr().err
    with pytest.raises(Refused, match="does not fit"):
        checkpoint.load_weights(reward.load(worlds.config(base, **targets))[0], out)
