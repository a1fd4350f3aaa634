"""A cleaned copy of a checked file, and the list of what it leaves out. The input is never written."""

from __future__ import annotations

import json
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

    Returns (rows kept, lines dropped). Raises OSError.
    """
    reasons = _reasons(report)
    kept = dropped = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with report.path.open("rb") as source, out.open("xb") as clean, dropped_list(out).open("xb") as left_out:
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
