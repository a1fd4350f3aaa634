"""open-instruct (Tülu): panels of rich, `Metrics`, a row a group of figures: `train  rm/accuracy: 0.5 | rm/loss: 0.7`.

Read against `open_instruct/reward_modeling.py` and `print_rich_single_line_metrics`. Its values have two decimals; rows
are wrapped at the width of the terminal, and an evaluation's panel says no place of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import split_in
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, figures_of, place

_TOP = re.compile(r"╭─+ Metrics ─+╮")
_ROW = re.compile(r"│ {2}(?P<group>\S+|) +(?P<figures>.*?) *│")
_ENTRY = re.compile(r"(?:^|\| )(?P<name>[^\s:|][^:|]*): (?P<value>[-+.\w]+)(?= \||$)")


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Rows of each panel that is whole."""
    groups: list[list[str]] | None = None
    epoch: float | None = None
    for line in lines:
        row = _ROW.search(line)
        if _TOP.search(line):
            groups = []
        elif groups is not None and row:
            if row["group"]:
                groups.append([row["group"], row["figures"]])
            elif groups:
                groups[-1][1] += f" {row['figures']}"
        elif groups is not None:
            if "╰" in line:
                found = {
                    group: {entry["name"]: entry["value"] for entry in _ENTRY.finditer(text)} for group, text in groups
                }
                epoch = _epoch(found.pop("other", {}), epoch)
                for group, figures in found.items():
                    yield SourceRow(figures_of(figures, (), said), epoch=epoch, split=split_in(group))
            groups = None


def _epoch(figures: dict[str, str], before: float | None) -> float | None:
    """Passes over the pairs so far."""
    return place(figures["epoch"]) if "epoch" in figures else before


OPEN_INSTRUCT = Producer(
    "open-instruct",
    "open-instruct log (values of two decimals)",
    re.compile(r"│ {2}(?:train|eval) +rm/accuracy: [\d.]+ \|"),
    ("rm/accuracy",),
    read,
)
