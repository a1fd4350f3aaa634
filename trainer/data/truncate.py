"""Cutting tokenized pairs to length so that the answers stay, and what two sides share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.config import TrainConfig
from trainer.data import chat

Ids = NDArray[np.int32]
ENDING = 4
"""Tokens, at most, of a chat template's end: the special token that ends a turn, and a line break."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row before truncation."""

    chosen: Ids
    rejected: Ids
    prompt: int
    """Leading tokens that belong to the prompt on both sides."""


def common_prefix(left: Ids, right: Ids) -> int:
    """Tokens that both begin with."""
    size = min(len(left), len(right))
    differs = np.flatnonzero(left[:size] != right[:size])
    return int(differs[0]) if len(differs) else size


def shared_length(chosen: Ids, rejected: Ids) -> int:
    """`common_prefix`, less so that each side keeps a token of its own to be scored at."""
    return min(common_prefix(chosen, rejected), len(chosen) - 1, len(rejected) - 1)


@dataclass(frozen=True, slots=True)
class Edges:
    """Special tokens that stay where they are when a sequence is cut: [CLS] or BOS in front, [SEP] or an end token
    behind, with what a chat template writes after it."""

    front: frozenset[int]
    back: frozenset[int]
    written: tuple[int, ...] = ()
    """What a chat template without special tokens writes after an answer."""

    def ending(self, ids: Ids) -> int:
        """Tokens at the end of `ids` that stay: from the last special one on, if it is one of the last few."""
        last = [int(one) in self.back for one in ids[: -1 - ENDING : -1]]
        if True in last:
            return last.index(True) + 1
        size = len(self.written)
        return size if size and tuple(ids[-size:].tolist()) == self.written else 0


def edges(tokenizer: Any, config: TrainConfig) -> Edges:
    """What of this tokenizer's stays, by the option `overlong`: with `cut_end` nothing but an encoder's [SEP]."""
    front = {tokenizer.cls_token_id, tokenizer.bos_token_id} - {None}
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    if config.overlong == "cut_end":
        return Edges(frozenset(front), frozenset(ends if tokenizer.eos_token_id is None else ()))
    back = ends | {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    written = chat.written_ending(tokenizer) if config.chat_template == "auto" else []
    return Edges(frozenset(front), frozenset(back), tuple(written))


def truncate(one: Encoded, longest: int, kept: Edges) -> tuple[Ids, Ids, int]:
    """(chosen, rejected, tokens cut off the prompt's left end), no side longer than `longest`.

    Both sides lose the same part of the prompt and never more than the prompt; an answer that alone is too long
    loses its end, but for what `Edges.ending` keeps there: that is where it is scored.
    """
    front = int(one.prompt > 0 and int(one.chosen[0]) in kept.front)
    over = max(len(one.chosen), len(one.rejected)) - longest
    room = min(one.prompt, len(one.chosen) - 1, len(one.rejected) - 1) - front
    cut = max(0, min(over, room))
    return _cut(one.chosen, front, cut, longest, kept), _cut(one.rejected, front, cut, longest, kept), cut


def _cut(ids: Ids, front: int, cut: int, longest: int, kept: Edges) -> Ids:
    if cut:
        ids = np.concatenate([ids[:front], ids[front + cut :]])
    if len(ids) <= longest:
        return ids
    end = min(kept.ending(ids), longest - 1)
    return np.concatenate([ids[: longest - end], ids[len(ids) - end :]])
