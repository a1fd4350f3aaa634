"""Files written so that a reader or a crash sees the old or the new, JSON and TOML documents, and kernel locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli

from rmtui.errors import UserError
from rmtui.runs import lock_notice
from trainer.files import PRIVATE, replace_file


def atomic_write(path: Path, data: bytes) -> None:
    """`replace_file` for what belongs to its owner alone."""
    replace_file(path, data, PRIVATE)


def write_json(path: Path, document: Mapping[str, object]) -> None:
    atomic_write(path, json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n")


def read_toml(path: Path) -> dict[str, object] | None:
    """A TOML document; None when the file is missing or broken."""
    try:
        return tomli.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_toml(path: Path, document: Mapping[str, object]) -> None:
    import tomlkit

    atomic_write(path, tomlkit.dumps(_without_none(document)).encode())


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(inner) for inner in value if inner is not None]
    return value


@contextmanager
def locked(path: Path, patience: float, what: str = "") -> Iterator[None]:
    """Hold an exclusive kernel lock on a file; it vanishes with its holder. TimeoutError after `patience` seconds, of
    which the first says what is waited for; it names who holds the lock."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(fd, patience, what):
            raise TimeoutError(f"{what or path} has been held for {patience:.0f} s by {_holder(path)}")
        yield
    finally:
        os.close(fd)


def _lock(fd: int, patience: float, what: str) -> bool:
    began = time.monotonic()
    while not _lock_now(fd):
        if time.monotonic() > began + patience:
            return False
        if time.monotonic() > began + lock_notice.SILENT:
            lock_notice.notify(what)
        time.sleep(0.02)
    return True


def _holder(path: Path) -> str:
    """`pid 12 (python -m rmtui …)` of whoever holds the lock of a file, as the kernel lists it."""
    try:
        found = path.stat()
        here = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        pid = next(row[4] for row in rows if row[5] == here and row[1] == "FLOCK")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return f"pid {pid} ({words[:200]})"
    except (OSError, StopIteration, IndexError):
        return "a process that cannot be seen from here"


def _lock_now(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_held(path: Path) -> bool | None:
    """Whether someone holds the exclusive lock; None where that is not known (no locks on that file system, no right
    to look). The probe is a shared one, so that two readers never see each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
    return False


def path_of(fd: int) -> Path | None:
    """Where an open file is now, whatever it was renamed to since; None where it was removed."""
    try:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        here, there = os.fstat(fd), path.stat()
    except OSError:
        return None
    return path if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) else None


def was_removed(fd: int) -> bool:
    """Whether an open file has no name any more; False where a file system cannot tell."""
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:
        return False


NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


def check_locks(folder: Path) -> None:
    """UserError where the file system of a folder has no kernel locks: living and dead could not be distinguished."""
    path = folder / f".locks-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        with locked(path, 1.0):
            return
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"nothing can be launched in {folder}",
            f"its file system has no locks ({errno.errorcode.get(error.errno or 0, '')}): "
            "whether a training there is alive could not be seen",
            "mount it with locks (Lustre: -o flock; NFS: with lockd), or make the workspace on a local disk",
            exit_code=1,
        ) from error
    finally:
        path.unlink(missing_ok=True)
