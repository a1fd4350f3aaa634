"""Checking preference data: for the verb, the screen, and before every launch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.datacheck import fix as fixing
from rmtui.datacheck import report as words
from rmtui.datacheck.kinds import KINDS
from rmtui.datacheck.kinds import found as finding_of
from rmtui.datacheck.model import Cancelled, FileReport, Finding, Report
from rmtui.datacheck.near_duplicates import near
from rmtui.datacheck.report import CheckSummary
from rmtui.datacheck.scan import scan, size_of
from rmtui.datacheck.sketches import Sketches
from rmtui.datacheck.spool import in_records
from rmtui.datacheck.token_lengths import Tokens
from rmtui.errors import UserError
from rmtui.operations import check_cache
from rmtui.operations.check_cache import Question
from trainer.pairs import Fields

if TYPE_CHECKING:
    from rmtui.documents.data import CheckDocument, FileDocument, FindingDocument

Progress = Callable[[str, float], None]
"""Called with the name of the pass and the share done, 0–1."""

FILES = 200
LINES, NEAR = "lines", "near-duplicates"
TOKENS_OF = 16 << 20
"""Bytes of data whose tokens are counted: of larger files, those of every second, third … pair."""


def check(
    files: Sequence[Path],
    *,
    model: Path | None = None,
    max_length: int = 512,
    every_token: bool = False,
    look_for_near: bool = True,
    fields: Fields | None = None,
    training: Collection[Path] = (),
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Check the files line by line and against each other.

    `model` is a folder with a tokenizer.json, whose tokens are counted against `max_length`: in a sample of files
    above 16 MiB, unless `every_token`. `cancelled` ends the pass for near-duplicates, and its report says so; before
    that pass it raises Cancelled. `fields` is a person's own mapping
    (`trainer.layouts.given`); files of `training` are that whatever they are called. Raises UserError when a file
    cannot be opened.
    """
    if len(files) > FILES:
        raise UserError(
            f"{len(files)} files are too many for one check", f"the limit is {FILES}", "check them in parts"
        )
    tell = progress or (lambda name, share: None)
    try:
        step = 1 if every_token else max(1, -(-sum(map(size_of, files)) // TOKENS_OF))
        tokens = Tokens(model, max_length, step) if model else None
        with contextlib.closing(Sketches(several=len(files) > 1)) as sketches:
            filled = sketches if look_for_near else None
            exact = tuple(scan(files, tokens, lambda share: tell(LINES, share), cancelled, fields, training, filled))
            if not look_for_near:
                return Report(in_records(exact), near_done=False)
            return _with_near(exact, sketches, lambda share: tell(NEAR, share), cancelled)
    except OSError as error:
        raise UserError(f"{error.filename or files[0]} cannot be read", error.strerror or str(error)) from error


def _with_near(
    exact: tuple[FileReport, ...], sketches: Sketches, tick: Callable[[float], None], cancelled: Callable[[], bool]
) -> Report:
    try:
        found = near(exact, sketches, tick, cancelled)
    except Cancelled:
        return Report(in_records(exact), near_done=False)
    return Report(in_records([_joined(file, found[place]) for place, file in enumerate(exact)]))


def _joined(file: FileReport, more: Sequence[Finding]) -> FileReport:
    """A file's report with the findings of the second pass, none of which is an error."""
    if not more:
        return file
    findings = sorted((*file.findings, *more), key=lambda one: (one.line or 0, -KINDS[one.kind].harm))
    counts = Counter(file.counts) + Counter(finding.kind for finding in more)
    ranked = dict(sorted(counts.items(), key=lambda item: -KINDS[item[0]].harm))
    return dataclasses.replace(file, findings=tuple(findings), counts=ranked, warnings=file.warnings + len(more))


def document(report: Report, lang: str = "en") -> CheckDocument:
    """The document of `check --json`."""
    return {
        "files": [_file_document(file, lang) for file in report.files],
        "near_duplicates": "looked for" if report.near_done else "not looked for to the end",
        "ok": not report.failed,
    }


def _file_document(file: FileReport, lang: str) -> FileDocument:
    return {
        "path": str(file.path),
        "lines": file.lines,
        "layout": file.reading.name if file.reading else None,
        "container": file.reading.container if file.reading else None,
        "fields": file.reading.sources if file.reading else {},
        "good": file.good,
        "errors": file.errors,
        "warnings": file.warnings,
        "counts": dict(file.counts),
        "findings": [_finding_document(finding, lang) for finding in file.findings],
        "findings_left_out": sum(file.counts.values()) - len(file.findings),
        "figures": file.figures,
    }


def _finding_document(finding: Finding, lang: str) -> FindingDocument:
    document: FindingDocument = {
        "line": finding.line,
        "kind": finding.kind,
        "severity": finding.severity,
        "message": finding.render(lang),
    }
    if finding.related:
        document["related"] = {"path": finding.related[0], "line": finding.related[1]}
    return document


def fix(report: Report, out: Path, lang: str = "en") -> dict[Path, fixing.Cleaned]:
    """Cleaned copies: of one file as `out`, of several below the folder `out`. Returns what became of each.

    What was dropped goes to COPY.dropped.jsonl with its line and reason. All copies appear, or none: an interruption
    leaves nothing half-written. Raises UserError where something exists already, and where a file changed since it was
    checked; the inputs are never written.
    """
    if whole := [file for file in report.files if "unreadable_file" in file.counts]:
        why = whole[0].findings[0].render(lang)
        raise UserError(f"{whole[0].path} cannot be cleaned line by line", why, "do that first, then check again")
    copies = _copies([file.path for file in report.files], out)
    for copy in copies:
        for path in (copy, fixing.dropped_list(copy)):
            if path.exists():
                raise UserError(f"{path} exists already", "a cleaned file never replaces another", "name a new file")
    try:
        return fixing.write_clean(list(zip(report.files, copies, strict=True)), lang)
    except OSError as error:
        raise UserError(f"{out} was not written", str(error), "name a place you may write to") from error


def _copies(paths: Sequence[Path], out: Path) -> list[Path]:
    """One name a file; of several, as much of their paths as tells them apart."""
    if len(paths) == 1:
        return [out]
    for parts in range(1, 1 + max(len(path.absolute().parts) for path in paths)):
        tails = [Path(*path.absolute().parts[-parts:]) for path in paths]
        if len(set(tails)) == len(tails):
            return [out / tail for tail in tails]
    raise UserError("one file is named twice", str(paths[0]), "name each file once")


def before_launch(
    train: Path | Sequence[Path],
    val: Path | Sequence[Path],
    *,
    model: Path | None = None,
    max_length: int = 512,
    store: Path | None = None,
    fields: Fields | None = None,
) -> list[CheckSummary]:
    """The exact checks of a launch's files, worst first: one summary a kind and file. Both are one or several.

    Errors stop a launch, warnings ask. Files that have not changed are not checked again: not by this process, and
    with `store`, a folder of the workspace's own, not by the next one either.
    """
    counted = model if model and (model / "tokenizer.json").is_file() else None
    trains = (train,) if isinstance(train, Path) else tuple(train)
    vals = (val,) if isinstance(val, Path) else tuple(val)
    files = (*trains, *(path for path in vals if path not in trains))
    several = trains if len(trains) > 1 else ()
    question = Question(files, counted, max_length, tuple(sorted((fields or {}).items())), several)
    return list(_before_launch(question, tuple(map(tuple, check_cache.times_of(question))), store))


@functools.lru_cache(maxsize=16)
def _before_launch(
    question: Question, _times: tuple[tuple[int, ...], ...], store: Path | None
) -> tuple[CheckSummary, ...]:
    known = check_cache.recall(store, question)
    if known is None:
        times = check_cache.times_of(question)
        report = check(
            question.files,
            model=question.model,
            max_length=question.max_length,
            look_for_near=False,
            fields=dict(question.fields),
            training=question.training,
        )
        known = [one for file in report.files for one in words.summaries(file)]
        if len(question.files) == max(1, len(question.training)):
            same = finding_of(None, "validation_is_training", "validation_is_training_file")
            known.append(CheckSummary(question.files[-1], same, 1))
        check_cache.remember(store, question, times, known)
    return tuple(sorted(known, key=lambda one: -KINDS[one.kind].harm))
