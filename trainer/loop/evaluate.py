"""Exact evaluation: every pair scored once whatever the number of pairs, batch size or ranks; gathered by place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.batches import Layout, collate, cut_by_tokens
from trainer.data.pairset import TokenPair
from trainer.intervals import effective_pairs
from trainer.model.reward import rewards

Floats = NDArray[np.float64]
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 20


class Interrupted(Exception):
    """An evaluation was given up on every rank, because one was asked to stop."""


def never() -> bool:
    return False


def unheard(done: int) -> None:
    """Nobody wants to know how many pairs are scored."""


@dataclass(frozen=True, slots=True)
class Record:
    """One pair's rewards; a line of validation/epoch-K.jsonl."""

    id: str
    chosen: float
    rejected: float
    chosen_tokens: int
    rejected_tokens: int
    cluster: str = ""
    """What it is not independent of (`trainer.clusters`); empty: nothing known."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of reward margins between neighbouring edges."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Records sorted by id, and metrics over them."""

    records: list[Record]
    metrics: dict[str, float]
    margins: Histogram

    def of(self, ids: Set[str]) -> Evaluation:
        """The same of these pairs alone."""
        return summarise([record for record in self.records if record.id in ids])

    def write(self, path: Path) -> None:
        """One JSON line a pair."""
        lines = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in self.records)
        path.write_text(lines, encoding="utf-8")


def evaluate(
    model: nn.Module,
    pairs: Sequence[TokenPair],
    layout: Layout,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    stop: Callable[[], bool] = never,
    tell: Callable[[int], None] = unheard,
    tokens: int = 0,
) -> Evaluation:
    """Score all pairs over all ranks and summarise. Every rank returns the same, or raises Interrupted."""
    scored = score(model, pairs, layout, batch_size, rank, world_size, stop, tell, tokens)
    records = [
        Record(pair.id, chosen, rejected, len(pair.chosen), len(pair.rejected), pair.cluster)
        for pair, (chosen, rejected) in zip(pairs, scored, strict=True)
    ]
    return summarise(records)


def summarise(records: Sequence[Record]) -> Evaluation:
    """Records of pairs with the metrics over them."""
    margins = np.array([record.chosen - record.rejected for record in records])
    return Evaluation(sorted(records, key=lambda record: record.id), summary(records), histogram(margins))


def score(
    model: nn.Module,
    pairs: Sequence[TokenPair],
    layout: Layout,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    stop: Callable[[], bool] = never,
    tell: Callable[[int], None] = unheard,
    tokens: int = 0,
) -> list[tuple[float, float]]:
    """(chosen, rejected) rewards in the order of `pairs`. When `stop` says so on any rank, every rank raises
    Interrupted. `tell` hears how many pairs this rank has scored. With `tokens` a forward pass holds at most so many
    computed ones, in place of `batch_size` pairs; a pair that has more is scored alone."""
    order = sorted(range(len(pairs)), key=lambda place: -pairs[place].cost)
    mine = order[rank::world_size]
    passes: Iterable[list[int]] = (mine[at : at + batch_size] for at in range(0, len(mine), batch_size))
    if tokens:
        passes = cut_by_tokens(pairs, mine, tokens, layout)
    found: dict[int, tuple[float, float]] = {}
    interrupted = False
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for part in passes:
            if interrupted := stop():
                break
            sides = rewards(model, collate([pairs[place] for place in part], layout))
            chosen, rejected = torch.stack(sides).tolist()
            found |= dict(zip(part, zip(chosen, rejected, strict=True), strict=True))
            tell(len(found))
    model.train(was_training)
    parts: list[dict[int, tuple[float, float]] | None] = [None if interrupted else found]
    if world_size > 1:
        parts = parts * world_size
        torch.distributed.all_gather_object(parts, parts[0])
    scored: dict[int, tuple[float, float]] = {}
    for gathered in parts:
        if gathered is None:
            raise Interrupted
        scored |= gathered
    return [scored[place] for place in range(len(pairs))]


def summary(records: Sequence[Record]) -> dict[str, float]:
    """The metrics of an evaluation; those that a set does not define (one pair has no spread) are left out."""
    chosen = np.array([record.chosen for record in records])
    rejected = np.array([record.rejected for record in records])
    chosen_tokens = np.array([record.chosen_tokens for record in records])
    rejected_tokens = np.array([record.rejected_tokens for record in records])
    margin = chosen - rejected
    both = np.concatenate([chosen, rejected])
    lengths = np.concatenate([chosen_tokens, rejected_tokens]).astype(np.float64)
    metrics = {
        "val_loss": float(np.mean(np.logaddexp(0.0, -margin))),
        "val_acc": float(np.mean(margin > 0)),
        "val_pairs": float(len(records)),
        "val_ties": float(np.sum(margin == 0)),
        "reward_margin": float(np.mean(margin)),
        "reward_mean": float(np.mean(both)),
        "reward_std": float(np.std(both)),
        "calibration_error": calibration_error(margin),
    }
    if all(record.cluster for record in records):
        found = effective_pairs((margin > 0).tolist(), [record.cluster for record in records])
        metrics |= {"val_clusters": float(found.clusters), "val_effective": found.effective}
    shorter = chosen_tokens < rejected_tokens
    if shorter.any():
        metrics["val_acc_chosen_shorter"] = float(np.mean(margin[shorter] > 0))
    metrics["pairs_chosen_shorter"] = float(shorter.sum())
    if np.std(both) > 0 and np.std(lengths) > 0:
        metrics["length_correlation"] = float(np.corrcoef(both, lengths)[0, 1])
    return metrics


def calibration_error(margin: Floats) -> float:
    """Expected calibration error of σ(|margin|) as the probability that the pair is ranked right (Guo et al. 2017).

    Ten bins of equal width over 0.5 … 1; a tie is half right.
    """
    confidence = 1.0 / (1.0 + np.exp(-np.abs(margin)))
    right = np.where(margin == 0, 0.5, margin > 0)
    places = np.minimum(((confidence - 0.5) * 2 * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(float(right[places == place].sum() - confidence[places == place].sum()))
        for place in range(CALIBRATION_BINS)
    ]
    return sum(gaps) / len(margin)


def histogram(margin: Floats) -> Histogram:
    """Margins in equal bins, symmetric around 0; margins that are not finite are left out."""
    finite = margin[np.isfinite(margin)]
    reach = max((math.ceil(float(np.abs(finite).max()) * 10) / 10 if len(finite) else 0.0), 0.1)
    counts, edges = np.histogram(finite, bins=HISTOGRAM_BINS, range=(-reach, reach))
    return Histogram([round(float(edge), 6) for edge in edges], [int(count) for count in counts])
