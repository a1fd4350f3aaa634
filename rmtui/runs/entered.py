"""val_acc that a person entered for an epoch of a run whose source has none: kept in meta.toml, marked as entered, and
never in place of one that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

KEY = "entered"
"""Of the list in meta.toml."""
BY_HAND = "by hand"


class Entered(NamedTuple):
    """One value. `source` is the log that it was read from; empty: typed by hand."""

    epoch: int
    val_acc: float
    val_pairs: int | None = None
    source: str = ""


def read_entered(meta: Mapping[str, object]) -> tuple[Entered, ...]:
    """The values in meta.toml, one an epoch; rows that are none are left out."""
    rows = meta.get(KEY)
    found = map(_row, rows) if isinstance(rows, list) else ()
    return tuple({item.epoch: item for item in found if item is not None}.values())


def _row(row: object) -> Entered | None:
    if not isinstance(row, Mapping):
        return None
    epoch, pairs = _count(row.get("epoch")), _count(row.get("val_pairs"))
    value, source = row.get("val_acc"), row.get("source")
    if epoch is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value) or not 0 <= value <= 1:
        return None
    return Entered(epoch, float(value), pairs, source if isinstance(source, str) else "")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def with_entered(rows: Sequence[Mapping[str, Any]], entered: Sequence[Entered]) -> list[dict[str, Any]]:
    """Rows of epochs, as the index keeps them, with what was entered where no val_acc was measured.

    A run without any epoch gets one.
    """
    return (
        [*_filled(rows, {item.epoch: item for item in entered})] if rows else [_fill({"step": 0}, it) for it in entered]
    )


def _filled(rows: Sequence[Mapping[str, Any]], entered: Mapping[int, Entered]) -> Iterator[dict[str, Any]]:
    for row in rows:
        item = entered.get(row["epoch"])
        yield dict(row) if item is None or row.get("val_acc") is not None else _fill(row, item)


def _fill(row: Mapping[str, Any], item: Entered) -> dict[str, Any]:
    pairs = item.val_pairs or row.get("val_pairs")
    return {
        **row,
        "epoch": item.epoch,
        "val_acc": item.val_acc,
        "val_pairs": pairs,
        "entered": item.source or BY_HAND,
    }
