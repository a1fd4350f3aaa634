"""Few-layer models with a tokenizer of their own, made from texts: for the demo and the tests.

The weights are random, so nothing is pretrained; the folders have the shape of a pretrained model and load with
AutoTokenizer and AutoModelForSequenceClassification.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

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
