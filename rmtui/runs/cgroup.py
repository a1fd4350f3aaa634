"""A control group of its own for each attempt, where one may be made: what drops its environment stays in it.

It is a child of the group that the supervisor is in, never one beside it or above: limits and accounts of Slurm,
systemd or a container hold as before. Its name carries nonce and place of the attempt, so that launch.json cannot name
another.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

VERSION_2 = ""
HIERARCHIES = (VERSION_2, "freezer", "pids")
"""Of version 2, then of version 1 the two that limit and count nothing by themselves."""
OLD = 3600.0
"""Seconds after which an empty group is nobody's: its run, supervisor and all, was killed at once and then deleted."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


def _name(nonce: str, place: str) -> str:
    return f"rmtui-{nonce}-{place}"


@functools.cache
def _mounts() -> tuple[tuple[str, Path, str], ...]:
    return tuple(_read_mounts())


def _read_mounts() -> Iterator[tuple[str, Path, str]]:
    """(hierarchy, where it is mounted, which group is seen there) of each control group file system: a container has
    them where its runtime put them, and systems with both versions have version 2 in a folder beside."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, source = line.partition(" - ")
            kind, _, options = source.split(" ", 2)
            root, where = (_ESCAPED.sub(lambda code: chr(int(code[1], 8)), text) for text in fields.split(" ")[3:5])
            if kind == "cgroup2":
                yield VERSION_2, Path(where), root
            elif kind == "cgroup":
                yield from ((name, Path(where), root) for name in HIERARCHIES if name in options.split(","))


def parents() -> list[Path]:
    """The groups that this process is in and that are seen here, the best first."""
    inside: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            inside |= {name: path for name in HIERARCHIES if name in controllers.split(",")}
    found: dict[str, Path] = {}
    for name, where, root in _mounts():
        mine = Path(inside.get(name, "/.."))
        if ".." not in mine.parts and mine.is_relative_to(root):
            folder = where / mine.relative_to(root)
            if (folder / "cgroup.procs").exists():
                found[name] = folder
    return [found[name] for name in HIERARCHIES if name in found]


def make(nonce: str, place: str) -> Path | None:
    """A new group for an attempt; None where none can be made."""
    for parent in parents():
        _sweep(parent)
        made = parent / _name(nonce, place)
        with contextlib.suppress(OSError):
            made.mkdir(mode=0o755)
            if _can_be_entered(made):
                return made
            made.rmdir()
    return None


def _sweep(parent: Path) -> None:
    """Take away what killed runs left; the kernel refuses that of a group with a process in it."""
    for left in parent.glob("rmtui-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > OLD:
                left.rmdir()


def _can_be_entered(group: Path) -> bool:
    """Version 2 wants the right to write in the group above, too, which a folder alone that was given away lacks; and
    below a threaded group there are no processes. https://docs.kernel.org/admin-guide/cgroup-v2.html"""
    kind = group / "cgroup.type"
    if not kind.exists():
        return True
    return kind.read_text().strip() == "domain" and os.access(group.parent / "cgroup.procs", os.W_OK)


def enter(group: Path | None, pid: int) -> bool:
    """Move a process into its group, and with it whatever it starts from now on; whether that was possible."""
    try:
        if group is not None:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        return False
    return group is not None


def pids(launch: Mapping[str, object], place: str) -> list[int]:
    """The processes in an attempt's group that are seen here; none where it has no group, or names one that is not of
    this nonce and place."""
    group = _of(launch, place)
    found: set[int] = set()
    for path in [group / "cgroup.procs", *group.glob("**/cgroup.procs")] if group else []:
        with contextlib.suppress(OSError, ValueError):
            found |= {int(word) for word in path.read_text().split()}
    return sorted(found - {0})


def remove(launch: Mapping[str, object], place: str) -> None:
    """Take an empty group away."""
    if group := _of(launch, place):
        with contextlib.suppress(OSError):
            group.rmdir()


def _of(launch: Mapping[str, object], place: str) -> Path | None:
    group = Path(str(launch.get("cgroup") or "/"))
    inside = ".." not in group.parts and any(group.is_relative_to(where) for _, where, _ in _mounts())
    nonce = str(launch.get("nonce") or "")
    return group if inside and nonce and place and group.name == _name(nonce, place) else None


def why_not() -> str:
    """Why no group can be made here; "" where a process was moved into one and out again by its end."""
    made = make("doctor", os.urandom(4).hex())
    if made is None:
        return "none of the control groups that this process is in may get a child" if parents() else "none is mounted"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as waits:
        entered = enter(made, waits.pid)
    with contextlib.suppress(OSError):
        made.rmdir()
    return "" if entered else f"no process can be moved into a child of {made.parent}"
