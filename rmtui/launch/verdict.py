"""How an attempt ended, in one place: exit codes are not states (a clean stop, a crash and an OOM kill all give 1)."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from rmtui.text import log_line
from trainer.plain_files import read_tail

_TORCHELASTIC = re.compile(rb"failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: (\d+)\)")
_RANKS = re.compile(rb"rank\s*: (\d+) \(local_rank: (\d+)\)")
_CLOSING = re.compile(rb"Sending process \d+ closing signal")
_ONE_PROCESS = re.compile(rb"(?:returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>)")
_TAIL_LINES = 6
LAUNCHER_LOG = "launch.log"
LAUNCHER_TAIL = 1 << 20
"""Bytes of the launcher's log in which its last words are looked for."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the supervisor saw."""

    exit_code: int | None
    """Of the launcher; negative: the signal that ended it; None: it was not this supervisor's child."""
    stop: Mapping[str, Any] | None = None
    """The first stop request."""
    at_once: bool = False
    """A request asked for a kill without waiting."""
    killed: bool = False
    """The grace ran out and the supervisor killed."""
    terminated: bool = False
    """The supervisor itself got a SIGTERM."""
    out_of_memory: bool = False
    """The kernel's count of OOM kills rose meanwhile."""
    rank: int | None = None
    """Whose exit code it is, where the launchers' logs were looked at already (on several machines)."""
    looked_at: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: State
    reason: str
    details: dict[str, Any] = field(default_factory=dict)
    """Further keys of exit.json: step, rank, tail, suggest."""


def judge(attempt: AttemptFolder, seen: Observed) -> Verdict:
    """The outcome of an attempt of which no process is left."""
    result = attempt.result() or {}
    step = _step(attempt, result)
    if result.get("outcome") == State.FINISHED:
        return Verdict(State.FINISHED, str(result.get("reason", "")), {"step": step})
    if seen.stop is not None or seen.terminated:
        return _asked(seen, result, step)
    code, rank = (seen.exit_code, seen.rank) if seen.looked_at else first_exit(attempt, seen.exit_code)
    if code is not None and code < 0 and code != -signal.SIGTERM:
        return _killed(code, rank, seen, step)  # before failures: those of the other ranks are its echo
    if failures := attempt.failures():
        return _failed(attempt, failures[0], step)
    if result.get("outcome") == State.FAILED:
        return Verdict(State.FAILED, str(result.get("reason", "")), {"step": step})
    if code is not None and code > 0 and rank is not None:
        return _exited(attempt, code, rank, step)  # before `stopped`: the other ranks were told to stop because of it
    if result.get("outcome") == State.STOPPED:
        return Verdict(State.INTERRUPTED, f"a SIGTERM from outside{_at(step)}", {"step": step})
    if code == -signal.SIGTERM:
        return Verdict(State.INTERRUPTED, f"a SIGTERM from outside ended it{_at(step)}", {"step": step})
    return _exited(attempt, code, rank, step)


def _asked(seen: Observed, result: Mapping[str, object], step: int | None) -> Verdict:
    by = str((seen.stop or {}).get("by", "")) or "someone"
    details = {"step": step}
    if seen.at_once:
        return Verdict(State.KILLED, f"killed at once by {by}{_at(step)}", details)
    if seen.stop is None:
        return Verdict(State.INTERRUPTED, f"its supervisor was asked to end (SIGTERM){_at(step)}", details)
    if result.get("outcome") == State.STOPPED:  # whatever helper had to be killed after it
        return Verdict(State.STOPPED, f"stopped by {by}{_at(step)}", details)
    if seen.killed:
        return Verdict(State.KILLED, f"did not stop in time and was killed{_at(step)}", details)
    before = "before the first step" if not step else f"without saving{_at(step)}"
    return Verdict(State.STOPPED, f"stopped by {by} {before}", details)


def _failed(attempt: AttemptFolder, failure: Mapping[str, Any], step: int | None) -> Verdict:
    rank = int(failure["rank"])
    step = failure.get("step") if isinstance(failure.get("step"), int) else step
    kind, text = str(failure.get("type", "")), str(failure.get("text", "")).strip()
    details = {"step": step, "rank": rank, "tail": tail(attempt.logs / f"rank{rank}.log")}
    if suggest := failure.get("suggest"):
        details["suggest"] = suggest
    if "OutOfMemory" in kind or suggest:
        config = RunFolder(attempt.path.parent).spec().get("config", {})
        words = f"out of memory on rank {rank}{_at(step)}{format_suggestion(suggest, config)}"
        return Verdict(State.FAILED, words, details)
    first = text.splitlines()[0] if text else ""
    words = ": ".join(filter(None, (kind, first))) or "error"
    remedy = f"; {failure['remedy']}" if failure.get("remedy") else ""
    return Verdict(State.FAILED, f"{words} (rank {rank}){_at(step)}{remedy}", details)


