"""Every layout beside the house's own, in the order in which they are tried: the particular before the general."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.layouts import either_or, named_pairs, ranked, row_groups
from trainer.layouts.model import PairLayout, Record

_READERS = (either_or.recognise, ranked.recognise, named_pairs.recognise, row_groups.recognise)


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """The layout of a file by its first records; None where no field says which answer is better."""
    return next((found for read in _READERS if (found := read(sample))), None)
