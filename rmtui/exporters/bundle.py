"""A run as a tarball, out and in. Of a foreign archive only plain files with expected names and readable documents are
taken, up to a size; requests to a supervisor stay behind on both sides."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from rmtui.errors import UserError
from rmtui.runs import state, typed_files
from rmtui.runs.files import write_json
from rmtui.runs.folder import RunFolder, may_be_run
from trainer.files import replace_file
from trainer.plain_files import open_plain

MAX_FILES = 20_000
MAX_BYTES = 64 << 30
RATIO, RATIO_FROM = 200, 256 << 20
"""An archive that unfolds to more than so many times its size, beyond so many bytes, is none of a training's."""
SPARE = 256 << 20
"""Bytes that an import leaves free on the disk."""
_HEADER = 1 << 20
"""Bytes that are read at once: no name in an archive of ours is longer."""
_WEIGHTS = ("checkpoints", "model")
_TOP = {"spec.toml", "meta.toml", "events.jsonl", "forecasts.jsonl", "validation", *_WEIGHTS}
_STAY_BEHIND = {"control", "job.json", "job-state.json"}
"""What was asked of a run, and the job of a cluster that it was: neither means anything elsewhere."""
_STAGING = ".import-"


def is_bundle(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz", ".tar"))


def pack(folder: Path, out: Path, weights: bool = False) -> None:
    """Write `folder` (runs/<id>) as `out`; without `weights`, checkpoints and model stay behind. Renamed into place."""
    try:
        replace_file(out, lambda file: write(folder, file, weights))
    except OSError as error:
        raise UserError(
            f"cannot write {out}", error.strerror or str(error), "free space or choose another folder"
        ) from None


def write(folder: Path, file: BinaryIO, weights: bool = False) -> None:
    """The same into an open file, which may be a pipe."""
    with tarfile.open(f"{folder.name}.tar.gz", "w:gz", fileobj=file) as archive:
        for path in sorted(_files(folder, weights)):
            name = f"{folder.name}/{path.relative_to(folder)}"
            archive.add(path, arcname=name, recursive=False, filter=_nameless)


def _files(folder: Path, weights: bool) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        wanted = _has_place(inside.parts) and (weights or inside.parts[0] not in _WEIGHTS)
        if wanted and path.is_file() and not path.is_symlink():
            yield path


def _has_place(parts: tuple[str, ...]) -> bool:
    """Whether a file belongs to the run itself; mirrors of other programs (trackers/, wandb/) stay behind."""
    top = parts[0]
    if top in _STAY_BEHIND:
        return False
    n = typed_files.number_of(top, "attempt-")
    attempt = bool(n) and top == f"attempt-{n}"
    return (top in _TOP or attempt or top.endswith(".json")) and "wandb" not in parts


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owner and group of this machine say nothing elsewhere."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, runs: Path, known: Mapping[str, str], origin: Mapping[str, object]) -> Path:
    """Place an archive's run into `runs`, with `origin` as its origin.json; returns its folder.

    `known` are ids of runs that are there already, and where. UserError if the archive is hostile, damaged, holds a run
    of a known id or documents that are unreadable, or does not fit on the disk. It is read whole before anything of it
    can be seen in `runs`. A killed import leaves nothing; where its helper is killed too, the next one removes what
    it left.
    """
    _sweep(runs)
    with _staging(runs) as staging:
        try:
            name = _extract(archive, staging)
            where = known.get(name) or (f"is in {runs} already" if (runs / name).exists() else "")
            if where:
                raise UserError(f"cannot import {archive}", f"run {name} {where}", f"remove it first: rmtui rm {name}")
            _check_documents(archive, RunFolder(staging / name))
            write_json(staging / name / "origin.json", origin)
            (staging / name).replace(runs / name)
            return runs / name
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error) as error:
            raise UserError(f"cannot import {archive}", str(error), "is it a whole export of rmtui?") from None


