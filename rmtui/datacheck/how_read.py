"""How a file is read, in the language that is spoken: layout, container, which field is taken for what.

`trainer.reading` says it in English; the catalogue's section `reads` holds its phrases with places for what varies, the
particular before the general, and a phrase inside another one is said by itself.
"""

from __future__ import annotations

import functools
import re

from rmtui.i18n import entries_of
from trainer.pairs import PairReading


def describe(reading: PairReading, lang: str) -> str:
    """`SHP, JSON lines in gzip: prompt ← history; …`, all names of fields as they are in the file."""
    if lang == "en":
        return reading.describe()
    if reading.pieces:
        return " + ".join(describe(piece, lang) for piece in reading.pieces)
    mapping = "；".join(f"{_said(ours)} ← {_said(theirs)}" for ours, theirs in reading.sources.items())
    parts = [_said(reading.name), _said(reading.container), *([_said(str(reading.part))] if reading.part else [])]
    return "，".join(parts) + (f"：{mapping}" if mapping else "")


@functools.lru_cache(maxsize=256)
def _said(text: str) -> str:
    """A phrase in Chinese; what the catalogue does not hold, a field's name say, stays as it is."""
    for pattern, phrase in _phrases():
        if found := pattern.fullmatch(text):
            return phrase.format(**{name: _said(inner) for name, inner in found.groupdict().items()})
    return text


@functools.cache
def _phrases() -> tuple[tuple[re.Pattern[str], str], ...]:
    """English phrases as patterns, in the catalogue's order, with the Chinese ones."""
    rows = entries_of("reads").values()
    return tuple(
        (re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(row["en"]))), row["zh"]) for row in rows
    )
