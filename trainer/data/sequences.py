"""A row of pair blocks as plain sequences of one attention call: lengths of queries and keys, and which keys recur.

Queries stay in place. The keys of a shared part are copied once more for each branch beyond the first, and a
causal mask that is aligned to the keys' end makes `[shared, branch 1]` and `branch 2 over [shared, branch 2]` the same
kind of sequence. Index arithmetic alone; the call is in `trainer.model.varlen`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sequences:
    """n sequences over `tokens` tokens, with `keys` keys."""

    bounds: Tensor
    """[2, n + 1] int32: where each sequence's queries begin, and its keys."""
    places: Tensor
    """int64, the parts of `split` end to end: one copy to the device."""
    tokens: int
    keys: int
    longest_query: int
    longest_key: int

    @property
    def repeats(self) -> bool:
        """Whether some tokens' keys occur more than once."""
        return self.keys > self.tokens

    def split(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(token of each key [keys], own key of each token [tokens], tokens of further copies, and where these are)."""
        more = self.keys - self.tokens
        source, own, shared, shared_at = torch.split(self.places, [self.keys, self.tokens, more, more])
        return source, own, shared, shared_at

    def to(self, device: torch.device) -> Sequences:
        """The same on another device."""
        return self.each(lambda part: part.to(device, non_blocking=True))

    def each(self, change: Callable[[Tensor], Tensor]) -> Sequences:
        """The same with every tensor changed."""
        return replace(self, bounds=change(self.bounds), places=change(self.places))


@dataclass(slots=True)
class _Laid:
    """Sequences in the making."""

    queries: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    source: list[NDArray[np.int64]] = field(default_factory=list)
    own: list[NDArray[np.int64]] = field(default_factory=list)
    shared: list[NDArray[np.int64]] = field(default_factory=list)
    shared_at: list[NDArray[np.int64]] = field(default_factory=list)
    end: int = 0
    """Of the keys laid down so far."""

    def add(self, start: int, size: int, shared_from: int, shared: int) -> None:
        """`size` tokens from `start` on, which also see `shared` tokens before them."""
        copied, tokens = np.arange(shared_from, shared_from + shared), np.arange(start, start + size)
        self.source += [copied, tokens]
        self.shared.append(copied)
        self.shared_at.append(np.arange(self.end, self.end + shared))
        self.own.append(np.arange(self.end + shared, self.end + shared + size))
        self.queries.append(size)
        self.keys.append(shared + size)
        self.end += shared + size


def sequences_of(blocks: Iterable[tuple[int, int, tuple[int, ...]]]) -> Sequences:
    """Blocks end to end, each (start, shared tokens, tokens of each branch) → sequences on the CPU."""
    laid = _Laid()
    for start, shared, (first, *others) in blocks:
        laid.add(start, shared + first, start, 0)
        at = start + shared + first
        for size in others:
            laid.add(at, size, start, shared)
            at += size
    parts = [np.concatenate(part).astype(np.int64) for part in (laid.source, laid.own, laid.shared, laid.shared_at)]
    bounds = np.zeros((2, len(laid.queries) + 1), np.int32)
    bounds[:, 1:] = np.cumsum([laid.queries, laid.keys], axis=1)
    return Sequences(
        bounds=torch.from_numpy(bounds),
        places=torch.from_numpy(np.concatenate(parts)),
        tokens=len(parts[1]),
        keys=laid.end,
        longest_query=max(laid.queries),
        longest_key=max(laid.keys),
    )
