"""What a folder holds that a workspace can use (logs, settings, data sets, models), and taking it in.

The look is bounded: so many files, so deep, and of few files more than their names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from rmtui.errors import UserError
from rmtui.importers import log_files, mlflow, tensorboard, trainer_state, wandb, yaml_config
from rmtui.importers.text_files import one_line
from rmtui.operations import exchange, imports
from rmtui.operations.imports import ImportedRun
from rmtui.operations.runs import init
from rmtui.workspace import SETTINGS_FILE, Workspace
from trainer.pairs import data_sets

MOST_FILES = 5_000
DEPTH = 6
"""Folders below the one that is looked at."""
MOST_OPENED = 300
"""Files whose content is looked at."""
MOST_OF_A_FOLDER = 1_000
"""Entries of one folder that are looked at: a folder of many files hides nothing beside it."""
WEIGHTS = (".safetensors", ".gguf", "pytorch_model.bin")
_PASSED_OVER = {"node_modules", "site-packages", "__pycache__", "runs", "queue", "presets", "venv"}

Kind = Literal["runs", "preset", "data", "model"]
KINDS: tuple[Kind, ...] = ("runs", "preset", "data", "model")


@dataclass(frozen=True, slots=True)
class FolderPart:
    """One thing to take in: past runs, a preset's settings, a data set or a base model."""

    kind: Kind
    label: str
    """`2 logs`, `configs/rm_config.yaml`, `data set helpful`, `model models/base`."""
    paths: tuple[Path, ...] = ()
    name: str = ""
    """Of a data set or a model, as workspace.toml names it."""


@dataclass(slots=True)
class Look:
    """What was found, and what was not looked at."""

    parts: tuple[FolderPart, ...] = ()
    bounded: bool = False
    """There is more below the folder than was looked at."""
    unreadable: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Finds:
    root: Path
    files: int = 0
    opened: int = 0
    bounded: bool = False
    logs: list[Path] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    """Output folders of a Trainer."""
    records: list[Path] = field(default_factory=list)
    """Files of TensorBoard, W&B, MLflow."""
    settings: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def look(root: Path) -> Look:
    """What `root` holds that `take_in` can use; reads names, and the heads of a few files. Writes nothing.

    Level by level, so that what lies high up is found however much there is below.
    """
    found = _Finds(root)
    level = [root]
    for depth in range(DEPTH + 1):
        below: list[Path] = []
        for place in level:
            below += _look_into(found, place)
        if depth == DEPTH or found.files >= MOST_FILES:
            found.bounded |= bool(below)
            break
        level = below
    return Look(tuple(_parts(found)), found.bounded, tuple(found.unreadable))


def _look_into(found: _Finds, place: Path) -> list[Path]:
    """The files of one folder; returns the folders to look into next. What belongs to one training or one model is one
    find, and pairs have places of their own (`trainer.pairs.data_sets`)."""
    if found.files >= MOST_FILES:
        found.bounded = True
        return []
    try:
        with os.scandir(place) as entries:
            listed = sorted(islice(entries, MOST_OF_A_FOLDER + 1), key=lambda entry: entry.name)
    except OSError:
        found.unreadable.append(place)
        return []
    found.bounded |= len(listed) > MOST_OF_A_FOLDER
    names = {entry.name for entry in listed}
    if _is_output(place, names):
        found.outputs.append(place)
        return []
    if "config.json" in names and any(name.endswith(WEIGHTS) for name in names):
        found.models.append(place)
        return []
    folders = []
    for entry in listed:
        found.files += 1
        try:
            if entry.is_dir(follow_symlinks=False):
                passed = entry.name.startswith(".") or entry.name in _PASSED_OVER
                passed |= place == found.root and entry.name == "data"
                folders += [] if passed else [Path(entry.path)]
            elif entry.is_file(follow_symlinks=False):
                _sort(found, Path(entry.path))
        except OSError:
            found.unreadable.append(Path(entry.path))
    return folders


def _is_output(place: Path, names: Collection[str]) -> bool:
    """The output folder of a Trainer: its state in it or in a checkpoint, or the log that LLaMA-Factory writes."""
    if trainer_state.NAME in names or log_files.OF_A_TRAINING[0] in names:
        return True
    return any(place.glob(f"checkpoint-*/{trainer_state.NAME}"))


