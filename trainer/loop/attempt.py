"""One start of a training, from the first line of its log to result.json. Heavy imports happen inside, so that their
errors are recorded too."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer import heartbeat, ranks, signals
from trainer.config import TrainConfig
from trainer.remedies import remedy_for
from trainer.request import Moment, Request
from trainer.smaller_batch import smaller_batch
from trainer.spec import Refused, Spec

ECHO_SECONDS = 3.0
"""A rank whose peer died fails a moment after it: how long to wait for the peer's own words."""


def run(spec: Spec, request: Request) -> int:
    """Train; returns the exit code (0 finished or stopped, 1 failed, 2 refused)."""
    stop = signals.StopRequest()
    if spec.config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    attempt = request.attempt or _own_attempt(request)
    attempt.mkdir(parents=True, exist_ok=True)
    ranks.hold_lock(attempt, request.rank)
    log = attempt / "logs" / f"rank{request.rank}.log"
    signals.dump_stacks_on_request(
        ranks.redirect(log) if request.attempt else ranks.tee(log, terminal=request.rank == 0)
    )
    moment = Moment()
    if request.world_size > 1:
        say = write_failed_result if request.rank == 0 else None
        ranks.leave_when_another_fails(attempt, request.rank, say)
    phase = heartbeat.phase(attempt, request.rank == 0)
    phase("importing torch", 0, 0)
    try:
        from trainer.loop import setup, train

        session = setup.prepare(spec, replace(request, attempt=attempt), stop, moment, phase)
        outcome = train.Training(session).run()
    except Refused as refused:
        return _refused(attempt, request, refused)
    except BaseException as error:
        return _failed(attempt, request, spec.config, error, moment)
    if request.rank == 0:
        ranks.write_result(attempt, outcome.outcome, outcome.reason, **outcome.facts)
    return 0


def _own_attempt(request: Request) -> Path:
    """attempt-N for a trainer that runs alone: the ranks of one launch share their parent, so they agree on N."""
    launch = str(os.getppid() if request.world_size > 1 else os.getpid())
    number = 1
    while True:
        attempt = request.run / f"attempt-{number}"
        owner = attempt / "owner"
        try:
            attempt.mkdir(parents=True)
            owner.write_text(launch)
            return attempt
        except FileExistsError:
            if _read_soon(owner) == launch:
                return attempt
        number += 1


def _read_soon(path: Path) -> str:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.01)
    return ""


def _refused(attempt: Path, request: Request, refused: Refused) -> int:
    if request.rank == 0:
        print(refused, file=sys.stderr, flush=True)
        ranks.write_result(attempt, "failed", str(refused), step=0, refused=True)
    return 2


def _failed(attempt: Path, request: Request, config: TrainConfig, error: BaseException, moment: Moment) -> int:
    """Write failure-rankN.json, and on rank 0 the result with the failure that came first, whichever rank's it is."""
    traceback.print_exception(error)
    facts: dict[str, Any] = {"step": moment.step, "epoch": moment.epoch, "pair_ids": list(moment.pair_ids)}
    if moment.grad_norm is not None:
        facts["grad_norm"] = moment.grad_norm
    if ranks.of_memory(error):
        facts["suggest"] = smaller_batch(
            config.batch_size, config.gradient_accumulation_steps, config.max_length, config.batch_tokens
        )
        error = MemoryError(_memory_message(error, config, facts["suggest"]))
        print(error, file=sys.stderr, flush=True)
    elif remedy := remedy_for(error):
        facts["remedy"] = remedy
        print(f"what to do: {remedy}", file=sys.stderr, flush=True)
    ranks.write_failure(attempt, request.rank, error, facts)
    if request.rank == 0:
        write_failed_result(attempt)
    return 1


def write_failed_result(attempt: Path) -> None:
    """Rank 0's result.json and events of a failed attempt, reported by the rank that failed first."""
    deadline = time.monotonic() + ECHO_SECONDS
    while (first := ranks.failures(attempt)[0])["rank"] == 0 and _is_echo(first) and time.monotonic() < deadline:
        time.sleep(0.05)
    where = f"rank {first['rank']}, step {first['step']}"
    text = str(first["text"]).splitlines()[0]
    if _is_echo(first):
        text = f"another rank died without a word, killed perhaps: {text}"
    known = ("step", "epoch", "rank", "pair_ids", "grad_norm", "suggest", "remedy")
    facts = {key: first[key] for key in known if key in first}
    remedy = f"; {first['remedy']}" if "remedy" in first else ""
    ranks.write_failure_events(attempt, first, ": ".join(filter(None, (str(first["type"]), text))) + remedy)
    ranks.write_result(attempt, "failed", f"{text} ({where}){remedy}", **facts)


def _is_echo(failure: Mapping[str, object]) -> bool:
    """An error of communication: another rank is the cause."""
    text = str(failure["text"]).lower()
    return any(word in text for word in ("connection closed", "connection reset", "gloo", "nccl", "timed out"))


def _memory_message(error: BaseException, config: TrainConfig, suggest: Mapping[str, int]) -> str:
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    now = ", ".join(f"{key} {getattr(config, key)}" for key in suggest)
    smaller = ", ".join(f"{key} {value}" for key, value in suggest.items())
    return f"out of memory with {now}; try {smaller}, or gradient_checkpointing = true ({cause})"
