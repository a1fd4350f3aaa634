"""What each rank leaves in its attempt's folder: its log, and a failure file when it dies. No torch."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainer import events
from trainer.files import replace_file

WATCH_SECONDS = 1.0
GRACE_SECONDS = 5.0
LOCK_TRIES = 40
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "alloc_failed")
"""What allocators say in their errors: torch's, Python's, the CPU's and cuBLAS's."""


def of_memory(error: BaseException) -> bool:
    """torch's OutOfMemoryError, Python's MemoryError, and the RuntimeErrors of the CPU's and cuBLAS's allocators."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def redirect(log: Path) -> TextIO:
    """Send this process's stdout and stderr, C libraries included, to `log` only."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    return sys.stderr


def hold_lock(attempt: Path, rank: int) -> int | None:
    """Lock this rank's file in `ranks/` for as long as the process lives: whoever looks, from another container too,
    sees by it that the training lives. None on a file system without locks."""
    folder = attempt / "ranks"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"rank{rank}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:  # a reader's probe holds it for a moment
            time.sleep(0.05)
        except OSError:
            break
    os.close(descriptor)
    return None


class Tee(io.TextIOBase):
    """A stream that writes to the terminal and to a log."""

    def __init__(self, terminal: TextIO | None, log: TextIO) -> None:
        self._streams = [stream for stream in (terminal, log) if stream is not None]

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def tee(log: Path, terminal: bool) -> TextIO:
    """Copy what Python prints to `log`; keep it on the terminal too if asked. Returns the log's own stream."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a", encoding="utf-8", errors="replace")
    log.chmod(0o600)
    sys.stdout = Tee(sys.__stdout__ if terminal else None, file)
    sys.stderr = Tee(sys.__stderr__, file)
    return file


def superseded(attempt: Path | None) -> bool:
    """Whether a newer attempt of the run has begun: this one may live on a node that its scheduler lost sight of, and
    writes nothing any more that the newer one would find."""
    name = attempt.name if attempt is not None else ""
    number = name.removeprefix("attempt-")
    return attempt is not None and number.isdigit() and attempt.with_name(f"attempt-{int(number) + 1}").exists()


def write_failure(attempt: Path, rank: int, error: BaseException, facts: Mapping[str, object]) -> None:
    """`failure-rankN.json`: type, text and traceback of the error, and what is known of the moment. The type of the
    trainer's own errors is left empty: their text says it all, and a class of ours means nothing to a reader."""
    kind = type(error)
    document = {
        "type": "" if kind.__module__.partition(".")[0] == __package__ else kind.__name__,
        "text": str(error),
        "traceback": "".join(traceback.format_exception(error)),
        "rank": rank,
        "t": time.time(),
        **facts,
    }
    content = json.dumps(events.plain(document), ensure_ascii=False, allow_nan=False)
    replace_file(attempt / f"failure-rank{rank}.json", content.encode("utf-8", "replace") + b"\n")


def failures(attempt: Path) -> list[dict[str, object]]:
    """Failure files of this attempt, the earliest first: the first one is the cause, the others its echo."""
    found = [json.loads(path.read_bytes()) for path in attempt.glob("failure-rank*.json")]
    return sorted(found, key=lambda row: float(row["t"]))


def write_failure_events(attempt: Path, failure: Mapping[str, Any], reason: str) -> None:
    """The last two events of a failed attempt."""
    step, epoch = int(failure["step"]), float(failure["epoch"])
    details = {
        key: failure[key]
        for key in ("type", "text", "rank", "pair_ids", "grad_norm", "suggest", "remedy")
        if key in failure
    }
    with events.EventWriter(attempt / "events.jsonl") as writer:
        writer.record("failure", step, epoch, **details)
        writer.record("end", step, epoch, outcome="failed", reason=reason)


def write_result(attempt: Path, outcome: str, reason: str, **facts: Any) -> None:
    """`result.json`, the trainer's last word: finished, stopped or failed."""
    document = {"outcome": outcome, "reason": reason, **facts, "t": time.time()}
    content = json.dumps(events.plain(document), ensure_ascii=False, allow_nan=False, indent=1)
    replace_file(attempt / "result.json", content.encode("utf-8", "replace") + b"\n")


def leave_when_another_fails(attempt: Path, rank: int, last_words: Callable[[Path], None] | None) -> None:
    """A rank can hang for ever in a collective whose peer has died: watch the others' failure files, and go."""

    def watch() -> None:
        while not any(row["rank"] != rank for row in failures(attempt)):
            time.sleep(WATCH_SECONDS)
        time.sleep(GRACE_SECONDS)
        if last_words is not None:
            last_words(attempt)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch other ranks").start()
