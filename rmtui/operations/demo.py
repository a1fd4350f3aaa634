"""The demo: a workspace with its own small model and data, and preset A training in it for real."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmtui import workspace
from rmtui.demo import make_pairs as pairs
from rmtui.errors import UserError, install
from rmtui.launch import gpus, training_stack
from rmtui.operations import launch, runs
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from rmtui.runs.folder import RunFolder, run_folders
from rmtui.runs.model import Epoch, State
from rmtui.runs.state import status
from rmtui.workspace import Workspace
from trainer.events import read_from

MODEL = "models/demo"
NAME = "demo"
STACK = training_stack.NAMES
OVERRIDES = {"learning_rate": "2.5e-4", "max_length": "128", "eval_steps": "8"}
"""Preset A's rate of 1.5e-5 teaches a model with random weights nothing in a hundred steps."""

MARK = "# The demo's workspace: everything in it was made by `rmtui demo`, and the folder may be deleted.\n"
SETTINGS = f'{MARK}model = "{MODEL}"\ndata = "{NAME}"\n'
CPU_PROCESSES = 2
"""Without a GPU two processes show what several do."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that is under way or done."""

    root: Path
    run_id: str
    fresh: bool
    """False: the folder held a demo run already, and it was taken as it is."""
    place: str
    """Where it runs, in words: `1 GPU`, `2 CPU processes`."""


def demo(root: Path, say: Callable[[str], None]) -> Demo:
    """Make the workspace, the data and the model where they are missing, and start preset A: a process on each GPU,
    or two on the CPU.

    Raises UserError when the training stack is not installed or the folder holds something else.
    """
    root = root.expanduser().absolute()
    refuse_foreign(root)
    _need_stack()
    ws = _workspace(root)
    if (earlier := _earlier_run(ws)) is not None:
        say(f"{root} holds the demo run {earlier.id} already.")
        return Demo(root, earlier.id, fresh=False, place=format_place(earlier))
    train, val = pairs.write(ws.data)
    say(f"{_count(train)} training and {_count(val)} validation pairs, helpful answers against flawed ones: {ws.data}")
    _make_model(ws, train)
    say(f"A decoder of two layers with random weights and a tokenizer of its own: {ws.path(MODEL)}")
    run = RunFolder(ws.runs / _launch(ws))
    return Demo(root, run.id, fresh=True, place=format_place(run))


def processes(visible: Sequence[gpus.Gpu]) -> int:
    """One a GPU; MIG devices cannot share a training, so one on those; two without any."""
    whole = [gpu for gpu in visible if not gpu.mig]
    return len(whole) or (1 if visible else CPU_PROCESSES)


def format_place(run: RunFolder) -> str:
    """`1 GPU`, `2 CPU processes`."""
    launch = run.spec().get("launch", {})
    count, unit = int(launch.get("processes", 1)), "GPU" if launch.get("device") == "gpu" else "CPU process"
    plural = "s" if unit == "GPU" else "es"
    return f"{count} {unit}{'' if count == 1 else plural}"


def follow(root: Path, run_id: str) -> Iterator[Epoch]:
    """The epochs of a run as they end, until it does."""
    run = RunFolder(workspace.open_workspace(root).runs / run_id)
    reported = 0
    while True:
        over = not _under_way(run)
        epochs = list(_epochs(run))
        yield from epochs[reported:]
        reported = len(epochs)
        if over:
            return
        time.sleep(0.2)


def outcome(root: Path, run_id: str) -> tuple[bool, str]:
    """Whether the run finished, and how it ended in words."""
    found = status(RunFolder(workspace.open_workspace(root).runs / run_id))
    text = f"{found.state.value}: {found.reason}" if found.reason else found.state.value
    return found.state is State.FINISHED, text


def refuse_foreign(root: Path) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    settings = root / workspace.SETTINGS_FILE
    if settings.is_file() and settings.read_text("utf-8", "replace").startswith(MARK):
        return
    raise UserError(
        f"{root} is not empty and is not a demo of rmtui",
        "the demo never writes into a folder with other files",
        "name a new folder: rmtui demo DIR",
    )


def _need_stack() -> None:
    missing = training_stack.missing(STACK)
    if missing:
        raise UserError(
            "the demo trains for real, and the training stack is not installed",
            f"missing: {', '.join(missing)}",
            install("train"),
        )


def _workspace(root: Path) -> Workspace:
    settings = root / workspace.SETTINGS_FILE
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            usual = "" if gpus.visible(gpus.gpus()) else f"processes = {CPU_PROCESSES}\n"
            settings.write_text(SETTINGS + usual, "utf-8")
    except OSError as error:
        raise UserError(f"the demo's folder {root} was not made", str(error), "name another: rmtui demo DIR") from error
    return runs.init(root)


def _earlier_run(ws: Workspace) -> RunFolder | None:
    """The newest demo run that is under way or finished; one that failed or was stopped makes room for another."""
    ours = [run for run in run_folders(ws.runs) if run.spec().get("data") == NAME and run.name() == NAME]
    return next((run for run in reversed(ours) if _under_way(run) or status(run).state is State.FINISHED), None)


def _under_way(run: RunFolder) -> bool:
    return not status(run).state.final


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _make_model(ws: Workspace, texts: Path) -> None:
    """In a process of its own: rmtui never imports torch. -P keeps a stranger's trainer/ in this folder out."""
    folder = ws.path(MODEL)
    if (folder / "config.json").is_file():
        return
    making = folder.with_name(f".{folder.name}.new")
    command = [sys.executable, "-P", "-m", "trainer.model.toy", str(making), str(texts)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        raise UserError("the demo's model was not made", last[0], "see: rmtui doctor", exit_code=1)
    making.rename(folder)


def _launch(ws: Workspace) -> str:
    procs = processes(gpus.visible(gpus.gpus()))
    request = LaunchRequest("A", OVERRIDES, NAME, model=MODEL, procs=procs, name=NAME, tags=(NAME,))
    return launch.start(ws, plan(ws, request))


def _epochs(run: RunFolder) -> Iterator[Epoch]:
    for attempt in run.attempts():
        if not attempt.events.is_file():
            continue
        for event in read_from(attempt.events)[0]:
            if event.kind == "epoch":
                got = event.metrics
                losses = (got.get("train_loss"), got.get("val_loss"), got.get("val_acc"))
                yield Epoch(round(event.epoch), *losses, int(got.get("val_pairs", 0)) or None)
