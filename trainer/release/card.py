"""The model card of a merged reward model."""

from __future__ import annotations

import json

from trainer import config as options
from trainer.config import flatten
from trainer.release.origin import Origin, wilson

_HEAD = """---
library_name: transformers
pipeline_tag: text-classification
tags:
- reward-model
{base}---

# Reward model{name}

A sequence classifier with one output: the reward of an answer. Trained on preference pairs with the pairwise
Bradley-Terry loss. Only differences between rewards of answers to the same prompt mean something.
"""

_USE = """
## How to use it
```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
text = prompt + answer + (tokenizer.eos_token or "")
reward = model(**tokenizer(text, return_tensors="pt")).logits[0, 0]
```
- Plain text is prompt + answer + the tokenizer's end-of-sequence text, tokenized once as a whole; message lists go
  through the tokenizer's chat template, where a template that asks for today's date gets 1 January 2025.
- Longer inputs lose the left end of the prompt; an answer that alone is too long loses its end.
- The reward is read at the {place}. The pad token is not the end token, so padded batches give the same rewards.
"""


def text(origin: Origin, family: str) -> str:
    """The whole card in Markdown; facts that are not known are left out."""
    config = origin.config
    base = f"base_model: {config.model}\n" if config and not config.model.startswith("/") else ""
    name = f" {origin.name or origin.run}" if origin.name or origin.run else ""
    place = "first token, [CLS]" if family == "bert" else "last token"
    parts = [_HEAD.format(base=base, name=name), _USE.format(place=place), _validation_lines(origin), _data(origin)]
    return "".join(parts) + _configuration(origin)


def _validation_lines(origin: Origin) -> str:
    if origin.pairs is None or origin.correct is None or origin.loss is None:
        return ""
    low, high = wilson(origin.correct, origin.pairs)
    return (
        "\n## Figures\n| validation pairs | accuracy | 95 % interval (Wilson) | loss |\n|---|---|---|---|\n"
        f"| {origin.pairs} | {origin.correct / origin.pairs:.4f} | {low:.4f} to {high:.4f} | {origin.loss:.4f} |\n"
        f"\nAfter step {origin.step}, epoch {origin.epoch:g}.\n"
    )


def _data(origin: Origin) -> str:
    if not origin.fingerprints:
        return ""
    rows = "".join(f"| {key} | `{value}` |\n" for key, value in flatten(origin.fingerprints).items())
    return f"\n## Data\nSHA-256 of the pairs' content.\n\n| set | fingerprint |\n|---|---|\n{rows}"


def _configuration(origin: Origin) -> str:
    if origin.config is None:
        return ""
    document = json.dumps(options.to_document(origin.config), indent=2, ensure_ascii=False)
    return f"\n## Configuration\n```json\n{document}\n```\n"
