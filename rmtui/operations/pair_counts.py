"""How many pairs a training draws an epoch, before anything is tokenized."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from trainer import config as options
from trainer import pairs
from trainer.config import TrainConfig


def drawn(built: TrainConfig, left_out: Mapping[Path, int]) -> int:
    """Pairs of an epoch: of one file all but those known to be `left_out`, of a mixture what its weights and limits
    make of them."""
    fields = built.data.fields
    sources = options.sources_of(built.data)

    def used(path: Path) -> int:
        return count_pairs(path, fields) - left_out.get(path, 0)

    if not sources:
        return used(Path(built.data.train))
    return sum(one.drawn(one.held(used(Path(one.path)))) for one in sources)


def count_pairs(path: Path, fields: pairs.Fields) -> int:
    """Pairs of a file: lines that are not blank, where they are in the house's own layout, else what is read of it.

    Remembered while the file does not change. Raises OSError, Unreadable among it: what is not read is not counted.
    """
    reading = pairs.recognise(path, fields)
    facts = tuple((part.stat().st_size, part.stat().st_mtime_ns) for part, _ in reading.parts)
    return _count(path, facts, tuple(sorted(fields.items())))


@functools.lru_cache(maxsize=64)
def _count(path: Path, _facts: object, fields: tuple[tuple[str, str], ...]) -> int:
    if not pairs.recognise(path, dict(fields)).direct:
        return sum(1 for row in pairs.read_rows(path, dict(fields)) if isinstance(row, pairs.Row))
    with path.open("rb") as file:
        return sum(1 for line in file if not line.isspace())
