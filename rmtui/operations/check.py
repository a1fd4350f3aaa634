"""Checking preference data: for the verb, the screen, and before every launch."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.guide.datacheck import fix as fixing
from rmtui.guide.datacheck import words
from rmtui.guide.datacheck.facts import FileReport, Finding, Report
from rmtui.guide.datacheck.kinds import KINDS
from rmtui.guide.datacheck.kinds import found as finding_of
from rmtui.guide.datacheck.near import Cancelled, near
from rmtui.guide.datacheck.scan import scan
from rmtui.guide.datacheck.tokens import Tokens

Progress = Callable[[str, float], None]
"""Called with the name of the pass and the share done, 0–1."""

FILES = 200
LINES, NEAR = "lines", "near-duplicates"
COUNT_TOKENS_BELOW = 16 << 20
"""Bytes of data; a launch with more leaves the counting of tokens to the trainer, which says what it cut."""


def check(
    files: Sequence[Path],
    *,
    model: Path | None = None,
    max_length: int = 512,
    look_for_near: bool = True,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Check the files line by line and against each other; `cancelled` ends the pass for near-duplicates.

    `model` is a folder with a tokenizer.json, whose tokens are counted against `max_length`.
    Raises UserError when a file cannot be opened.
    """
    if len(files) > FILES:
        raise UserError(
            f"{len(files)} files are too many for one check", f"the limit is {FILES}", "check them in parts"
        )
    tell = progress or (lambda name, share: None)
    tokens = Tokens(model, max_length) if model else None
    try:
        exact = tuple(scan(files, tokens, lambda share: tell(LINES, share)))
        if not look_for_near:
            return Report(exact, near_done=False)
        return _with_near(exact, lambda share: tell(NEAR, share), cancelled)
    except OSError as error:
        raise UserError(f"{error.filename or files[0]} cannot be read", error.strerror or str(error)) from error


def _with_near(exact: tuple[FileReport, ...], tick: Callable[[float], None], cancelled: Callable[[], bool]) -> Report:
    try:
        found = near(exact, tick, cancelled)
    except Cancelled:
        return Report(exact, near_done=False)
    return Report(tuple(_joined(file, found[place]) for place, file in enumerate(exact)))


def _joined(file: FileReport, more: Sequence[Finding]) -> FileReport:
    """A file's report with the findings of the second pass, none of which is an error."""
    if not more:
        return file
    findings = sorted((*file.findings, *more), key=lambda one: (one.line or 0, -KINDS[one.kind].harm))
    counts = Counter(file.counts) + Counter(finding.kind for finding in more)
    ranked = dict(sorted(counts.items(), key=lambda item: -KINDS[item[0]].harm))
    return dataclasses.replace(file, findings=tuple(findings), counts=ranked, warnings=file.warnings + len(more))


def document(report: Report) -> dict[str, Any]:
    """The document of `check --json`."""
    return {
        "files": [_file_document(file) for file in report.files],
        "near_duplicates": "looked for" if report.near_done else "not looked for to the end",
        "ok": not report.failed,
    }


def _file_document(file: FileReport) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "lines": file.lines,
        "good": file.good,
        "errors": file.errors,
        "warnings": file.warnings,
        "counts": dict(file.counts),
        "findings": [_finding_document(finding) for finding in file.findings],
        "findings_left_out": sum(file.counts.values()) - len(file.findings),
        "figures": dict(file.figures),
    }


def _finding_document(finding: Finding) -> dict[str, Any]:
    document: dict[str, Any] = {
        "line": finding.line,
        "kind": finding.kind,
        "severity": finding.severity,
        "message": finding.message,
    }
    if finding.related:
        document["related"] = {"path": finding.related[0], "line": finding.related[1]}
    return document


def fix(report: Report, out: Path) -> dict[Path, tuple[int, int]]:
    """Cleaned copies: of one file as `out`, of several below the folder `out`. Returns rows kept and dropped by copy.

    What was dropped goes to COPY.dropped.jsonl with its line and reason. Raises UserError where something exists
    already; the inputs are never written.
    """
    if whole := [file for file in report.files if "unreadable_file" in file.counts]:
        why = whole[0].findings[0].message
        raise UserError(f"{whole[0].path} cannot be cleaned line by line", why, "do that first, then check again")
    copies = _copies([file.path for file in report.files], out)
    for copy in copies:
        for path in (copy, fixing.dropped_list(copy)):
            if path.exists():
                raise UserError(f"{path} exists already", "a cleaned file never replaces another", "name a new file")
    try:
        return {copy: fixing.write_clean(file, copy) for file, copy in zip(report.files, copies, strict=True)}
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


def before_launch(train: Path, val: Path, *, model: Path | None = None, max_length: int = 512) -> list[Finding]:
    """The exact checks of a launch's two files, worst first, remembered while neither file changes.

    Errors stop a launch, warnings ask. One finding a kind and file; its message names the file and the first line.
    """
    sizes = train.stat().st_size + val.stat().st_size
    counted = model if model and (model / "tokenizer.json").is_file() and sizes < COUNT_TOKENS_BELOW else None
    return list(_before_launch(train, _state(train), val, _state(val), counted, max_length))


def _state(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _before_launch(
    train: Path, _train_state: tuple[int, int], val: Path, _val_state: tuple[int, int], model: Path | None, limit: int
) -> tuple[Finding, ...]:
    files = [train] if train == val else [train, val]
    found = tuple(_summed(check(files, model=model, max_length=limit, look_for_near=False)))
    same = (finding_of(None, "validation_is_training", f"{val}: training and validation are the same file"),)
    return (*found, *same) if train == val else found


def _summed(report: Report) -> Iterator[Finding]:
    found = [finding for file in report.files for finding in words.summary(file.findings, file.path)]
    yield from sorted(found, key=lambda finding: -KINDS[finding.kind].harm)
