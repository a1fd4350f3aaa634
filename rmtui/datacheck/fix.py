"""A cleaned copy of a checked file, and the list of what it leaves out. The input is never written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmtui.datacheck.kinds import KINDS
from rmtui.datacheck.model import FileReport, Finding
from rmtui.datacheck.scan import BOM, OUT
from rmtui.errors import UserError


def dropped_list(out: Path) -> Path:
    """Where the list of dropped lines goes."""
    return out.with_name(f"{out.name}.dropped.jsonl")


def write_clean(jobs: Sequence[tuple[FileReport, Path]], lang: str) -> dict[Path, tuple[int, int]]:
    """Each file's rows without the dropped ones, byte by byte, with \\n at every end and no byte order marks.

    Returns (rows kept, lines dropped) of each copy. The copies and lists get their names when all are complete; if that
    fails midway, none keeps it. Raises OSError, and UserError where a file is not as it was when it was checked.
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


def _write(report: FileReport, clean_path: Path, dropped_path: Path, lang: str) -> tuple[int, int]:
    reasons = _reasons(report)
    kept = dropped = 0
    with report.rows.open("rb") as source, clean_path.open("wb") as clean, dropped_path.open("wb") as left_out:
        for line, (raw, verdict) in enumerate(zip(source, report.verdicts, strict=False), start=1):
            row = raw.removeprefix(BOM).rstrip(b"\r\n")
            if verdict == OUT:
                dropped += 1
                record = report.records[line - 1] if report.records is not None else line
                left_out.write(_dropped(record, row, reasons.get(record, ()), lang))
            else:
                kept += 1
                clean.write(row + b"\n")
        if kept + dropped != len(report.verdicts) or os.fstat(source.fileno()).st_size != report.size:
            raise UserError(f"{report.path} has changed since it was checked", remedy="check it again")
    return kept, dropped


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
