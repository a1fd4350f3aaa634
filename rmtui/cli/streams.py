"""What verbs print: nothing that a run, a file or an archive says is obeyed by the terminal it is shown on."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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


def fit_streams() -> None:
    """Make every stream one that can be written to: what its encoding lacks (✓ in Latin-1) becomes `?`, and one that
    was closed (`>&-`) leads nowhere, since the next file that is opened would get its descriptor."""
    modes = {"stdin": "r", "stdout": "w", "stderr": "w"}
    for number, (name, mode) in enumerate(modes.items()):
        stream = getattr(sys, name)
        if stream is None:
            _reopen(number)
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  (for as long as the process lives)
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _reopen(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd != number:
            os.dup2(fd, number)
            os.close(fd)


def give_up_output() -> None:
    """What could not be written is lost: it must not be tried again, with a traceback, when the process ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def neutral_output() -> Iterator[None]:
    """stdout and stderr made harmless while a verb runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Neutral(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
