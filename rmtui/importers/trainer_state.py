"""`trainer_state.json` of transformers and TRL, with the adapter configuration beside it. Pickles are never opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from rmtui.errors import UserError
from rmtui.importers.epochs import mean_losses, rows_to_epochs
from rmtui.importers.model import Foreign, Point, canonical, fraction, renamed
from rmtui.importers.text_files import identity, whole

_LIMIT = 256 << 20
NAME = "trainer_state.json"
_WHOLE_RUN = {"train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"}
"""Written once at the end and meant for the whole run: no epoch's figures."""


def find(folder: Path) -> Path | None:
    """The state of a checkpoint folder, or of the newest checkpoint in an output folder."""
    if (folder / NAME).is_file():
        return folder / NAME
    inside = [path for path in folder.glob(f"checkpoint-*/{NAME}") if path.parent.name[11:].isdigit()]
    return max(inside, key=lambda path: int(path.parent.name[11:]), default=None)


def read_state(path: Path) -> Foreign:
    """The log history of a Trainer. Raises UserError where the file is no trainer state."""
    try:
        state = json.loads(whole(path, _LIMIT))
        history = [row for row in state["log_history"] if isinstance(row, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"cannot read {path}", "it is no trainer state", "name the file that Trainer wrote") from None
    series = _series(history)
    root = path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent
    changed = path.stat().st_mtime
    return Foreign(
        name=root.resolve().name,
        origin=path,
        kind="trainer-state",
        identity=identity(path),
        config=_config(state, path.parent),
        epochs=rows_to_epochs(_epoch_rows(history)),
        series=series,
        created=changed,
        ended=changed,
        last_word=_finished_because(state),
    )


def _finished_because(state: Mapping[str, object]) -> str:
    step, last = state.get("global_step"), state.get("max_steps")
    over = _is_number(step) and _is_number(last) and 0 < last <= step
    return f"step {step} of {last}" if over else ""


def _series(history: list[dict[str, Any]]) -> dict[str, list[Point]]:
    series: dict[str, list[Point]] = {}
    for row in history:
        step = row.get("step")
        if not _is_number(step):
            continue
        for name, value in row.items():
            if name not in ("step", *_WHOLE_RUN) and _is_number(value):
                series.setdefault(name, []).append((float(step), float(value), None))
    return renamed(series)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _epoch_rows(history: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Evaluations at whole epochs; train_loss of an epoch is the mean of the losses logged in it."""
    rows: dict[int, dict[str, float]] = {}
    logged: list[tuple[float, float]] = []
    for row in history:
        epoch = row.get("epoch")
        if not _is_number(epoch):
            continue
        if _is_number(row.get("loss")):
            logged.append((float(epoch), float(row["loss"])))
        if "eval_loss" in row and float(epoch) == int(epoch):
            rows.setdefault(int(epoch), {}).update(_evaluation(row))
    for number, loss in mean_losses(logged):
        if number in rows:
            rows[number]["train_loss"] = loss
    return rows


def _evaluation(row: Mapping[str, object]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, value in row.items():
        known = canonical(name)
        if known in ("val_loss", "val_acc", "reward_margin") and _is_number(value):
            share = fraction(float(value)) if known == "val_acc" else float(value)
            if share is not None:
                figures[known] = share
    return figures


def _config(state: Mapping[str, Any], folder: Path) -> dict[str, object]:
    config: dict[str, Any] = {}
    if _is_number(state.get("num_train_epochs")):
        config["num_epochs"] = int(state["num_train_epochs"])
    if _is_number(state.get("train_batch_size")):
        config["batch_size"] = int(state["train_batch_size"])
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