def _sort(found: _Finds, file: Path) -> None:
    if tensorboard.is_event_file(file) or wandb.is_wandb_file(file) or mlflow.run_of(file) is not None:
        found.records.append(file)
    elif yaml_config.is_yaml(file):
        if _may_open(found) and _has_settings(file):
            found.settings.append(file)
    elif log_files.is_log(file) and _may_open(found) and _has_runs(file):
        found.logs.append(file)


def _may_open(found: _Finds) -> bool:
    found.opened += 1
    found.bounded |= found.opened > MOST_OPENED
    return found.opened <= MOST_OPENED


def _has_settings(file: Path) -> bool:
    try:
        return bool(yaml_config.read_yaml(file).config)
    except UserError:
        return False


def _has_runs(file: Path) -> bool:
    """Whether a log gives metrics of a training. Large ones are taken at their name's word: reading them takes time."""
    if not log_files.may_be_log(file):
        return False
    if file.stat().st_size > 1 << 20:
        return file.suffix in (".log", ".jsonl")
    try:
        return any(run.epochs or run.series for run in log_files.read_log([file]))
    except UserError:
        return False


def _parts(found: _Finds) -> Iterator[FolderPart]:
    if found.logs:
        yield FolderPart("runs", _counted(len(found.logs), "log"), tuple(found.logs))
    for output in found.outputs:
        yield FolderPart("runs", f"training output {_short(found.root, output)}", (output,))
    if found.records:
        yield FolderPart("runs", _counted(len(found.records), "TensorBoard, W&B or MLflow file"), tuple(found.records))
    for file in found.settings:
        yield FolderPart("preset", _short(found.root, file), (file,))
    for name in data_sets(found.root):
        yield FolderPart("data", f"data set {one_line(name)}", name=name)
    for folder in found.models:
        place = "." if folder == found.root else str(folder.relative_to(found.root))
        yield FolderPart("model", f"model {_short(found.root, folder)}", (folder,), place)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _short(root: Path, path: Path) -> str:
    return one_line(str(path.relative_to(root))) if path != root else one_line(path.name)


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A workspace with what was taken in."""

    workspace: Workspace
    runs: tuple[ImportedRun, ...] = ()
    presets: tuple[str, ...] = ()
    """Names of the new presets."""
    settings: tuple[str, ...] = ()
    """`data = "helpful"`: lines that workspace.toml has got."""
    unread: tuple[str, ...] = ()
    """What could not be taken in, with the reason."""

    def lines(self) -> list[str]:
        """What was taken in, and what could not be, for a person."""
        found = [_counted(len({run.id for run in self.runs}), "run") + " read"] if self.runs else []
        found += [f"preset {name}" for name in self.presets]
        found += [f"workspace.toml: {line}" for line in self.settings]
        return [*found, *(f"not read: {text}" for text in self.unread)]

    def brief(self) -> str:
        """The same for a screen that is low: what was taken in, and each part that was not, a line each."""
        lines = self.lines()
        taken = len(lines) - len(self.unread)
        return "\n".join([" · ".join(lines[:taken]), *lines[taken:]])


def take_in(
    root: Path, parts: Sequence[FolderPart], said: Callable[[ImportedRun], None] | None = None, guide: bool = False
) -> TakenIn:
    """Make a workspace of `root` with these parts; `guide`: and the tuning guide's two runs.

    A data set, or a model, becomes the default of launches where it is the only one.
    """
    chosen = {kind: [part for part in parts if part.kind == kind] for kind in KINDS}
    fresh = not (root / SETTINGS_FILE).exists()
    settings = {str(kind): chosen[kind][0].name for kind in KINDS[2:] if fresh and len(chosen[kind]) == 1}
    ws = init(root, bare=not guide, settings=settings)
    unread: list[str] = []
    paths = [path for part in chosen["runs"] for path in part.paths]
    report = imports.import_paths(ws, paths, said) if paths else imports.ImportReport((), ())
    names = []
    for part in chosen["preset"]:
        try:
            preset, _ = exchange.import_preset(ws, part.paths[0], part.paths[0].stem)
            names.append(preset.name)
        except UserError as error:
            unread.append(f"{error.what}: {error.why}")
    lines = tuple(f'{key} = "{value}"' for key, value in settings.items())
    return TakenIn(ws, report.runs, tuple(names), lines, (*report.unread, *unread))
