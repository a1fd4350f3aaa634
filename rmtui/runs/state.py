"""The state of a run, derived from its files, locks and processes each time it is asked for. Writes nothing."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.runs import cluster_jobs, event_tail, life, proc, queue_tickets, typed_files
from rmtui.runs.files import lock_held
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import RESUMES, Attempt, State, Status
from rmtui.text import clock, count, span
from rmtui.workspace import on_disk
from trainer.plain_files import read_tail

if TYPE_CHECKING:
    from trainer.heartbeat import Beat

GRACE = 90.0
"""Seconds a stopping training has for its checkpoint before it is killed, where launch.json names no other."""
STALL_FLOOR = 60.0
"""Seconds without a step, or a batch of an evaluation, that are never called a stall."""
SILENT_FLOOR = 300.0
"""The same for work that has no measure of its own: a first step or batch, a checkpoint, the check of the model."""
_FINAL = {State.FINISHED, State.STOPPED, State.FAILED, State.KILLED, State.INTERRUPTED}
LARGEST_NOTE = 4096


UNVERIFIED = "; not verified: "
"""What the trainer's reason says of a model that its closing check doubts; a later `verify` may take it away."""


def status(folder: RunFolder) -> Status:
    """The state of a run with its reason in words; what of it is unreadable is said first."""
    ticket = queue_tickets.read(_queue(folder), folder.id)  # first: it goes when its attempt is there
    last = folder.last_attempt()
    now, found = _status(folder, ticket, last), unreadable(folder, last)
    if UNVERIFIED in now.reason and folder.verified():
        now = now._replace(reason=now.reason.partition(UNVERIFIED)[0])
    if not found:
        return now
    words = "; ".join([*found, *filter(None, [now.reason])])
    return now._replace(reason=words, resumable=now.resumable and bool(folder.spec()))


def unreadable(folder: RunFolder, last: AttemptFolder | None) -> list[str]:
    """`attempt-1/exit.json is unreadable: outcome is a list, not text` for each such document of a run and of one of
    its attempts."""
    found = {"spec.toml": folder.read_spec(), "meta.toml": folder.read_meta()}
    if last is not None:
        reads = {"launch.json": last.read_launch, "result.json": last.read_result, "exit.json": last.read_exit}
        found |= {f"{last.path.name}/{name}": read() for name, read in reads.items()}
    return [f"{name} is unreadable: {read.why}" for name, read in found.items() if read.why]


def _status(folder: RunFolder, ticket: queue_tickets.Ticket | None, last: AttemptFolder | None) -> Status:
    if ticket is not None and (last is None or last.n < ticket.attempt):
        now = _queued(folder, ticket)
        if ticket.attempt == 1:
            return now
        step = typed_files.number_of(Path(ticket.resume).name, "step-") or 0
        return now._replace(reason=f"{RESUMES}{step}; {now.reason}")
    if (job := cluster_jobs.read(folder)) is not None:
        return _scheduled(folder, job, last)
    failed = folder.failed_start()
    if failed.get("attempt", 0) > (last.n if last else 0):
        return _final(State.FAILED, f"failed to start: {failed.get('reason', '')}")
    if last is not None:
        return attempt_status(folder, last)
    return _without_attempt(folder)


def attempt_status(folder: RunFolder, attempt: AttemptFolder) -> Status:
    """The state of one start of a run. The way of launching (launch.json, `kind`) chooses how life is determined."""
    ended = attempt.exit()
    if ended is not None and ended.get("outcome") in _FINAL:
        return _final(State(ended["outcome"]), str(ended.get("reason", "")))
    if folder.origin.exists():
        return Status(State.UNKNOWN, "it was imported before it ended; how it ended is known where it was trained")
    read = attempt.read_launch()
    if read.why or read.document == {}:
        return Status(State.UNKNOWN, "where and when it was started is not known")
    launch = read.document or {}
    if launch.get("kind", "local") not in LIVENESS and (job := cluster_jobs.read(folder)) is not None:
        return _scheduled(folder, job, attempt)
    return LIVENESS.get(str(launch.get("kind", "local")), local_liveness)(folder, attempt, launch)


