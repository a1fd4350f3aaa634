"""Near-duplicates: what meets by its sketches, once the exact check has read the files, is compared word for word.

Two texts are alike by the Jaccard similarity of their sets of three words in a row.
"""

from __future__ import annotations

import difflib
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import BinaryIO
from zlib import crc32

from rmtui.datacheck.duplicates import BUCKETS, Ledger, normal
from rmtui.datacheck.kinds import found
from rmtui.datacheck.line_checks import examine
from rmtui.datacheck.model import Cancelled, FileReport, Finding
from rmtui.datacheck.scan import BOM, FINE, LINE, OUT
from rmtui.datacheck.short_way import Pair
from rmtui.datacheck.sketches import SHARED, Sketches, where

ALIKE = 0.8
"""Jaccard similarity of every text from which two pairs are nearly the same, their questions differing a little."""
ALIKE_ANSWERS = 0.9
"""The same for both answers to one question; rankings of several answers are below it."""
ALIKE_PROMPTS = 0.9
"""The same for questions alone; templates with another filling stay below it."""
REWORDED = 0.6
"""The same where the questions differ in words added, left out or misspelt only, which no other filling is."""
MISSPELT = 0.75
"""Likeness of two words (difflib's ratio) from which one is taken for the other misspelt."""
CROWD = 12
"""Lines of one key that are all held against each other; of more, each against the first three."""
FEWEST = 8
"""Shorter texts have too few shingles for a similarity to mean anything."""