def format_suggestion(suggest: Any, config: Mapping[str, object]) -> str:
    """`: try batch size 2 × accumulation 4`, `: try batch_tokens 8192`; what stays as it was is left out."""
    if not isinstance(suggest, Mapping):
        return ""
    suggest = {key: value for key, value in suggest.items() if key != "max_length" or config.get(key) != value}
    batch, groups = suggest.get("batch_size"), suggest.get("gradient_accumulation_steps")
    text = f"batch size {batch} × accumulation {groups}" if batch and groups else ""
    if tokens := suggest.get("batch_tokens"):
        text = f"batch_tokens {tokens}"
    if length := suggest.get("max_length"):
        text += f"{', ' if text else ''}length {length}"
    return f": try {text}" if text else ""


def describe_exit(code: int) -> str:
    """`exited with code 3`, `was killed (SIGKILL)`, `crashed (SIGSEGV)`."""
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{'was killed' if code == -signal.SIGKILL else 'crashed'} ({name})"


def _killed(code: int, rank: int | None, seen: Observed, step: int | None) -> Verdict:
    who = "the launcher" if rank is None else f"rank {rank}"
    details = {"step": step, "rank": rank}
    if code == -signal.SIGKILL and seen.out_of_memory:
        return Verdict(State.KILLED, f"out of memory, {who}{_at(step)}", details)
    outcome = State.KILLED if code == -signal.SIGKILL else State.FAILED
    return Verdict(outcome, f"{who} {describe_exit(code)}{_at(step)}", details)


def _exited(attempt: AttemptFolder, code: int | None, rank: int | None, step: int | None) -> Verdict:
    log = attempt.logs / ("launch.log" if rank is None else f"rank{rank}.log")
    lines = tail(log) or tail(attempt.logs / "launch.log")
    details = {"step": step, "rank": rank, "tail": lines}
    if code is None:
        return Verdict(State.INTERRUPTED, f"its processes are gone without a final message{_at(step)}", details)
    who = "the launcher" if rank is None else f"rank {rank}"
    said = f": {lines[-1]}" if lines else ""
    if code == 0:
        return Verdict(State.FAILED, f"{who} ended without a result{_at(step)}{said}", details)
    return Verdict(State.FAILED, f"{who} {describe_exit(code)}{_at(step)}{said}", details)


def first_exit(attempt: AttemptFolder, launcher: int | None, name: str = LAUNCHER_LOG) -> tuple[int | None, int | None]:
    """(exit code, rank) of the process that ended first in a bad way, as the launcher's log tells it. Of several
    machines the rank is the local one."""
    log = _launcher_log(attempt, name)
    ends = [(int(code), int(rank)) for code, rank, _ in _TORCHELASTIC.findall(log)]
    if ends:
        return next((end for end in ends if end[0] < 0), ends[0])
    if launcher == 1 and (alone := _ONE_PROCESS.search(log)):
        return (int(alone[1]) if alone[1] else -int(alone[2])), 0
    return launcher, None


def whole_rank(attempt: AttemptFolder, local: int, name: str) -> int | None:
    """The rank in the whole training of a local one that failed, where the launcher's log of a machine says it."""
    found = {int(here): int(rank) for rank, here in _RANKS.findall(_launcher_log(attempt, name))}
    return found.get(local)


def ends_others(attempt: AttemptFolder, name: str = LAUNCHER_LOG) -> bool:
    """Whether the launcher's log says that it ends ranks. How the first one ended follows when the last one is gone."""
    return _CLOSING.search(_launcher_log(attempt, name)) is not None


def _launcher_log(attempt: AttemptFolder, name: str) -> bytes:
    try:
        return read_tail(attempt.logs / name, LAUNCHER_TAIL)
    except OSError:
        return b""


def _step(attempt: AttemptFolder, result: Mapping[str, Any]) -> int | None:
    if isinstance(result.get("step"), int):
        return int(result["step"])
    return max((step for step, _ in attempt.rank_steps().values()), default=None)


def _at(step: int | None) -> str:
    return f" at step {step}" if step else ""


def tail(path: Path) -> list[str]:
    """The last lines of a log that say something, without escape sequences."""
    try:
        text = read_tail(path, 8192).decode("utf-8", "replace")
    except OSError:
        return []
    lines = [log_line(line).rstrip() for line in text.split("\n")]
    return [line for line in lines if line.strip()][-_TAIL_LINES:]


def oom_kills() -> int:
    """The kernel's count of processes it killed for memory: of this machine and of our control group."""
    total = 0
    for path in (Path("/proc/vmstat"), _cgroup() / "memory.events"):
        try:
            fields = [line.split() for line in path.read_text().splitlines()]
        except OSError:
            continue
        total += sum(int(word[1]) for word in fields if word[0] == "oom_kill")
    return total


def _cgroup() -> Path:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    inside = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return Path("/sys/fs/cgroup") / inside.lstrip("/")
