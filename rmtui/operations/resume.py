"""Going on: a new attempt of the same run, a linked run with more epochs, or a relaunch after a lack of memory."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rmtui.errors import UserError
from rmtui.launch import checkpoints, provenance
from rmtui.launch.command import command, job_of
from rmtui.launch.launcher import Start
from rmtui.operations import declare, launch
from rmtui.runs import identity, ownership, queue_tickets, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.text import log_line
from rmtui.workspace import Workspace
from trainer.config import TrainConfig
from trainer.smaller_batch import smaller_batch


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a resume did."""

    id: str
    """The run: the same, or the linked one."""
    step: int
    """The optimizer step it goes on from; 0: from the start."""
    weights: str = ""
    """Whose weights the start has, where it is not the pretrained model's: `helpful-A-1 after step 444`."""
    warnings: tuple[str, ...] = ()
    """Why it is not exact, and what was passed over."""


def resume(
    ws: Workspace,
    run_id: str,
    *,
    inexact: bool = False,
    not_running: bool = False,
    own: bool = False,
    force: bool = False,
    epochs: int | None = None,
) -> Resumed:
    """Queue a new attempt from the newest valid checkpoint; with `epochs`, extend a finished run as a linked run.

    `inexact`: also where its data, processes or options changed. `not_running`: the caller knows that a run of which
    this cannot be known here does not run anywhere. `own`: the caller has seen the command of a run that came by copy.
    `force`: the first two. UserError while the run lives, when it is finished, and where one of these is needed.
    """
    inexact, not_running = inexact or force, not_running or force
    run = RunFolder(ws.runs / run_id)
    check_owned(ws, run, own)
    if epochs is not None:
        return _extend(ws, run, epochs)
    _refuse(run, not_running)
    spec = run.spec()
    warnings = _differences(spec)
    if warnings and not inexact:
        raise UserError(f"{run_id} cannot be resumed exactly", "; ".join(warnings), "to resume anyway: --inexact")
    if state.status(run).state == State.UNKNOWN:
        declare.not_running(run)
    checkpoint, passed_over = checkpoints.newest_whole(run.path)
    folder = str(checkpoint.folder) if checkpoint else str(spec.get("branches_from", ""))
    with queue_tickets.turn(ws.queue):
        _refuse(run, not_running)  # again: another resume may have come first
        last = run.last_attempt()
        attempt = last.n + 1 if last else 1
        launch.submit(ws, run, Start(attempt, folder, inexact))
    step = checkpoint.step if checkpoint else checkpoints.step_of(folder) or 0
    return Resumed(run.id, step, warnings=(*warnings, *passed_over))


def check_owned(ws: Workspace, run: RunFolder, own: bool) -> None:
    """UserError for a run whose command this workspace does not know as its own, and in a copy of a workspace."""
    if run.origin.exists():
        raise UserError(
            f"{run.id} was trained elsewhere", "its command and paths are of another machine", "launch a preset here"
        )
    identity.refuse_copy(ws.root)
    identity.ensure(ws.root)
    if not ownership.foreign(ws.root, run):
        return
    if not own:
        words = f"it came by copy, or the records in queue/ were lost; it would run: {command_of(run)}"
        remedy = f"if that is right: rmtui resume {run.id} --own"
        raise UserError(f"{run.id} is not known to be launched here", words, remedy)
    ownership.own_run(ws.root, run)


@dataclass(frozen=True, slots=True)
class UnseenCommand:
    """What a person is asked before a run that came by copy is run."""

    question: str
    command: str


def unseen_command(ws: Workspace, run_id: str) -> UnseenCommand | None:
    """The command of a run that came by copy, to be shown before a resume; None for runs of this workspace, and for
    those that are refused whatever a person says."""
    run = RunFolder(ws.runs / run_id)
    if run.origin.exists() or identity.copied_from(ws.root) or not ownership.foreign(ws.root, run):
        return None
    return UnseenCommand(f"{run.name()} is not known to be launched here: run its command?", command_of(run))


def command_of(run: RunFolder) -> str:
    """What a resume of the run would execute."""
    job = job_of(run.spec())
    return log_line(shlex.join(command(job, str(run.path), str(run.path / "attempt-N")).argv))


