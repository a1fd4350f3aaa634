"""Finding a text or a /regular expression/ in blocks of a log's bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

_RARE = b"\x00zqjxkvZQJXKVWYUHGFBMPNLDRCOTSEIA@#$%^&*!?;{}[]<>|~`+\"'()/\\wybgpfmuhld"
"""Bytes by how seldom they stand in logs, seldom first; digits, blanks and common letters are missing."""


class Finder(Protocol):
    """Looks through blocks of whole lines."""

    def first(self, block: bytes, last: bool = False) -> int | None:
        """Place of the first hit, or of the last."""

    def each_line(self, block: bytes) -> Iterator[int]:
        """Number of each line of the block that holds a hit."""


def finder(pattern: str) -> Finder:
    """A text without capitals fits both cases. ValueError for a pattern that is none."""
    if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
        return _Expression(pattern[1:-1])
    if not pattern:
        raise ValueError("nothing to look for")
    if pattern != pattern.casefold():
        return _Text(pattern.encode(), fold=False)
    return _Text(pattern.encode(), fold=True) if pattern.isascii() else _Expression(re.escape(pattern))


class _Text:
    """Finds a text; a block without the byte that the block before had not either is neither folded nor searched."""

    def __init__(self, text: bytes, fold: bool) -> None:
        self._text = text
        self._fold = fold
        self._guard: tuple[bytes, ...] = ()

    def first(self, block: bytes, last: bool = False) -> int | None:
        if self._guard and not any(byte in block for byte in self._guard):
            return None
        folded = block.lower() if self._fold else block
        found = _in_block(folded, self._text, last)
        if found is None:
            missing = next((self._text[n : n + 1] for n in range(len(self._text)) if self._text[n] not in folded), b"")
            self._guard = tuple({missing, missing.upper()} if self._fold else {missing}) if missing else ()
        return found

    def each_line(self, block: bytes) -> Iterator[int]:
        if self.first(block) is None:
            return
        folded = block.lower() if self._fold else block
        line, counted = 0, 0
        place = folded.find(self._text)
        while place >= 0:
            line += folded.count(b"\n", counted, place)
            yield line
            counted = folded.find(b"\n", place)
            place = folded.find(self._text, counted) if counted >= 0 else -1


class _Expression:
    def __init__(self, pattern: str) -> None:
        flags = re.MULTILINE | (re.IGNORECASE if pattern == pattern.lower() else re.NOFLAG)
        try:
            self._compiled = re.compile(pattern.encode(), flags)
        except re.error as error:
            raise ValueError(f"/{pattern}/ is no regular expression: {error}") from None

    def first(self, block: bytes, last: bool = False) -> int | None:
        hits = self._compiled.finditer(block)
        hit = max(hits, key=lambda found: found.start(), default=None) if last else next(hits, None)
        return None if hit is None else hit.start()

    def each_line(self, block: bytes) -> Iterator[int]:
        line, counted = 0, 0
        hit = self._compiled.search(block)
        while hit is not None:
            line += block.count(b"\n", counted, hit.start())
            yield line
            line, counted = line + 1, block.find(b"\n", hit.start()) + 1
            hit = self._compiled.search(block, counted) if 0 < counted < len(block) else None


def _in_block(block: bytes, text: bytes, last: bool) -> int | None:
    found = fast_find(block, text)
    if found >= 0 and last:
        found = block.rfind(text)  # slower than looking forward: only where there is something
    return found if found >= 0 else None


def fast_find(block: bytes, text: bytes) -> int:
    """bytes.find by the text's rarest byte: a search for one byte runs many times faster than one for several."""
    rare = min(text, key=lambda byte: _RARE.find(byte) % 1000)
    if rare not in _RARE:
        return block.find(text)
    within, position = text.index(rare), -1
    for _ in range(256):
        position = block.find(rare, position + 1)
        if position < 0:
            return -1
        if position >= within and block.startswith(text, position - within):
            return position - within
    return block.find(text, max(0, position - within))
