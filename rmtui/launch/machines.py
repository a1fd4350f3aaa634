"""Several machines without a scheduler: this one begins, and every other one joins by a script in the attempt's folder,
which all of them see under the same path."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import trainer
from rmtui.launch.command import Command, Job, command
from rmtui.runs.files import atomic_write
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.proc import TAG


def write_scripts(run: RunFolder, attempt: AttemptFolder, job: Job, tag: str, resume: str, force: bool) -> None:
    """A script for each machine but this one. No devices: each machine takes its first ones."""
    for number in range(1, job.machines):
        there = replace(job, machine=number, devices=())
        line = command(there, str(run.path), str(attempt.path), resume=resume, force=force)
        atomic_write(attempt.machine_script(number), "\n".join(_script(run, attempt, line, number, tag)).encode())


def _script(run: RunFolder, attempt: AttemptFolder, line: Command, number: int, tag: str) -> Iterator[str]:
    log = shlex.quote(str(attempt.logs / f"launch-{number}.log"))
    root = shlex.quote(str(Path(trainer.__file__).resolve().parent.parent))
    yield "#!/bin/sh"
    yield f"# Joins {run.id} as machine {number}, counted from 0. This folder and Python have the same paths there."
    yield f"cd {shlex.quote(str(attempt.path))} || exit 1"
    yield f"export PYTHONPATH={root}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1 {TAG}={shlex.quote(tag)}"
    yield from (f"export {key}={shlex.quote(value)}" for key, value in line.environment.items())
    yield f"setsid {shlex.join(line.argv)} >>{log} 2>&1 </dev/null &"
    yield f"echo {shlex.quote(f'machine {number} joins {run.id}; its log:')} {log}"
    yield ""
