"""Device slots: a kernel lock a GPU, and a few for the CPU. They vanish with their holder; no daemon counts them.

A GPU's lock is in /var/lock/rmtui where an admin made that for all users, else in the user's state folder, since all
workspaces share the GPUs; the CPU's are in the workspace, which
says how many runs it wants at once. A training whose supervisor died keeps its slots: its processes carry their names.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtui.launch.gpus import Gpu, gpus
from rmtui.runs import identity, proc, queue_tickets
from rmtui.runs.queue_tickets import Needs, Ticket
from rmtui.workspace import Workspace

SHARED = Path("/var/lock/rmtui")
"""Where an admin made this folder (mode 1777), the GPUs' locks of all users of the machine are in it."""


def needs_of(spec: Mapping[str, Any]) -> Needs:
    """The devices that spec.toml asks for."""
    launch = spec.get("launch", {})
    if launch.get("device", "cpu") == "cpu":
        return Needs()
    names, allowed = tuple(launch.get("devices", ())), tuple(launch.get("allowed", ()))
    return Needs("gpu", int(launch.get("processes", 1)) // int(launch.get("machines", 1)), names, allowed)


@dataclass(frozen=True, slots=True)
class Taken:
    """Slots that are ours: the locks live as long as these descriptors."""

    names: tuple[str, ...]
    devices: tuple[str, ...]
    """GPU UUIDs for CUDA_VISIBLE_DEVICES; empty on the CPU."""
    descriptors: tuple[int, ...]

    def release(self) -> None:
        for fd in self.descriptors:
            os.close(fd)


def cpu_names(ws: Workspace) -> list[str]:
    """Names of the workspace's CPU slots on this machine: the same in every container, and wherever it is mounted."""
    known = identity.read(ws.root)
    where = f"cpu-{proc.boot_id()[:8]}-{known.id if known else ws.root.name}"
    return [f"{where}-{number}" for number in range(ws.settings.cpu_runs)]


def gpu_name(gpu: Gpu) -> str:
    return f"gpu-{gpu.uuid}"


def lock_path(ws: Workspace, name: str) -> Path:
    if name.startswith("cpu-"):
        return ws.queue / f"{name}.slot"
    if SHARED.is_dir():
        return SHARED / f"{name}.slot"
    return ws.state_dir.parent / "devices" / proc.host() / f"{name}.slot"


def hold(ws: Workspace, names: Iterable[str]) -> tuple[int, ...] | None:
    """Lock every one of these slots, or none: None when one is held by another."""
    held: list[int] = []
    for name in names:
        fd = _open(lock_path(ws, name))
        held.append(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            for taken in held:
                os.close(taken)
            return None
    return tuple(held)


def _open(path: Path) -> int:
    """A slot's file, made where it is missing. Another user's can be locked too: a lock needs no right to write."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent != SHARED:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.fchmod(fd, 0o644)  # whatever the umask
        return fd


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    device: str = ""
    """UUID of the GPU; empty for the CPU."""
    foreign: bool = False
    """Processes that are none of ours compute on it."""


def take(
    ws: Workspace, needs: Needs, reserved: Sequence[str] = (), look: Callable[[], list[Gpu]] = gpus
) -> Taken | None:
    """Take what a ticket needs; None while it is not free. `reserved` slots belong to those further up the line."""
    fitting = candidates(ws, needs, look)
    carried = {name for process in proc.tagged() for name in process.slots}
    free = [slot for slot in fitting if not slot.foreign and slot.name not in carried and slot.name not in reserved]
    count = len(needs.names) or needs.count
    return _take_any(ws, free, count) if len(free) >= count else None


def _take_any(ws: Workspace, free: Sequence[Slot], count: int) -> Taken | None:
    slots: list[Slot] = []
    held: list[int] = []
    for slot in free:
        if len(slots) < count and (fds := hold(ws, [slot.name])) is not None:
            slots.append(slot)
            held += fds
    devices = tuple(slot.device for slot in slots if slot.device)
    taken = Taken(tuple(slot.name for slot in slots), devices, tuple(held))
    if len(slots) == count:
        return taken
    taken.release()
    return None


def candidates(ws: Workspace, needs: Needs, look: Callable[[], list[Gpu]] = gpus) -> list[Slot]:
    """Every slot that could serve a ticket, taken or not."""
    if needs.kind == "cpu":
        return [Slot(name) for name in cpu_names(ws)]
    names = needs.names or needs.allowed
    return [
        Slot(gpu_name(gpu), gpu.uuid, bool(gpu.pids))
        for gpu in look()
        if not names or gpu.uuid in names or gpu.index in names
    ]


def take_turn(ws: Workspace, mine: Ticket, look: Callable[[], list[Gpu]] = gpus) -> Taken | None:
    """Take devices for a ticket if nobody before it in the line waits for the same ones. Call it holding the turn."""
    reserved: list[str] = []
    for ticket in queue_tickets.tickets(ws.queue):
        if ticket.run == mine.run:
            return take(ws, mine.needs, reserved, look)
        if ticket.needs.kind == mine.needs.kind and queue_tickets.attended(ws.queue, ticket):
            if not ticket.needs.names:
                return None
            reserved += [slot.name for slot in candidates(ws, ticket.needs, look)]
    return None
