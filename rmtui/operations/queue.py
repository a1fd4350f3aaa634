"""The queue as a person sees it: its order, moving, starting again after the machine restarted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rmtui.errors import UserError
from rmtui.launch import spawn
from rmtui.runs import cluster_jobs, identity, ownership, proc, queue_tickets, state
from rmtui.runs.cluster_jobs import ClusterJob
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Place:
    """One waiting run."""

    id: str
    name: str
    place: int
    """1: first in line."""
    needs: str
    """`the CPU`, `2 GPUs`, `GPU 0, 3`."""
    since: float
    attended: bool
    """False: it waits for a person (`start_again`)."""
    reason: str


def places(ws: Workspace) -> list[Place]:
    """Every waiting run in order: those of this machine, then those that a scheduler holds, in the order of their
    submission, since only it knows which one is next."""
    here = [_place(ws, ticket, number) for number, ticket in enumerate(_waiting(ws), 1)]
    return [*here, *(_held(run, job, number) for number, (run, job) in enumerate(_submitted(ws), len(here) + 1))]


def _submitted(ws: Workspace) -> list[tuple[RunFolder, ClusterJob]]:
    """Runs whose job waits, first submitted first."""
    found = [(run, cluster_jobs.read(run)) for run in cluster_jobs.open_runs(ws.queue, ws.runs)]
    waiting = [(run, job) for run, job in found if job is not None and state.status(run).state == State.QUEUED]
    return sorted(waiting, key=lambda pair: pair[1].t)


def _held(run: RunFolder, job: ClusterJob, number: int) -> Place:
    return Place(run.id, run.name(), number, job.needs, job.t, True, state.status(run).reason)


def _place(ws: Workspace, ticket: queue_tickets.Ticket, number: int) -> Place:
    run = RunFolder(ws.runs / ticket.run)
    attended = queue_tickets.attended(ws.queue, ticket)
    reason = state.status(run).reason
    return Place(run.id, run.name(), number, state.format_needs(ticket.needs), ticket.t, attended, reason)


def _waiting(ws: Workspace) -> list[queue_tickets.Ticket]:
    """Tickets that are not spent."""
    found = []
    for ticket in queue_tickets.tickets(ws.queue):
        last = RunFolder(ws.runs / ticket.run).last_attempt()
        if last is None or last.n < ticket.attempt:
            found.append(ticket)
    return found


def move(ws: Workspace, run_id: str, place: int) -> None:
    """Put a waiting run at `place` (1: first; beyond the end: last)."""
    identity.refuse_copy(ws.root)
    with queue_tickets.turn(ws.queue):
        line = _waiting(ws)
        mine = next((ticket for ticket in line if ticket.run == run_id), None)
        if mine is None and run_id in [run.id for run, _ in _submitted(ws)]:
            why = "its scheduler alone orders the jobs that it holds"
            raise UserError(f"{run_id} was not moved", why, "see what the site offers (scontrol update Nice=…)")
        if mine is None:
            raise _no_place(run_id)
        rest = [ticket for ticket in line if ticket.run != run_id]
        at = min(max(place, 1), len(line)) - 1
        queue_tickets.write(ws.queue, dataclasses.replace(mine, order=_between(rest, at)))


def check_waits(ws: Workspace, run_id: str) -> None:
    """UserError if the run has no place in the queue: whoever takes one out of it means to stop no training."""
    if run_id not in [*(ticket.run for ticket in _waiting(ws)), *(run.id for run, _ in _submitted(ws))]:
        raise _no_place(run_id)


def _no_place(run_id: str) -> UserError:
    return UserError(f"{run_id} does not wait", "it is not in the queue", "see: rmtui queue")


def _between(rest: list[queue_tickets.Ticket], at: int) -> float:
    if not rest:
        return 1.0
    if at == 0:
        return rest[0].order - 1
    if at >= len(rest):
        return rest[-1].order + 1
    return (rest[at - 1].order + rest[at].order) / 2


def start_again(ws: Workspace, run_id: str | None = None) -> list[str]:
    """Start the waiting again for runs whose waiting process is gone (all, or one); returns their ids."""
    identity.refuse_copy(ws.root)
    started = []
    for ticket in _waiting(ws):
        if ownership.foreign(ws.root, RunFolder(ws.runs / ticket.run)):
            continue  # it came by copy: a person has to see its command first, in `resume`
        if run_id in (None, ticket.run) and not queue_tickets.attended(ws.queue, ticket):
            fresh = dataclasses.replace(ticket, host=proc.host(), boot_id=proc.boot_id())
            with queue_tickets.turn(ws.queue):
                queue_tickets.write(ws.queue, fresh)
            if spawn.wait_in_line(ws, RunFolder(ws.runs / ticket.run), ticket.attempt):
                started.append(ticket.run)
    return started
