"""Lines that repeat, contradict or leak into each other, found by 64-bit hashes in bounded memory.

Python's own hash of texts is keyed anew in every process: nobody can construct a collision, and a million pairs collide
by chance once in 40 million checks. Records are put into buckets by hash; full buckets go to a temporary file.
"""

from __future__ import annotations

import re
import string
import tempfile
import unicodedata
from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from rmtui.datacheck import text_checks
from rmtui.datacheck.model import Cancelled
from rmtui.datacheck.short_way import Pair

BUCKETS = 64
IN_MEMORY = 6_000_000
"""Numbers (8 bytes each) a ledger holds before it writes them to disk."""

_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_NO_MATTER = (string.whitespace + ",;:!?'\"").encode()
_UNDECEIVED = {**text_checks.LOOK_ALIKES, **dict.fromkeys(map(ord, text_checks.INVISIBLE), None)}
_DECEPTIVE = re.compile(f"[{''.join(map(chr, _UNDECEIVED))}]")
_WIDE = (*((sign, "") for sign in "，；：！？“”‘’„«»"), ("…", "..."), ("\u00a0", " "), ("（", "("), ("）", ")"))
"""Signs that keep most texts from being NFKC, or ASCII, already: replaced first, they spare the slow ways."""
_FORMS = 8
"""Spellings of one pair that are kept apart; a ninth counts as another spelling of the first."""


@dataclass(slots=True)
class Ledger:
    """Records of a few numbers, the first of which is the key."""

    in_memory: int = IN_MEMORY
    _buckets: list[array[int]] = field(default_factory=lambda: [array("q") for _ in range(BUCKETS)])
    _files: list[BinaryIO] = field(default_factory=list)

    def add(self, record: tuple[int, ...]) -> None:
        bucket = self._buckets[record[0] % BUCKETS]
        bucket.extend(record)
        if len(bucket) * BUCKETS > self.in_memory:
            self._spill()

    def add_keys(self, keys: Collection[int], place: int) -> None:
        """A record (key, place) for each of the keys, none below 0."""
        buckets = self._buckets
        for key in keys:
            bucket = buckets[key % BUCKETS]
            bucket.append(key)
            bucket.append(place)
        if keys and len(bucket) * BUCKETS > self.in_memory:
            self._spill()

    def buckets(self) -> Iterator[array[int]]:
        """All records, bucket by bucket; equal keys share a bucket and keep the order they came in."""
        for number, held in enumerate(self._buckets):
            if self._files:
                self._files[number].seek(0)
                spilled = array("q", self._files[number].read())
                spilled.extend(held)
                yield spilled
            else:
                yield held

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _spill(self) -> None:
        if not self._files:
            self._files = [tempfile.TemporaryFile() for _ in range(BUCKETS)]  # noqa: SIM115  (closed by close)
        for held, file in zip(self._buckets, self._files, strict=True):
            held.tofile(file)
            del held[:]


@dataclass(frozen=True, slots=True)
class Relation:
    """A later line and the earlier one it is related to, as (file number, line)."""

    kind: str
    """duplicate, near_duplicate, contradiction, leaked_pair, leaked_prompt or duplicate_id."""
    place: tuple[int, int]
    earlier: tuple[int, int]


class Relations:
    """What the pairs of all files say about each other. Add them in order of files and lines."""

    def __init__(self, several: bool) -> None:
        self._pairs = Ledger()
        self._ids = Ledger()
        self._prompts = Ledger() if several else None
        self._cancelled: Callable[[], bool] = lambda: False

    def add(self, file: int, pair: Pair) -> bool:
        """Take the fingerprints of a pair; returns whether its answers differ in what does not matter only."""
        prompt, chosen, rejected = normal(pair.prompt), normal(pair.chosen), normal(pair.rejected)
        swapped = chosen > rejected
        answers = (rejected, chosen) if swapped else (chosen, rejected)
        place = pair.line << 9 | file << 1 | swapped
        self._pairs.add((hash((prompt, answers)), hash((pair.prompt, pair.chosen, pair.rejected)), place))
        if pair.id is not None:
            self._ids.add((hash((file, pair.id if type(pair.id) is str else str(pair.id))), place))
        if self._prompts:
            self._prompts.add((prompt, place))
        return chosen == rejected

    def found(self, cancelled: Callable[[], bool]) -> Iterator[Relation]:
        """Every relation; of a line's several the worst comes first. Raises Cancelled, asked for at every bucket."""
        self._cancelled = cancelled
        yield from self._of_pairs()
        yield from self._of_prompts()
        yield from self._of_ids()

    def _buckets(self, ledger: Ledger | None) -> Iterator[array[int]]:
        for bucket in ledger.buckets() if ledger else ():
            if self._cancelled():
                raise Cancelled
            yield bucket

    def close(self) -> None:
        for ledger in (self._pairs, self._ids, self._prompts):
            if ledger:
                ledger.close()

    def _of_pairs(self) -> Iterator[Relation]:
        for bucket in self._buckets(self._pairs):
            first: dict[int, list[tuple[int, int]]] = {}
            for at in range(0, len(bucket), 3):
                key, exact, place = bucket[at], bucket[at + 1], bucket[at + 2]
                seen = first.setdefault(key, [])
                if seen:
                    yield _relation(seen, exact, place)
                if len(seen) < _FORMS and exact not in [other for other, _ in seen]:
                    seen.append((exact, place))

    def _of_prompts(self) -> Iterator[Relation]:
        for bucket in self._buckets(self._prompts):
            first: dict[int, int] = {}
            for at in range(0, len(bucket), 2):
                place = bucket[at + 1]
                earlier = first.setdefault(bucket[at], place)
                if _file(earlier) != _file(place):
                    yield Relation("leaked_prompt", _where(place), _where(earlier))

    def _of_ids(self) -> Iterator[Relation]:
        for bucket in self._buckets(self._ids):
            first: dict[int, int] = {}
            for at in range(0, len(bucket), 2):
                place = bucket[at + 1]
                earlier = first.setdefault(bucket[at], place)
                if earlier != place:
                    yield Relation("duplicate_id", _where(place), _where(earlier))


def normal(text: str) -> int:
    """Hash of a text in which case, spaces, `,;:!?` and quotes do not count, nor full stops at the end, nor the form
    of a Unicode character (NFKC), invisible characters, or whether a letter is Latin or only looks so.

    Signs of arithmetic and code do count. A text of nothing else counts whole.
    """
    folded = text if text.isascii() else _plain(text)
    return hash(folded.encode("utf-8", "surrogatepass").translate(_LOWER, _NO_MATTER).rstrip(b".") or text)


def _plain(text: str) -> str:
    for sign, other in _WIDE:
        text = text.replace(sign, other)
    if text.isascii():
        return text
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
    return text.translate(_UNDECEIVED) if _DECEPTIVE.search(text) else text


def _relation(seen: list[tuple[int, int]], exact: int, place: int) -> Relation:
    """How a pair relates to earlier ones with the same question and answers: contradiction before repetition."""
    opposite = [earlier for _, earlier in seen if earlier & 1 != place & 1]
    if opposite:
        return Relation("contradiction", _where(place), _where(opposite[0]))
    same = next((earlier for other, earlier in seen if other == exact), None)
    earlier = seen[0][1] if same is None else same
    if _file(earlier) != _file(place):
        return Relation("leaked_pair", _where(place), _where(earlier))
    return Relation("near_duplicate" if same is None else "duplicate", _where(place), _where(earlier))


def _file(place: int) -> int:
    return place >> 1 & 0xFF


def _where(place: int) -> tuple[int, int]:
    return _file(place), place >> 9
