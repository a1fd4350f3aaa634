"""A raw log line as it may be shown: escape sequences harmless, progress bars folded, a tone by what it says."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

from rmtui.text import log_line

_TIME = re.compile(r"^\[?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s+(?=\S)")
_STEP = re.compile(r"\bstep[ =:/]*(\d+)", re.IGNORECASE)
ERROR = re.compile(
    r"\b(?:[A-Z]\w*(?:Error|Exception)\b|Traceback \(most recent|CUDA out of memory|ERROR\b|FATAL\b|Killed$)"
)
_WARNING = re.compile(r"\b(?:WARN(?:ING)?|warning)\b")
_EPOCH = re.compile(r"\bEpoch \d+/\d+ \|")

LONGEST = 20_000
"""Characters of a line that are shown; the rest of a longer one is counted."""


def shown(raw: str, times: bool = True) -> str:
    """The text of a line: what follows the last carriage return, without anything a terminal would obey."""
    text = raw.rstrip("\r\n")
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} … {len(text) - LONGEST} characters more"
    text = log_line(text, "·").expandtabs(4)
    return text if times else _TIME.sub("", text, count=1)


def tone(text: str) -> str:
    """bad, warn, accent or text."""
    if ERROR.search(text):
        return "bad"
    if _WARNING.search(text):
        return "warn"
    return "accent" if _EPOCH.search(text) else "text"


def step_in(text: str) -> int | None:
    """The optimizer step that a line names."""
    found = _STEP.search(text)
    return int(found.group(1)) if found else None


def wrapped(text: str, width: int) -> list[str]:
    """Rows of at most `width` cells."""
    if cell_len(text) <= width:
        return [text]
    return chop_cells(text, max(2, width))
