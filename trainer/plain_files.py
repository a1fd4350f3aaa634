"""Opening files that others may have put there: a FIFO, a folder or a device in a file's place is refused, never
waited for. No torch."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

PIECE = 1 << 16
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_plain(path: Path) -> BufferedReader:
    """A plain file for reading; OSError (EINVAL) for anything else, at once."""
    return os.fdopen(_open(path)[0], "rb")


def _open(path: Path) -> tuple[int, int]:
    """(descriptor, size) of a plain file."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    except OSError:
        os.close(fd)
        raise
    return fd, found.st_size


def read_plain(path: Path, limit: int) -> bytes:
    """The whole of a plain file of at most `limit` bytes; OSError (EFBIG) for a longer one."""
    fd, size = _open(path)
    try:
        if size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes; at most {limit:,} are read", str(path))
        data = b""
        while len(data) < limit and (block := os.read(fd, min(limit - len(data), max(size + 1, PIECE)))):
            data += block
        return data
    finally:
        os.close(fd)


def read_tail(path: Path, most: int) -> bytes:
    """The last `most` bytes of a plain file."""
    with open_plain(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)
