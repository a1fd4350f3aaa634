"""Confirming val_acc: the best checkpoint scored on its validation pairs, by the trainer in a process of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

from textual.worker import get_current_worker

from rmtui import text
from rmtui.errors import UserError
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.events import decode

CANCEL_SECONDS = 0.2
"""Between two looks whether anybody still wants to know."""


def score_now(ws: Workspace, run: Run, tell: Callable[[str], object]) -> str:
    """`val_acc 71.2 (66.1–75.9) of 341 pairs`; `tell` hears `38 %`. UserError without a checkpoint, the file, or the
    training stack."""
    from rmtui.operations.model_folders import model_folder

    data = run.config.get("data")
    val = ws.path(str(data.get("val", ""))) if isinstance(data, Mapping) else None
    if val is None or not val.is_file():
        raise UserError(f"{run.name} cannot be evaluated", "its validation file is not there", "rmtui score RUN FILE")
    folder = model_folder(ws.root, run.id)
    command = [sys.executable, "-P", "-m", "trainer", "score", str(folder), str(val), "--json", "--progress", "events"]
    code, out, errors = _finished(command, tell)
    if code:
        last = errors[-1:] or [f"exit code {code}"]
        raise UserError(f"{run.name} was not evaluated", text.clean(last[0].removeprefix("rmtui: ")), "rmtui doctor", 1)
    report = json.loads(out)
    low, high = (text.percent(end) for end in report["interval"])
    return f"{run.name}: val_acc {text.percent(report['accuracy'])} ({low}–{high}) of {report['pairs']} pairs"


def _finished(command: Sequence[str], tell: Callable[[str], object]) -> tuple[int, str, list[str]]:
    """Exit code, output and lines of errors; the process is ended with the worker, so that leaving waits for nobody."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    errors: list[str] = []
    with tempfile.TemporaryFile("w+") as out:
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=null, stdout=out, stderr=pipe) as process:
            for line in _lines(process):
                event = decode(line)
                if event is not None and event.kind == "progress":
                    tell(f"{100 * event.data['done'] // event.data['of']} %")
                elif line.strip():
                    errors.append(line.decode(errors="replace").strip())
        out.seek(0)
        return process.returncode, out.read(), errors


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What it says on stderr, line by line, to its end; it is killed once nobody waits for it."""
    worker = get_current_worker()
    assert process.stderr is not None
    pending = b""
    while True:
        if worker.is_cancelled:
            process.kill()
        if not select.select([process.stderr], [], [], CANCEL_SECONDS)[0]:
            continue
        block = os.read(process.stderr.fileno(), 1 << 16)
        *lines, pending = (pending + block).split(b"\n")
        yield from lines
        if not block:
            yield pending
            return
