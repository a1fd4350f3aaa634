"""Helper processes that look at many new run folders ahead of the one that writes the index: `python -m
rmtui.index.read_ahead RUNS_FOLDER` reads names from its stdin, one a line, and answers each with a pickled `FirstLook`.

Reading and decoding take longer than writing, and in the app they would take the screen's turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rmtui.index.ingest import FirstLook, first_look
from rmtui.runs.folder import RunFolder

FEW = 300
"""New run folders that are read in less time than helpers take to start."""
MOST_HELPERS = 2
PIPE = 1 << 20
"""Bytes that a helper may be ahead."""
_BROKEN = (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError)


@contextmanager
def looks(runs: Path, names: Sequence[str]) -> Iterator[Iterator[tuple[str, FirstLook | None]]]:
    """Each name with what its folder says; None where whoever asks has to look himself: there are few, a folder cannot
    be read, or a helper is gone."""
    count = min(MOST_HELPERS, len(os.sched_getaffinity(0))) if len(names) > FEW else 0
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        with contextlib.suppress(OSError):
            helpers += [start(runs, names[first::count]) for first in range(count)]
        yield _answers(names, helpers if len(helpers) == count else [])
    finally:
        for helper in helpers:
            helper.kill()
            with contextlib.suppress(OSError):
                helper.communicate()


def start(runs: Path, names: Sequence[str]) -> subprocess.Popen[bytes]:
    """A helper that answers these names in order."""
    with tempfile.TemporaryFile() as file:
        file.write("".join(f"{name}\n" for name in names).encode())
        file.seek(0)
        line = [sys.executable, "-P", "-m", "rmtui.index.read_ahead", str(runs)]
        helper = subprocess.Popen(line, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert helper.stdout is not None
    with contextlib.suppress(OSError):
        fcntl.fcntl(helper.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    return helper


def _answers(names: Sequence[str], helpers: list[subprocess.Popen[bytes]]) -> Iterator[tuple[str, FirstLook | None]]:
    for number, name in enumerate(names):
        if not helpers:
            yield name, None
            continue
        helper = helpers[number % len(helpers)]
        assert helper.stdout is not None
        try:
            look = pickle.load(helper.stdout)
        except _BROKEN:
            look = None
        yield name, look if isinstance(look, FirstLook) and look.id == name else None


def main(runs: Path) -> None:
    """Answer every name on stdin, as long as somebody listens."""
    gc.disable()  # it ends soon, and looks at hundreds of thousands of small objects
    for line in sys.stdin.buffer:
        name = line.decode().removesuffix("\n")
        try:
            answer = pickle.dumps(first_look(RunFolder(runs / name)), pickle.HIGHEST_PROTOCOL)
        except Exception:  # whoever asked looks himself, and says what is wrong
            answer = pickle.dumps(None)
        sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(Path(sys.argv[1]))