def local_liveness(folder: RunFolder, attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    """An attempt of this kind of machine, without exit.json: locks and processes decide, not the host's name."""
    supervisor, original = lock_held(attempt.lock), life.original(attempt, launch)
    if supervisor and original is None:  # hard links of a copy are the very files that the original's processes lock
        return _supervised(folder, attempt, launch)
    if launch and not (launch.get("host") and launch.get("boot_id")):
        return Status(State.UNKNOWN, "launch.json does not name the machine it was started on")
    if original is not None:
        return Status(State.UNKNOWN, f"this is a copy of {original}, which trains on; look there")
    training = life.training_held(attempt)
    if launch and life.processes(attempt, launch):
        return Status(State.RUNNING, "its supervisor is gone; training continues", supervised=False)
    if training:
        return Status(State.RUNNING, _out_of_reach(launch), reachable=False)
    # The supervisor may have written its last word between the two looks.
    if (ended := attempt.read_exit(again=True).document) is not None and ended.get("outcome") in _FINAL:
        return _final(State(ended["outcome"]), str(ended.get("reason", "")))
    return _not_seen_alive(attempt, launch, supervisor is None or training is None)


def _out_of_reach(launch: Mapping[str, object]) -> str:
    if not launch:
        return "it was started without rmtui, and its ranks hold their locks"
    where = "in another container" if launch["boot_id"] == proc.boot_id() else f"on {launch['host']}"
    return f"it trains {where} (its ranks hold their locks), where its supervisor is gone"


def _not_seen_alive(attempt: AttemptFolder, launch: Mapping[str, object], no_locks: bool) -> Status:
    """Nobody is seen to work at it: whether that means that it is dead."""
    host, here = launch.get("host", proc.host()), proc.host()
    if launch.get("boot_id", proc.boot_id()) != proc.boot_id():
        if host != here and not _was_here(attempt, launch):
            return Status(State.UNKNOWN, f"it runs, or ran, on {host}; look there")
        return _final(State.INTERRUPTED, f"machine restarted at {clock(proc.boot_time(), time.time())}")
    if no_locks:
        words = "its locks cannot be read here (no right, or a file system without locks), and no process of it is seen"
        return Status(State.UNKNOWN, words)
    same_pids = launch.get("pid_namespace", proc.pid_namespace()) == proc.pid_namespace()
    if (host != here or not same_pids) and not life.keeps_locks(attempt):
        where = host if host != here else "another container"
        return Status(State.UNKNOWN, f"it runs, or ran, on {where}; look there")
    return _by_result(attempt, launch)


def _was_here(attempt: AttemptFolder, launch: Mapping[str, object]) -> bool:
    """Whether it was this machine under another name, before it restarted: its folder is the very one of the launch, on
    a disk, and no two kernels have the same disk mounted. The device's number may change with a restart."""
    _, _, inode = str(launch.get("place", "")).partition(".")
    same = bool(inode) and proc.place(attempt.path).partition(".")[2] == inode
    return same and life.keeps_locks(attempt) and on_disk(attempt.path)


def _scheduled(folder: RunFolder, job: cluster_jobs.ClusterJob, last: AttemptFolder | None) -> Status:
    """A run that a scheduler holds: the last word of its attempt, else what the scheduler said, with its age."""
    said = cluster_jobs.said(folder, job)
    attempt = last if last is not None and last.n >= job.attempt else None
    launch, ended = (attempt.launch(), attempt.exit() or {}) if attempt else ({}, {})
    over = said is not None and said.state == cluster_jobs.ENDED
    next_job = bool(job.id) and launch.get("job", job.id) != job.id  # of a chain
    restarted = next_job or (said is not None and said.restarts > int(launch.get("restart", 0)))
    if ended.get("outcome") in _FINAL and (over or not (restarted or ended.get("requeued"))):
        return _final(State(ended["outcome"]), str(ended.get("reason", "")))
    begun = bool(launch) and not ended and not restarted
    if attempt is not None and begun and (said is None or said.state not in (cluster_jobs.QUEUED, cluster_jobs.ENDED)):
        return _on_nodes(folder, job, attempt, launch, said.reason if said is not None else "")
    if over:
        return _final(State.INTERRUPTED, f"its job {job.id} has ended; how, is being looked up")
    if said is None or said.state == cluster_jobs.QUEUED:
        return _waits_for_job(folder, job, said, ended, next_job)
    state = State.STOPPING if said.state == cluster_jobs.ENDING else State.STARTING
    on = f"on {said.nodes}" if said.nodes else ""
    return Status(state, _with_age(folder, job, on))


def _on_nodes(
    folder: RunFolder, job: cluster_jobs.ClusterJob, attempt: AttemptFolder, launch: dict[str, Any], said: str
) -> Status:
    now = _under_supervisor(folder, attempt, launch)
    where = f"on {','.join(launch.get('nodes', []))}" if now.state != State.STOPPING else ""
    words = "; ".join(filter(None, [where, said or now.reason]))
    return now._replace(reason=_with_age(folder, job, words))


def _waits_for_job(
    folder: RunFolder,
    job: cluster_jobs.ClusterJob,
    said: cluster_jobs.ClusterJobState | None,
    ended: Mapping[str, object],
    next_job: bool,
) -> Status:
    restarts = max(said.restarts if said else 0, int(bool(ended.get("requeued"))))
    again = bool(restarts) or next_job
    goes_on = "goes on in the next job of its chain" if next_job else "requeued"
    parts = [f"{ended['reason']}, {goes_on}" if ended.get("reason") else goes_on] if again else []
    if restarts > 1:
        parts[0] += f" {restarts} times"
    parts.append(said.reason if said and said.reason else f"submitted as job {job.id}" if job.id else "being submitted")
    if said is not None and said.begins:
        parts.append(f"expected to start at {clock(said.begins, time.time())}")
    now = Status(State.QUEUED, _with_age(folder, job, ", ".join(parts)))
    step = typed_files.number_of(Path(job.resume).name, "step-")
    return now if again or not step else now._replace(reason=f"{RESUMES}{step}; {now.reason}")


def _with_age(folder: RunFolder, job: cluster_jobs.ClusterJob, words: str) -> str:
    """The scheduler's word, with its age where it does not answer any more."""
    if (old := cluster_jobs.age(folder, job)) is None:
        return words
    return "; ".join(filter(None, [words, f"as it was {span(old[0])} ago: {old[1]}"]))


LIVENESS: dict[str, Callable[[RunFolder, AttemptFolder, dict[str, Any]], Status]] = {"local": local_liveness}
"""Way of launching → how living and dead attempts are distinguished."""


def _supervised(folder: RunFolder, attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    """Its supervisor holds its lock; whether it works as well."""
    now = _under_supervisor(folder, attempt, launch)
    beat = life.supervisor_beat(attempt)
    if beat is None or launch.get("boot_id") != proc.boot_id() or beat.silence() < life.SILENT_AFTER:
        return now
    silence = span(beat.silence(), tenths=True)
    words = f"its supervisor (pid {beat.process.pid}) has been silent for {silence}: stop replaces it"
    return now._replace(reason="; ".join(filter(None, [words, now.reason])), silent=True)


def _under_supervisor(folder: RunFolder, attempt: AttemptFolder, launch: dict[str, Any]) -> Status:
    stuck = launch_note(attempt, "stuck")
    if stuck:
        return Status(State.STOPPING, stuck)
    if requests := folder.requests("stop", attempt.n):
        return Status(State.STOPPING, _countdown(requests, launch))
    if ending := launch_note(attempt, "ending"):
        return Status(State.STOPPING, ending)
    if not attempt.rank_steps():
        words = starting(attempt) or _joining(attempt, int(launch.get("machines", 1)))
        return Status(State.STARTING, words if launch else "the supervisor prepares it")
    return Status(State.RUNNING, stall(attempt) or doing(attempt))


def launch_note(attempt: AttemptFolder, name: str) -> str:
    """A word that the supervisor left for readers: `stuck`, processes that the kernel will not let die, `ending`, or
    `shared`, a GPU with others."""
    try:
        return read_tail(attempt.path / f"{name}.txt", LARGEST_NOTE).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _countdown(requests: list[dict[str, Any]], launch: dict[str, Any]) -> str:
    if any(request.get("now") for request in requests):
        return "being killed"
    left = float(requests[0].get("t", 0)) + float(launch.get("grace", GRACE)) - time.time()
    if left <= 0:
        return "did not stop in time; being killed"
    return f"saving a checkpoint; will be killed in {left:.0f} s if it hangs"


def _by_result(attempt: AttemptFolder, launch: Mapping[str, object]) -> Status:
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
    return _final(State.INTERRUPTED, f"its processes are gone without a final message{where}")


def _last_step(attempt: AttemptFolder) -> str:
    steps = [step for step, _ in attempt.rank_steps().values()]
    return f", last step {max(steps)}" if steps else ""


def _final(state: State, reason: str) -> Status:
    return Status(state, reason, resumable=state != State.FINISHED)


def _queue(folder: RunFolder) -> Path:
    return folder.path.parent.parent / "queue"


def _queued(folder: RunFolder, ticket: queue_tickets.Ticket) -> Status:
    if queue_tickets.attended(_queue(folder), ticket):
        place = 1 + sum(other.order < ticket.order for other in queue_tickets.tickets(_queue(folder)))
        waits = queue_tickets.trouble(_queue(folder), folder.id) or f"waits for {format_needs(ticket.needs)}"
        return Status(State.QUEUED, f"place {place}, {waits}")
    if ticket.boot_id != proc.boot_id() and ticket.host != proc.host():
        text = f"waits on {ticket.host}, if that machine is up; if it is not: rmtui queue --start"
        return Status(State.QUEUED, text, supervised=False)
    if ticket.boot_id != proc.boot_id():
        since = f"the machine restarted at {clock(proc.boot_time(), time.time())}"
    else:
        since = "its waiting process was ended"
    return Status(State.QUEUED, f"{since}; start it again with: rmtui queue --start", supervised=False)


def format_needs(needs: queue_tickets.Needs) -> str:
    """`GPU 0, 3`, `2 GPUs`, `the CPU`."""
    if needs.kind == "cpu":
        return "the CPU"
    if needs.names:
        return f"GPU {', '.join(needs.names)}"
    return "a GPU" if needs.count == 1 else f"{needs.count} GPUs"


def _without_attempt(folder: RunFolder) -> Status:
    if folder.spec().get("launch", {}).get("kind") == "imported":
        if lock_held(folder.watched):
            return Status(State.RUNNING, "elsewhere; rmtui watch follows it")
        return Status(State.IMPORTED, _source_end(folder.spec()))
    if requests := folder.requests("stop", 0):
        return _final(State.STOPPED, f"removed from the queue by {requests[-1].get('by', 'someone')}")
    if not folder.spec():
        return Status(State.UNKNOWN, "spec.toml is missing or broken")
    return _final(State.INTERRUPTED, "the launch was cut off before it was queued")


def stall(attempt: AttemptFolder, now: float | None = None) -> str:
    """`no step for 6 min, usually 1.3 s; rank 5 is behind`, or "" while the training moves at its own measure.

    Between steps the measure is that of what it does there: an evaluation's batches, or how long its start took.
    """
    ranks = attempt.beats()
    if not ranks:
        return ""
    now = time.time() if now is None else now
    latest = max(ranks.values(), key=lambda beat: beat.t)
    times = _event_times(attempt, "step")
    quiet = now - max([latest.t, *times[-1:]])
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    usual = _batch(latest) if latest.of else None if latest.doing or not gaps else statistics.median(gaps)
    if quiet < _patience(attempt, latest, gaps, usual):
        return ""
    thing = "batch" if latest.of else "sign of life" if latest.doing else "step"
    before = f"{_done(latest, ranks)}: " if latest.doing else ""
    measure = "" if usual is None else f", usually {span(usual, tenths=True)}"
    return f"{before}no {thing} for {span(quiet, tenths=True)}{measure}{_lag(ranks, latest)}"


def _batch(latest: Beat) -> float | None:
    """Mean seconds of an evaluation's batches so far."""
    return (latest.t - latest.since) / latest.beats if latest.beats else None


def _patience(attempt: AttemptFolder, latest: Beat, gaps: Sequence[float], usual: float | None) -> float:
    """Seconds without a sign of life that are not called a stall."""
    longest = 3 * max(gaps, default=0.0)
    if usual is not None:
        return max(STALL_FLOOR, 10 * usual, 0.0 if latest.doing else longest)
    return max(SILENT_FLOOR, longest, 3 * _start_took(attempt))


def _start_took(attempt: AttemptFolder) -> float:
    """Seconds from the launch to the trainer's first event: imports, model and data, as the saved model's check has."""
    began, first = attempt.launch().get("t"), _event_times(attempt, "start", from_end=False)
    return first[0] - float(began) if first and began is not None else 0.0


def starting(attempt: AttemptFolder) -> str:
    """What a start is busy with: `importing torch, 6 s`, `tokenizing 43,835 pairs, 61 %`."""
    beat = attempt.starting()
    if beat is None:
        return ""
    if beat.of:
        return f"{beat.doing} {count(beat.of)} pairs, {100 * beat.done // beat.of} %"
    return f"{beat.doing}, {max(0.0, time.time() - beat.since):.0f} s"


def _joining(attempt: AttemptFolder, machines: int) -> str:
    """What the other machines of a training have to be told, until its ranks begin."""
    lines = [f"on machine {n}: sh {attempt.machine_script(n)}" for n in range(1, machines)]
    return f"waits for the other machines; {'; '.join(lines)}" if lines else ""


def doing(attempt: AttemptFolder) -> str:
    """With whom it shares its GPUs, else what a training does between its steps: `evaluating 120/341`."""
    if shared := launch_note(attempt, "shared"):
        return shared
    ranks = attempt.beats()
    return _done(max(ranks.values(), key=lambda beat: beat.t), ranks) if ranks else ""


def _done(latest: Beat, ranks: Mapping[int, Beat]) -> str:
    if not latest.of:
        return latest.doing
    least = min(beat.done for beat in ranks.values() if beat.doing == latest.doing)
    return f"{latest.doing} {least}/{latest.of}"


def _lag(ranks: Mapping[int, Beat], latest: Beat) -> str:
    """Which rank the others wait for; what is not counted only one of them does."""
    if latest.doing and not latest.of:
        return ""
    behind = min(ranks, key=lambda rank: _place(ranks[rank]))
    step, done, t = _place(ranks[behind])
    others = map(_place, ranks.values())
    return f"; rank {behind} is behind" if any(a > step or b > done or c > t + 1 for a, b, c in others) else ""


def _place(beat: Beat) -> tuple[int, int, float]:
    return beat.step, beat.done, beat.t


def _event_times(attempt: AttemptFolder, kind: str, from_end: bool = True) -> list[float]:
    """When such events were, from the latest or the first lines of events.jsonl."""
    return [event.t for event in event_tail.read(attempt, kind, from_end=from_end)]


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


def _source_end(spec: Mapping[str, Any]) -> str:
    """How far the source of an imported run went, in words; empty where it does not say."""
    reason = spec.get("origin", {}).get("reason")
    return reason if isinstance(reason, str) else ""
