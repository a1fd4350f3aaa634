"""Near-duplicates: a pass of its own over files that were checked, by min-hashes in bands and a look at the texts.

A set of three-word shingles is hashed and sorted; its sketch is the successors of fixed points in that order, each of
which two sets share with a probability near their Jaccard similarity (Broder 1997). Bands of a sketch are the keys of a
ledger (Rajaraman and Ullman, Mining of Massive Datasets, 3.4); what meets there is compared word for word.
"""

from __future__ import annotations

import difflib
import re
from array import array
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO
from zlib import crc32

from rmtui.datacheck.duplicates import Ledger
from rmtui.datacheck.kinds import found
from rmtui.datacheck.line_checks import examine
from rmtui.datacheck.model import Cancelled, FileReport, Finding
from rmtui.datacheck.scan import BOM, FINE, LINE, OUT, is_validation
from rmtui.datacheck.short_way import Pair

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
BANDS, ROWS = 8, 3
"""Texts of similarity J meet with a probability of about 1 - (1 - J³)⁸: 0.86 at 0.6, 0.97 at 0.7, 0.997 at 0.8."""
FEWEST = 8
"""Shorter texts have too few shingles for a similarity to mean anything."""

_POINTS = [((2 * place + 1) << 63) // (BANDS * ROWS) - (1 << 63) for place in range(BANDS * ROWS)]
"""Spread evenly over the 64 bits of a hash; a band is of neighbours, which in a short text share a successor."""
_WORD = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[^\\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+")


@dataclass(slots=True)
class _File:
    """A checked file on its second reading."""

    report: FileReport
    offsets: array[int]

    def pair(self, file: BinaryIO, line: int) -> Pair | None:
        file.seek(self.offsets[line - 1])
        return examine(file.readline(LINE).removeprefix(BOM), line)[0]


def near(
    reports: Sequence[FileReport], tick: Callable[[float], None], cancelled: Callable[[], bool]
) -> dict[int, list[Finding]]:
    """Findings by place in `reports`. Raises Cancelled when `cancelled` says so, asked every few hundred lines."""
    readable = [place for place, report in enumerate(reports) if report.verdicts]
    order = sorted(readable, key=lambda place: is_validation(reports[place].path))
    files = [_File(reports[place], array("q")) for place in order]
    pairs, prompts = Ledger(), Ledger()
    total = max(1, sum(len(report.verdicts) for report in reports))
    done = 0
    tick(0.0)
    for number, one in enumerate(files):
        for pair in _read(one, cancelled):
            place = pair.line << 8 | number
            _sketch(pairs, f"{pair.chosen} {pair.rejected}", place)
            if len(files) > 1:
                _sketch(prompts, pair.prompt, place)
            done += 1
            if not done & 0xFFF:
                tick(done / total * 0.95)
    found_at: dict[int, list[Finding]] = {place: [] for place in range(len(reports))}
    for number, finding in _compare(files, pairs, prompts, cancelled):
        found_at[order[number]].append(finding)
    tick(1.0)
    return found_at


def _read(one: _File, cancelled: Callable[[], bool]) -> Iterator[Pair]:
    position = 0
    with one.report.rows.open("rb") as file:
        for line, verdict in enumerate(one.report.verdicts, start=1):
            raw = file.readline(LINE)
            one.offsets.append(position)
            position += len(raw)
            if not line & 0xFF and cancelled():
                raise Cancelled
            pair = examine(raw.removeprefix(BOM), line)[0] if verdict != OUT else None
            if pair is not None:
                yield pair


def _sketch(ledger: Ledger, text: str, place: int) -> None:
    shingles = sorted(_shingles(text))
    if len(shingles) < FEWEST:
        return
    count = len(shingles)
    row = [shingles[bisect(shingles, point) % count] for point in _POINTS]
    for band in range(BANDS):
        ledger.add((hash((band, *row[band * ROWS : (band + 1) * ROWS])), place))


def _shingles(text: str) -> set[int]:
    # Python salts the hash of a string in every process, that of a number never: a file is read alike each time.
    words = [crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text.lower())]
    return {hash(three) for three in zip(words, words[1:], words[2:], strict=False)}


def _compare(
    files: list[_File], pairs: Ledger, prompts: Ledger, cancelled: Callable[[], bool]
) -> Iterator[tuple[int, Finding]]:
    """What meets in a band and really is alike: (file number, finding). A line is blamed once."""
    blamed: set[int] = set()
    opened = [one.report.rows.open("rb") for one in files]
    try:
        for ledger, judge in ((pairs, _alike_pairs), (prompts, _alike_prompts)):
            for earlier, later in _meetings(ledger, crossing=ledger is prompts):
                if cancelled():
                    raise Cancelled
                if later in blamed or files[later & 0xFF].report.verdicts[(later >> 8) - 1] != FINE:
                    continue
                one, other = (files[place & 0xFF].pair(opened[place & 0xFF], place >> 8) for place in (earlier, later))
                if one and other and (kind := judge(one, other, earlier & 0xFF != later & 0xFF)):
                    blamed.add(later)
                    yield later & 0xFF, _worded(kind, earlier, later, files)
    finally:
        for file in opened:
            file.close()


def _meetings(ledger: Ledger, crossing: bool) -> Iterator[tuple[int, int]]:
    """(earlier, later) of lines that share a band; `crossing`: of two files only."""
    seen: set[tuple[int, int]] = set()
    for bucket in ledger.buckets():
        first: dict[int, list[int]] = {}
        for at in range(0, len(bucket), 2):
            place = bucket[at + 1]
            met = first.setdefault(bucket[at], [])
            for earlier in met:
                meeting = (earlier, place)
                if (not crossing or earlier & 0xFF != place & 0xFF) and meeting not in seen:
                    seen.add(meeting)
                    yield meeting
            if len(met) < 3:
                met.append(place)
    ledger.close()


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
    similarity = _similarity(one.prompt, other.prompt) if across else 0.0
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


def _worded(kind: str, earlier: int, later: int, files: list[_File]) -> Finding:
    path, line = str(files[earlier & 0xFF].report.path), earlier >> 8
    elsewhere = path if earlier & 0xFF != later & 0xFF else ""
    return found(later >> 8, kind, related=(path, line), other=line, path=elsewhere)