@contextmanager
def _staging(runs: Path) -> Iterator[Path]:
    """A folder aside, with a lock that says that somebody works in it. A shell removes it where this process is killed:
    it waits for the end of a pipe that nobody else holds."""
    folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=runs))
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    line = ["sh", "-c", 'read -r _; rm -rf -- "$1"', "sh", str(folder)]
    null = subprocess.DEVNULL
    after = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)
        after.communicate()


def _sweep(runs: Path) -> None:
    """Remove what killed imports left; a folder whose lock is held is in use."""
    for folder in runs.glob(f"{_STAGING}*"):
        with suppress(OSError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(fd)


def _check_documents(archive: Path, run: RunFolder) -> None:
    attempts = run.attempts()
    found = state.unreadable(run, None) if not attempts else []
    found += [words for attempt in attempts for words in state.unreadable(run, attempt)]
    if not run.spec() and not found:
        found = ["spec.toml is empty"]
    if found:
        raise UserError(f"cannot import {archive}", found[0], "nothing was written; export the run again")


class _Bounded(io.RawIOBase):
    """What an archive unfolds to, counted: no endless stream, and no header that fills the memory."""

    def __init__(self, packed: BinaryIO, size: int) -> None:
        magic = packed.read(2)
        packed.seek(0)
        self._stream = cast(BinaryIO, gzip.GzipFile(fileobj=packed)) if magic == b"\x1f\x8b" else packed
        self._most = max(RATIO_FROM, RATIO * size)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.TarError("a header of it is longer than any of rmtui's")
        if self._stream.tell() > self._most:
            raise tarfile.TarError(f"it unpacks to more than {RATIO} times its size")
        return self._stream.read(size)

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET and position > self._most:
            raise tarfile.TarError(f"it unpacks to more than {RATIO} times its size")
        return self._stream.seek(position, whence)


def _extract(archive: Path, staging: Path) -> str:
    names: set[str] = set()
    total = 0
    room = shutil.disk_usage(staging).free - SPARE
    with open_plain(archive) as packed:
        bounded = _Bounded(packed, os.fstat(packed.fileno()).st_size)
        with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:") as source:
            for count, member in enumerate(source, 1):
                total += member.size
                if count > MAX_FILES or total > MAX_BYTES:
                    raise UserError(
                        f"cannot import {archive}", "it unpacks without end", "it is not an export of rmtui"
                    )
                if total > room:
                    words = f"it needs more than the {max(0, room) >> 20:,} MiB that the disk has for it"
                    raise UserError(
                        f"cannot import {archive}", words, "free some space and import it again", exit_code=1
                    )
                if member.isdir():
                    continue
                parts = _checked(archive, member)
                names.add(parts[0])
                if parts[1] not in _STAY_BEHIND:
                    _write(source, member, staging.joinpath(*parts))
    if len(names) != 1 or not (staging / (name := names.pop()) / "spec.toml").is_file():
        raise UserError(
            f"cannot import {archive}", "it does not hold exactly one run", "make it with rmtui export --format tar"
        )
    return name


def _checked(archive: Path, member: tarfile.TarInfo) -> tuple[str, ...]:
    """The parts of a member's name: run id, then a file that a run folder has. Anything else is refused."""
    parts = PurePosixPath(member.name).parts
    strange = (
        not member.isfile()
        or member.issparse()
        or len(parts) < 2
        or member.name.startswith("/")
        or any(part in ("..", ".") or "\\" in part or "\0" in part for part in parts)
        or not (_has_place(parts[1:]) or parts[1] in _STAY_BEHIND)
        or not may_be_run(parts[0])
    )
    if strange:
        raise UserError(
            f"cannot import {archive}",
            f"{member.name!r} does not belong in a run",
            "nothing was written; do not trust it",
        )
    return parts


def _write(source: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    stream = source.extractfile(member)
    if stream is None:
        raise tarfile.TarError(f"{member.name} cannot be read")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with stream, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(stream, file, 1 << 16)
    os.utime(target, (member.mtime, member.mtime))
