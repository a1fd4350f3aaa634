"""A JSON file that somebody named: an export of rmtui, or a Trainer's state, results or history under another name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers import own, result_files, trainer_state
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.json_stream import BadJson, JsonStream, items, members
from rmtui.importers.metric_names import KNOWN, MetricName, metric
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity
from rmtui.importers.training import LogOrigin, foreign_runs, trainings

_Found = Iterable[tuple[Foreign, Mapping[str, object] | None]]
_EXPORT = {"id", "epochs", "metrics"}
"""Keys of a run in an export of rmtui."""


def read_json_file(path: Path) -> _Found:
    """Runs, each with its document where it is an export. UserError where the file is neither, with its keys."""
    try:
        if JsonStream(path).peek() == "[":
            first = next(iter(items(path)), None)
            if isinstance(first, dict) and first.keys() >= _EXPORT:
                return own.read_export(path)
            return [(run, None) for run in _read_history(path)]
        return _read_object(path)
    except BadJson as error:
        raise UserError(f"cannot read {path}", f"it is not valid JSON: {error}", "was it cut off?") from None


def _read_object(path: Path) -> _Found:
    keys: dict[str, None] = {}
    known: set[str] = set()
    for key, value in members(path):
        if key == "log_history":
            return [(trainer_state.read_state(path), None)]
        if len(keys) < _MOST_KEYS:
            keys[key] = None
        named = flat({key: value}) if not isinstance(value, list) else ()
        known |= {metric(MetricName(name)) for name, inner in named if isinstance(inner, (int, float))} & KNOWN
    if keys.keys() >= _EXPORT:
        return own.read_export(path)
    if known - {"learning_rate"}:
        return [(result_files.read_results(path), None)]
    raise UserError(
        f"cannot read {path}",
        "it is not an export of rmtui, not a Trainer's state or results and not a list of steps; "
        f"it holds: {', '.join(list(keys)[:8]) or 'nothing'}",
        "name trainer_state.json, or the log of the training",
    )


_MOST_KEYS = 1000


def _read_history(path: Path) -> list[Foreign]:
    """A list of dictionaries, one a step, as `log_history` saved alone."""
    said = Said()
    rows = (dictionary_row(dict(flat(entry)), said) for entry in items(path) if isinstance(entry, dict))
    found = trainings((row for row in rows if row is not None), said)
    if not found:
        raise UserError(f"cannot read {path}", "its entries give no metrics with a step or an epoch", "name the log")
    origin = LogOrigin(path, "json", path.stem, identity(path), path.stat().st_mtime, "list of steps", means=True)
    return foreign_runs(origin, found)