def _refuse(run: RunFolder, not_running: bool) -> None:
    now = state.status(run)
    text = f"it is {now.state}" + (f": {now.reason}" if now.reason else "")
    if now.state.alive:
        raise UserError(f"{run.id} cannot be resumed", text, f"stop it first: rmtui stop {run.id}")
    if now.state == State.QUEUED:
        raise UserError(f"{run.id} waits already", text, "see: rmtui queue")
    if now.state == State.IMPORTED or not run.spec():
        raise UserError(f"{run.id} cannot be resumed", text, "launch a preset instead")
    if now.state == State.FINISHED:
        raise UserError(
            f"{run.id} has finished", "there is nothing left to train", f"extend it: rmtui resume {run.id} --epochs N"
        )
    if now.state == State.UNKNOWN and not not_running:
        remedy = f"if you know that it is not running anywhere: rmtui resume {run.id} --not-running"
        raise UserError(f"{run.id} cannot be resumed from here", text, remedy)


def _differences(spec: Mapping[str, Any]) -> list[str]:
    """Data that is gone is refused, data that changed is reported."""
    data, before = spec.get("config", {}).get("data", {}), spec.get("fingerprints", {})
    try:
        now = provenance.fingerprints(data)
    except OSError as error:
        raise UserError(
            "the data of this run cannot be read", str(error), "restore the file, or launch again"
        ) from error
    return [f"the {name} data changed since the launch" for name in now if name in before and now[name] != before[name]]


def _extend(ws: Workspace, run: RunFolder, epochs: int) -> Resumed:
    """A linked run up to `epochs` in all, from the finished run's newest checkpoint, with a fresh schedule."""
    now, spec = state.status(run), run.spec()
    checkpoint, passed_over = checkpoints.newest_whole(run.path)
    done = int(spec.get("config", {}).get("num_epochs", 0))
    if now.state != State.FINISHED or checkpoint is None:
        raise UserError(
            f"{run.id} cannot be extended",
            f"it is {now.state}" if checkpoint else "it has no valid checkpoint",
            "only finished runs are extended; resume it without --epochs",
        )
    if epochs <= done:
        raise UserError(
            f"{run.id} has {done} epochs already", f"{epochs} is not an extension", f"use --epochs {done + 1}"
        )
    config = {**spec["config"], "num_epochs": epochs - done, "init_from": str(checkpoint.folder)}
    linked = {
        **{key: value for key, value in spec.items() if key not in ("id", "created", "schema", "starts_from")},
        "name": f"{run.name()}+{epochs - done}",
        "config": config,
        "launch": {key: value for key, value in spec["launch"].items() if key != "init_from"},
        "extends": run.id,
    }
    made = RunFolder.create(ws.runs, linked)
    launch.enqueue(ws, made)
    which = f"epoch {epochs} is" if epochs == done + 1 else f"epochs {done + 1} to {epochs} are"
    anew = f"{which} trained in a run of its own: learning rate and warm-up start over"
    return Resumed(made.id, 0, f"{run.name()} after step {checkpoint.step}", (anew, *passed_over))


def memory_suggestion(ws: Workspace, run_id: str) -> dict[str, int] | None:
    """What to try after `out of memory` (`{"batch_size": 2, "gradient_accumulation_steps": 4}`); None otherwise."""
    last = RunFolder(ws.runs / run_id).last_attempt()
    ended = (last.exit() if last else None) or {}
    suggest = ended.get("suggest")
    if isinstance(suggest, dict):
        return {str(key): int(value) for key, value in suggest.items() if isinstance(value, int)}
    if str(ended.get("reason", "")).startswith("out of memory"):
        config = RunFolder(ws.runs / run_id).spec().get("config", {})
        usual = TrainConfig()
        asked = {key: int(config.get(key, getattr(usual, key))) for key in ("batch_size", "max_length")}
        groups = int(config.get("gradient_accumulation_steps", usual.gradient_accumulation_steps))
        tokens = int(config.get("batch_tokens", usual.batch_tokens))
        return smaller_batch(asked["batch_size"], groups, asked["max_length"], tokens)
    return None


def relaunch_smaller(ws: Workspace, run_id: str, *, own: bool = False) -> str:
    """A new run with the suggestion after `out of memory`; returns its id."""
    suggest = memory_suggestion(ws, run_id)
    if suggest is None:
        raise UserError(f"{run_id} did not run out of memory", "there is nothing to reduce", "launch a preset")
    run = RunFolder(ws.runs / run_id)
    check_owned(ws, run, own)
    spec = run.spec()
    fresh = {
        **{key: value for key, value in spec.items() if key not in ("id", "created", "schema")},
        "name": f"{run.name()}-smaller",
        "config": {**spec["config"], **suggest},
        "relaunch_of": run.id,
    }
    made = RunFolder.create(ws.runs, fresh)
    return launch.enqueue(ws, made)
