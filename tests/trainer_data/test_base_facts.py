"""What is found in a base model itself, for families of every habit."""

import json

import base_worlds as bases
import data_worlds as worlds
import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer.data.batches import collate
from trainer.loop.loss import pair_loss
from trainer.model import base_facts, reward
from trainer.release import export
from trainer.spec import Refused

LIMITS = {
    "bert": 64, "roberta": 64 - 1, "gpt2": 64, "opt": 64, "distilbert": 64, "electra": 64, "xlm-roberta": 64 - 1,
    "gpt_neo": 64, "biogpt": 64, "gptj": 64, "ctrl": 64, "llama": None, "bloom": None, "modernbert": None,
    "mixtral": None,
}  # fmt: skip
"""Positions of a table of 64 rows as transformers counts them: after the pad id's row (0 here) in RoBERTa; OPT and
BioGPT keep two rows more in their tables."""
ENCODERS = ("bert", "roberta", "distilbert", "electra", "xlm-roberta", "modernbert")


@pytest.mark.parametrize("kind", LIMITS)
def test_the_number_of_positions_is_what_the_model_can_take(kind, tmp_path):
    name = "n_positions" if kind in ("gpt2", "gptj", "ctrl") else "max_position_embeddings"
    sizes = {name: 64} if LIMITS[kind] else {}
    own = {"gpt_neo": {"attention_types": [[["global", "local"], 1]]}, "gptj": {"rotary_dim": 4}}
    more = own.get(kind, {})
    base = bases.make(kind, tmp_path / "base", encoder=kind in ENCODERS, **sizes, **more)
    made, _ = worlds.load(base)
    assert reward.position_limit(made) == LIMITS[kind]
    if LIMITS[kind]:
        ids = torch.randint(5, 100, (1, LIMITS[kind]))
        made.classifier(input_ids=ids)
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            made.classifier(input_ids=torch.randint(5, 100, (1, LIMITS[kind] + 1)))


NOISY = {
    "opt": {"dropout": 0.5, "attention_dropout": 0.3},
    "seed_oss": {"attention_dropout": 0.5, "residual_dropout": 0.5},
    "phimoe": {"router_jitter_noise": 0.5, "num_local_experts": 2, "num_experts_per_tok": 1},
    "gpt2": {"resid_pdrop": 0.5},
    "llama": {"attention_dropout": 0.5},
}


@pytest.mark.parametrize("kind", NOISY)
def test_the_bases_own_noise_is_off_whatever_its_form(kind, tmp_path):
    base = bases.make(kind, tmp_path / "base", **NOISY[kind])
    made, _ = worlds.load(base)
    batch = collate(worlds.token_pairs(3), made.layout)
    with torch.no_grad():
        evaluated = made.eval()(batch)
        trained = [made.train()(batch) for _ in range(2)]
    assert made.noise == ""
    assert torch.equal(trained[0], trained[1])
    assert torch.allclose(trained[0], evaluated, atol=1e-6)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).eval()
    plain.score.weight = made.classifier.score.modules_to_save["default"].weight
    with torch.no_grad():
        alone = [plain(input_ids=torch.tensor([pair.chosen.tolist()])).logits[0, 0] for pair in worlds.token_pairs(3)]
    assert torch.allclose(evaluated[:3], torch.stack(alone), atol=1e-5), "what switches it off changes no reward"


def test_noise_that_cannot_be_switched_off_is_reported(tmp_path):
    base = bases.make("bert", tmp_path / "base", encoder=True)
    classifier = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    classifier.base_model.embeddings.register_forward_hook(
        lambda module, inputs, out: out + torch.randn(out.shape) if module.training else out
    )
    assert "random numbers of its own" in base_facts.silence(classifier)


