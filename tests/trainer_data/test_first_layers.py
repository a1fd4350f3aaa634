"""The first layers of a large model: what they compute is what transformers compute with as many, and they pass
through saving and loading as the whole model does."""

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from transformers import AutoModel

from trainer.loop import checkpoint, evaluate, first_layers, start_check
from trainer.model import plain

SLIDING = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
KINDS = {
    "llama": ({}, 2),
    "gemma3_text": ({"query_pre_attn_scalar": 8, "layer_types": SLIDING}, 3),
    "deberta-v2": ({"encoder": True}, 2),
    "mixtral": ({"sliding_window": None, "num_local_experts": 4}, 2),
}
PAIRS = worlds.token_pairs(3)
IDS = torch.tensor([PAIRS[0].chosen.tolist()])


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_compute_saved_and_loaded_what_the_first_layers_of_transformers_do(kind, method, tmp_path):
    own, layers = KINDS[kind]
    base = bases.make(kind, tmp_path / "base", num_hidden_layers=4, **own)
    options = worlds.config(base, method=method)
    whole, tokenizer = worlds.load(base, method=method)
    small, found = first_layers.load(whole, tokenizer, options, tmp_path / "small")
    assert found == layers and small.new_parts == whole.new_parts
    shortened = {"layer_types": SLIDING[:layers]} if "layer_types" in own else {}
    reference = AutoModel.from_pretrained(base, num_hidden_layers=layers, **shortened).eval()
    with torch.inference_mode():
        hidden = small.eval().classifier.base_model(IDS)[0]
        assert torch.allclose(hidden, reference(IDS)[0], atol=1e-5)

    with start_check.nudged(small, 0):
        wanted = evaluate.score(small, PAIRS, small.layout, 2)
        checkpoint.write_weights(small, tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    torch.manual_seed(11)
    again = plain.load(tmp_path / "saved", torch.device("cpu"))
    assert again.alone([pair.chosen for pair in PAIRS]) == pytest.approx([one for one, _ in wanted], abs=1e-5)


def test_there_are_none_of_a_model_with_few_layers_or_with_new_rows(tmp_path):
    base = bases.make("llama", tmp_path / "base")
    whole, tokenizer = worlds.load(base)
    assert first_layers.load(whole, tokenizer, worlds.config(base), tmp_path / "small") is None
    grown = worlds.config(base, resize_embeddings=True)
    assert first_layers.load(whole, tokenizer, grown, tmp_path / "small") is None
