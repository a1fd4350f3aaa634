"""A JSON file that somebody named: an export of rmtui, or a Trainer's state, results or history under another name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.importers import own, result_files, trainer_state
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.metric_names import KNOWN, MetricName, metric
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity, whole
from rmtui.importers.training import LogOrigin, foreign_runs, trainings

_LIMIT = 1 << 30
_Found = Iterable[tuple[Foreign, Mapping[str, object] | None]]


def read_json_file(path: Path) -> _Found:
    """Runs, each with its document where it is an export. UserError where the file is neither, with its keys."""
    try:
        document = json.loads(whole(path, _LIMIT))
    except (ValueError, RecursionError):
        raise UserError(f"cannot read {path}", "it is not valid JSON", "was it cut off?") from None
    if isinstance(document, dict) and "log_history" in document:
        return [(trainer_state.read_state(path), None)]
    entries = document if isinstance(document, list) else [document]
    if entries and all(isinstance(entry, dict) and {"id", "epochs", "metrics"} <= entry.keys() for entry in entries):
        return own.read_export(path)
    if isinstance(document, list):
        return [(run, None) for run in _read_history(path, document)]
    if isinstance(document, dict) and _has_metrics(document):
        return [(result_files.read_results(path), None)]
    keys = ", ".join(map(str, list(document)[:8])) if isinstance(document, dict) else type(document).__name__
    raise UserError(
        f"cannot read {path}",
        "it is not an export of rmtui, not a Trainer's state or results and not a list of steps; "
        f"it holds: {keys or 'nothing'}",
        "name trainer_state.json, or the log of the training",
    )


def _has_metrics(document: Mapping[str, object]) -> bool:
    known = {metric(MetricName(name)) for name, value in flat(document) if isinstance(value, (int, float))}
    return bool(known & KNOWN - {"learning_rate"})


def _read_history(path: Path, entries: list[Any]) -> list[Foreign]:
    """A list of dictionaries, one a step, as `log_history` saved alone."""
    said = Said()
    rows = (dictionary_row(dict(flat(entry)), said) for entry in entries if isinstance(entry, dict))
    found = trainings((row for row in rows if row is not None), said)
    if not found:
        raise UserError(f"cannot read {path}", "its entries give no metrics with a step or an epoch", "name the log")
    origin = LogOrigin(path, "json", path.stem, identity(path), path.stat().st_mtime, "list of steps", means=True)
    return foreign_runs(origin, found)
