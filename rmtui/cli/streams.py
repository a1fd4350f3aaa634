"""What verbs print: nothing that a run, a file or an archive says is obeyed by the terminal it is shown on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

_OBEYED = re.compile(
    "\x1b(?!\\[[0-9;]*[mK])(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?|[ -/]*[0-~]?)"
    "|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)
"""Escape sequences but colours and the clearing of a line, which verbs use themselves; control characters."""


def neutral(text: str) -> str:
    """Text without what a terminal would obey; line ends, tabs and colours stay."""
    return text if text.isprintable() else _OBEYED.sub("", text)


class _Neutral:
    """A text stream that writes only what is harmless; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(neutral(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def neutral_output() -> Iterator[None]:
    """stdout and stderr made harmless while a verb runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Neutral(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
