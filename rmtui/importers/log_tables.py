"""Markdown tables in logs and notes, `| epoch | train_loss | val_loss |`: each row becomes a line as a log has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import KNOWN, MetricName, in_table, metric

_EPOCHS = ("epoch", "epochs", "轮次", "轮")
_MAY_HEAD = re.compile(r"epochs?\W*(?:\||$)|轮", re.IGNORECASE)
_EPOCH = re.compile(r"\d+(?:\.\d+)?(?:\s*/\s*\d+)?")
_RULE = re.compile(r":?-+:?")
_DRESS = "*_` "
"""Around a cell that is printed bold, or as code."""

Heading = dict[int, str]
"""Column → what its figures are called; the epoch's first."""


def untabled(text: Iterable[str]) -> Iterator[str]:
    """The lines of a log, those of tables by epoch in the words of a log."""
    heading: Heading = {}
    for line in text:
        cells = _cells(line) if "|" in line and (heading or _MAY_HEAD.search(line)) else []
        if found := _heading(cells):
            heading = found
        elif heading and len(cells) > max(heading) and _EPOCH.fullmatch(cells[next(iter(heading))]):
            yield " | ".join(f"{name}: {cells[place]}" for place, name in heading.items())
        elif not (heading and cells and all(map(_RULE.fullmatch, cells))):
            heading = {}
            yield line


def _cells(line: str) -> list[str]:
    return [cell.strip().strip(_DRESS) for cell in line.strip().strip("|").split("|")]


def _heading(cells: list[str]) -> Heading:
    """Empty unless one column is the epoch and another a figure, and the line gives none itself."""
    names = [cell.lower() for cell in cells]
    at = next((place for place, name in enumerate(names) if name in _EPOCHS), None)
    if at is None:
        return {}
    splits = in_table(cells)
    figures = {
        place: f"{split} {cell}" if (split := splits[cell]) and metric(MetricName(cell)).startswith("train_") else cell
        for place, cell in enumerate(cells)
        if metric(MetricName(cell)) in KNOWN
    }
    return {at: "epoch", **figures} if figures else {}
