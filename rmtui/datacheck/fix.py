"""A cleaned copy of a checked file, and the list of what it leaves out. The input is never written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rmtui.datacheck.kinds import KINDS
from rmtui.datacheck.model import FileReport, Finding
from rmtui.datacheck.scan import BOM, OUT
from rmtui.errors import UserError


class Cleaned(NamedTuple):
    """What became of a file in its clean copy."""

    kept: int
    dropped: int
    ends: int
    """Of the rows that are kept, those that lost a byte order mark or had another line end than \\n."""
    stays: tuple[str, ...]
    """Kinds of findings whose rows are kept as they are."""


def dropped_list(out: Path) -> Path:
    """Where the list of dropped lines goes."""
    return out.with_name(f"{out.name}.dropped.jsonl")


def write_clean(jobs: Sequence[tuple[FileReport, Path]], lang: str) -> dict[Path, Cleaned]:
    """Each file's rows without the dropped ones, byte by byte, with \\n at every end and no byte order marks.

    The copies and lists get their names when all are complete; if that fails midway, none keeps it. Raises OSError, and
    UserError where a file is not as it was when it was checked.
    """
    parts: dict[Path, Path] = {}
    named: list[Path] = []
    counts = {}
    try:
        for report, out in jobs:
            out.parent.mkdir(parents=True, exist_ok=True)
            for path in (dropped_list(out), out):
                parts[path] = path.with_name(f".{path.name}.{os.getpid()}.partial")
            counts[out] = _write(report, parts[out], parts[dropped_list(out)], lang)
        for path, part in parts.items():
            part.rename(path)
            named.append(path)
    except BaseException:
        for path in (*named, *parts.values()):
            path.unlink(missing_ok=True)
        raise
    return counts


def _write(report: FileReport, clean_path: Path, dropped_path: Path, lang: str) -> Cleaned:
    reasons, asked = _reasons(report), {finding.line for finding in report.findings}
    there: set[int | None] = {None}
    kept = dropped = ends = 0
    with report.rows.open("rb") as source, clean_path.open("wb") as clean, dropped_path.open("wb") as left_out:
        for line, (raw, verdict) in enumerate(zip(source, report.verdicts, strict=False), start=1):
            row = raw.removeprefix(BOM).rstrip(b"\r\n")
            record = report.records[line - 1] if report.records is not None else line
            if verdict == OUT:
                dropped += 1
                left_out.write(_dropped(record, row, reasons.get(record, ()), lang))
            else:
                kept += 1
                if record in asked:
                    there.add(record)
                ends += raw.rstrip(b"\n") != row
                clean.write(row + b"\n")
        if kept + dropped != len(report.verdicts) or os.fstat(source.fileno()).st_size != report.size:
            raise UserError(f"{report.path} has changed since it was checked", remedy="check it again")
    stays = dict.fromkeys(finding.kind for finding in report.findings if finding.line in there)
    return Cleaned(kept, dropped, ends, tuple(kind for kind in stays if kind not in _MENDED))


_MENDED = ("bom", "bom_inside")
"""Kinds that a copy has no more, though their rows are kept."""


def _reasons(report: FileReport) -> dict[int, list[Finding]]:
    reasons: dict[int, list[Finding]] = {}
    for finding in report.findings:
        if finding.line is not None and KINDS[finding.kind].drops:
            reasons.setdefault(finding.line, []).append(finding)
    return reasons


def _dropped(line: int, row: bytes, reasons: Sequence[Finding], lang: str) -> bytes:
    document: dict[str, Any] = {
        "line": line,
        "kinds": [finding.kind for finding in reasons],
        "messages": [finding.render(lang) for finding in reasons],
        "text": row.decode("utf-8", "backslashreplace"),
    }
    return json.dumps(document, ensure_ascii=True).encode() + b"\n"
