"""Where a run stands, derived from its files, locks and processes each time it is asked for. Writes nothing."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmtui.records import proc, tickets
from rmtui.records.facts import Attempt, State, Status
from rmtui.records.files import lock_held
from rmtui.records.folder import AttemptFolder, RunFolder

GRACE = 90.0
"""Seconds a stopping training has for its checkpoint before it is killed, where launch.json names no other."""
STALL_FLOOR = 60.0
"""Seconds without a step that are never called a stall."""
_FINAL = {State.FINISHED, State.STOPPED, State.FAILED, State.KILLED, State.INTERRUPTED}
_TAIL = 1 << 16


def status(folder: RunFolder) -> Status:
    """The state of a run with its reason in words."""
    ticket = tickets.read(_queue(folder), folder.id)
    last = folder.last_attempt()
    if ticket is not None and (last is None or last.n < ticket.attempt):
        return _queued(folder, ticket)
    if last is not None:
        return attempt_status(folder, last)
    return _without_attempt(folder)


def attempt_status(folder: RunFolder, attempt: AttemptFolder) -> Status:
    """The state of one start of a run. The way of launching (launch.json, `kind`) chooses how life is told."""
    ended = attempt.exit()
    if ended is not None and ended.get("outcome") in _FINAL:
        return _final(State(ended["outcome"]), str(ended.get("reason", "")))
    launch = attempt.launch()
    return LIVENESS.get(str(launch.get("kind", "local")), local_liveness)(folder, attempt, launch)


def local_liveness(folder: RunFolder, attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    """An attempt of this kind of machine, without exit.json: locks and processes decide."""
    if launch.get("host", proc.host()) != proc.host():
        return Status(State.UNKNOWN, f"it runs, or ran, on {launch['host']}; look there")
    if launch.get("boot_id", proc.boot_id()) != proc.boot_id():
        return _final(State.INTERRUPTED, f"machine restarted at {clock(proc.boot_time())}")
    if lock_held(attempt.lock):
        return _supervised(folder, attempt, launch)
    if launch and proc.tagged(folder.id, attempt.n, launch.get("nonce")):
        return Status(State.RUNNING, "its supervisor is gone; the training goes on", supervised=False)
    # The supervisor may have written its last word between the two looks.
    if (ended := attempt.exit()) is not None and ended.get("outcome") in _FINAL:
        return _final(State(ended["outcome"]), str(ended.get("reason", "")))
    return _by_result(attempt, launch)


LIVENESS: dict[str, Callable[[RunFolder, AttemptFolder, dict[str, Any]], Status]] = {"local": local_liveness}
"""Way of launching → how its attempts are told alive from dead."""


def _supervised(folder: RunFolder, attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    stuck = launch_note(attempt, "stuck")
    if stuck:
        return Status(State.STOPPING, stuck)
    if requests := folder.requests("stop", attempt.n):
        return Status(State.STOPPING, _countdown(requests, launch))
    if ending := launch_note(attempt, "ending"):
        return Status(State.STOPPING, ending)
    if not attempt.rank_steps():
        return Status(State.STARTING, "" if launch else "the supervisor prepares it")
    return Status(State.RUNNING, stall(attempt))


def launch_note(attempt: AttemptFolder, name: str) -> str:
    """A word that the supervisor left for readers: `stuck`, processes that the kernel will not let die, or `ending`."""
    try:
        return (attempt.path / f"{name}.txt").read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _countdown(requests: list[dict[str, Any]], launch: dict[str, Any]) -> str:
    if any(request.get("now") for request in requests):
        return "being killed"
    left = float(requests[0].get("t", 0)) + float(launch.get("grace", GRACE)) - time.time()
    return f"saves a checkpoint; is killed in {left:.0f} s" if left > 0 else "did not stop in time; being killed"


def _by_result(attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    """Nobody is left and no exit.json: the trainer's own last word decides."""
    result = attempt.result() or {}
    outcome, step = str(result.get("outcome", "")), result.get("step")
    if outcome in (State.FINISHED, State.FAILED):
        return _final(State(outcome), str(result.get("reason", "")))
    if outcome == State.STOPPED:
        return _final(State.INTERRUPTED, f"ended by a signal at step {step}; its supervisor was gone")
    if not launch:
        return _final(State.INTERRUPTED, "the start was cut off before anything ran")
    where = _last_step(attempt)
    return _final(State.INTERRUPTED, f"its processes are gone without a last word{where}")


