"""Which workspace this is: `queue/.workspace.json` holds an id, the path it was made at, and which runs are
of here. A copy has the id of its original, and a run that came by copy has none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.runs import proc, typed_files
from rmtui.runs.files import NO_LOCKS, locked, write_json

FILE = ".workspace.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """A workspace as it knows itself."""

    id: str
    path: str
    """Where it was when it was last written to."""
    formerly: tuple[str, ...] = ()
    """Ids that it had before it was owned as a copy: runs of theirs are its own now."""
    launches: int = 0
    """Runs made here so far: their order, whatever the clock says."""
    runs: tuple[str, ...] = ()
    """Runs made under another id, or none, that a person has owned one by one."""


def read(root: Path) -> Identity | None:
    """The identity of the workspace at `root`; None where it has none yet, or one that is unreadable."""
    document = typed_files.read(root / "queue" / FILE, typed_files.WORKSPACE).document
    if document is None or not document.get("id"):
        return None
    lists = {key: tuple(document.get(key, ())) for key in ("formerly", "runs")}
    return Identity(document["id"], document.get("path", ""), launches=document.get("launches", 0), **lists)


def copied_from(root: Path) -> Path | None:
    """The workspace that this one is a copy of; None for an original, also where it moved or is mounted elsewhere.

    It is called a copy only while the path it was made at still holds the same id, in another folder than this.
    """
    here = read(root)
    if here is None or not here.path:
        return None
    there = Path(here.path)
    first = read(there) if there != root.resolve() else None
    same = first is not None and first.id == here.id
    return there if same and proc.place(there / "queue") != proc.place(root / "queue") else None


def format_copy(root: Path) -> str:
    """What the user sees on opening a copy; "" for an original."""
    original = copied_from(root)
    return f"this is a copy of {original}: its runs are read-only here until: rmtui workspace --own" if original else ""


def refuse_copy(root: Path) -> None:
    """UserError in a copy: what its runs say may be of processes that belong to the original."""
    if original := copied_from(root):
        raise UserError(
            f"{root} is a copy of {original}",
            "its runs are read-only here, since the original still uses them",
            f"work there, or make the copy a workspace of its own: rmtui -C {root} workspace --own",
        )


def ensure(root: Path) -> Identity:
    """The identity, made where there is none: the runs that are there already came from elsewhere, as far as anybody
    can tell, and are not its own. OSError where the folder cannot be written. A workspace that moved learns its new
    path."""
    known = read(root)
    here = str(root.resolve())
    if known is not None and (known.path == here or copied_from(root) is not None):
        return known
    (root / "queue").mkdir(mode=0o700, parents=True, exist_ok=True)
    with writing(root):
        known = read(root)
        if known is None:
            known = Identity(os.urandom(8).hex(), here)
        known = replace(known, path=here)
        write(root, known)
    return known


def next_launch(root: Path) -> Identity:
    """The identity with one more launch counted; OSError where the folder cannot be written."""
    ensure(root)
    with writing(root):
        known = read(root) or Identity(os.urandom(8).hex(), str(root.resolve()))
        counted = replace(known, launches=known.launches + 1)
        write(root, counted)
    return counted


def write(root: Path, identity: Identity) -> None:
    write_json(root / "queue" / FILE, asdict(identity))


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Held while the identity is changed. Runs are imported and read on a file system without locks, too."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(root / "queue" / ".workspace.lock", 10.0, "the workspace's identity"))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
