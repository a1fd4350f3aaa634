"""Sketches of texts: a few keys each, of which texts that are nearly the same share some.

A text is cut at letters of its own, so that one edit changes the pieces beside it and no others (Manber, Finding
similar files in a large file system, 1994). Pieces are hashed; what follows fixed points in the order of the hashes is
the sketch, and two of it are a key (min-wise hashing, Broder 1997). Words are looked at one by one only where two
texts meet: this is what makes it fast.
"""

from __future__ import annotations

import string
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from zlib import crc32

from rmtui.datacheck.duplicates import Ledger
from rmtui.datacheck.short_way import Pair

KEYS = 8
"""Keys of a sketch, fewer of a text of fewer pieces."""
SHARED = 2
"""Texts that share as many keys are looked at. Of the part J of their pieces alike, that are about 0.94 of those with
0.65, 0.985 with 0.75 and 0.999 with 0.85; of texts about the same subject, next to none."""
PIECE = 20
"""Bytes of a piece that count: the more, the likelier an edit is among them; the fewer, the more texts have them."""
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
    _cut(90, 3, "shrc120", 4, 0),
    _cut(240, 6, "hcwm120", 8, 0),
    _cut(600, 9, "wgb3", 16, 0),
    _cut(6_000, 10, "bvk7", 32, 5),
    _cut(1 << 62, 10, "jxqz", 64, 11),
)
"""Pieces of about 5, 8, 17, 30 and 200 bytes in English; in Chinese of about 6, 12, 24, 50 and 100."""
_BORDERS = [share * cut.longest for cut in _CUTS[:-1] for share in (0.9, 1.11)]
"""Of two texts that are alike the shorter has 0.8 of the other's bytes or more: between the two borders of a limit both
ways are taken, so that they have one in common."""
_TAKEN = tuple(_CUTS[number // 2 : (number + 3) // 2] for number in range(len(_BORDERS) + 1))


def of_prompt(text: str) -> set[int]:
    """The keys of a text: two pieces that are neighbours in the order of the hashes each."""
    return {key for pieces in _pieces(text) for key in _neighbours(pieces)}


def of_answers(chosen: str, rejected: str) -> set[int]:
    """The keys of two texts in any order: a piece of each. Pairs that have one answer in common share none."""
    return {
        (one ^ other) << 31 ^ one + other
        for here, there in product(*(list(map(_at_points, _pieces(text))) for text in (chosen, rejected)))
        for one, other in zip(here, there, strict=True)
    }


def _pieces(text: str) -> Iterator[list[int]]:
    """One list a way of cutting, none of them empty."""
    raw = text.encode("utf-8", "surrogatepass")
    number = bisect(_BORDERS, len(raw))
    for cut in _TAKEN[number]:
        pieces = cut.pieces(raw)
        if len(pieces) < FEW and number > 1:
            yield _CUTS[number // 2 - 1].pieces(raw) or [crc32(raw)]
        yield pieces or [crc32(raw)]


def _at_points(pieces: list[int]) -> list[int]:
    count = len(pieces)
    return [pieces[bisect(pieces, point) % count] for point in _POINTS]


def _neighbours(pieces: list[int]) -> list[int]:
    count = len(pieces)
    if count <= KEYS:
        pairs = [one << 31 ^ other for one, other in zip(pieces, (*pieces[1:], *pieces[:1]), strict=True)]
        return pairs if count > SHARED * 2 else [*pairs, *pieces]  # of so few, a lost one is in most of the pairs
    places = [bisect(pieces, point) % count for point in _POINTS]
    return [pieces[place] << 31 ^ pieces[place - 1] for place in places]


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
        self.pairs.add_keys(of_answers(pair.chosen, pair.rejected), place)
        if self.prompts:
            self.prompts.add_keys(of_prompt(pair.prompt), place)

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
