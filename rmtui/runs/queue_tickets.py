"""Tickets of the queue: one file a waiting run, `queue/<run id>.json`, beside a lock that its waiting process holds.

A ticket without a holder of its lock waits visibly for a person: the machine restarted, or the process was killed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rmtui.runs import proc, typed_files
from rmtui.runs.files import lock_held, locked, write_json
from trainer.plain_files import read_plain


@dataclass(frozen=True, slots=True)
class Needs:
    """The devices a run asks for: `count` slots of a kind, or these very ones."""

    kind: str = "cpu"
    """cpu: one slot of the workspace, whatever the processes; gpu: a device a process."""
    count: int = 1
    names: tuple[str, ...] = ()
    """Named devices (GPU indices as nvidia-smi shows them); empty: any."""
    allowed: tuple[str, ...] = ()
    """Devices that the launching shell could see (CUDA_VISIBLE_DEVICES, an allocation); empty: all."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue. Smaller `order` goes first."""

    run: str
    attempt: int
    """The attempt that it leads to; once that exists the ticket is spent."""
    order: float
    t: float
    host: str
    boot_id: str
    needs: Needs = field(default_factory=Needs)
    resume: str = ""
    """Checkpoint folder to go on from."""
    force: bool = False


def path_of(queue: Path, run: str) -> Path:
    return queue / f"{run}.json"


def waiter_lock(queue: Path, run: str) -> Path:
    """Held by the process that waits for the run's turn."""
    return queue / f"{run}.lock"


def read(queue: Path, run: str) -> Ticket | None:
    """The ticket of a run; None when it has none, or a broken one."""
    document = typed_files.read(path_of(queue, run), typed_files.TICKET).document
    if document is None or document.get("run") != run:
        return None
    try:
        return Ticket(**{**document, "needs": _needs(**document["needs"])})
    except (TypeError, KeyError):
        return None


def _needs(kind: str, count: int, names: list[str], allowed: list[str]) -> Needs:
    return Needs(kind, count, tuple(names), tuple(allowed))


def tickets(queue: Path) -> list[Ticket]:
    """Every ticket, first in line first."""
    found = [read(queue, path.stem) for path in queue.glob("*.json")]
    return sorted((ticket for ticket in found if ticket), key=lambda ticket: (ticket.order, ticket.run))


def write(queue: Path, ticket: Ticket) -> None:
    write_json(path_of(queue, ticket.run), dataclasses.asdict(ticket))


def add(queue: Path, run: str, attempt: int, needs: Needs, resume: str = "", force: bool = False) -> Ticket:
    """A new ticket at the end of the line. Call it holding the turn."""
    last = max((ticket.order for ticket in tickets(queue)), default=0.0)
    ticket = Ticket(run, attempt, last + 1, time.time(), proc.host(), proc.boot_id(), needs, resume, force)
    write(queue, ticket)
    return ticket


def remove(queue: Path, run: str) -> None:
    path_of(queue, run).unlink(missing_ok=True)


PATIENCE = 10.0
"""Seconds that a lock is waited for."""
TROUBLE_BYTES = 400
"""Of a waiter's lock file: why its run cannot begin, or blanks."""


def trouble(queue: Path, run: str) -> str:
    """Why a run whose turn it is cannot begin; "" while nothing is wrong."""
    try:
        return read_plain(waiter_lock(queue, run), 4096).decode("utf-8", "ignore").strip()
    except OSError:
        return ""


def attended(queue: Path, ticket: Ticket) -> bool:
    """Whether a process waits for the ticket's turn."""
    return lock_held(waiter_lock(queue, ticket.run)) is True


@contextmanager
def turn(queue: Path) -> Iterator[None]:
    """Held for the moment in which the line is read or changed and devices are taken."""
    queue.mkdir(mode=0o700, exist_ok=True)  # never a workspace that was renamed or removed
    with locked(queue / "turn.lock", PATIENCE, "the queue"):
        yield
