"""Lengths in the model's own tokens: what max_length cuts off. Uses the tokenizers library, where it is installed."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.datacheck.kinds import found
from rmtui.datacheck.model import Finding
from rmtui.datacheck.short_way import Pair
from rmtui.errors import UserError, install

if TYPE_CHECKING:
    from rmtui.documents.data import TokensDocument

BATCH = 256
BEYOND = 0.01
"""Share of pairs that are too long from which a length is advised: the one that all but this share fit."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many pairs of a file were counted: every `step`th."""

    pairs: int
    step: int
    limit: int

    def document(self) -> TokensDocument:
        return {"pairs": self.pairs, "step": self.step, "limit": self.limit}


class Tokens:
    """Counts the tokens of every `step`th pair, in batches. One for all files; `rest` ends each of them."""

    def __init__(self, folder: Path, max_length: int, step: int = 1) -> None:
        self._tokenizer = _load(folder)
        self._limit = max_length
        self._step = step
        self._waiting: list[Pair] = []
        self._seen = self._dropped = 0
        self._lengths = array("I")

    def add(self, pair: Pair) -> Iterator[Finding]:
        """Take a pair; now and then, the findings of the last ones."""
        self._seen += 1
        if (self._seen - 1) % self._step:
            return
        self._waiting.append(pair)
        if len(self._waiting) >= BATCH:
            yield from self._count()

    def rest(self) -> Iterator[Finding]:
        """The findings of the last pairs, and the share of the file that is truncated."""
        yield from self._count()
        over, pairs = sum(length > self._limit for length in self._lengths), len(self._lengths)
        if over:
            about = {"truncated": over, "pairs": pairs, "limit": self._limit, "step": self._step}
            more = {"dropped": self._dropped, "share": self._dropped / pairs, "fits": self._fits(pairs)}
            key = "truncated_sample" if self._step > 1 else "truncated"
            yield found(None, "truncated", key if over <= BEYOND * pairs else f"{key}_advised", **about, **more)

    def _fits(self, pairs: int) -> int:
        """The shortest max_length that all but `BEYOND` of the pairs fit."""
        return sorted(self._lengths)[math.ceil((1 - BEYOND) * pairs) - 1]

    def ended(self) -> Counted:
        """What was counted of the file that ends here; the next one begins anew."""
        counted = Counted(len(self._lengths), self._step, self._limit)
        self._seen = self._dropped = 0
        self._lengths = array("I")
        return counted

    def _count(self) -> Iterator[Finding]:
        texts = [text for pair in self._waiting for text in (pair.prompt, pair.chosen, pair.rejected)]
        lengths = [len(encoding.ids) for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        for place, pair in enumerate(self._waiting):
            prompt, *answers = lengths[3 * place : 3 * place + 3]
            self._lengths.append(prompt + max(answers))
            self._dropped += max(answers) > self._limit
            for name, length in zip(("chosen", "rejected"), answers, strict=True):
                if length > self._limit:
                    yield found(pair.line, "answer_cut", name=name, tokens=length, limit=self._limit)
        self._waiting.clear()


def _load(folder: Path) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            "tokens cannot be counted", "the library tokenizers is not installed", install("train")
        ) from None
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exceptions
        why = f"{folder / 'tokenizer.json'}: {error}"
        raise UserError("tokens cannot be counted", why, "name a model folder with a tokenizer.json") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
