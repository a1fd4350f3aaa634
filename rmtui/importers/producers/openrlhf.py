"""OpenRLHF's reward model trainer: bars `Train epoch`, `Train step of epoch 0` and `Eval stage of steps 100`.

Read against `openrlhf/trainer/rm_trainer.py`. Its bars count micro steps; an evaluation lies where the bar of the
training stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.progress_bars import Bar, PostfixBar, bar
from rmtui.importers.source_rows import Said, SourceRow, figures_of

_EPOCHS = re.compile(r"^Train epoch\b")
_TRAIN = re.compile(r"Train step of epoch (\d+)")
_EVAL = re.compile(r"Eval stage of (?:global_step|steps) (\d+)")


class _BatchReader:
    """Where the bars are."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._first_epoch: int | None = None
        self._of_epochs: int | None = None
        self._bar = PostfixBar()

    def rows(self, lines: Iterable[str]) -> Iterator[SourceRow]:
        """A row a batch; of an evaluation's bar the last state with figures."""
        validated: SourceRow | None = None
        for line in lines:
            found = bar(line)
            if found is None:
                continue
            if _EVAL.search(found.title):
                validated = self._validated(found) or validated
                continue
            if validated is not None:
                yield validated
                validated = None
            if train := _TRAIN.search(found.title):
                yield from self._trained(found, int(train[1]))
            elif _EPOCHS.search(found.title):
                self._of_epochs = found.of
                yield from self._counted(found)
        if validated is not None:
            yield validated

    def _trained(self, found: Bar, epoch: int) -> Iterator[SourceRow]:
        if not found.of:
            return
        self._first_epoch = epoch if self._first_epoch is None else self._first_epoch
        if self._of_epochs:
            self._said.num_epochs = self._first_epoch + self._of_epochs
        self._said.steps_per_epoch = float(found.of)
        batch = self._bar.batch(found)
        figures = figures_of(found.entries, (), self._said)
        if batch is not None and figures:
            yield SourceRow(figures, float(epoch * found.of + batch), epoch + batch / found.of, Split.TRAIN)

    def _validated(self, found: Bar) -> SourceRow | None:
        figures = figures_of(found.entries, (), self._said)
        return SourceRow(figures, split=Split.VALIDATION) if figures else None

    def _counted(self, found: Bar) -> Iterator[SourceRow]:
        if found.of and found.done >= found.of and self._first_epoch is not None:
            self._said.over = f"epoch {self._first_epoch + found.done} of {self._first_epoch + found.of}"
            yield SourceRow()


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Rows of the training's and the evaluations' bars."""
    yield from _BatchReader(said).rows(lines)


OPENRLHF = Producer(
    "openrlhf",
    "OpenRLHF log (its steps are batches)",
    re.compile(r"Train step of epoch \d+:?\s*\d+%\|"),
    ("Train step of epoch",),
    read,
)
