"""Files replaced in one step: a reader, or a crash, sees the old content or the new, never a part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

OPEN_TO_ALL, PRIVATE = 0o666, 0o600
"""Rights of a new file, before the umask."""


def replace_file(path: Path, content: bytes | Callable[[BinaryIO], object], mode: int = OPEN_TO_ALL) -> None:
    """Write beside, fsync, rename, fsync the folder. `content` may be a function that writes into an open file.

    Whatever goes wrong (a full disk, say) is raised, the old file is whole, and nothing half-written is left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            if callable(content):
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    content(file)
            else:
                _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)  # noqa: PTH105  (the fault suite wraps os.replace)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def fsync_path(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
