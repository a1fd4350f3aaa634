"""rmtui's own JSON export, read back: nothing is lost on the way there and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.importers.json_stream import items
from rmtui.importers.model import Foreign, Point
from rmtui.importers.text_files import identity
from rmtui.runs.model import Epoch
from trainer.events import number


def read_export(path: Path) -> list[tuple[Foreign, Mapping[str, object]]]:
    """Runs of a `rmtui export --format json` file, each with its document less metrics. UserError if it is none."""
    try:
        digest = identity(path)
        return [(_foreign(path, digest, row), _settings(row)) for row in items(path)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"cannot read {path}", "it is not an export of rmtui", "make it with rmtui export") from None


_KINDS: Mapping[str, type] = {"best": dict, "tags": list, "attempts": list, "note": str, "state": str, "reason": str}


def _settings(row: Mapping[str, object]) -> dict[str, object]:
    """What the document says besides its figures; a value of a kind that no export has is left out."""
    kept = {key: value for key, value in row.items() if key != "metrics"}
    return {key: value for key, value in kept.items() if value is None or isinstance(value, _KINDS.get(key, object))}


def _foreign(path: Path, digest: str, row: Mapping[str, Any]) -> Foreign:
    return Foreign(
        name=str(row["name"]),
        origin=path,
        kind="rmtui",
        identity=f"{digest}:{row['id']}",
        config=dict(row["config"]),
        epochs=tuple(_epoch(epoch) for epoch in row["epochs"]),
        series={str(name): [_point(point) for point in points] for name, points in row["metrics"].items()},
        created=_unix(row.get("created")),
        ended=_unix(row.get("ended")),
        last_word="an export does not grow",
    )


def _epoch(row: Mapping[str, Any]) -> Epoch:
    def metric(name: str) -> float | None:
        return None if row.get(name) is None else number(row[name])

    pairs, clusters = row.get("val_pairs"), row.get("val_clusters")
    return Epoch(
        int(row["epoch"]),
        train_loss=metric("train_loss"),
        val_loss=metric("val_loss"),
        val_acc=metric("val_acc"),
        val_pairs=None if pairs is None else int(pairs),
        reward_margin=metric("reward_margin"),
        val_clusters=None if clusters is None else int(clusters),
        val_effective=metric("val_effective"),
    )


def _point(point: list[Any]) -> Point:
    return number(point[0]), number(point[1]), None


def _unix(text: Any) -> float | None:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
