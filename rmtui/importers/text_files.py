"""Reading other people's text files safely: bounded memory, gzip, broken bytes, rewritten lines, control characters."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rmtui.errors import UserError
from rmtui.text import log_line
from trainer.base_files import LFS_POINTER
from trainer.plain_files import open_plain

MAX_LINE = 1 << 16
"""Longer lines are cut: no figure stands beyond this column."""
MAX_UNPACKED = 4 << 30
"""Bytes a compressed file may unfold to; more is taken for a decompression bomb."""
_CHUNK = 1 << 16
_SMALL = 8 << 20
"""Bytes of a file whose reading takes no time worth reporting."""


@dataclass(slots=True)
class _Listener:
    """Who hears how far the reading of large files is, by whole per cents."""

    tell: Callable[[Path, float], object]
    heard: tuple[Path, int] | None = None


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def reporting_to(tell: Callable[[Path, float], object]) -> Iterator[None]:
    """Inside, `tell` is called with each large file that is read and the share that is done; it may raise to cancel."""
    token = _LISTENER.set(_Listener(tell))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_progress(path: Path, done: int, of: int) -> None:
    """`done` of `of` bytes of a file are read."""
    listener = _LISTENER.get()
    if listener is None or of < _SMALL:
        return
    now = path, min(100, 100 * done // of)
    if now != listener.heard:
        listener.heard = now
        listener.tell(path, now[1] / 100)


def lines(path: Path) -> Iterator[str]:
    """Text lines without their ends; a progress bar's rewritten parts are lines of their own.

    Raises UserError where the file cannot be opened or unfolds beyond MAX_UNPACKED.
    """
    pending = b""
    cut = False
    for chunk in chunks(path):
        parts = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
        pending = parts.pop()
        for part in parts:
            if not cut:
                yield _clean(part)
            cut = False
        if len(pending) > MAX_LINE:
            if not cut:
                yield _clean(pending)
            pending, cut = b"", True
    if pending and not cut:
        yield _clean(pending)


def _clean(line: bytes) -> str:
    return log_line(line[:MAX_LINE].decode("utf-8", "replace"))


def chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, unfolded when it is gzip, in bounded pieces."""
    try:
        with open_plain(path) as raw:
            if raw.read(len(LFS_POINTER)) == LFS_POINTER:
                why = "it is a pointer of Git LFS, not the file itself"
                raise UserError(f"cannot read {path}", why, "fetch it: git lfs pull")
            raw.seek(0)
            size = path.stat().st_size
            for chunk in _bounded(_unfolded(raw), path):
                report_progress(path, raw.tell(), size)
                yield chunk
    except OSError as error:
        raise UserError(f"cannot read {path}", error.strerror or str(error), "check the path and its rights") from None
    except (EOFError, zlib.error):
        raise UserError(f"cannot read {path}", "the gzip data are damaged or cut off", "unpack it by hand") from None


def _unfolded(raw: BinaryIO) -> BinaryIO | gzip.GzipFile:
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if packed else raw


def _bounded(source: BinaryIO | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    total = 0
    while chunk := source.read(_CHUNK):
        total += len(chunk)
        if isinstance(source, gzip.GzipFile) and total > MAX_UNPACKED:
            raise UserError(
                f"cannot read {path}", f"it unfolds to more than {MAX_UNPACKED >> 30} GiB", "unpack and cut it by hand"
            )
        yield chunk


def whole(path: Path, limit: int) -> bytes:
    """All bytes of a small file (a configuration, a state); UserError where it is larger than `limit`."""
    gathered = io.BytesIO()
    for chunk in chunks(path):
        gathered.write(chunk)
        if gathered.tell() > limit:
            raise UserError(f"cannot read {path}", f"it is larger than {limit >> 20} MiB", "is it the right file?")
    return gathered.getvalue()


def identity(*paths: Path) -> str:
    """SHA-256 over the files' bytes as they are stored."""
    digest = hashlib.sha256()
    for path in paths:
        with open_plain(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def harmless_document(value: object) -> Any:
    """What a foreign document says, without anything a terminal would obey: texts, keys, and all that lies inside."""
    if isinstance(value, str):
        return value if value.isprintable() else "\n".join(log_line(line) for line in value.split("\n"))
    if isinstance(value, Mapping):
        return {harmless_document(key): harmless_document(inner) for key, inner in value.items()}
    return [harmless_document(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def one_line(name: str) -> str:
    """A name that other programs gave, as it may stand in a list."""
    return str(harmless_document(name if name.isprintable() else " ".join(name.split())))[:100]
