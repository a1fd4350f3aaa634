"""Which pairs make an optimizer step, and the layout of a micro batch in memory.

Three layouts: one row without padding, in which a pair is a block with its shared prefix once (causal models); the
same without sharing; and padded rows with an attention mask, which every model understands.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.config import TrainConfig
from trainer.data.pairset import PairShare, TokenPair
from trainer.data.sequences import Sequences, sequences_of
from trainer.data.truncate import Ids

_PASSES = 1
"""Sets the orders of passes apart from the epochs' own."""
WINDOW_STEPS = 16
"""Optimizer steps' worth of shuffled pairs that are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How pairs become tensors; chosen by the model (`RewardModel.layout`)."""

    pad_id: int
    unpadded: bool
    share_prefix: bool
    pool_first: bool = False
    """The reward is read at a sequence's first token ([CLS]) rather than at its last."""
    as_a_whole: bool = False
    """The model is called with its head, which finds by itself where to read: its head does not read what the body
    gives for a sequence's last token (a decoder of its own is fed with the tokens, say)."""
    pad_left: bool = False
    one_call: bool = False
    """Batches carry what one attention call over all blocks needs."""
    apart: str = ""
    """Padded rows that may not be computed in one call: `lengths`, only those of one length together and without
    padding; `rows`, each by itself."""

    def tokens(self, pair: TokenPair) -> int:
        """Tokens of a pair that are computed, padding aside."""
        return pair.cost if self.share_prefix and self.unpadded else len(pair.chosen) + len(pair.rejected)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of an unpadded row that attends to itself only: `shared` tokens, then branches that do not see each other.

    A plain sequence is a block with one branch.
    """

    start: int
    shared: int
    branches: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.shared + sum(self.branches)

    def ends(self) -> list[int]:
        """Place of each branch's last token in the row."""
        return [int(end) - 1 for end in self.start + self.shared + np.cumsum(self.branches)]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of a padded batch that are computed together, without padding: they have one length."""

    rows: tuple[int, ...]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs as tensors. Rewards are read at `scored`: chosen sides first, then rejected, in the pairs' order."""

    ids: Tensor
    """[1, tokens] or [2 × pairs, longest]."""
    positions: Tensor
    mask: Tensor | None
    """1 where a token is, 0 where padding is; None in an unpadded row."""
    scored: Tensor
    """[2 × pairs], places in the flattened ids."""
    margin: Tensor
    """[pairs]."""
    blocks: tuple[Block, ...]
    """Empty in a padded batch."""
    pairs: int
    tokens: int
    """Tokens without padding."""
    sequences: Sequences | None = None
    """The blocks for one attention call; None where each is attended by itself."""
    groups: tuple[RowGroup, ...] = ()
    """Of a padded batch whose rows are not all computed in one call; empty: they are."""

    def part(self, group: RowGroup) -> Batch:
        """The rows of a group as a batch without padding."""
        rows = torch.tensor(group.rows, device=self.ids.device)
        cut = slice(group.start, group.start + group.length)
        ids = self.ids[rows, cut]
        place = self.scored[rows] - rows * self.ids.shape[1] - group.start
        return replace(
            self,
            ids=ids,
            positions=self.positions[rows, cut],
            mask=torch.ones_like(ids),
            scored=torch.arange(len(rows), device=ids.device) * group.length + place,
            groups=(),
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same in memory from which a GPU copies by itself."""
        return self._each(lambda part: part.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        ids, positions, scored, margin = map(change, (self.ids, self.positions, self.scored, self.margin))
        mask = None if self.mask is None else change(self.mask)
        sequences = None if self.sequences is None else self.sequences.each(change)
        return replace(self, ids=ids, positions=positions, mask=mask, scored=scored, margin=margin, sequences=sequences)


def collate(pairs: Sequence[TokenPair], layout: Layout) -> Batch:
    """Pairs → tensors on the CPU. At least one pair."""
    if layout.unpadded:
        return _unpadded(pairs, layout)
    return _padded(pairs, layout)


def computed_tokens(pairs: Sequence[TokenPair], layout: Layout) -> int:
    """Tokens of a batch of these pairs as it is computed, padding included."""
    if layout.unpadded or layout.apart:
        return sum(map(layout.tokens, pairs))
    return 2 * len(pairs) * max(map(_longer, pairs))


def cut_by_tokens(pairs: Sequence[TokenPair], places: Iterable[int], most: int, layout: Layout) -> Iterator[list[int]]:
    """Places in parts of at most `most` computed tokens, in their order; a pair that has more makes a part alone."""
    part: list[int] = []
    tokens = longest = 0
    for place in places:
        pair = pairs[place]
        if part:
            grown = tokens + layout.tokens(pair)
            padded = 2 * (len(part) + 1) * max(longest, _longer(pair))
            if (grown if layout.unpadded or layout.apart else padded) > most:
                yield part
                part, tokens, longest = [], 0, 0
        part.append(place)
        tokens, longest = tokens + layout.tokens(pair), max(longest, _longer(pair))
    if part:
        yield part


def _longer(pair: TokenPair) -> int:
    return max(len(pair.chosen), len(pair.rejected))


def _padded(pairs: Sequence[TokenPair], layout: Layout) -> Batch:
    sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    lengths = np.array([len(side) for side in sides])
    longest = int(lengths.max())
    ids = np.full((len(sides), longest), layout.pad_id, np.int64)
    mask = np.zeros_like(ids)
    starts = longest - lengths if layout.pad_left else np.zeros_like(lengths)
    for row, (side, start) in enumerate(zip(sides, starts, strict=True)):
        ids[row, start : start + len(side)] = side
        mask[row, start : start + len(side)] = 1
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    scored = np.arange(len(sides)) * longest + starts + (0 if layout.pool_first else lengths - 1)
    batch = _batch(ids, positions, mask, scored, pairs, ())
    return replace(batch, groups=tuple(_groups(starts, lengths, layout.apart))) if layout.apart else batch


def _groups(starts: NDArray[np.int64], lengths: NDArray[np.int64], apart: str) -> Iterator[RowGroup]:
    """The rows, those of one length together or each alone."""
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length).tolist()
        for some in [rows] if apart == "lengths" else [[row] for row in rows]:
            yield RowGroup(tuple(some), int(starts[some[0]]), int(length))


def _unpadded(pairs: Sequence[TokenPair], layout: Layout) -> Batch:
    blocks: list[Block] = []
    parts: list[Ids] = []
    places: list[tuple[int, int]] = []
    start = 0
    for pair in pairs:
        made = _blocks(pair, layout.share_prefix, start)
        blocks += made
        parts += [pair.chosen, pair.rejected[made[0].shared :]]
        start = made[-1].start + made[-1].length
        firsts, ends = [block.start for block in made], [end for block in made for end in block.ends()]
        places.append((firsts[0], firsts[-1]) if layout.pool_first else (ends[0], ends[1]))
    ids = np.concatenate(parts).astype(np.int64)[None]
    positions = np.concatenate([_positions(block) for block in blocks])[None]
    scored = np.array(places).T.reshape(-1)
    batch = _batch(ids, positions, None, scored, pairs, tuple(blocks))
    if not layout.one_call:
        return batch
    return replace(batch, sequences=sequences_of((one.start, one.shared, one.branches) for one in blocks))


def _blocks(pair: TokenPair, share: bool, start: int) -> list[Block]:
    chosen, rejected = len(pair.chosen), len(pair.rejected)
    if share and pair.shared:
        return [Block(start, pair.shared, (chosen - pair.shared, rejected - pair.shared))]
    return [Block(start, 0, (chosen,)), Block(start + chosen, 0, (rejected,))]


def _positions(block: Block) -> NDArray[np.int64]:
    """Each branch goes on where the shared part ends."""
    parts = [np.arange(block.shared), *(np.arange(block.shared, block.shared + size) for size in block.branches)]
    return np.concatenate(parts)


def _batch(
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    mask: NDArray[np.int64] | None,
    scored: NDArray[np.int64],
    pairs: Sequence[TokenPair],
    blocks: tuple[Block, ...],
) -> Batch:
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions.astype(np.int64)),
        mask=None if mask is None else torch.from_numpy(mask),
        scored=torch.from_numpy(scored.astype(np.int64)),
        margin=torch.tensor([pair.margin for pair in pairs], dtype=torch.float32),
        blocks=blocks,
        pairs=len(pairs),
        tokens=int(ids.size if mask is None else mask.sum()),
    )


Micro = list[int]
"""Places of pairs in the pair set; empty when a rank has nothing to do in this micro step."""


@dataclass(frozen=True, slots=True)
class StepBatches:
    """What one rank computes in an optimizer step."""

    micro_batches: list[Micro]
    """As many on every rank."""
    pairs: int
    """Over all ranks."""
    most: int
    """Pairs of the rank that has the most."""


def epoch_batches(
    pairs: Sequence[TokenPair],
    config: TrainConfig,
    epoch: int,
    world_size: int,
    rank: int,
    layout: Layout,
    shares: Sequence[PairShare] = (),
) -> list[StepBatches]:
    """This rank's micro batches of one epoch, by optimizer step; every pair that the epoch draws once over all ranks,
    and in a mixture as often as it is drawn.

    The pairs of a step depend on (seed, epoch) and the effective batch only, not on how it is split into processes
    and micro batches. Every rank gets the same number of micro batches in a step; in the last, shorter step of an
    epoch one may be empty. With `batch_tokens` micro batches are cut by tokens, as this layout computes them; without,
    they have at most `batch_size` pairs.
    """
    wide, seed = config.batch_size * world_size, config.seed
    drawn = epoch_pairs(shares, epoch, seed) if shares else np.arange(len(pairs))
    steps = epoch_steps(pairs, wide * config.gradient_accumulation_steps, config.group_by_length, epoch, seed, drawn)
    found = []
    for step in steps:
        if config.batch_tokens:
            ranks = [
                list(cut_by_tokens(pairs, step[one::world_size], config.batch_tokens, layout))
                for one in range(world_size)
            ]
            micros = ranks[rank] + [[]] * (max(map(len, ranks)) - len(ranks[rank]))
            most = -(-len(step) // world_size)
        else:
            parts = list(_micro_parts(step, wide))
            micros = [part[rank::world_size] for part in parts]
            most = sum(-(-len(part) // world_size) for part in parts)
        found.append(StepBatches(micros, len(step), most))
    return found


def epoch_pairs(shares: Sequence[PairShare], epoch: int, seed: int) -> NDArray[np.int64]:
    """Places of the pairs that an epoch of a mixture draws, source by source.

    Each source is passed over again and again, every pass in an order of its own, and each epoch takes what comes next:
    with weight 2 every pair is drawn twice, with 0.5 two epochs together draw every pair once.
    """
    drawn = []
    for number, share in enumerate(shares):
        places = np.arange(epoch * share.drawn, (epoch + 1) * share.drawn)
        for turn in np.unique(places // share.pairs):
            order = np.random.default_rng([seed, _PASSES, number, int(turn)]).permutation(share.pairs)
            drawn.append(share.start + order[places[places // share.pairs == turn] % share.pairs])
    return np.concatenate(drawn)


def epoch_steps(
    pairs: Sequence[TokenPair], effective: int, by_length: bool, epoch: int, seed: int, drawn: NDArray[np.int64]
) -> Iterator[list[int]]:
    """Pairs of each optimizer step, sorted by cost inside the step; only the last step may be shorter. `drawn` are the
    places of the epoch's pairs."""
    random = np.random.default_rng([seed, epoch])
    order = drawn[random.permutation(len(drawn))]
    whole = len(order) - len(order) % effective
    costs = np.array([pair.cost for pair in pairs])
    window = WINDOW_STEPS * effective if by_length else effective
    for start in range(0, whole, window):
        held = order[start : min(start + window, whole)]
        held = held[np.argsort(costs[held], kind="stable")]
        groups = held.reshape(-1, effective)
        for group in groups[random.permutation(len(groups))]:
            yield group.tolist()
    rest = order[whole:]
    if len(rest):
        yield rest[np.argsort(costs[rest], kind="stable")].tolist()


def _micro_parts(step: list[int], wide: int) -> Iterator[list[int]]:
    """A step → parts of at most `wide` pairs, as equal as can be."""
    count = -(-len(step) // wide)
    bounds = [len(step) * part // count for part in range(count + 1)]
    return (step[low:high] for low, high in itertools.pairwise(bounds))
