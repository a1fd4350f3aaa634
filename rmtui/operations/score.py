"""Scoring a run's best checkpoint on its own validation pairs, by the trainer in a process of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui import text
from rmtui.errors import UserError
from rmtui.operations.model_folders import model_folder, trainer_command, trainer_environment
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer import pairs
from trainer.events import decode

if TYPE_CHECKING:
    from trainer.documents import ScoreDocument

LOOK_SECONDS = 0.2
"""Between two looks whether anybody still wants to know."""


def validation_file(ws: Workspace, run: Run) -> Path:
    """The file that a run validated on; UserError where it is gone."""
    data = run.config.get("data")
    val = ws.path(str(data.get("val", ""))) if isinstance(data, Mapping) else None
    if val is None or not pairs.is_data(val):
        raise UserError(f"{run.name} cannot be evaluated", "its validation file is not there", "rmtui score RUN FILE")
    return val


def score_run(
    ws: Workspace, run: Run, progress: Callable[[str], object], cancelled: Callable[[], bool] = lambda: False
) -> str:
    """`val_acc 71.2 (66.1–75.9) of 341 pairs`; `progress` hears `38 %`.

    UserError without a checkpoint, the file, or the training stack.
    """
    val = validation_file(ws, run)
    report = finished_score(run.name, model_folder(ws.root, run.id), val, [], progress, cancelled)
    low, high = (text.percent(end) for end in report["interval"])
    return f"{run.name}: val_acc {text.percent(report['accuracy'])} ({low}–{high}) of {report['pairs']} pairs"


def finished_score(
    name: str,
    folder: Path,
    file: Path,
    options: Sequence[str],
    progress: Callable[[str], object],
    cancelled: Callable[[], bool],
) -> ScoreDocument:
    """The document of `trainer score` of a model folder on a file; UserError with the trainer's last line."""
    command = ["score", str(folder), str(file), "--json", "--progress", "events", *options]
    code, out, errors = run_trainer(command, progress, cancelled)
    if code:
        last = errors[-1:] or [f"exit code {code}"]
        raise UserError(f"{name} was not evaluated", text.clean(last[0].removeprefix("rmtui: ")), "rmtui doctor", 1)
    found: ScoreDocument = json.loads(out)
    return found


def run_trainer(
    arguments: list[str], progress: Callable[[str], object], cancelled: Callable[[], bool]
) -> tuple[int, str, list[str]]:
    """Exit code, output and lines of errors of `python -m trainer …`, which ends when cancelled: leaving waits for
    nobody."""
    errors: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        command, environment = trainer_command(arguments), trainer_environment()
        with subprocess.Popen(command, env=environment, stdin=null, stdout=out, stderr=pipe) as process:
            for line in _lines(process, cancelled):
                event = decode(line)
                if event is not None and event.kind == "progress":
                    progress(f"{100 * event.data['done'] // event.data['of']} %")
                elif line.strip():
                    errors.append(line.decode(errors="replace").strip())
        out.seek(0)
        return process.returncode, out.read(), errors


def _lines(process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Iterator[bytes]:
    """What it writes to stderr, line by line, to its end; it is killed once nobody waits for it."""
    assert process.stderr is not None
    pending = b""
    while True:
        if cancelled():
            process.kill()
        if not select.select([process.stderr], [], [], LOOK_SECONDS)[0]:
            continue
        block = os.read(process.stderr.fileno(), 1 << 16)
        *lines, pending = (pending + block).split(b"\n")
        yield from lines
        if not block:
            yield pending
            return
