"""`trainer_state.json` of transformers and TRL, with the adapter configuration beside it. Pickles are never opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from rmtui.errors import UserError
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.json_stream import BadJson, members
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said, SourceRow, place
from rmtui.importers.source_rows import whole as count
from rmtui.importers.text_files import identity, whole
from rmtui.importers.training import LogOrigin, OneTraining, foreign

_KEPT = ("max_steps", "num_train_epochs", "train_batch_size", "global_step", "epoch")
NAME = "trainer_state.json"


def newest(folder: Path) -> list[Path]:
    """The state of an output folder, and of its newest checkpoint: the newer of the two is the more complete."""
    own = [folder / NAME] if (folder / NAME).is_file() else []
    inside = [path for path in folder.glob(f"checkpoint-*/{NAME}") if path.parent.name[11:].isdigit()]
    return own + sorted(inside, key=lambda path: int(path.parent.name[11:]))[-1:]


def output_folder(path: Path) -> Path:
    """The folder of the training whose state a file is: that of all its checkpoints."""
    return path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent


def read_state(path: Path) -> Foreign:
    """The log history of a Trainer. UserError where the file is not a state."""
    said = Said()
    training = OneTraining(said, whole=True)
    state: dict[str, object] = {}
    history = False
    try:
        for key, value in members(path):
            history = history or key == "log_history"
            if key in _KEPT:
                state[key] = value
            row = dictionary_row(dict(flat(value)), said) if key == "log_history" and isinstance(value, dict) else None
            if row is not None:
                training.take(row)
    except BadJson as error:
        raise UserError(f"cannot read {path}", str(error), "name the file that Trainer wrote") from None
    if not history:
        raise UserError(f"cannot read {path}", "it holds no log_history", "name the file that Trainer wrote")
    said.total_steps = count(state.get("max_steps")) or said.total_steps
    said.num_epochs = count(state.get("num_train_epochs")) or said.num_epochs
    said.config = _config(state, path.parent)
    if (now := place(state.get("global_step"))) is not None and (training.step is None or now >= training.step):
        training.take(SourceRow(step=now, epoch=place(state.get("epoch"))))
        said.over = (
            f"step {now:.0f} of {said.total_steps}" if said.total_steps and now >= said.total_steps else said.over
        )
    name = output_folder(path).resolve().name
    origin = LogOrigin(
        path, "trainer-state", name, identity(path), path.stat().st_mtime, "state of a Trainer", means=True
    )
    return foreign(origin, training, 0, ())


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _config(state: Mapping[str, object], folder: Path) -> dict[str, object]:
    config: dict[str, Any] = {}
    if (batch := count(state.get("train_batch_size"))) is not None:
        config["batch_size"] = batch
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        config |= _adapter(adapter)
    return config


def _adapter(path: Path) -> dict[str, object]:
    try:
        document = json.loads(whole(path, 1 << 20))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    names = {"r": "r", "lora_alpha": "alpha", "lora_dropout": "dropout"}
    lora: dict[str, Any] = {
        ours: document[theirs] for theirs, ours in names.items() if _is_number(document.get(theirs))
    }
    if isinstance(document.get("target_modules"), list):
        lora["target_modules"] = [str(name) for name in document["target_modules"]]
    base = document.get("base_model_name_or_path")
    return {"lora": lora} | ({"model": base} if isinstance(base, str) else {})
