"""Length in place of preference: what a ruler scores on the validation pairs, and whether the model is one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from rmtui.guide.model import Reading, Subject, newest_evaluation
from rmtui.guide.rules_losses import Case
from trainer.intervals import two_sided

FEWEST = 10
"""Pairs of a kind below which its accuracy is not read."""


class ByLength(NamedTuple):
    """An evaluation's pairs in two kinds: the chosen answer has fewer tokens than the rejected one, and the rest."""

    shorter: int
    """Pairs whose chosen answer is the shorter one."""
    rest: int
    accuracy_shorter: float
    accuracy_rest: float
    correlation: float | None
    """Of reward and length, over all answers."""

    @property
    def controlled(self) -> float:
        """The accuracy with both kinds of equal weight: a ruler has about one half."""
        return (self.accuracy_shorter + self.accuracy_rest) / 2

    @property
    def gap(self) -> float:
        return self.accuracy_shorter - self.accuracy_rest

    @property
    def ruler(self) -> tuple[str, float]:
        """The better of two rulers, and its accuracy: the shorter answer wins, or the one that is not shorter."""
        share = self.shorter / (self.shorter + self.rest)
        return ("shorter", share) if share >= 0.5 else ("not_shorter", 1 - share)


def by_length(item: Subject) -> ByLength | None:
    """Of the run's newest evaluation; None where its trainer did not measure it, or a kind has fewer than ten pairs."""
    facts = item.lengths
    if facts is None:
        return None
    shorter, rest = round(facts.shorter), facts.pairs - round(facts.shorter)
    if min(shorter, rest) < FEWEST:
        return None
    right = facts.val_acc * facts.pairs - facts.accuracy_shorter * shorter
    return ByLength(shorter, rest, facts.accuracy_shorter, min(1.0, max(0.0, right / rest)), facts.correlation)


def length_bias(case: Case) -> Iterator[Reading]:
    """The model is a ruler; or how far it is above one, and its accuracy with length held equal."""
    found, facts, at = by_length(case.subject), case.subject.lengths, newest_evaluation(case.subject.run)
    if found is None or facts is None:
        return
    wide = facts.pairs / at.val_effective if at.val_effective and at.val_pairs == facts.pairs else 1.0
    shares = ((found.accuracy_shorter, found.shorter), (found.accuracy_rest, found.rest))
    error = math.sqrt(wide * sum(share * (1 - share) / n for share, n in shares))
    name, floor = max((found.ruler, *filter(None, [case.subject.floor])), key=lambda rival: rival[1])
    values = {
        "shorter": found.shorter,
        "rest": found.rest,
        "accuracy_shorter": found.accuracy_shorter,
        "accuracy_rest": found.accuracy_rest,
        "correlation": found.correlation,
        "controlled": found.controlled,
        "ruler": name,
        "floor": floor,
        "measured": facts.val_acc,
        "above": facts.val_acc - floor,
    }
    if abs(found.gap) >= case.limits.ruler_gap and abs(found.gap) > two_sided(case.limits.level) * error:
        yield Reading("ruler", "warning", values | {"prefers": "shorter" if found.gap > 0 else "longer"})
    else:
        yield Reading("above_ruler", "info" if facts.val_acc > floor else "warning", values)
