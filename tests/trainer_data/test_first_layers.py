"""The first layers of a large model: what they compute is what transformers compute with as many, and they pass
through saving and loading as the whole model does."""

from dataclasses import replace

import base_worlds as bases
import data_worlds as worlds
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from trainer.loop import checkpoint, evaluate, first_layers, start_check
from trainer.model import plain

SLIDING = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
LINEAR = ["linear_attention", "linear_attention", "full_attention", "linear_attention"]
FOUR = {"num_hidden_layers": 4}
IMAGES = {"vision_config": {"num_hidden_layers": 3}}
SLIDES = {"query_pre_attn_scalar": 8, "layer_types": SLIDING}
ENDED = {"encoder": True, "eos_token_id": 2, "bos_token_id": 1, "decoder_start_token_id": 1}
LATENT = dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank", "q_lora_rank"), 8)
EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 32}
LATE = {**LATENT, **EXPERTS, "num_key_value_heads": 4, "first_k_dense_replace": 2}
HYBRID = {"use_mamba_kernels": False, "attn_layer_period": 4, "attn_layer_offset": 2}
KINDS = {
    "llama": (FOUR, 2),
    "gemma3_text": ({**FOUR, **SLIDES}, 3),
    "deberta-v2": ({**FOUR, "encoder": True}, 2),
    "mixtral": ({**FOUR, "sliding_window": None, "num_local_experts": 4}, 2),
    "deepseek_v3": ({**FOUR, **LATE}, 3),
    "jamba": ({**FOUR, **HYBRID}, 3),
    "gemma3": ({**IMAGES, "text_config": {**FOUR, **SLIDES}}, 3),
    "qwen3_5": ({"text_config": {**FOUR, "layer_types": LINEAR}}, 3),
    "modernvbert": ({**IMAGES, "encoder": True, "text_config": FOUR}, 2),
    "t5": ({**ENDED, "num_layers": 4, "num_decoder_layers": 3}, 2),
    "bart": ({**ENDED, "encoder_layers": 3, "decoder_layers": 4}, 2),
    "t5gemma": ({**ENDED, "encoder": True, "decoder": {**FOUR, **SLIDES}}, 3),
}
"""What makes each type, and how many of its layers hold every kind of layer."""
FULL = ("gemma3_text", "deberta-v2", "modernvbert")
"""Trained whole; LoRA is refused on the last."""
QUICK = ("llama", "deberta-v2", "gemma3")
WAYS = [
    pytest.param(kind, method, marks=() if kind in QUICK and method == "lora" else pytest.mark.slow)
    for method, kinds in (("lora", [one for one in KINDS if one != "modernvbert"]), ("full", FULL))
    for kind in kinds
]
PAIRS = [
    replace(pair, chosen=np.append(pair.chosen, np.int32(2)), rejected=np.append(pair.rejected, np.int32(2)))
    for pair in worlds.token_pairs(3)
]
IDS = torch.tensor([PAIRS[0].chosen.tolist()])


def first_layers_of(base, layers):
    """The body that transformers makes of the folder's first layers."""
    config = AutoConfig.from_pretrained(base)
    named = ("text_config", "encoder", "decoder")
    for part in (config, *(getattr(config, name) for name in named if hasattr(config, name))):
        for name in ("num_hidden_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers"):
            if name in vars(part):
                setattr(part, name, min(layers, getattr(part, name)))
        for name in ("layer_types", "mlp_layer_types", "layers_block_type"):
            if isinstance(vars(part).get(name), list):
                setattr(part, name, getattr(part, name)[:layers])
    return AutoModel.from_pretrained(base, config=config).eval()


@pytest.mark.parametrize(("kind", "method"), WAYS)
def test_they_compute_saved_and_loaded_what_the_first_layers_of_transformers_do(kind, method, tmp_path):
    own, layers = KINDS[kind]
    base = bases.make(kind, tmp_path / "base", **own)
    options = worlds.config(base, method=method)
    whole, tokenizer = worlds.load(base, method=method)
    small, found = first_layers.load(whole, tokenizer, options, tmp_path / "small")
    assert found == layers and small.new_parts == whole.new_parts
    reference = first_layers_of(base, layers)
    fed = {"decoder_input_ids": IDS} if reference.config.is_encoder_decoder else {}
    with torch.inference_mode():
        hidden = small.eval().classifier.base_model(IDS, **fed)[0]
        assert torch.allclose(hidden, reference(IDS, **fed)[0], atol=1e-5)

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
