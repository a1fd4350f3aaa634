"""The exact check of files: one pass over the bytes, then what the lines say about each other."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from rmtui.datacheck import distribution
from rmtui.datacheck.duplicates import Relation, Relations
from rmtui.datacheck.kinds import KINDS, found
from rmtui.datacheck.line_checks import examine
from rmtui.datacheck.model import Cancelled, FileReport, Finding
from rmtui.datacheck.short_way import Pair
from rmtui.datacheck.sketches import Sketches
from rmtui.datacheck.spool import Spool
from rmtui.datacheck.token_lengths import Counted, Tokens
from trainer import held_out, hub, pairs
from trainer.containers import shards

KEPT = 20_000
"""Findings of one kind that are kept for a file; further ones are counted only."""
LINE = 64 << 20
BOM = b"\xef\xbb\xbf"
DELIBERATE = 0.5
"""From this share of leaking pairs on, validation is the training data on purpose: one warning, no errors."""
FINE, WARNED, OUT = 0, 1, 2

Tick = Callable[[float], None]


class FileScan:
    """What is known of one file while it is checked."""

    def __init__(self, path: Path, validation: bool) -> None:
        self.path = path
        self.validation = validation
        self.verdicts = bytearray()
        self.spread = distribution.Distribution()
        self.counted: Counted | None = None
        self.size = 0
        self.reading: pairs.PairReading | None = None
        self.spool: Spool | None = None
        self.counts: Counter[str] = Counter()
        self._findings: dict[str, list[Finding]] = {}

    def note(self, finding: Finding) -> None:
        """Take a finding; beyond KEPT of a kind it is only counted, and marks its line all the same."""
        self.counts[finding.kind] += 1
        kept = self._findings.setdefault(finding.kind, [])
        if len(kept) < KEPT:
            kept.append(finding)
        if finding.line is not None:
            verdict = OUT if KINDS[finding.kind].drops else WARNED
            self.verdicts[finding.line - 1] = max(self.verdicts[finding.line - 1], verdict)

    def report(self, wrong_lines: int) -> FileReport:
        findings = sorted(
            (finding for kept in self._findings.values() for finding in kept),
            key=lambda finding: (finding.line or 0, -KINDS[finding.kind].harm),
        )
        errors = sum(count for kind, count in self.counts.items() if KINDS[kind].severity == "error")
        return FileReport(
            self.path,
            self.spool.read if self.spool else len(self.verdicts),
            self.spread.pairs - wrong_lines,
            tuple(findings),
            errors,
            self.counts.total() - errors,
            dict(sorted(self.counts.items(), key=lambda item: -KINDS[item[0]].harm)),
            {**self.spread.figures(), "tokens": self.counted.document() if self.counted else None},
            bytes(self.verdicts),
            self.size,
            self.reading,
            self.spool,
        )


def scan(
    paths: Sequence[Path],
    tokens: Tokens | None,
    tick: Tick,
    cancelled: Callable[[], bool],
    fields: pairs.Fields | None = None,
    training: Collection[Path] = (),
    sketches: Sketches | None = None,
) -> list[FileReport]:
    """Every file line by line and against the others; the reports come in the order of `paths`. Files of `training` are
    that, whatever they are called. `sketches` are filled for a look at near-duplicates.

    Raises OSError, and Cancelled once `cancelled` says so, which is asked every few thousand lines.
    """
    order = sorted(range(len(paths)), key=lambda place: paths[place] not in training and is_validation(paths[place]))
    scans = [
        FileScan(paths[place], paths[place] not in training and _held_against(paths[place], number))
        for number, place in enumerate(order)
    ]
    if sketches:
        sketches.places = order
    relations = Relations(several=len(paths) > 1)
    sizes = [size_of(path) for path in paths]
    done = 0
    try:
        for number, one in enumerate(scans):
            share = _Share(tick, done, max(1, sum(sizes)), cancelled)
            _one_file(one, number, relations, tokens, sketches, share, fields)
            done += sizes[order[number]]
        wrong = _relate(scans, relations, cancelled)
    finally:
        relations.close()
    tick(1.0)
    _compare(scans)
    reports = {place: one.report(len(lines)) for place, one, lines in zip(order, scans, wrong, strict=True)}
    return [reports[place] for place in range(len(paths))]


_VALIDATION = {"val", "valid", "validation", "dev", "test", "eval", "heldout", "holdout"}
_TRAINING = {"train", "training"}


def is_validation(path: Path) -> bool:
    """Whether a path names validation data (`val/…`, `dev.jsonl`): such a file is held against the others."""
    _, part = held_out.parse(path)
    if part:
        return part.side == "val"
    words = _name_parts(path)
    return bool(words & _VALIDATION) and not words & _TRAINING


def _held_against(path: Path, number: int) -> bool:
    """Named validation, or a further file that is not named training."""
    _, part = held_out.parse(path)
    if part:
        return part.side == "val"
    return is_validation(path) or (number > 0 and not _name_parts(path) & _TRAINING)


def _name_parts(path: Path) -> set[str]:
    """The words of a file's name; of its folder's the whole, where the file's own say nothing."""
    if hub.is_hub(path):
        return set(re.split(r"[\W_]+", str(path).lower().rpartition("@")[2]))
    words = set(re.split(r"[\W_]+", path.stem.lower()))
    return words if words & (_VALIDATION | _TRAINING) else words | {path.absolute().parent.name.lower()}


