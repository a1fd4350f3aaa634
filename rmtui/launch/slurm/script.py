"""job.sbatch: the workspace's template, or the one that comes with rmtui, filled with what a run asks for."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import rmtui
from rmtui.errors import UserError
from rmtui.launch.slurm.allocation import Allocation
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

TEMPLATE = "job.sbatch"
"""Of the workspace; a person may edit it."""
PARTS = ("directives", "environment", "prologue", "command")
DIRECTIVES = "{{directives}}"
_EXEC = re.compile(r"exec\s.*\{\{command\}\}")
DEFAULT = """\
#!/bin/bash
# Written by rmtui. A job.sbatch in the workspace is the template of later jobs (docs/cluster.md).
{{directives}}

# The warning before the time limit (USR1) goes to this shell alone; the last line takes its place and heeds it.
trap '' USR1
{{environment}}

# [slurm] prologue of workspace.toml: modules, a container, NCCL_SOCKET_IFNAME
{{prologue}}

exec {{command}}
"""


def template(ws: Workspace) -> str:
    """The workspace's own, else the default. UserError where a part is missing in it."""
    path = ws.root / TEMPLATE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return DEFAULT
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error), "correct it, or take it away") from error
    _check(path, text)
    return text


def _check(path: Path, text: str) -> None:
    """UserError where a job of this template would not be what was asked for, or would not hear that it has to end."""
    what, missing = f"{path} is not a template", [part for part in PARTS if f"{{{{{part}}}}}" not in text]
    if missing:
        words = ", ".join(f"{{{{{part}}}}}" for part in missing)
        raise UserError(what, f"{words} missing", "put it back, or take the file away")
    lines = text.splitlines()
    for part in PARTS[:-1]:
        if lines.count(f"{{{{{part}}}}}") != 1 or text.count(f"{{{{{part}}}}}") != 1:
            why = f"{{{{{part}}}}} is not once, on a line of its own"
            raise UserError(what, why, "write it so; its text has several lines")
    read = list(itertools.takewhile(lambda line: line == DIRECTIVES or not line.strip() or line[0] == "#", lines))
    late = [line for line in lines[len(read) :] if line == DIRECTIVES or line.startswith("#SBATCH")]
    if late:
        why = f"{late[0]} comes after a command, and sbatch ignores it there"
        raise UserError(what, why, "move it above the commands")
    if [bool(_EXEC.match(line)) for line in lines if "{{command}}" in line] != [True]:
        why = "{{command}} is not started by exec, and the warning before the time limit would not reach it"
        raise UserError(what, why, "write: exec {{command}}")


def render(ws: Workspace, wanted: Allocation, name: str, run: str, attempt: int, command: Sequence[str] = ()) -> str:
    """The script for a run folder; for a preview `run` may be a mere name. `command`: in place of its supervisor."""
    folder = f"{run}/attempt-{attempt}"
    parts = {
        "directives": "\n".join(f"#SBATCH {line}" for line in _directives(wanted, name, run, attempt, folder)),
        "environment": "\n".join(f"export {key}={shlex.quote(value)}" for key, value in _environment().items()),
        "prologue": wanted.prologue.strip(),
        "command": shlex.join(command or [sys.executable, "-m", "rmtui.launch.slurm.job", run, str(attempt)]),
    }
    text = template(ws)
    for part, value in parts.items():
        text = text.replace(f"{{{{{part}}}}}", value)
    return text


def comment(run: RunFolder, attempt: int, place: int = 0) -> str:
    """By what a job is known, also where its submission was cut off before its id was written down. `place`: in its
    chain."""
    return f"rmtui:{run.id}:{attempt}" + (f":{place}" if place else "")


def _directives(wanted: Allocation, name: str, run: str, attempt: int, folder: str) -> Iterator[str]:
    yield f"--job-name={re.sub(r'[^A-Za-z0-9._+-]', '-', name)[:60] or 'rmtui'}"
    yield f"--comment=rmtui:{Path(run).name}:{attempt}"
    yield f'--output="{folder.replace("%", "%%")}/logs/slurm.log"'
    yield "--open-mode=append"
    yield f"--nodes={wanted.nodes}"
    yield "--ntasks-per-node=1"
    yield f"--cpus-per-task={wanted.cores}"
    if wanted.memory_mb:
        yield f"--mem={wanted.memory_mb}M"
    yield from wanted.gpu_options()
    for key, value in (("partition", wanted.partition), ("time", wanted.time), ("account", wanted.account)):
        if value:
            yield f"--{key}={_quoted(value)}"
    yield f"--signal=B:USR1@{wanted.warn}"
    yield "--no-requeue" if wanted.chain else "--requeue"
    for text in wanted.sbatch:
        key, equals, value = text.removeprefix("--").partition("=")
        yield f"--{key}{equals}{_quoted(value)}"


def _quoted(value: str) -> str:
    """As sbatch reads its directives: blanks divide, and a # begins a comment."""
    if not re.search(r"[\s#\"'\\]", value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _environment() -> dict[str, str]:
    """What the job needs beside what sbatch carries over: the program itself, and no downloads on compute nodes."""
    here = str(Path(rmtui.__file__).resolve().parent.parent)
    path = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path)), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
