"""Few-layer models of transformers' own classes with random weights, as base models."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from trainer.model import toy

WORDS = [f"how do I do thing {n}? take {n * 7} of it and stir" for n in range(60)]
SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "n_inner"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads"), 4),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "n_positions": 256,
}
SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id")


def make(kind: str, folder: Path, encoder: bool = False, as_class=None, **more) -> Path:
    """A base model of one type, as AutoModel (encoders) or AutoModelForCausalLM saves it: without a reward head."""
    (toy.make_encoder if encoder else toy.make_decoder)(folder, WORDS, vocabulary=400, hidden=32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = AutoConfig.for_model(kind)
    names = known.to_dict()
    sizes = {key: size for key, size in SIZES.items() if key in names or key in getattr(known, "attribute_map", {})}
    sizes |= {key: getattr(tokenizer, key, None) for key in SPECIAL if key in names}
    other = getattr(known, "attribute_map", {})  # max_position_embeddings → n_positions, say: one of them is enough
    sizes = {name: size for name, size in sizes.items() if other.get(name) not in more}
    sizes |= {"vocab_size": len(tokenizer), "initializer_range": 0.1} | more
    config = AutoConfig.for_model(kind, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (as_class or (AutoModel if encoder else AutoModelForCausalLM)).from_config(config).save_pretrained(folder)
    return folder
