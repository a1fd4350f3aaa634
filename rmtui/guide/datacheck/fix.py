"""A cleaned copy of a checked file, and the list of what it leaves out. The input is never written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmtui.guide.datacheck.facts import FileReport, Finding
from rmtui.guide.datacheck.kinds import KINDS
from rmtui.guide.datacheck.scan import BOM, OUT


def dropped_list(out: Path) -> Path:
    """Where the list of dropped lines goes."""
    return out.with_name(f"{out.name}.dropped.jsonl")


def write_clean(report: FileReport, out: Path) -> tuple[int, int]:
    """Rows without the dropped ones go to `out` byte by byte, with \\n at every end and no byte order marks.

    Returns (rows kept, lines dropped). Both files appear when they are complete. Raises OSError.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    finals = (dropped_list(out), out)
    parts = [path.with_name(f".{path.name}.{os.getpid()}.partial") for path in finals]
    try:
        counts = _write(report, parts[1], parts[0])
        for part, final in zip(parts, finals, strict=True):
            part.rename(final)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return counts


def _write(report: FileReport, clean_path: Path, dropped_path: Path) -> tuple[int, int]:
    reasons = _reasons(report)
    kept = dropped = 0
    with report.path.open("rb") as source, clean_path.open("wb") as clean, dropped_path.open("wb") as left_out:
        for line, (raw, verdict) in enumerate(zip(source, report.verdicts, strict=False), start=1):
            row = raw.removeprefix(BOM).rstrip(b"\r\n")
            if verdict == OUT:
                dropped += 1
                left_out.write(_dropped(line, row, reasons.get(line, ())))
            else:
                kept += 1
                clean.write(row + b"\n")
    return kept, dropped


def _reasons(report: FileReport) -> dict[int, list[Finding]]:
    reasons: dict[int, list[Finding]] = {}
    for finding in report.findings:
        if finding.line is not None and KINDS[finding.kind].drops:
            reasons.setdefault(finding.line, []).append(finding)
    return reasons


def _dropped(line: int, row: bytes, reasons: Sequence[Finding]) -> bytes:
    document: dict[str, Any] = {
        "line": line,
        "kinds": [finding.kind for finding in reasons],
        "messages": [finding.message for finding in reasons],
        "text": row.decode("utf-8", "backslashreplace"),
    }
    return json.dumps(document, ensure_ascii=True).encode() + b"\n"
