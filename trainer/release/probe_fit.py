"""A linear probe: logistic regression without an intercept on differences of states (Bradley and Terry)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5


def fit(differences: Tensor, penalty: float) -> Tensor:
    """float64 weights (hidden) that minimise mean log(1 + exp(−x·w)) + penalty / 2 · |s·w|², s the root mean square of
    each column: columns are divided by it first, so that no unit of theirs counts. `differences`: pairs × hidden."""
    scale = differences.square().mean(0).sqrt()
    scale[scale == 0] = 1.0
    x = differences / scale
    weights = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = softplus(-(x @ weights)).mean() + penalty / 2 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach() / scale


def choose_penalty(differences: Tensor, clusters: Sequence[str]) -> float:
    """The penalty of the lowest loss on held-out folds of whole clusters; the largest where there is one cluster."""
    folds = _folds(clusters)
    if max(folds) == 0:
        return PENALTIES[-1]
    at = torch.tensor(folds)
    return min(reversed(PENALTIES), key=lambda penalty: _held_out_loss(differences, at, penalty))


def _held_out_loss(differences: Tensor, at: Tensor, penalty: float) -> float:
    lost = 0.0
    for fold in range(int(at.max()) + 1):
        held = at == fold
        lost += float(softplus(-(differences[held] @ fit(differences[~held], penalty))).sum())
    return lost / len(at)


def _folds(clusters: Sequence[str]) -> list[int]:
    names = sorted(set(clusters))
    random.Random(0).shuffle(names)
    place = {name: number % FOLDS for number, name in enumerate(names)}
    return [place[name] for name in clusters]
