"""Scripts that show their figures in tqdm's bar, `Epoch 1: 50%|#####| 200/400 [..., loss=0.65, acc=0.5]`.

Each state of a training's bar is a row; of a bar whose title speaks of an evaluation the last state counts. Lines
between the bars, such as `Epoch 1: val_loss=0.6`, are read as in any log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.log_lines import parse
from rmtui.importers.metric_names import Split, split_in
from rmtui.importers.producers.producer import Producer
from rmtui.importers.progress_bars import Bar, bar
from rmtui.importers.source_rows import Said, SourceRow, figures_of

_MACHINE = ("v_num", "num_proc")


class _BarReader:
    """Where the bars are."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._from_zero = False
        self._place: tuple[float | None, float | None] = None, None

    def rows(self, lines: Iterable[str]) -> Iterator[SourceRow]:
        waiting: tuple[Bar, SourceRow] | None = None
        for line in lines:
            found = bar(line)
            row = self._bar_row(found) if found else None
            if waiting and (found is None or _moved(waiting[0], found)):
                yield waiting[1]
                waiting = None
            if found and row:
                waiting = found, row
            elif found is None:
                yield from self._line_rows(line)
        if waiting:
            yield waiting[1]

    def _bar_row(self, found: Bar) -> SourceRow | None:
        figures = figures_of(found.entries, _MACHINE, self._said)
        if not figures:
            return None
        split = split_in(found.title)
        if split in (Split.VALIDATION, Split.TEST):
            return SourceRow(figures, *self._place, split)
        self._place = self._where(found)
        return SourceRow(figures, *self._place, Split.TRAIN)

    def _where(self, found: Bar) -> tuple[float | None, float | None]:
        if found.epoch is None or not found.of:
            return float(found.done), None
        number, self._said.num_epochs = found.epoch[0], found.epoch[1] or self._said.num_epochs
        self._from_zero = self._from_zero or number == 0
        before = number - (0 if self._from_zero else 1)
        if before < 0:
            return float(found.done), None
        return float(before * found.of + found.done), before + found.done / found.of

    def _line_rows(self, line: str) -> Iterator[SourceRow]:
        said = parse(line)
        if said.over:
            self._said.over = "the log says so"
            yield SourceRow({}, *self._place)
        if said.best or (said.epoch is None and not said.alone):
            return
        epoch = self._place[1] if said.epoch is None else float(said.epoch) + self._from_zero
        for split in (None, *Split):
            figures = {one.spelled: one.value for one in said.figures if one.name in _OF_EPOCH and one.split is split}
            if figures and epoch and epoch >= 1:
                yield SourceRow(figures, self._place[0], epoch, split)


_OF_EPOCH = ("train_loss", "val_loss", "val_acc", "reward_margin", "test_loss", "test_acc")


def _moved(last: Bar, now: Bar) -> bool:
    """Another bar, or another state of a training's; an evaluation's own states come to its last."""
    if now.title != last.title or now.of != last.of or now.done < last.done:
        return True
    return now.done != last.done and split_in(now.title) not in (Split.VALIDATION, Split.TEST)


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Rows of all bars, and of the lines between them."""
    yield from _BarReader(said).rows(lines)


BARS = Producer(
    "progress-bars",
    "log of progress bars",
    re.compile(r"%\|[^|\n]*\|\s*\d+/\d+\s*\[[^\]\n]{0,100},\s*[A-Za-z][\w/]*="),
    ("%|",),
    read,
)
