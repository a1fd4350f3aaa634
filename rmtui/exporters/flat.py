"""Runs as CSV (a row a run and step, full precision) and as a Markdown table (a row a run and epoch)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rmtui.guide import comparison_tables
from rmtui.text import clean

if TYPE_CHECKING:
    from rmtui.documents.runs import EpochDocument, ExportDocument


def csv_text(documents: Sequence[ExportDocument]) -> str:
    """Columns: run, step, then every metric of any run; empty where a run has no value at that step. `epoch` is a
    metric like the others."""
    names = sorted({name for document in documents for name in document["metrics"]})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "step", *map(_cell, names)])
    for document in documents:
        for step, values in sorted(_by_step(document["metrics"]).items()):
            writer.writerow([_cell(document["id"]), step, *(_exact(values.get(name)) for name in names)])
    return out.getvalue()


def _cell(text: str) -> str:
    """A name as spreadsheets take it: one that begins like a formula is marked as text (OWASP, CSV injection)."""
    name = clean(text)
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def _by_step(metrics: Mapping[str, Sequence[tuple[float, float]]]) -> dict[float, dict[str, float]]:
    rows: dict[float, dict[str, float]] = {}
    for name, points in metrics.items():
        for step, value in points:
            rows.setdefault(step, {})[name] = value
    return rows


def _exact(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def markdown_text(documents: Sequence[ExportDocument]) -> str:
    """One table: a row a run and epoch."""
    head = ["run", "state", "epoch", "train_loss", "val_loss", "val_acc", "pairs"]
    rows = [_row(document, epoch) for document in documents for epoch in (*document["epochs"],) or (None,)]
    return comparison_tables.pipes([head, *rows], head[0]) + "\n"


def _row(document: ExportDocument, epoch: EpochDocument | None) -> list[str]:
    entered = epoch.get("entered") if epoch else None
    return [
        str(document["name"]),
        str(document["state"]),
        _format_value(epoch and epoch["epoch"], "{}"),
        _format_value(epoch and epoch.get("train_loss"), "{:.4f}"),
        _format_value(epoch and epoch.get("val_loss"), "{:.4f}"),
        _format_value(epoch and epoch.get("val_acc"), "{:.1%}") + (f" ({entered})" if entered else ""),
        _format_value(epoch and epoch.get("val_pairs"), "{}"),
    ]


def _format_value(value: Any, form: str) -> str:
    return "–" if value is None else value if isinstance(value, str) else form.format(value)
