"""Which trials are out at a rung: their loss on the same pairs is higher than the leader's by more than a margin.

It is tested at planned rungs only: the same pairs at later steps are no new samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rmtui.tune.model import Score, Search, Trial
from trainer.intervals import clustered_error, t_quantile, t_tail

FEWEST_GROUPS = 10
"""Prompts below which nothing is tested: the spread of their sums is hardly known."""


class Deficit(NamedTuple):
    """How much higher a trial's loss is than the leader's, over the pairs that both scored."""

    mean: float
    error: float
    """Standard error: pairs of one prompt count together."""
    groups: int

    def p_value(self, margin: float) -> float:
        """One-sided, of a deficit of at most `margin`: Student's t with groups − 1 degrees of freedom."""
        beyond = self.mean - margin
        if self.error == 0:
            return 0.0 if beyond > 0 else 1.0
        t = beyond / self.error
        return t_tail(t, self.groups - 1) if t >= 0 else 1 - t_tail(-t, self.groups - 1)

    def low(self, level: float) -> float:
        """Lower bound at a one-sided level."""
        return self.mean - t_quantile(level, self.groups - 1) * self.error


def deficit(trial: Score, leader: Score, groups: Mapping[str, str]) -> Deficit | None:
    """The mean difference of the pairs' losses, its error clustered by prompt. None with fewer than ten prompts. A pair
    without a group is one by itself."""
    common = sorted(trial.losses.keys() & leader.losses.keys())
    clusters = [groups.get(pair, pair) for pair in common]
    count = len(set(clusters))
    if count < FEWEST_GROUPS:
        return None
    values = [trial.losses[pair] - leader.losses[pair] for pair in common]
    return Deficit(math.fsum(values) / len(values), clustered_error(values, clusters), count)


def losers(trials: Sequence[Trial], groups: Mapping[str, str], search: Search) -> dict[int, str]:
    """Number of a trial that is out → why, in words. Trials of one rung only.

    The chance that a search has any trial out that is behind the best by no more than the margin is at most 1 − level
    (Bonferroni over its rungs and over which trial leads, since the leader is chosen by the same losses; then Holm
    1979 over the others).
    """
    sound = [trial for trial in trials if trial.score is not None and not trial.score.broken]
    leader = min(sound, key=lambda trial: trial.score.rank if trial.score else (math.inf, math.inf), default=None)
    if leader is None or leader.score is None:
        return {}
    found = []
    for trial in sound:
        if trial is not leader and trial.score and (by := deficit(trial.score, leader.score, groups)) is not None:
            found.append((by.p_value(search.margin), trial.n, by))
    out: dict[int, str] = {}
    races = max(1, len(search.rungs) - 1)  # at the last rung nobody is trained on
    alpha = (1 - search.level) / races / len(sound)
    for place, (p, number, by) in enumerate(sorted(found)):
        share = alpha / (len(found) - place)
        if p > share:
            break
        out[number] = (
            f"trial {number} is out: its loss is higher than that of trial {leader.n} by {by.mean:.4f}, "
            f"{by.low(1 - share):.4f} at least, on the same pairs of {by.groups} prompts"
        )
    return out