def _last_step(attempt: AttemptFolder) -> str:
    steps = [step for step, _ in attempt.rank_steps().values()]
    return f", last step {max(steps)}" if steps else ""


def _final(state: State, reason: str) -> Status:
    return Status(state, reason, resumable=state != State.FINISHED)


def _queue(folder: RunFolder) -> Path:
    return folder.path.parent.parent / "queue"


def _queued(folder: RunFolder, ticket: tickets.Ticket) -> Status:
    if tickets.attended(_queue(folder), ticket):
        place = 1 + sum(other.order < ticket.order for other in tickets.tickets(_queue(folder)))
        return Status(State.QUEUED, f"place {place}, waits for {needs_words(ticket.needs)}")
    if ticket.host != proc.host():
        return Status(State.QUEUED, f"waits on {ticket.host}, if that machine is up")
    if ticket.boot_id != proc.boot_id():
        since = f"the machine restarted at {clock(proc.boot_time())}"
    else:
        since = "its waiting process was ended"
    return Status(State.QUEUED, f"{since}; start it again with: rmtui queue --start", supervised=False)


def needs_words(needs: tickets.Needs) -> str:
    """`GPU 0, 3`, `2 GPUs`, `the CPU`."""
    if needs.kind == "cpu":
        return "the CPU"
    if needs.names:
        return f"GPU {', '.join(needs.names)}"
    return "a GPU" if needs.count == 1 else f"{needs.count} GPUs"


def _without_attempt(folder: RunFolder) -> Status:
    if folder.spec().get("launch", {}).get("kind") == "imported":
        return Status(State.IMPORTED)
    if requests := folder.requests("stop", 0):
        return _final(State.STOPPED, f"taken out of the queue by {requests[-1].get('by', 'someone')}")
    if not folder.spec():
        return Status(State.UNKNOWN, "spec.toml is missing or broken")
    return _final(State.INTERRUPTED, "the launch was cut off before it was queued")


def stall(attempt: AttemptFolder, now: float | None = None) -> str:
    """`no step for 6 min, usually 1.3 s; rank 5 is behind`, or "" while the training moves at its own measure."""
    ranks = attempt.rank_steps()
    if not ranks:
        return ""
    now = time.time() if now is None else now
    times = _step_times(attempt)
    quiet = now - max([t for _, t in ranks.values()] + times[-1:])
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    usual = statistics.median(gaps) if gaps else 0.0
    if quiet < max(STALL_FLOOR, 10 * usual, 3 * max(gaps, default=0.0)):
        return ""
    behind = min(ranks, key=lambda rank: ranks[rank])
    measure = f", usually {duration(usual)}" if gaps else ""
    lag = f"; rank {behind} is behind" if len(ranks) > 1 and _lags(ranks, behind) else ""
    return f"no step for {duration(quiet)}{measure}{lag}"


def _lags(ranks: dict[int, tuple[int, float]], behind: int) -> bool:
    return any(step > ranks[behind][0] or t > ranks[behind][1] + 1 for step, t in ranks.values())


def _step_times(attempt: AttemptFolder) -> list[float]:
    """When the latest steps were made, from the end of events.jsonl."""
    from trainer.events import decode

    try:
        with attempt.events.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    events = [decode(line) for line in lines if b'"step"' in line]
    return [event.t for event in events if event is not None and event.kind == "step"]


def attempt_fact(folder: RunFolder, attempt: AttemptFolder, status: Status | None = None) -> Attempt:
    """One attempt as lists show it. `status`: the run's, where the attempt is its last and was looked at already."""
    now = attempt_status(folder, attempt) if status is None or status.state == State.QUEUED else status
    launch, ended = attempt.launch(), attempt.exit() or {}
    return Attempt(
        n=attempt.n,
        state=now.state,
        reason=now.reason,
        exit_code=ended.get("exit_code"),
        started=launch.get("t"),
        ended=ended.get("ended"),
        resumed_from_step=launch.get("resumed_from_step"),
    )


def clock(t: float) -> str:
    """`03:12` today, else `21 Nov 03:12`, in local time."""
    moment = time.localtime(t)
    today = time.strftime("%x") == time.strftime("%x", moment)
    return time.strftime("%H:%M" if today else "%d %b %H:%M", moment)


def duration(seconds: float) -> str:
    """`1.3 s`, `45 s`, `6 min`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
