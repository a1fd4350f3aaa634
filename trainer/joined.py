"""Several data files under one name, `a.jsonl + b.jsonl`: validation of a mixture, evaluated as one and by file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from trainer import held_out, hub

BETWEEN = " + "


def join(paths: Iterable[str]) -> str:
    """One name for several files."""
    return BETWEEN.join(paths)


def pieces(path: Path | str, base: Path | None = None) -> list[str]:
    """The files that a name stands for, below `base` where they are relative: itself, unless it joins files that are
    there."""
    text = str(path)
    found = text.split(BETWEEN)
    return found if len(found) > 1 and all(_is_there(one, base or Path()) for one in found) else [text]


def each(path: str, base: Path, change: Callable[[str], str]) -> str:
    """The name with every file's own changed."""
    return join(map(change, pieces(path, base)))


def _is_there(path: str, base: Path) -> bool:
    place, _ = held_out.parse(base / Path(path).expanduser() if not hub.is_hub(path) else path)
    return place.exists() or hub.is_hub(place)


def names(paths: Iterable[str]) -> list[str]:
    """A short name for each file, as much of their paths as tells them apart: `helpful`, `harmless-train`."""
    words = [_words(path) for path in paths]
    for count in range(1, 1 + max(map(len, words), default=0)):
        short = ["-".join(one[-count:]) for one in words]
        if len(set(short)) == len(short):
            return short
    return [f"{one[-1]}-{number}" for number, one in enumerate(words, start=1)]


def _words(path: str) -> list[str]:
    """The parts of a path without suffixes; of a name on the hub its data set, configuration and split."""
    place, _ = held_out.parse(path)
    if hub.is_hub(place):
        name = hub.parse(place)
        return [
            part for part in (*name.repo.split("/")[:-1], name.split, name.config, name.repo.split("/")[-1]) if part
        ]
    *folders, last = place.parts
    return [*folders, re.sub(r"\.(jsonl?|ndjson|csv|tsv|parquet|arrow|feather|gz|zst|bz2|xz)\b", "", last)]
