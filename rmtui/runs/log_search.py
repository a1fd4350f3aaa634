"""Finding lines of a log: what a person types means one thing in a search, in a filter, and where hits are marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_SPECIAL = re.compile(r"[][\\.^$*+?{}|()]")
_CLASS = re.compile(r"\\[dDwWsSbB](?![A-Za-z])|\\[dDwWsSbB][^\\]*\\")
r"""A leading backslash that begins an expression: `\d+`, `\bstep\b`. Any other one makes the rest a literal."""
_OVER_LINES = re.compile(r"\[\^|\\[sWDn]|\(\?[a-z]*s")
"""What may match an end of line: such an expression is tried on each line alone."""
_RARE = b"\x00zqjxkvZQJXKVWYUHGFBMPNLDRCOTSEIA@#$%^&*!?;{}[]<>|~`+\"'()/\\wybgpfmuhld"
"""Bytes by how rare they are in logs, seldom first; digits, blanks and common letters are missing."""


class Finder(Protocol):
    """Looks through blocks of whole lines."""

    def first(self, block: bytes, last: bool = False) -> int | None:
        """Place of the first hit, or of the last."""

    def each_line(self, block: bytes) -> Iterator[int]:
        """Number of each line of the block that holds a hit."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What was typed, understood: literal text, or a regular expression."""

    text: str
    """The text, or the expression."""
    literal: bool
    fold: bool
    """Upper and lower case are one: what was typed has no capital."""

    def expression(self) -> re.Pattern[str]:
        flags = re.IGNORECASE if self.fold else re.NOFLAG
        return re.compile(re.escape(self.text) if self.literal else self.text, flags)


@lru_cache(maxsize=64)
def read_pattern(typed: str) -> Pattern:
    r"""A regular expression in which `\|` is an alternative as `|` is, as in grep.

    A text where it does not compile, and after a leading backslash: `\loss [0.5`. Case counts only where there is a
    capital, those of `\S` and the like aside. ValueError for an empty one.
    """
    if not typed:
        raise ValueError("nothing to look for")
    if typed[0] == "\\" and len(typed) > 1 and not _CLASS.match(typed):
        return _literal(typed[1:])
    text = re.sub(r"\\(.)", lambda found: "|" if found[1] == "|" else found[0], typed)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return _literal(typed)
    if not _SPECIAL.search(text):
        return _literal(text)
    plain = re.sub(r"\\.", "", text)
    return Pattern(text, literal=False, fold=plain == plain.lower())


def _literal(text: str) -> Pattern:
    return Pattern(text, literal=True, fold=text == text.casefold())


def finder(typed: str) -> Finder:
    """What finds a pattern in blocks of bytes. ValueError for an empty one."""
    pattern = read_pattern(typed)
    if pattern.literal and (pattern.text.isascii() or not pattern.fold):
        return _Text(pattern.text.encode(), pattern.fold)
    return _Expression(pattern)


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
    """Finds an expression. One that holds more than ASCII, or may match an end of line, is tried line by line."""

    def __init__(self, pattern: Pattern) -> None:
        whole = pattern.expression()
        self._of_line = whole
        self._in_bytes: re.Pattern[bytes] | None = None
        if whole.pattern.isascii() and not _OVER_LINES.search(whole.pattern):
            self._in_bytes = re.compile(whole.pattern.encode(), (whole.flags & re.IGNORECASE) | re.MULTILINE)

    def first(self, block: bytes, last: bool = False) -> int | None:
        if last:
            return max(self._places(block), default=None)
        return next(self._places(block), None)

    def each_line(self, block: bytes) -> Iterator[int]:
        line, counted = 0, 0
        for place in self._places(block):
            line += block.count(b"\n", counted, place)
            yield line
            line, counted = line + 1, block.find(b"\n", place) + 1

    def _places(self, block: bytes) -> Iterator[int]:
        """A place in each line that holds a hit."""
        if self._in_bytes is None:
            at = 0
            for line in block.removesuffix(b"\n").split(b"\n"):
                if self._of_line.search(line.decode("utf-8", "replace")):
                    yield at
                at += len(line) + 1
            return
        hit = self._in_bytes.search(block)
        while hit is not None:
            yield hit.start()
            after = block.find(b"\n", hit.start()) + 1
            hit = self._in_bytes.search(block, after) if 0 < after < len(block) else None


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