class _Share:
    """Bytes of one file → share of all."""

    def __init__(self, tick: Tick, before: int, total: int, cancelled: Callable[[], bool]) -> None:
        self._tick, self._before, self._total, self._cancelled = tick, before, total, cancelled

    def __call__(self, position: float) -> None:
        if self._cancelled():
            raise Cancelled
        self._tick((self._before + position) / self._total)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the shards of a folder."""
    try:
        return sum(part.stat().st_size for part in shards(path))
    except pairs.Unreadable:
        return 0


def _one_file(
    one: FileScan,
    number: int,
    relations: Relations,
    tokens: Tokens | None,
    sketches: Sketches | None,
    tick: Tick,
    fields: pairs.Fields | None,
) -> None:
    try:
        one.reading = pairs.recognise(one.path, fields)
        _scan(one, number, relations, tokens, sketches, _lines_of(one, one.reading, tick))
    except pairs.Unreadable as error:
        one.note(found(None, "unreadable_file", error.case, **error.about))
        return
    if tokens:
        for finding in tokens.rest():
            one.note(finding)
        one.counted = tokens.ended()
    if not one.spread.pairs:
        one.note(found(None, "no_pairs", "no_pairs" if one.verdicts else "no_pairs_empty"))


def _lines_of(one: FileScan, reading: pairs.PairReading, tick: Tick) -> Iterator[bytes]:
    """The file's own lines, or those of a spool, which is written on the way; `tick` hears the bytes that are read."""
    if not reading.direct:
        size = size_of(one.path)
        one.spool = Spool()
        yield from one.spool.take(reading, lambda share: tick(share * size))
        one.size = one.spool.path.stat().st_size
        return
    with one.path.open("rb") as file:
        for line, raw in enumerate(_lines(file)):
            if not line & 0xFFF:
                tick(file.tell())
            yield raw
        one.size = file.tell()


def _scan(
    one: FileScan,
    number: int,
    relations: Relations,
    tokens: Tokens | None,
    sketches: Sketches | None,
    lines: Iterator[bytes],
) -> None:
    for pair in _pairs(one, lines):
        one.spread.add(pair)
        if relations.add(number, pair):
            one.note(found(pair.line, "nearly_identical_answers"))
        if sketches:
            sketches.add(number, pair)
        if tokens:
            for finding in tokens.add(pair):
                one.note(finding)


def _pairs(one: FileScan, lines: Iterator[bytes]) -> Iterator[Pair]:
    """The pairs without an error; findings are noted on the way."""
    for line, raw in enumerate(lines, start=1):
        one.verdicts.append(FINE)
        if len(raw) >= LINE:
            one.note(found(line, "line_too_long", limit=LINE >> 20))
            continue
        if raw.startswith(BOM):
            if line > 1:
                one.note(found(line, "bom_inside"))
                continue
            one.note(found(line, "bom"))
            raw = raw.removeprefix(BOM)
        pair, findings = examine(raw, line)
        for finding in findings:
            one.note(finding)
        if pair is not None:
            yield pair


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines by \\n; of one that is too long, its first LINE bytes, the rest passed over."""
    while raw := file.readline(LINE):
        while len(raw) >= LINE and not raw.endswith(b"\n"):
            rest = file.readline(LINE)
            if not rest or rest.endswith(b"\n"):
                break
        yield raw


def _relate(scans: list[FileScan], relations: Relations, cancelled: Callable[[], bool]) -> list[set[int]]:
    """Note what lines say about each other; returns, a file each, the good pairs that turned out wrong."""
    wrong: list[set[int]] = [set() for _ in scans]
    reported: set[tuple[int, int]] = set()
    held: list[Relation] = []
    for relation in relations.found(cancelled):
        if relation.kind in ("leaked_prompt", "duplicate_id") and relation.place in reported:
            continue
        if relation.kind.startswith("leaked_") and not _is_leak(relation, scans):
            if relation.kind == "leaked_prompt":
                continue
            relation = dataclasses.replace(relation, kind="duplicate")
        reported.add(relation.place)
        held.append(relation)
    deliberate = {number for number, one in enumerate(scans) if _mostly_leaked(number, one, held)}
    for number in deliberate:
        scans[number].note(found(None, "validation_is_training"))
    for relation in held:
        number, line = relation.place
        if number in deliberate and relation.earlier[0] != number:
            continue
        scans[number].note(_worded(relation, scans))
        if KINDS[relation.kind].severity == "error":
            wrong[number].add(line)
    return wrong


def _is_leak(relation: Relation, scans: list[FileScan]) -> bool:
    """Whether validation repeats training: not two files of the same side each other."""
    return scans[relation.place[0]].validation and not scans[relation.earlier[0]].validation


def _mostly_leaked(number: int, one: FileScan, held: list[Relation]) -> bool:
    leaked = sum(1 for relation in held if relation.place[0] == number and relation.kind == "leaked_pair")
    return leaked > DELIBERATE * one.spread.pairs


def _worded(relation: Relation, scans: list[FileScan]) -> Finding:
    number, line = relation.earlier
    path = str(scans[number].path)
    key = "near_duplicate_spelling" if relation.kind == "near_duplicate" else relation.kind
    elsewhere = path if number != relation.place[0] else ""
    return found(relation.place[1], relation.kind, key, related=(path, line), other=line, path=elsewhere)


def _compare(scans: list[FileScan]) -> None:
    for number, one in enumerate(scans):
        if not one.spread.pairs:
            continue
        for finding in distribution.alone(one.spread, one.validation):
            one.note(finding)
        if number and one.validation and scans[0].spread.pairs:
            for finding in distribution.between(scans[0].spread, one.spread, str(scans[0].path)):
                one.note(finding)
