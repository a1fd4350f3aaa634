"""Opening files that others may have put there: a FIFO, a folder or a device in a file's place is refused, never
waited for. No torch."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_plain(path: Path) -> BufferedReader:
    """A plain file for reading; OSError (EINVAL) for anything else, at once."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "something else")
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    except OSError:
        os.close(fd)
        raise
    return os.fdopen(fd, "rb")


def read_plain(path: Path, limit: int) -> bytes:
    """The whole of a plain file of at most `limit` bytes; OSError (EFBIG) for a longer one."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes; at most {limit:,} are read", str(path))
        data = bytearray()
        while block := file.read(limit + 1 - len(data)):
            data += block
        return bytes(data[:limit])


def read_tail(path: Path, most: int) -> bytes:
    """The last `most` bytes of a plain file."""
    with open_plain(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)
