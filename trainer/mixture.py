"""Training data from several files: which, how often an epoch, and at most how many pairs of each; reads no file.

In TOML `[[data.source]]` with path, weight and limit; in one line `pairs.jsonl;weight=0.5;limit=1000`. The weight is
the number of passes over that source an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

MOST = 100.0
"""Passes over a source an epoch, at most."""
_KEYS = ("path", "weight", "limit")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file, or a folder of shards, as a part of the training data."""

    path: str
    weight: float = 1.0
    """Passes over it an epoch; with 0.5 each epoch has the other half."""
    limit: int = 0
    """At most so many of its pairs, chosen by the run's seed and the same in every epoch; 0: all."""

    def held(self, pairs: int) -> int:
        """Of so many pairs, how many take part."""
        return min(pairs, self.limit) if self.limit else pairs

    def drawn(self, pairs: int) -> int:
        """Of so many pairs that take part, how many are drawn in each epoch; repeats count."""
        return max(1, round(self.weight * pairs)) if pairs else 0

    def __str__(self) -> str:
        weight = f";weight={self.weight:g}" if self.weight != 1 else ""
        return f"{self.path}{weight}{f';limit={self.limit}' if self.limit else ''}"


def parse(text: str) -> DataSource:
    """`pairs.jsonl;weight=0.5;limit=1000`. Raises ValueError with what is wrong."""
    path, *more = text.split(";")
    values = {"path": path.strip()}
    for part in more:
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in _KEYS[1:] or name.strip() in values:
            raise ValueError(f"{part!r} is neither weight=W nor limit=N")
        values[name.strip()] = value.strip()
    return _source(values)


def _source(values: Mapping[str, object]) -> DataSource:
    if strange := [name for name in values if name not in _KEYS]:
        raise ValueError(f"{strange[0]!r} is not a key of a source; there are {', '.join(_KEYS)}")
    path, weight, limit = values.get("path"), values.get("weight", 1.0), values.get("limit", 0)
    if not isinstance(path, str) or not path:
        raise ValueError("a source has no path")
    try:
        passes = math.nan if isinstance(weight, bool) else float(str(weight))
    except ValueError:
        passes = math.nan
    if not 0 < passes <= MOST:
        raise ValueError(f"weight {weight!r} of {path} is not a number above 0, at most {MOST:g}")
    if isinstance(limit, bool) or not str(limit).isdecimal():
        raise ValueError(f"limit {limit!r} of {path} is not a whole number")
    return DataSource(path, passes, int(str(limit)))


def lines(tables: Iterable[object]) -> list[object]:
    """`[[data.source]]` as TOML holds it → a line a source; what is not a source stays as it is, to be refused."""
    return [_line(table) for table in tables]


def _line(table: object) -> object:
    try:
        return str(_source(table)) if isinstance(table, Mapping) else table
    except ValueError:
        return table


def faults(found: Iterable[object]) -> list[str]:
    """What is wrong with the lines or tables of a mixture, in words."""
    seen: set[str] = set()
    wrong = []
    for one in found:
        try:
            path = _source(one).path if isinstance(one, Mapping) else parse(str(one)).path
        except ValueError as error:
            wrong.append(str(error))
            continue
        if path in seen:
            wrong.append(f"{path} is named twice; give it a weight instead")
        seen.add(path)
    return wrong


def moved(source: DataSource, path: str) -> str:
    """The line of a source whose file is found at `path`."""
    return str(replace(source, path=path))
