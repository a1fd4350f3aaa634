"""A check's report in lines of text, ranked by harm, and the first pairs of a file made readable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rmtui.guide.datacheck.facts import FileReport, Finding, Report
from rmtui.guide.datacheck.kinds import KINDS
from rmtui.guide.datacheck.rows import Pair, examine
from rmtui.guide.datacheck.scan import BOM, LINE
from rmtui.guide.written import clean

LINES_NAMED = 12
MARKS = {"error": "✗", "warning": "▲"}


def lines(report: Report) -> Iterator[str]:
    """The whole report, file by file, each file's kinds by harm."""
    for file in report.files:
        yield from _file(file)
    if not report.near_done:
        yield "Near-duplicates were not looked for to the end."


def _file(file: FileReport) -> Iterator[str]:
    yield f"{file.path}   {_count(file.lines, 'line')}, {file.good:,} good {'pair' if file.good == 1 else 'pairs'}"
    if figures := "   ".join(_figures(file.figures)):
        yield f"  {figures}"
    for kind in file.counts:
        yield from _kind(kind, [finding for finding in file.findings if finding.kind == kind], file.counts[kind])
    if not file.counts:
        yield "  ✓ nothing found"


def _kind(kind: str, findings: Sequence[Finding], count: int) -> Iterator[str]:
    known = KINDS[kind]
    numbers = [str(finding.line) for finding in findings if finding.line is not None]
    more = f" and {count - LINES_NAMED:,} more" if count > LINES_NAMED else ""
    where = f" at {'line' if count == 1 else 'lines'} {', '.join(numbers[:LINES_NAMED])}{more}" if numbers else ""
    yield f"  {MARKS[known.severity]} {known.severity}: {kind.replace('_', ' ')}{where}"
    example = f"line {findings[0].line}: " if count > 1 and numbers else ""
    yield f"      {example}{clean(findings[0].message)}"
    yield f"      → {known.meaning}"


def _figures(figures: Any) -> Iterator[str]:
    if not figures.get("pairs"):
        return
    yield f"chosen longer in {figures['chosen_longer']:.0%}"
    yield f"{figures['characters']['median']:,} characters a pair (median)"
    for name in ("languages", "sources"):
        shown = list(figures[name])[:3]
        if shown:
            yield f"{name}: {', '.join(map(clean, shown))}"


def summary(findings: Sequence[Finding], path: Path) -> Iterator[Finding]:
    """One finding a kind, worst first, whose message names file and lines: what a launch shows."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    for kind in sorted(kinds, key=lambda kind: -KINDS[kind].harm):
        first, count = kinds[kind][0], len(kinds[kind])
        where = "" if first.line is None else f":{first.line}"
        more = f" (and {count - 1:,} more lines)" if count > 1 else ""
        message = f"{path}{where}: {kind.replace('_', ' ')}: {clean(first.message)}{more}"
        yield Finding(first.line, kind, first.severity, message, first.related)


def head(path: Path, count: int) -> Iterator[str]:
    """The first pairs of a file, readable and safe for a terminal; lines without one are named."""
    with path.open("rb") as file:
        for line in range(1, count + 1):
            raw = file.readline(LINE)
            if not raw:
                return
            pair, findings = examine(raw.removeprefix(BOM), line)
            yield f"── line {line}"
            yield from _pair(pair) if pair else (f"  ✗ {clean(finding.message)}" for finding in findings)


def _pair(pair: Pair) -> Iterator[str]:
    for name, text in (("prompt", pair.prompt), ("chosen", pair.chosen), ("rejected", pair.rejected)):
        first, *others = text.strip().splitlines() or [""]
        yield f"  {name:<9}{clean(first)}"
        yield from (f"  {'':9}{clean(other)}" for other in others if other.strip())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