def test_a_pad_token_beyond_the_embedding_gives_way(tmp_path):
    base = bases.make("llama", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "<PAD>"})
    tokenizer.save_pretrained(base)
    made, tokenizer = worlds.load(base)
    assert tokenizer.pad_token_id < base_facts.embedding_rows(made.classifier)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_ids_beyond_the_embedding_are_refused_with_token_count_and_remedy(tmp_path, capsys):
    base = bases.make("llama", tmp_path / "base")
    made, tokenizer = worlds.load(base)
    tokenizer.add_tokens(["<|extra|>"])
    side = np.array(tokenizer("a<|extra|>b<|extra|>")["input_ids"], np.int32)
    with pytest.raises(Refused, match=r"'<\|extra\|>' \(id \d+, 2 times\).*--resize-embeddings"):
        base_facts.refuse_unknown_ids([side], base_facts.embedding_rows(made.classifier), tokenizer, "train.jsonl")
    made.inner.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    rows = worlds.write_rows(tmp_path / "pairs.jsonl", [worlds.rows(1)[0] | {"chosen": "so <|extra|> it is"}])
    assert export.main(["score", str(tmp_path / "adapter"), str(rows)]) == 2
    assert "<|extra|>" in capsys.readouterr().err


def test_a_model_that_changes_a_projection_in_place_trains_with_the_fused_adapter(tmp_path):
    base = bases.make("longformer", tmp_path / "base", encoder=True, attention_window=[8, 8])
    gradients = []
    for fused in (True, False):
        made, _ = worlds.load(base, fused_adapter=fused)
        batch = collate(worlds.token_pairs(2), made.layout)
        chosen, rejected = reward.rewards(made.train(), batch)
        pair_loss(chosen, rejected, batch.margin, worlds.config(base)).sum().backward()
        gradients.append([one.grad for one in made.parameters() if one.requires_grad])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_text_beyond_what_the_model_computes_is_refused_by_score_with_the_length_that_it_can(tmp_path, capsys):
    """MPT's ALiBi biases bound its texts, though no table of positions is read by number."""
    base = bases.make("mpt", tmp_path / "base", max_seq_len=32)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model.save_pretrained(base)
    model(input_ids=torch.randint(5, 100, (1, 32)))
    with pytest.raises(RuntimeError):
        model(input_ids=torch.randint(5, 100, (1, 33)))
    rows = [*worlds.rows(3), worlds.rows(1)[0] | {"id": "long", "chosen": " stone" * 60}]
    pairs = str(worlds.write_rows(tmp_path / "pairs.jsonl", rows))
    assert export.main(["score", str(base), pairs, "--json"]) == 2
    found = capsys.readouterr()
    assert "set max_length = 32 (--max-length)" in found.err and not found.out
    assert export.main(["score", str(base), pairs, "--json", "--max-length", "32"]) == 0


def test_positions_that_follow_the_longest_text_so_far_are_refused_by_name_and_right_below_it(tmp_path, capsys):
    """Dynamic NTK: in transformers the same text gets another reward after a longer one."""
    dynamic = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
    base = bases.make("llama", tmp_path / "base", max_position_embeddings=100, rope_parameters=dynamic)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).eval()
    model.save_pretrained(base)
    texts = [torch.randint(5, 100, (1, length), generator=torch.Generator().manual_seed(1)) for length in (120, 190)]
    with torch.inference_mode():
        first, _, again = (float(model(input_ids=texts[place]).logits[0, 0]) for place in (0, 1, 0))
    assert abs(first - again) > 1e-4
    rows = [{"id": name, "prompt": f"Human: {name}?", "chosen": " river", "rejected": " stone music"} for name in "abc"]
    rows.append(rows[0] | {"id": "long", "chosen": " stone" * 130})
    pairs = str(worlds.write_rows(tmp_path / "pairs.jsonl", rows))
    assert export.main(["score", str(base), pairs, "--json"]) == 2
    found = capsys.readouterr()
    assert "dynamic NTK" in found.err and "1 of 8 texts are longer; set max_length = 100" in found.err and not found.out
    out = tmp_path / "scores.jsonl"
    assert export.main(["score", str(base), pairs, "--json", "--max-length", "100", "--out", str(out)]) == 0
    tokenizer = AutoTokenizer.from_pretrained(base)
    fresh = AutoModelForSequenceClassification.from_pretrained(base).eval()
    for row, line in list(zip(rows, out.read_text().splitlines(), strict=True))[:3]:
        ids = tokenizer(row["prompt"] + row["rejected"] + tokenizer.eos_token, return_tensors="pt")["input_ids"]
        assert ids.shape[1] <= 100
        with torch.inference_mode():
            assert json.loads(line)["rejected"] == pytest.approx(float(fresh(input_ids=ids).logits[0, 0]), abs=1e-5)
