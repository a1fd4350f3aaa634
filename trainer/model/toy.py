"""Few-layer models with a tokenizer of their own, made from texts: for the demo and the tests.

The weights are random, so nothing is pretrained; the folders have the shape of a pretrained model and load with
AutoTokenizer and AutoModelForSequenceClassification.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

END, PAD = "<|end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def make_decoder(
    folder: Path,
    texts: Iterable[str],
    *,
    vocabulary: int = 1024,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    key_value_heads: int | None = None,
    positions: int = 1024,
    pad_is_end: bool = False,
    seed: int = 0,
) -> Path:
    """A Llama-like causal model. `pad_is_end` gives the tokenizer no pad token of its own, as SmolLM2 does."""
    tokenizer = _byte_pair_tokenizer(texts, vocabulary, [END] if pad_is_end else [END, PAD])
    wrapped = _wrap(tokenizer, positions, eos_token=END, pad_token=END if pad_is_end else PAD)
    wrapped.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads or heads,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
        initializer_range=0.1,
    )
    return _save(folder, wrapped, LlamaForCausalLM, config, seed)


def make_encoder(
    folder: Path,
    texts: Iterable[str],
    *,
    vocabulary: int = 1024,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    positions: int = 512,
    seed: int = 0,
) -> Path:
    """A BERT-like bidirectional model; its tokenizer has no end-of-text token and wraps texts in [CLS] … [SEP]."""
    tokenizer = _byte_pair_tokenizer(texts, vocabulary, ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"])
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    wrapped = _wrap(tokenizer, positions, unk_token="[UNK]", **names)
    config = BertConfig(
        vocab_size=len(wrapped),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        pad_token_id=wrapped.pad_token_id,
        initializer_range=0.1,
    )
    return _save(folder, wrapped, BertModel, config, seed)


SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("out_hidden_size", "mm_hidden_size", "projection_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "n_inner"), 64),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "n_positions": 256,
}
"""How the families of transformers name their sizes."""
SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id")
PROMPTS = [f"how do I do thing {n}? take {n * 7} of it and stir" for n in range(60)]


MOST_USED: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": None},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "phi3": {},
    "gpt_neox": {},
    "bert": {"encoder": True},
    "roberta": {"encoder": True},
    "deberta-v2": {"encoder": True},
    "modernbert": {"encoder": True},
}
"""The types that reward models are most often trained from, with what their configurations need beside sizes."""


def make_family(kind: str, folder: Path, encoder: bool = False, as_class: Any = None, **more: Any) -> Path:
    """A base model of one of transformers' types, without a reward head, as AutoModel (encoders) or
    AutoModelForCausalLM saves it; `more` goes into its configuration, dicts into those inside it."""
    (make_encoder if encoder else make_decoder)(folder, PROMPTS, vocabulary=400, hidden=32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    sizes = _sizes(AutoConfig.for_model(kind), tokenizer, more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        of: Any = as_class or (AutoModel if encoder else AutoModelForCausalLM)
        of.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
    return folder


def _sizes(known: Any, tokenizer: Any, more: Mapping[str, object]) -> dict[str, object]:
    """What makes a configuration, and those inside it (of an encoder, of images …), small."""
    names, other = known.to_dict(), getattr(known, "attribute_map", {})
    sizes: dict[str, object] = {
        name: size for name, size in SIZES.items() if (name in names or name in other) and other.get(name) not in more
    }
    sizes |= {name: getattr(tokenizer, name, None) for name in SPECIAL if name in names}
    ends = {name: one for name, one in more.items() if name in SPECIAL}
    parts = {name: getattr(known, name, None) for name in known.sub_configs}
    inside = {name: one for name, one in more.items() if name in parts and isinstance(one, dict)}
    sizes |= {
        name: {"model_type": part.model_type, **_sizes(part, tokenizer, {**ends, **inside.get(name, {})})}
        for name, part in parts.items()
        if part is not None
    }
    own = {name: one for name, one in more.items() if name not in inside}
    return {**sizes, "vocab_size": len(tokenizer), "initializer_range": 0.1, **own}


def _byte_pair_tokenizer(texts: Iterable[str], vocabulary: int, special: list[str]) -> Tokenizer:
    """Byte-level BPE trained on the texts: every string is encodable, whatever its script."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _wrap(tokenizer: Tokenizer, positions: int, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=positions, **special
    )


def _save(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    cls: type[PreTrainedModel],
    config: LlamaConfig | BertConfig,
    seed: int,
) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m trainer.model.toy FOLDER FILE…`: a decoder whose tokenizer is trained on the files' strings."""
    parser = argparse.ArgumentParser(prog="python -m trainer.model.toy", description="Make a few-layer decoder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="+", help="pair files, or any text")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=64)
    args = parser.parse_args(argv)
    texts = (line for file in args.files for line in file.read_text("utf-8").split("\n"))
    make_decoder(args.folder, texts, layers=args.layers, hidden=args.hidden)
    return 0


if __name__ == "__main__":
    sys.exit(main())
