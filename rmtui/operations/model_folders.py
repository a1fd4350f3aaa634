"""Leaving with the model: which folder a name means, and the trainer's merge and score in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rmtui.errors import UserError, install
from rmtui.index import settings
from rmtui.operations import sealed_looks
from rmtui.operations.candidates import choice_of
from rmtui.operations.runs import folder_of, reading
from rmtui.operations.sealed_looks import tests_of
from rmtui.runs import ownership
from rmtui.runs.folder import RunFolder
from rmtui.translation import spoken, tr
from rmtui.workspace import open_workspace
from trainer import base_files, manifest, pairs
from trainer.config import flatten
from trainer.init_from import TRAINING


def model_folder(workspace: Path, text: str, checkpoint: str = "") -> Path:
    """A model folder as it is, else a run's best checkpoint, or the one `checkpoint` names (`step-000120`, `120`)."""
    folder = Path(text).expanduser()
    if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
        return folder.resolve()
    run = run_folder(workspace, text)
    if checkpoint:
        return _named(run, checkpoint)
    found = manifest.chosen(run)
    if found is None:
        raise UserError(f"run {run.name} has no checkpoint", "none was saved, or it was imported", "choose another run")
    return found


def selection(workspace: Path, text: str) -> str:
    """What a card says of how a run's best checkpoint was chosen; empty for a folder, and where nothing was chosen."""
    with suppress(UserError), reading(open_workspace(workspace)) as index:
        found = choice_of(open_workspace(workspace), index, index.run(index.resolve(text)))
        return found["text"] if found else ""
    return ""


def sealed(workspace: Path, text: str, folder: Path) -> str:
    """What a card says of a run's checkpoint on sealed test sets; empty for a folder, and where it was not tested."""
    with suppress(UserError), reading(open_workspace(workspace)) as index:
        found = tests_of(index.workspace, index.run(index.resolve(text)))
        return " ".join(one["text"] for one in found if one["finalist"]["checkpoint"] == folder.name)
    return ""


def refuse_sealed(workspace: Path, file: str, text: str) -> None:
    """UserError where a file to score is a sealed test set, of the run that `text` names or of one looked at here: a
    look is taken by `rmtui test` alone, which counts it."""
    try:
        ws = open_workspace(workspace)
    except UserError:
        return  # a model folder is scored anywhere
    launched = None
    with suppress(UserError), reading(ws) as index:
        spec = RunFolder(index.run(index.resolve(text)).folder).spec()
        launched = settings.table(spec, "fingerprints").get("test")
    if file == "-" or not (launched or sealed_looks.any_looks(ws)):
        return
    try:
        mark = pairs.fingerprint(file)
    except (pairs.Unreadable, OSError):
        return  # whoever opens it says so
    if mark == launched or sealed_looks.looks(ws, mark):
        raise UserError(f"{file} is a sealed test set", "each look at it is counted", f"rmtui test {text}")


def run_folder(workspace: Path, text: str) -> Path:
    """The folder of the run that `text` names."""
    return folder_of(open_workspace(workspace), text).path


def _named(run: Path, checkpoint: str) -> Path:
    name = f"step-{int(checkpoint):06d}" if checkpoint.isdigit() else Path(checkpoint).name
    folder = run / "checkpoints" / name
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in run.glob("checkpoints/step-*"))) or "none"
        raise UserError(f"run {run.name} has no checkpoint {checkpoint}", f"it has {there}", "name one of these")
    return folder


TRUST = "RMTUI_TRUST_REMOTE_CODE"
"""Set in the environment: a model that was not trained here may execute the code in its folder."""


def refuse_foreign_code(folder: Path) -> None:
    """UserError where a model's own record says that code in its folder is to be trusted, and nothing here launched
    its training: the record came with the code."""
    around = folder if (folder / "spec.toml").is_file() else manifest.run_around(folder)
    run = RunFolder(around) if around is not None and not (folder / TRAINING).is_file() else None
    held = run.spec().get("config") if run else base_files.read_object(folder / TRAINING).get("config")
    asks = isinstance(held, dict) and bool(flatten(held).get("trust_remote_code"))
    ours = run is not None and not ownership.foreign(run.path.parent.parent, run)
    if asks and not ours and not os.environ.get(TRUST):
        why = "it asks for trust_remote_code, and was not trained here"
        raise UserError(
            f"the code of {folder} is not run", why, f"read its .py files; if they are right, set {TRUST}=1"
        )


def trainer(arguments: Sequence[str | Path]) -> int:
    """Run `python -m trainer VERB MODEL …` on this terminal, its lines in the language that is spoken; returns its exit
    code. UserError without the training stack, and for a model whose code is not to be trusted."""
    command, environment = trainer_command(arguments), trainer_environment()
    if spoken() == "en" or "--json" in arguments:
        return subprocess.run(command, env=environment, check=False).returncode
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout or ():
            print(tr(line), end="", flush=True)
    return process.returncode


def trainer_command(arguments: Sequence[str | Path]) -> list[str]:
    """`python -m trainer VERB MODEL …`; UserError without the training stack, and for a model whose code is not to be
    trusted."""
    refuse_foreign_code(Path(arguments[1]))
    if importlib.util.find_spec("torch") is None:
        raise UserError("this needs the training stack", "torch is not installed", install("train"))
    # -P: a folder named trainer/ in the user's current folder must not be taken for ours.
    return [sys.executable, "-P", "-m", "trainer", *map(str, arguments)]


def trainer_environment() -> dict[str, str]:
    return {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
