"""What the metrics of a run mean: every rule in turn, worst first."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rmtui.guide import length, rules_losses, rules_training
from rmtui.guide.model import SEVERITIES, Reading, Subject
from rmtui.guide.paired_test import AccuracyTest
from rmtui.guide.rules_losses import Case
from rmtui.guide.thresholds import DEFAULT, Thresholds

RULES = (*rules_training.RULES, *rules_losses.RULES, length.length_bias)
_OWN = 8
"""rmtui's own readings follow the guide's seven."""


def read(
    subject: Subject,
    before: Subject | None = None,
    limits: Thresholds = DEFAULT,
    silenced: Collection[str] = (),
    paired: Mapping[str, AccuracyTest] | None = None,
) -> list[Reading]:
    """Readings of a run, and of it against the run `before`; without those whose id is silenced.

    `paired` holds verdicts on val_acc pair by pair: `epochs` from its first epoch to its last, `last`
    over its last one, `runs` against `before`.
    """
    case = Case(subject, before, limits, paired or {})
    found = [reading for rule in RULES for reading in rule(case) if reading.id not in silenced]
    return sorted(found, key=lambda reading: (SEVERITIES.index(reading.severity), reading.statement or _OWN))
