"""Runs as CSV (a row a run and step, full precision) and as Markdown (what one pastes into a pull request)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


def csv_text(documents: Sequence[Mapping[str, Any]]) -> str:
    """Columns: run, step, then every metric of any run; empty where a run has no value at that step."""
    names = sorted({name for document in documents for name in document["metrics"]})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "step", *names])
    for document in documents:
        for step, values in sorted(_by_step(document["metrics"]).items()):
            writer.writerow([document["id"], step, *(_exact(values.get(name)) for name in names)])
    return out.getvalue()


def _by_step(metrics: Mapping[str, Sequence[Sequence[Any]]]) -> dict[float, dict[str, Any]]:
    rows: dict[float, dict[str, Any]] = {}
    for name, points in metrics.items():
        for step, value in points:
            rows.setdefault(step, {})[name] = value
    return rows


def _exact(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def markdown_text(documents: Sequence[Mapping[str, Any]]) -> str:
    """One table: a row a run and epoch."""
    lines = ["| run | state | epoch | train_loss | val_loss | val_acc | pairs |", "|---|---|--:|--:|--:|--:|--:|"]
    for document in documents:
        for epoch in document["epochs"] or [{}]:
            cells = [
                _plain(document["name"]),
                document["state"],
                _figure(epoch.get("epoch"), "{}"),
                _figure(epoch.get("train_loss"), "{:.4f}"),
                _figure(epoch.get("val_loss"), "{:.4f}"),
                _figure(epoch.get("val_acc"), "{:.1%}"),
                _figure(epoch.get("val_pairs"), "{}"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figure(value: Any, form: str) -> str:
    return "–" if value is None else form.format(value)


def _plain(name: str) -> str:
    """A name that cannot break the table or become markup."""
    return "".join("\\" + letter if letter in r"\`*_[]<>|" else letter for letter in str(name))
