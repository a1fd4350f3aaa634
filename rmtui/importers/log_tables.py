"""Tables in logs and notes, `| epoch | train_loss | val_loss |`, or with spaces or tabs as fastai and notebooks print
them: each row becomes a line as a log has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import KNOWN, MetricName, in_table, metric

_EPOCHS = ("epoch", "epochs", "轮次", "轮")
_STEPS = ("step", "steps", "iteration", "步数")
_MAY_HEAD = re.compile(r"(?:epochs?|steps?|iteration)\W*(?:\||$)|轮|步数", re.IGNORECASE)
_PLAIN_HEAD = re.compile(
    r"\s*(?:epochs?|steps?|iteration|轮次?|步数)(?:\t|\s{2,}|\s+\w+_)[^\W\d][^:=|{%]*", re.IGNORECASE
)
"""The heading of a table without lines, in which the place comes first."""
_EPOCH = re.compile(r"\d+(?:\.\d+)?(?:\s*/\s*\d+)?")
_RULE = re.compile(r":?-+:?")
_DRESS = "*_` "
"""Around a cell that is printed bold, or as code."""

Heading = dict[int, str]
"""Column → what its figures are called; the epoch's first."""


def untabled(text: Iterable[str]) -> Iterator[str]:
    """The lines of a log, those of tables by epoch in the words of a log."""
    heading: Heading = {}
    ruled = True
    for line in text:
        if "|" not in line and _PLAIN_HEAD.fullmatch(line):
            heading, ruled = {}, False
        elif not heading:
            ruled = True
        worth = ("|" in line and (heading or _MAY_HEAD.search(line))) if ruled else line.strip()
        cells = _cells(line, ruled) if worth else []
        if found := _heading(cells):
            heading = found
        elif heading and len(cells) > max(heading) and _EPOCH.fullmatch(cells[next(iter(heading))]):
            yield " | ".join(f"{name}: {cells[place]}" for place, name in heading.items())
        elif not (heading and cells and all(map(_RULE.fullmatch, cells))):
            heading = {}
            yield line


def _cells(line: str, ruled: bool) -> list[str]:
    if not ruled:
        return [cell.strip() for cell in re.split(r"\t" if "\t" in line else r"\s{2,}", line.strip())]
    return [cell.strip().strip(_DRESS) for cell in line.strip().strip("|").split("|")]


def _heading(cells: list[str]) -> Heading:
    """Empty unless one column is the epoch, or the step, and another a figure, and the line gives none itself."""
    names = [cell.lower() for cell in cells]
    at = next((place for known in (_EPOCHS, _STEPS) for place, name in enumerate(names) if name in known), None)
    if at is None:
        return {}
    splits = in_table(cells)
    figures = {
        place: f"{split} {cell}" if (split := splits[cell]) and metric(MetricName(cell)).startswith("train_") else cell
        for place, cell in enumerate(cells)
        if metric(MetricName(cell)) in KNOWN
    }
    return {at: "epoch" if names[at] in _EPOCHS else "step", **figures} if figures else {}
