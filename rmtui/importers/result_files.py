"""Small JSON files that hold the last figures of a training: a Trainer's `all_results.json`, W&B's summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity, whole
from rmtui.importers.training import LogOrigin, OneTraining, foreign
from rmtui.importers.wandb import history_rows

RESULTS = ("all_results.json", "eval_results.json", "train_results.json")
SUMMARY = "wandb-summary.json"
_LIMIT = 16 << 20


def read_mapping(path: Path) -> Mapping[str, object]:
    """The object in a JSON file; UserError where it is none."""
    try:
        found = json.loads(whole(path, _LIMIT))
    except (ValueError, RecursionError):
        raise UserError(f"cannot read {path}", "it is not valid JSON", "was it cut off?") from None
    if not isinstance(found, dict):
        raise UserError(f"cannot read {path}", "it holds no JSON object", "name a file of keys and values")
    return found


def read_results(path: Path) -> Foreign:
    """The figures that a Trainer leaves at the end. train_loss is the mean over the whole training."""
    said = Said()
    training = OneTraining(said)
    written = dict(flat(read_mapping(path)))
    values = dict(written)
    if "train_loss" in values:
        values.setdefault("train_runtime", 0.0)
    row = dictionary_row(values, said)
    if row is not None:
        training.take(row)
    if "train_runtime" not in written:
        said.unused.pop("train_runtime", None)
    if "train_runtime" in values:
        said.over = f"{path.name} is written at the end"
    folder = path.resolve().parent
    origin = LogOrigin(path, "results", folder.name, identity(path), path.stat().st_mtime, f"{path.name} of a Trainer")
    notes = ("only the final values; the full history is in trainer_state.json, if it was kept",)
    return foreign(origin, training, 0, notes)


def read_summary(path: Path) -> Foreign:
    """The last figures of a W&B run."""
    said = Said()
    training = OneTraining(said)
    for row in history_rows([dict(flat(read_mapping(path)))], said):
        training.take(row)
    folder = path.resolve().parent
    run = folder.parent if folder.name == "files" else folder
    origin = LogOrigin(path, "wandb-summary", run.name, identity(path), path.stat().st_mtime, "summary of a W&B run")
    return foreign(origin, training, 0, ("only the final values; the history is in the .wandb file, or online",))
