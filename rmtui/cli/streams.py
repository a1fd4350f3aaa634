"""What verbs print: nothing that a run, a file or an archive says is obeyed by the terminal it is shown on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from rmtui.text import harmless_output


class _Neutral:
    """A text stream that writes only what is harmless; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._own = stream.isatty()

    def write(self, text: str) -> int:
        self._stream.write(harmless_output(text, self._own))
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
