"""A control group of its own for each attempt, where one may be made: what drops its environment stays in it.

It is a child of the group that the supervisor is in, never one beside it or above: limits and accounts of Slurm,
systemd or a container hold as before. Its name carries nonce and place of the attempt, so that launch.json cannot name
another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
HIERARCHIES = ("", "freezer", "pids")
"""Of version 2, then of version 1 the two that limit and count nothing by themselves."""


def _name(nonce: str, place: str) -> str:
    return f"rmtui-{nonce}-{place}"


def parents() -> list[Path]:
    """The groups that this process is in and could make a child of, the best first."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, inside = line.split(":", 2)
            folder = MOUNT / controllers / inside.lstrip("/")
            if controllers in HIERARCHIES and (folder / "cgroup.procs").exists():
                found[controllers] = folder
    return [found[key] for key in HIERARCHIES if key in found]


def make(nonce: str, place: str) -> Path | None:
    """A new group for an attempt; None where none can be made."""
    for parent in parents():
        with contextlib.suppress(OSError):
            made = parent / _name(nonce, place)
            made.mkdir(mode=0o755)
            return made
    return None


def enter(group: Path | None, pid: int) -> None:
    """Move a process into its group, and with it whatever it starts from now on."""
    if group is not None:
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text(str(pid))


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
    inside = group.is_absolute() and ".." not in group.parts and group.is_relative_to(MOUNT)
    nonce = str(launch.get("nonce") or "")
    return group if inside and nonce and place and group.name == _name(nonce, place) else None


def why_not() -> str:
    """Why no group can be made here; "" where one can."""
    made = make("doctor", "")
    if made is None:
        return "none of the control groups that this process is in may get a child" if parents() else "none is mounted"
    with contextlib.suppress(OSError):
        made.rmdir()
    return ""
