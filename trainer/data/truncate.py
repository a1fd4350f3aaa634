"""Cutting tokenized pairs to length so that the answers stay, and what two sides share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


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
    """Special tokens that stay where they are when a sequence is cut: [CLS] or BOS in front, [SEP] behind."""

    front: frozenset[int]
    back: frozenset[int]


def edges(tokenizer: Any) -> Edges:
    front = {tokenizer.cls_token_id, tokenizer.bos_token_id} - {None}
    back = set() if tokenizer.eos_token_id is not None else {tokenizer.sep_token_id} - {None}
    return Edges(frozenset(front), frozenset(back))


def truncate(one: Encoded, longest: int, kept: Edges) -> tuple[Ids, Ids, int]:
    """(chosen, rejected, tokens cut off the prompt's left end), no side longer than `longest`.

    Both sides lose the same part of the prompt and never more than the prompt; an answer that alone is too long
    loses its end.
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
    if int(ids[-1]) in kept.back:
        return np.concatenate([ids[: longest - 1], ids[-1:]])
    return ids[:longest]