_WORD = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[^\\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+")


@dataclass(slots=True)
class _File:
    """A checked file of which single lines are read again; it is opened at the first of them."""

    report: FileReport
    _offsets: array[int] = field(default_factory=lambda: array("q"))
    _file: BinaryIO | None = None

    def pair(self, line: int) -> Pair | None:
        if self._file is None:
            self._file = self.report.rows.open("rb")
            self._offsets = _offsets(self._file)
        self._file.seek(self._offsets[line - 1])
        return examine(self._file.readline(LINE).removeprefix(BOM), line)[0]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def near(
    reports: Sequence[FileReport], sketches: Sketches, tick: Callable[[float], None], cancelled: Callable[[], bool]
) -> dict[int, list[Finding]]:
    """Findings by place in `reports`, which are those of the scan that made the sketches. Raises Cancelled when
    `cancelled` says so, asked at each meeting and every 64th of the keys."""
    files = [_File(reports[place]) for place in sketches.places]
    found_at: dict[int, list[Finding]] = {place: [] for place in range(len(reports))}
    blamed: set[int] = set()
    ledgers = [(sketches.pairs, _alike_pairs)] + ([(sketches.prompts, _alike_prompts)] if sketches.prompts else [])
    tick(0.0)
    try:
        for number, (ledger, judge) in enumerate(ledgers):

            def share(part: float, before: int = number) -> None:
                if cancelled():
                    raise Cancelled
                tick((before + part) / len(ledgers))

            meetings = _meetings(ledger, files, ledger is sketches.prompts, lambda part: share(part / 2))
            for earlier, later in _in_order(meetings, lambda part: share((1 + part) / 2)):
                if later in blamed:
                    continue
                if cancelled():
                    raise Cancelled
                ends = where(earlier), where(later)
                one, other = (files[file].pair(line) for file, line in ends)
                if one and other and (kind := judge(one, other, ends[0][0] != ends[1][0])):
                    blamed.add(later)
                    found_at[sketches.places[ends[1][0]]].append(_worded(kind, *ends, files))
    finally:
        for opened in files:
            opened.close()
    tick(1.0)
    return found_at


def _offsets(file: BinaryIO) -> array[int]:
    """Where each line begins."""
    offsets, position = array("q"), 0
    file.seek(0)
    while raw := file.readline(LINE):
        offsets.append(position)
        position += len(raw)
    return offsets


def _meetings(ledger: Ledger, files: list[_File], crossing: bool, tick: Callable[[float], None]) -> Ledger:
    """(later, earlier) for each key that two lines share; `crossing`: of two files only."""
    met = Ledger()
    for number, bucket in enumerate(ledger.buckets()):
        tick(number / BUCKETS)
        for places in _sharing(bucket):
            verdicts = {place: _verdict(files, place) for place in places}
            usable = [place for place, verdict in verdicts.items() if verdict != OUT]
            met_each = combinations(usable, 2) if len(usable) <= CROWD else _with_the_first(usable)
            for earlier, later in met_each:
                if verdicts[later] == FINE and not (crossing and where(earlier)[0] == where(later)[0]):
                    met.add((later, earlier))
    return met


def _verdict(files: list[_File], place: int) -> int:
    file, line = where(place)
    return files[file].report.verdicts[line - 1]


def _sharing(bucket: array[int]) -> Collection[list[int]]:
    """The places of each key that several have, in order. Most keys are of one text: those are sorted out first."""
    keys = bucket[::2]
    several = {key for key, count in Counter(keys).items() if count > 1}
    places: dict[int, list[int]] = {key: [] for key in several}
    for key, place in zip(keys, bucket[1::2], strict=True):
        if key in several:
            places[key].append(place)
    return places.values()


def _with_the_first(places: list[int]) -> Iterator[tuple[int, int]]:
    for number, later in enumerate(places[1:], start=1):
        for earlier in places[: min(number, 3)]:
            yield earlier, later


def _in_order(meetings: Ledger, tick: Callable[[float], None]) -> Iterator[tuple[int, int]]:
    """(earlier, later) of those that share keys enough, each once, a line's in the order of the earlier ones."""
    for number, bucket in enumerate(meetings.buckets()):
        tick(number / BUCKETS)
        shared = Counter(zip(bucket[::2], bucket[1::2], strict=True))
        for later, earlier in sorted(meeting for meeting, keys in shared.items() if keys >= SHARED):
            yield earlier, later
    meetings.close()


def _alike_pairs(one: Pair, other: Pair, across: bool) -> str:
    """A further answer ranked against one from elsewhere is a pair of its own, however alike."""
    same = one.prompt == other.prompt
    enough = ALIKE_ANSWERS if same else ALIKE
    if _similarity(one.prompt, other.prompt) < enough:
        return ""
    straight = (_similarity(one.chosen, other.chosen), _similarity(one.rejected, other.rejected))
    if min(straight) >= enough and not (same and (one.chosen == other.chosen or one.rejected == other.rejected)):
        return "near_leak" if across else "near_duplicate"
    crossed = (_similarity(one.chosen, other.rejected), _similarity(one.rejected, other.chosen))
    return "near_contradiction" if min(crossed) >= enough else ""


def _alike_prompts(one: Pair, other: Pair, across: bool) -> str:
    if not across or normal(one.prompt) == normal(other.prompt):  # the exact check has decided about these
        return ""
    similarity = _similarity(one.prompt, other.prompt)
    same = similarity >= ALIKE_PROMPTS or (similarity >= REWORDED and _reworded(one.prompt, other.prompt))
    return "near_leak" if same else ""


def _reworded(one: str, other: str) -> bool:
    """Whether words were added, left out or misspelt on the way from one text to the other, and none exchanged."""
    here, there = _WORD.findall(one.lower()), _WORD.findall(other.lower())
    for step, start, end, start_there, end_there in difflib.SequenceMatcher(None, here, there, False).get_opcodes():
        if step == "replace":
            words = list(zip(here[start:end], there[start_there:end_there], strict=False))
            if end - start != end_there - start_there or any(_unlike(*pair) for pair in words):
                return False
    return True


def _unlike(word: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, word, other, False).ratio() < MISSPELT


def _similarity(one: str, other: str) -> float:
    """Jaccard similarity of the shingles; of short texts, equality of their words."""
    here, there = _shingles(one), _shingles(other)
    if min(len(here), len(there)) < FEWEST:
        return float(_WORD.findall(one.lower()) == _WORD.findall(other.lower()))
    return len(here & there) / len(here | there)


def _shingles(text: str) -> set[int]:
    # Python salts the hash of a string in every process, that of a number never: a file is read alike each time.
    words = [crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text.lower())]
    return {hash(three) for three in zip(words, words[1:], words[2:], strict=False)}


def _worded(kind: str, earlier: tuple[int, int], later: tuple[int, int], files: list[_File]) -> Finding:
    path = str(files[earlier[0]].report.path)
    elsewhere = path if earlier[0] != later[0] else ""
    return found(later[1], kind, related=(path, earlier[1]), other=earlier[1], path=elsewhere)
