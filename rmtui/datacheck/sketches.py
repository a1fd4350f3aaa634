"""Sketches of texts: a few keys each, of which texts that are nearly the same share some.

A text is cut at letters of its own, so that one edit changes the pieces beside it and no others (Manber, Finding similar
files in a large file system, 1994). Pieces are hashed; two neighbours in the order of the hashes, taken at fixed points of
that order, are a key (min-wise hashing, Broder 1997). Words are looked at one by one where two texts meet only: this is
what makes it fast.
"""

from __future__ import annotations

import string
from bisect import bisect
from dataclasses import dataclass
from zlib import crc32

from rmtui.datacheck.duplicates import Ledger
from rmtui.datacheck.short_way import Pair

KEYS = 8
"""Keys of a sketch, fewer of a text of fewer pieces."""
SHARED = 2
"""Texts that share as many keys are looked at. Of the part J of their pieces alike, that are about 0.94 of those with
0.65, 0.985 with 0.75 and 0.999 with 0.85; of texts about the same subject, next to none."""
PIECE = 20
"""Bytes of a piece that count: the longer, the more likely an edit is among them; the shorter, the more texts say it."""
FEW = 6
"""With fewer pieces than these a text is cut more finely as well."""

_POINTS = [((2 * place + 1) << 31) // KEYS for place in range(KEYS)]
"""Spread evenly over the 32 bits of a hash."""
_NO_MATTER = bytes(byte for byte in range(128) if not chr(byte).isalnum())


@dataclass(frozen=True, slots=True)
class _Cut:
    """A way to cut texts of up to `longest` bytes; of pieces below `shortest` bytes, each is in too many texts."""

    longest: int
    shortest: int
    table: bytes

    def pieces(self, raw: bytes) -> list[int]:
        """Their hashes, sorted. crc32 is the same in every process, and as fast as Python's own."""
        cut = raw.translate(self.table, _NO_MATTER).split(b"\n")
        shortest = self.shortest
        return sorted({crc32(piece[:PIECE]) for piece in cut if len(piece) >= shortest})


def _cut(longest: int, shortest: int, letters: str, every: int, rest: int) -> _Cut:
    """At these letters and digits, and at the second and third bytes of other signs that leave this rest."""
    table = bytearray(range(256))
    for capital in string.ascii_uppercase:
        table[ord(capital)] = ord(capital.lower())
    beyond = (byte for byte in range(0x80, 0xC0) if byte % every == rest)
    for end in (*letters.encode(), *letters.upper().encode(), *beyond):
        table[end] = ord("\n")
    return _Cut(longest, shortest, bytes(table))


_CUTS = (
    _cut(240, 4, "shrc120", 4, 0),
    _cut(600, 9, "wgb3", 16, 0),
    _cut(6_000, 10, "bvk7", 32, 5),
    _cut(1 << 62, 10, "jxqz", 64, 11),
)
"""Pieces of about 5, 17, 30 and 200 bytes in English; in Chinese of about 6, 24, 50 and 100."""
_BORDERS = [share * cut.longest for cut in _CUTS[:-1] for share in (0.9, 1.11)]
"""Of two texts that are alike the shorter has 0.8 of the other's bytes or more: between the two borders of a limit both
ways are taken, so that they have one in common."""
_TAKEN = tuple(_CUTS[number // 2 : (number + 3) // 2] for number in range(len(_BORDERS) + 1))


def keys(text: str) -> set[int]:
    """The keys of a text, each below 2⁶³; none of a text of a word or two."""
    raw = text.encode("utf-8", "surrogatepass")
    number = bisect(_BORDERS, len(raw))
    found: set[int] = set()
    for cut in _TAKEN[number]:
        pieces = cut.pieces(raw)
        if len(pieces) < FEW and number > 1:
            found.update(_keys(_CUTS[number // 2 - 1].pieces(raw)))
        found.update(_keys(pieces))
    return found


def _keys(pieces: list[int]) -> list[int]:
    count = len(pieces)
    if count <= KEYS:
        pairs = [one << 31 ^ other for one, other in zip(pieces, (*pieces[1:], *pieces[:1]), strict=True)]
        return pairs if count > SHARED * 2 else [*pairs, *pieces]  # of so few, a lost one is in most of the pairs
    pieces.append(pieces[0])
    places = [bisect(pieces, point, 0, count) % count for point in _POINTS]
    return [pieces[place] << 31 ^ pieces[place + 1] for place in places]


class Sketches:
    """The sketches of all pairs of files, added in the order in which these are compared."""

    def __init__(self, several: bool) -> None:
        self.places: list[int] = []
        """By a file's number here, its place among the files that were named."""
        self.pairs = Ledger()
        """Key, place: of the answers of each pair."""
        self.prompts = Ledger() if several else None
        """Key, place: of the prompts, where there are several files."""

    def add(self, file: int, pair: Pair) -> None:
        place = place_of(file, pair.line)
        self.pairs.add_keys(keys(f"{pair.chosen}{pair.rejected}"), place)
        if self.prompts:
            self.prompts.add_keys(keys(pair.prompt), place)

    def close(self) -> None:
        for ledger in (self.pairs, self.prompts):
            if ledger:
                ledger.close()


def place_of(file: int, line: int) -> int:
    """Both in one number, which rises with the files and their lines."""
    return file << 40 | line


def where(place: int) -> tuple[int, int]:
    """File and line."""
    return place >> 40, place & (1 << 40) - 1
