"""The model card of a merged reward model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import transformers

from trainer import config as options
from trainer.config import TrainConfig, flatten
from trainer.data import chat
from trainer.init_from import describe
from trainer.intervals import accuracy_interval
from trainer.loop.round_trip import RoundTrip
from trainer.release.origin import Origin

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
reward = model(**tokenizer(text, return_tensors="pt")).logits[0, 0].item()
```
- Plain text is prompt + answer + the tokenizer's end-of-sequence text, tokenized once as a whole; message lists go
  through the tokenizer's chat template, where a template that asks for today's date gets 1 January 2025. What the
  template writes is tokenized with add_special_tokens=False.
{texts}- Longer inputs lose the left end of the prompt; an answer that alone is too long loses its end.
{facts}
"""

_FRONT = "- A text that begins with {front} itself gets no second one: text.removeprefix({front!r}).\n"
_END = """- What the chat template writes is cut after its end token, where the reward is read:
  text.removesuffix({written!r}) + {kept!r}.
"""
_READ = "- The reward is read at the {place}.\n"
_PAD_IS_END = (
    "- The pad token is the end token: plain transformers then read the reward before the end. Set another pad token\n"
    "  in tokenizer and configuration before scoring.\n"
)
_CHECKED = """- Checked with transformers {version} in a process of its own on {texts}: one text at a time the rewards
  are those of the trained model, to {alone:.1e} at a spread of {spread:.3g}.
- Padded batches: {padded}.
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured on the merged folder."""

    place: str
    """The tokens whose last hidden state decides the reward; empty where that is not known."""
    pad_is_end: bool
    check: RoundTrip
    texts: str
    """What was scored, in words."""
    rules: str = ""
    """Points about texts, from `text_rules`."""

    @property
    def lines(self) -> str:
        """The card's points about padding and where the reward is read."""
        read = _READ.format(place=self.place) if self.place else ""
        return (read + (_PAD_IS_END if self.pad_is_end else "") + self._checked()).rstrip("\n")

    def _checked(self) -> str:
        check = self.check
        return _CHECKED.format(
            version=transformers.__version__,
            texts=self.texts,
            alone=check.alone,
            spread=check.spread,
            padded="; ".join(self._padded(side) for side in check.padded),
        )

    def _padded(self, side: str) -> str:
        own = ", as this tokenizer pads," if side == self.check.side else ""
        gap = self.check.padded[side]
        if self.check.right_padded(side):
            return f"on the {side}{own} they give the same rewards (to {gap:.1e})"
        other = "cannot be made" if gap is None else f"give other rewards (by up to {gap:.2g}): do not pad there"
        return f"on the {side}{own} they {other}"


def text_rules(tokenizer: Any, config: TrainConfig) -> str:
    """What a person has to do to texts that plain transformers do not do by themselves."""
    front = chat.front_text(tokenizer) if config.doubled_bos == "drop" else ""
    found = _FRONT.format(front=front) if front else ""
    if config.score_at == "end" and config.chat_template == "auto" and tokenizer.chat_template:
        ending = chat.ending(tokenizer)
        found += _END.format(written=ending.written, kept=ending.kept)
    return found


def text(origin: Origin, facts: Facts, selection: str = "", sealed: str = "") -> str:
    """The whole card in Markdown; what is not known is left out. `selection`: among what the model was chosen;
    `sealed`: what it scored on sealed test pairs, which comes first."""
    config = origin.config
    base = f"base_model: {config.model}\n" if config and not config.model.startswith("/") else ""
    name = f" {origin.name or origin.run}" if origin.name or origin.run else ""
    use = _USE.replace("{texts}", facts.rules).replace("{facts}", facts.lines)
    start = (
        f"\nIts training started from the weights of {describe(config.init_from)}.\n"
        if config and config.init_from
        else ""
    )
    tested = f"\n## Sealed test set\n{sealed}\n" if sealed else ""
    parts = [_HEAD.format(base=base, name=name), tested, start, use, _validation_lines(origin, selection)]
    parts.append(_data(origin))
    return "".join(parts) + _configuration(origin)


def _validation_lines(origin: Origin, selection: str) -> str:
    if origin.pairs is None or origin.correct is None or origin.loss is None:
        return ""
    share = origin.correct / origin.pairs
    around = accuracy_interval(share, origin.pairs, origin.clusters, origin.effective)
    prompts = f", {origin.clusters} prompts" if origin.clusters and origin.clusters < origin.pairs else ""
    return (
        "\n## Figures\n| validation pairs | accuracy | 95 % interval | loss |\n|---|---|---|---|\n"
        f"| {origin.pairs}{prompts} | {share:.4f} | {around.low:.4f} to {around.high:.4f} | {origin.loss:.4f} |\n"
        f"\nAfter step {origin.step}, epoch {origin.epoch:g}.\n" + (f"\n{selection}\n" if selection else "")
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
