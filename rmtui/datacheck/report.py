"""A check's report in lines of text, ranked by harm, and the first pairs of a file made readable."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmtui.datacheck.fix import Cleaned
from rmtui.datacheck.how_read import describe
from rmtui.datacheck.kinds import KINDS
from rmtui.datacheck.line_checks import examine
from rmtui.datacheck.model import FileReport, Finding, Report
from rmtui.datacheck.short_way import Pair
from rmtui.i18n import BETWEEN, translate
from rmtui.text import harmless
from trainer.pairs import Fields, Unreadable, recognise
from trainer.values import ErrorOrWarning

LINES_NAMED = 12
MARKS = {"error": "✗", "warning": "▲"}


def lines(report: Report, lang: str = "en") -> Iterator[str]:
    """The whole report, file by file, each file's kinds by harm."""
    for file in report.files:
        yield from _file(file, lang)
    if not report.near_done:
        yield translate("report.near_unfinished", lang)


def counted(noun: str, number: int, lang: str) -> str:
    """`1 line`, `5 lines`: a noun of the catalogue in its right number."""
    return translate(f"report.{noun}" if number == 1 else f"report.{noun}s", lang, n=number)


def counted_rows(file: FileReport, lang: str) -> tuple[str, str]:
    """What it holds: `512 lines`, `496 good pairs`."""
    return _counted_lines(file, lang), counted("good_pair", file.good, lang)


def _counted_lines(file: FileReport, lang: str) -> str:
    """Its lines, or the records of a file that holds no lines of pairs."""
    return counted("record" if file.spool else "line", file.lines, lang)


def how_read(file: FileReport, lang: str) -> str:
    """The layout that was recognised, and which of its fields is taken for what; empty for plain lines of pairs."""
    if file.reading is None or (file.reading.direct and not file.reading.sources):
        return ""
    key = "report.read_as" if file.reading.direct else "report.read_as_convert"
    return translate(key, lang, how=harmless(describe(file.reading, lang)), path=harmless(str(file.path)))


def _file(file: FileReport, lang: str) -> Iterator[str]:
    yield f"{file.path}   {BETWEEN[lang].join(counted_rows(file, lang))}"
    if how := how_read(file, lang):
        yield f"  {how}"
    if values := "   ".join(summarise_file(file, lang)):
        yield f"  {values}"
    for kind in file.counts:
        yield from _kind(kind, [finding for finding in file.findings if finding.kind == kind], file.counts[kind], lang)
    if not file.counts:
        yield f"  ✓ {translate('report.nothing', lang)}"


def _kind(kind: str, findings: Sequence[Finding], count: int, lang: str) -> Iterator[str]:
    known = KINDS[kind]
    numbers = [str(finding.line) for finding in findings if finding.line is not None]
    where = ""
    if numbers:
        more = translate("report.more", lang, n=count - LINES_NAMED) if count > LINES_NAMED else ""
        named = ", ".join(numbers[:LINES_NAMED]) + more
        where = " " + translate("report.at_line" if count == 1 else "report.at_lines", lang, lines=named)
    yield f"  {MARKS[known.severity]} {translate(f'word.{known.severity}', lang)}: {known.title(lang)}{where}"
    example = translate("report.on_line", lang, line=findings[0].line) if count > 1 and numbers else ""
    yield f"      {example}{harmless(findings[0].render(lang))}"
    yield f"      → {known.meaning(lang)}"


def summarise_file(file: FileReport, lang: str) -> Iterator[str]:
    """What the pairs of a file are like, in a few phrases."""
    values = file.figures
    if not values.get("pairs"):
        return
    yield translate("report.chosen_longer", lang, share=values["chosen_longer"])
    yield translate("report.characters", lang, n=values["characters"]["median"])
    for name in ("languages", "sources"):
        shown = list(values[name])[:3]
        if shown:
            yield translate(f"report.{name}", lang, names=", ".join(map(harmless, shown)))
    if tokens := values["tokens"]:
        key = "report.tokens_all" if tokens["step"] == 1 else "report.tokens_sample"
        yield translate(key, lang, counted=tokens["pairs"], step=tokens["step"])


def progress(bar: str, near: bool, lang: str) -> str:
    """One line of progress: the pass, its bar, and what Ctrl-C does now."""
    passing = translate("report.pass_near" if near else "report.pass_lines", lang)
    return f"{passing:<15} {bar}  {translate('report.skips' if near else 'report.cancels', lang)}"


def copied(path: Path, cleaned: Cleaned, lang: str) -> str:
    """What became of a file that was cleaned: rows kept and dropped, what was changed, what was found and stays."""
    parts = [translate("report.copied", lang, path=path, kept=cleaned.kept, dropped=cleaned.dropped)]
    if cleaned.ends:
        parts.append(translate("report.copied_ends", lang, n=cleaned.ends))
    if cleaned.stays:
        kinds = BETWEEN[lang].join(KINDS[kind].title(lang) for kind in cleaned.stays)
        parts.append(translate("report.copied_stays", lang, kinds=kinds))
    return BETWEEN[lang].join(parts)


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """All findings of one kind in one file: the first, and how many there are."""

    path: Path
    first: Finding
    count: int

    @property
    def kind(self) -> str:
        return self.first.kind

    @property
    def severity(self) -> ErrorOrWarning:
        return self.first.severity

    @property
    def line(self) -> int | None:
        return self.first.line

    def message(self, lang: str = "en") -> str:
        """`kind: message (and 3 more lines)`, without file and line."""
        more = translate("report.more_lines", lang, n=self.count - 1) if self.count > 1 else ""
        between = "：" if lang == "zh" else ": "
        return f"{KINDS[self.kind].title(lang)}{between}{harmless(self.first.render(lang))}{more}"


def summaries(file: FileReport) -> list[CheckSummary]:
    """One a kind, worst first: what a launch shows."""
    first: dict[str, Finding] = {}
    for finding in file.findings:
        first.setdefault(finding.kind, finding)
    return [CheckSummary(file.path, first[kind], count) for kind, count in file.counts.items()]


def head(path: Path, count: int, lang: str = "en", fields: Fields | None = None) -> Iterator[str]:
    """The first pairs of a file, readable and safe for a terminal; lines without one are named."""
    try:
        for line, raw in itertools.islice(recognise(path, fields).lines(), count):
            pair, findings = examine(raw, line)
            yield translate("report.head_line", lang, line=line)
            yield from _pair(pair) if pair else (f"  ✗ {harmless(finding.render(lang))}" for finding in findings)
    except Unreadable:  # the report says why
        return


def _pair(pair: Pair) -> Iterator[str]:
    for name, text in (("prompt", pair.prompt), ("chosen", pair.chosen), ("rejected", pair.rejected)):
        first, *others = text.strip().splitlines() or [""]
        yield f"  {name:<9}{harmless(first)}"
        yield from (f"  {'':9}{harmless(other)}" for other in others if other.strip())
