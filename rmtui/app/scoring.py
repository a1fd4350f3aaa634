"""Confirming val_acc: the best checkpoint scored on its validation pairs, by the trainer in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from textual.worker import get_current_worker

from rmtui.app.widgets import figures
from rmtui.errors import UserError
from rmtui.records.facts import Run
from rmtui.workspace import Workspace

CANCEL_SECONDS = 0.2
"""Between two looks whether anybody still wants to know."""


def score_now(ws: Workspace, run: Run) -> str:
    """`val_acc 71.2 (66.1–75.9) of 341 pairs`; UserError without a checkpoint, the file, or the training stack."""
    from rmtui.operations.models import model_folder

    data = run.config.get("data")
    val = ws.path(str(data.get("val", ""))) if isinstance(data, Mapping) else None
    if val is None or not val.is_file():
        raise UserError(f"{run.name} cannot be evaluated", "its validation file is not there", "rmtui score RUN FILE")
    folder = model_folder(ws.root, run.id)
    command = [sys.executable, "-P", "-m", "trainer", "score", str(folder), str(val), "--json"]
    code, out, errors = _finished(command)
    if code:
        last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
        raise UserError(f"{run.name} was not evaluated", figures.clean(last[0]), "rmtui doctor", 1)
    said = json.loads(out)
    low, high = (figures.percent(end) for end in said["interval"])
    return f"{run.name}: val_acc {figures.percent(said['accuracy'])} ({low}–{high}) of {said['pairs']} pairs"


def _finished(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and errors; the process is ended when the worker is, so that nobody waits for it on leaving."""
    worker = get_current_worker()
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdin=null, stdout=pipe, stderr=pipe, text=True) as process:
        while True:
            try:
                out, errors = process.communicate(timeout=CANCEL_SECONDS)
            except subprocess.TimeoutExpired:
                if worker.is_cancelled:
                    process.kill()
            else:
                return process.returncode, out, errors
