"""`init_from` as a person gives it, a run or a folder, → the folder whose weights a new run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmtui.errors import UserError
from rmtui.operations.runs import folder_of
from rmtui.workspace import Workspace
from trainer import init_from, manifest

MODEL_FILES = (init_from.ADAPTER, "config.json")


@dataclass(frozen=True, slots=True)
class LinkedStart:
    """Where the weights are, and what they belong to."""

    folder: Path
    run: str
    """Id of the workspace's run that they are of; empty for a folder from elsewhere."""
    base: str
    """The base model that they need."""


def find(ws: Workspace, cwd: Path, given: str, method: str) -> LinkedStart:
    """A folder with a model, seen from `cwd` or the workspace, comes first, then a run, of which the best checkpoint
    is taken, then any other folder: what is wrong with its files is the plan's question. UserError for neither."""
    places = [place for base in (cwd, ws.root) if (place := base / Path(given).expanduser()).is_dir()]
    models = [place for place in places if any((place / name).is_file() for name in MODEL_FILES)]
    runs = [place for place in places if (place / "spec.toml").is_file()]
    if models:
        found = models[0]
    elif runs:
        found = _checkpoint(runs[0], given)
    else:
        found = _of_run_or(ws, given, places)
    folder = found.resolve()
    run = manifest.run_around(folder)
    own = run is not None and run.parent == ws.runs.resolve()
    return LinkedStart(folder, run.name if run is not None and own else "", init_from.base_for(folder, method))


def _of_run_or(ws: Workspace, given: str, folders: list[Path]) -> Path:
    try:
        run = folder_of(ws, given)
    except UserError as error:
        if folders:
            return folders[0]
        raise UserError(f"{given} is neither a folder nor a run", error.what, init_from.KINDS) from None
    return _checkpoint(run.path, run.name())


def _checkpoint(run: Path, name: str) -> Path:
    found = manifest.chosen(run)
    if found is None:
        raise UserError(f"run {name} has no checkpoint", "none was saved, or it was imported", init_from.KINDS)
    return found
