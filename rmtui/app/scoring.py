"""Confirming val_acc: the best checkpoint scored on its validation pairs, by the trainer in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from rmtui.app.widgets import figures
from rmtui.errors import UserError
from rmtui.records.facts import Run
from rmtui.workspace import Workspace


def score_now(ws: Workspace, run: Run) -> str:
    """`val_acc 71.2 (66.1–75.9) of 341 pairs`; UserError without a checkpoint, the file, or the training stack."""
    from rmtui.operations.models import model_folder

    data = run.config.get("data")
    val = ws.path(str(data.get("val", ""))) if isinstance(data, Mapping) else None
    if val is None or not val.is_file():
        raise UserError(f"{run.name} cannot be evaluated", "its validation file is not there", "rmtui score RUN FILE")
    folder = model_folder(ws.root, run.id)
    command = [sys.executable, "-P", "-m", "trainer", "score", str(folder), str(val), "--json"]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise UserError(f"{run.name} was not evaluated", figures.clean(last[0]), "rmtui doctor", 1)
    said = json.loads(done.stdout)
    low, high = (figures.percent(end) for end in said["interval"])
    return f"{run.name}: val_acc {figures.percent(said['accuracy'])} ({low}–{high}) of {said['pairs']} pairs"
