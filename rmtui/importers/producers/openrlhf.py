"""OpenRLHF's reward model trainer: bars `Train step of epoch 0` and `Eval stage of steps 100`.

Read against `openrlhf/trainer/rm_trainer.py`. Its bars count micro steps; an evaluation lies where the bar of the
training stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.progress_bars import Bar, bar
from rmtui.importers.source_rows import Said, SourceRow, figures_of

_TRAIN = re.compile(r"Train step of epoch (\d+)")
_EVAL = re.compile(r"Eval stage of (?:global_step|steps) (\d+)")


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """A row a state of the training's bar; of an evaluation's the last with figures."""
    waiting: SourceRow | None = None
    kind = ""
    for line in lines:
        found = bar(line)
        if found is None:
            continue
        title = found.title
        row = _row(found, said)
        if waiting is not None and (row is None or title != kind or row.step != waiting.step):
            yield waiting
            waiting = None
        if row is not None:
            waiting, kind = row, title
    if waiting is not None:
        yield waiting


def _row(found: Bar, said: Said) -> SourceRow | None:
    if train := _TRAIN.search(found.title):
        said.steps_per_epoch = float(found.of)
        figures = figures_of(found.entries, (), said)
        done = int(train[1]) + found.done / found.of if found.of else float(train[1])
        return SourceRow(figures, int(train[1]) * found.of + found.done, done, Split.TRAIN) if figures else None
    if _EVAL.search(found.title) and found.entries:
        figures = figures_of(found.entries, (), said)
        return SourceRow(figures, split=Split.VALIDATION) if "eval_loss" in figures or "acc_mean" in figures else None
    return None


OPENRLHF = Producer("openrlhf", "OpenRLHF log", re.compile(r"Train step of epoch \d+:?\s*\d+%\|"), read)
