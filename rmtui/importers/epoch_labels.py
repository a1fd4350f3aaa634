"""Sources that write the number of the epoch a step lies in (0, 0, 1, 1 or 1, 1, 2, 2) where others write passes.

Lightning's and Keras' tables count epochs from 0, most scripts from 1; an epoch's end is its last step. Whoever writes
passes (0.5, 1.0), or each epoch's number once, at its end, is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from rmtui.runs.epoch_places import epoch_at


def passes(
    places: Mapping[int, float], trained: Collection[int], evaluated: Collection[int], numbered: bool
) -> dict[int, float]:
    """Step → passes over the data, from step → epoch as written; as it was where epochs as written are passes.

    `trained` and `evaluated` are the steps with training metrics and with validation's; `numbered`: the source gives
    no steps, rows of one epoch share a number.
    """
    steps = sorted(places)
    labels: dict[int, list[int]] = {}
    for step in steps:
        if places[step] != int(places[step]):
            return dict(places)
        labels.setdefault(int(places[step]), []).append(step)
    from_zero = any(step in trained and (numbered or step > 0) for step in labels.get(0, ()))
    several = any(len(inner) > 1 for label, inner in labels.items() if label)
    if not labels or not (from_zero or several) or _goes_back(places, steps):
        return dict(places)
    shift = 1 if from_zero else 0
    ends = {inner[-1]: float(label + shift) for label, inner in labels.items() if label + shift > 0}
    last = max(labels)
    if not numbered and not _complete(labels, last, evaluated):
        ends.pop(labels[last][-1], None)
    known = sorted(ends)
    found = {step: epoch_at(step, known, ends) for step in steps}
    limit = float(last + shift)
    return {step: min(epoch, limit) for step, epoch in found.items() if epoch is not None}


def _goes_back(places: Mapping[int, float], steps: list[int]) -> bool:
    return any(places[now] < places[before] for before, now in pairwise(steps))


def _complete(labels: Mapping[int, list[int]], last: int, evaluated: Collection[int]) -> bool:
    """Whether the last epoch is at its end: it is as long as the one before, or was evaluated once, in its last row."""
    ends = [labels[label][-1] for label in sorted(labels)]
    if len(ends) >= 3:
        return ends[-1] - ends[-2] >= ends[-2] - ends[-3]
    if len(ends) == 2 and min(labels) <= 1:
        return ends[1] - ends[0] >= ends[0]
    inside = [step for step in labels[last] if step in evaluated]
    return inside == [ends[-1]]
