"""Checkpoint folders without torch: what each holds, whether its files are whole, which one is the best.

A checkpoint counts only with a `manifest.json` that names every file with its size and SHA-256; it is written last,
in a temporary folder that is renamed into place, so a killed save leaves nothing that looks like a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.files import fsync_path, replace_file
from trainer.plain_files import open_plain, read_plain

MANIFEST = "manifest.json"
BEST = "best"
TEMPORARY = ".tmp-"
VERSION = 1
LARGEST = 1 << 26
"""Bytes of a manifest that are read: half a million files."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as its manifest describes it; whether the files are whole is `verify`'s question."""

    folder: Path
    step: int
    epoch: float
    """Epochs done, fractional inside an epoch."""
    reason: str
    """save_steps, epoch, best, stop or final."""
    created: float
    """Unix time, seconds."""
    world_size: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a resume compares: config, fingerprints, versions."""


@dataclass(frozen=True, slots=True)
class BestCheckpoint:
    """The `best` pointer: which checkpoint, by which metric."""

    folder: Path
    metric: str
    value: float
    step: int


def folder_name(step: int) -> str:
    """`step-000120`; sorts by step up to a million steps, and `checkpoints` sorts by number beyond."""
    return f"step-{step:06d}"


def checkpoints(run: Path) -> list[Checkpoint]:
    """Checkpoints of a run folder by step, oldest first; folders without a readable manifest are left out."""
    found = []
    for folder in (run / "checkpoints").glob("step-*"):
        checkpoint = read(folder)
        if checkpoint is not None:
            found.append(checkpoint)
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def read(folder: Path) -> Checkpoint | None:
    """The manifest of one checkpoint; None when there is none or it is torn."""
    try:
        row = json.loads(read_plain(folder / MANIFEST, LARGEST))
        return Checkpoint(
            folder=folder,
            step=int(row["step"]),
            epoch=float(row["epoch"]),
            reason=str(row["reason"]),
            created=float(row["created"]),
            world_size=int(row["world_size"]),
            facts=dict(row["facts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def newest(run: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are whole: where a resume starts from; None before the first."""
    for checkpoint in reversed(checkpoints(run)):
        if not verify(checkpoint.folder):
            return checkpoint
    return None


def best(run: Path) -> BestCheckpoint | None:
    """The `best` pointer; None while nothing was evaluated, or when its checkpoint is gone."""
    try:
        row = json.loads(read_plain(run / "checkpoints" / BEST, LARGEST))
        folder = run / "checkpoints" / Path(str(row["checkpoint"])).name
        found = BestCheckpoint(folder, str(row["metric"]), float(row["value"]), int(row["step"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return found if folder.is_dir() else None


def chosen(run: Path) -> Path | None:
    """The folder that merge and score take: the best checkpoint, else the newest whole one."""
    pointer = best(run)
    if pointer is not None:
        return pointer.folder
    checkpoint = newest(run)
    return checkpoint.folder if checkpoint else None


def run_around(folder: Path) -> Path | None:
    """The run's folder that a checkpoint or model/ is in; None of a folder elsewhere."""
    return next((place for place in folder.resolve().parents if (place / "spec.toml").is_file()), None)


def verify(folder: Path) -> list[str]:
    """What is wrong with a checkpoint's files, in words; empty when every file has its size and SHA-256."""
    try:
        files = json.loads(read_plain(folder / MANIFEST, LARGEST))["files"]
        wanted = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except FileNotFoundError:
        return [f"{folder} has no {MANIFEST}: it is not a checkpoint, or its save was cut off"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        return [f"{folder / MANIFEST} cannot be read: {error}"]
    return [problem for name, entry in wanted.items() if (problem := _file_problem(folder / name, *entry))]


def _file_problem(path: Path, size: int, digest: str) -> str:
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != size:
        return f"{path} has {path.stat().st_size} bytes, not {size}"
    return "" if _sha256(path) == digest else f"{path} was changed: its SHA-256 is another"


def _sha256(path: Path) -> str:
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, description: Mapping[str, object]) -> None:
    """Write the manifest of a folder whose files are complete, and force every file to disk."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            fsync_path(path)
            files[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    document = {"v": VERSION, **description, "files": files}
    replace_file(folder / MANIFEST, json.dumps(document, indent=1).encode() + b"\n")
    for inner in [path for path in folder.rglob("*") if path.is_dir()]:
        fsync_path(inner)
    fsync_path(folder)


def publish(temporary: Path, final: Path) -> None:
    """Rename a sealed folder into place. An older folder of that name is replaced."""
    if final.exists():
        discarded = final.with_name(f"{TEMPORARY}old-{final.name}")
        shutil.rmtree(discarded, ignore_errors=True)
        final.rename(discarded)
        temporary.rename(final)
        shutil.rmtree(discarded, ignore_errors=True)
    else:
        temporary.rename(final)
    fsync_path(final.parent)


def point_best(run: Path, pointer: BestCheckpoint) -> None:
    """Replace the `best` pointer by rename."""
    row = {
        "checkpoint": pointer.folder.name,
        "metric": pointer.metric,
        "value": pointer.value,
        "step": pointer.step,
    }
    replace_file(run / "checkpoints" / BEST, json.dumps(row).encode() + b"\n")


def forget_best_after(run: Path, step: int) -> None:
    """Take the pointer away when it is beyond `step`: the resume from there has not reached it."""
    pointer = best(run)
    if pointer is not None and pointer.step > step:
        (run / "checkpoints" / BEST).unlink()


def prune(run: Path, keep: int, step: int) -> list[Path]:
    """Remove all but the newest `keep` checkpoints up to `step` and the best, and what killed saves left.

    Checkpoints beyond the present step are of a future that a resume from an earlier one gave up. Returns what went.
    """
    pointer = best(run)
    present = [checkpoint.folder for checkpoint in checkpoints(run) if checkpoint.step <= step]
    kept = {*present[-keep:], *([pointer.folder] if pointer else [])}
    gone = [checkpoint.folder for checkpoint in checkpoints(run) if checkpoint.folder not in kept]
    for folder in gone:
        # Renamed first: a removal cut short must not leave half a checkpoint under a checkpoint's name.
        doomed = folder.with_name(f"{TEMPORARY}gone-{folder.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
    for leftover in (run / "checkpoints").glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return gone
