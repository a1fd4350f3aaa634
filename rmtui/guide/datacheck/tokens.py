"""Lengths in the model's own tokens: what max_length cuts off. Uses the tokenizers library, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.guide.datacheck.facts import Finding
from rmtui.guide.datacheck.kinds import found
from rmtui.guide.datacheck.rows import Pair

BATCH = 256


class Tokens:
    """Counts the tokens of pairs, in batches. One for all files; `rest` ends each of them."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self._tokenizer = _load(folder)
        self._limit = max_length
        self._waiting: list[Pair] = []
        self._pairs = 0
        self._truncated = 0

    def add(self, pair: Pair) -> Iterator[Finding]:
        """Take a pair; now and then, the findings of the last ones."""
        self._waiting.append(pair)
        if len(self._waiting) >= BATCH:
            yield from self._count()

    def rest(self) -> Iterator[Finding]:
        """The findings of the last pairs, and the share of the file that is truncated."""
        yield from self._count()
        if self._truncated:
            share = f"{self._truncated:,} of {self._pairs:,} pairs are longer than {self._limit} tokens"
            yield found(None, "truncated", f"{share}; their prompts lose the beginning")
        self._pairs = self._truncated = 0

    def _count(self) -> Iterator[Finding]:
        texts = [text for pair in self._waiting for text in (pair.prompt, pair.chosen, pair.rejected)]
        lengths = [len(encoding.ids) for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        for place, pair in enumerate(self._waiting):
            prompt, *answers = lengths[3 * place : 3 * place + 3]
            self._pairs += 1
            self._truncated += prompt + max(answers) > self._limit
            for name, length in zip(("chosen", "rejected"), answers, strict=True):
                if length > self._limit:
                    yield found(pair.line, "answer_cut", f"{name} has {length:,} tokens; max_length is {self._limit}")
        self._waiting.clear()


def _load(folder: Path) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            "tokens cannot be counted", "the library tokenizers is not installed", 'pip install "rmtui[train]"'
        ) from None
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exceptions
        why = f"{folder / 'tokenizer.json'}: {error}"
        raise UserError("tokens cannot be counted", why, "name a model folder with a tokenizer.json") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
