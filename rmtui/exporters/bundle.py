"""A run as a tarball, out and in. Of a foreign archive only plain files with expected names are taken, up to a size."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rmtui.errors import UserError

MAX_FILES = 20_000
MAX_BYTES = 64 << 30
_WEIGHTS = ("checkpoints", "model")
_TOP = {"spec.toml", "meta.toml", "events.jsonl", "forecasts.jsonl", "control", "validation", *_WEIGHTS}


def is_bundle(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz", ".tar"))


def pack(folder: Path, out: Path, weights: bool = False) -> None:
    """Write `folder` (runs/<id>) as `out`; without `weights`, checkpoints and model stay behind. Renamed into place."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with tarfile.open(partial, "w:gz") as archive:
            for path in sorted(_files(folder, weights)):
                archive.add(
                    path, arcname=f"{folder.name}/{path.relative_to(folder)}", recursive=False, filter=_nameless
                )
        partial.replace(out)
    except OSError as error:
        raise UserError(
            f"cannot write {out}", error.strerror or str(error), "free space or choose another folder"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _files(folder: Path, weights: bool) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        wanted = _has_place(inside.parts) and (weights or inside.parts[0] not in _WEIGHTS)
        if wanted and path.is_file() and not path.is_symlink():
            yield path


def _has_place(parts: tuple[str, ...]) -> bool:
    """Whether a file belongs to the run itself; mirrors of other programs (trackers/, wandb/) stay behind."""
    top = parts[0]
    return (top in _TOP or top.startswith("attempt-") or top.endswith(".json")) and "wandb" not in parts


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owner and group of this machine say nothing elsewhere."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, runs: Path) -> Path:
    """Place an archive's run into `runs`; returns its folder. UserError if it is hostile, damaged or there already."""
    staging = Path(tempfile.mkdtemp(prefix=".import-", dir=runs))
    try:
        name = _extract(archive, staging)
        target = runs / name
        if target.exists():
            raise UserError(
                f"cannot import {archive}", f"run {name} is there already", f"remove it first: rmtui rm {name}"
            )
        (staging / name).replace(target)
        return target
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"cannot import {archive}", str(error), "is it a whole export of rmtui?") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(archive: Path, staging: Path) -> str:
    names: set[str] = set()
    total = 0
    with tarfile.open(archive, "r:*") as source:
        for count, member in enumerate(source, 1):
            total += member.size
            if count > MAX_FILES or total > MAX_BYTES:
                raise UserError(f"cannot import {archive}", "it unfolds without end", "it is no export of rmtui")
            if member.isdir():
                continue
            parts = _checked(archive, member)
            names.add(parts[0])
            _write(source, member, staging.joinpath(*parts))
    if len(names) != 1 or not (staging / (name := names.pop()) / "spec.toml").is_file():
        raise UserError(
            f"cannot import {archive}", "it does not hold one run", "make it with rmtui export --format tar"
        )
    return name


def _checked(archive: Path, member: tarfile.TarInfo) -> tuple[str, ...]:
    """The parts of a member's name: run id, then a file that a run folder has. Anything else is refused."""
    parts = PurePosixPath(member.name).parts
    strange = (
        not member.isfile()
        or len(parts) < 2
        or member.name.startswith("/")
        or any(part in ("..", ".") or "\\" in part or "\0" in part for part in parts)
        or not _has_place(parts[1:])
        or parts[0].startswith(".")
    )
    if strange:
        raise UserError(
            f"cannot import {archive}", f"{member.name!r} has no place in a run", "nothing was written; do not trust it"
        )
    return parts


def _write(source: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    stream = source.extractfile(member)
    if stream is None:
        raise tarfile.TarError(f"{member.name} cannot be read")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with stream, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(stream, file)
    os.utime(target, (member.mtime, member.mtime))
