"""NeMo-RL (results in blocks a step) and NeMo-Aligner (bars `Training steps`, `Validation steps`).

Read against `nemo_rl/algorithms/rm.py` and `nemo_aligner/algorithms/supervised.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.progress_bars import PostfixBar, bar
from rmtui.importers.source_rows import Said, SourceRow, figures_of, whole

_EPOCH = re.compile(r"=+ Epoch (\d+)/(\d+) =+")
_STEP = re.compile(r"=+ Step (\d+)/(\d+) =+")
_MOST_STEPS = re.compile(r"""\bmax_num_steps['"]?\s*[:=]\s*(-?\d+)""")
_TRAINED = re.compile(r"Training Results:")
_VALIDATED = re.compile(r"Validation Results(?: for `(?P<set>[^`]*)` set)?:")
_STOPPED = "Max number of steps has been reached"
_ENTRY = re.compile(r"^\s*[•*-] (?:Validation )?(?P<name>[A-Za-z][\w /.-]*?): (?P<value>[-+.\w]+)\s*$")


@dataclass(slots=True)
class _Place:
    """Where NeMo-RL is: it writes `Step n/N` with N the steps of an epoch, or max_num_steps where that is less.

    So N is an epoch's length only if the printed configuration says so, or once a second epoch has begun.
    """

    said: Said
    most: int | None = None
    """max_num_steps as configured, -1: no limit; None where the log does not print it."""
    epoch: int = 1
    epochs: int | None = None
    of: int = 0
    step: int = 0
    """Over all epochs."""
    last: bool = False
    """This step is the training's last."""

    def begin_epoch(self, number: int, of: int | None) -> None:
        self.epoch, self.epochs = number, of

    def begin_step(self, number: int, of: int) -> None:
        self.of = of
        self.step = (self.epoch - 1) * of + number
        limited = self.most is not None and self.most > 0
        if self.epoch > 1 or (self.most is not None and (not limited or of < self.most)):
            self.said.steps_per_epoch = float(of) or None
        total = self.epochs * of if self.epochs else None
        if limited and self.most is not None:
            total = min(self.most, total or self.most)
        known = self.most is not None
        self.said.total_steps = total if known else None
        self.said.num_epochs = self.epochs if self.said.steps_per_epoch and not (limited and self._capped()) else None
        self.last = self.step == total if known else self.epoch == self.epochs and number == of

    def _capped(self) -> bool:
        return bool(self.most and self.epochs and self.most < self.epochs * self.of)


def read_blocks(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """A row a block. Steps are counted over all epochs; of several validation sets the first is the validation."""
    at = _Place(said)
    sets: list[str] = []
    block: tuple[Split, str] | None = None
    figures: dict[str, str] = {}

    def close() -> Iterator[SourceRow]:
        if block is not None and figures:
            split, name = block
            named = {f"{name}/{key}" if name else key: value for key, value in figures.items()}
            yield SourceRow(figures_of(named, (), said), float(at.step), split=split)
        figures.clear()

    for line in lines:
        if block is not None and (entry := _ENTRY.match(line)):
            figures[entry["name"]] = entry["value"]
            continue
        if found := _EPOCH.search(line):
            yield from close()
            at.begin_epoch(int(found[1]), whole(found[2]))
            block = None
        elif found := _STEP.search(line):
            yield from close()
            at.begin_step(int(found[1]), int(found[2]))
            block = None
        elif found := _VALIDATED.search(line):
            yield from close()
            name = found["set"] or ""
            sets += [] if name in sets else [name]
            block = Split.VALIDATION, name if sets.index(name) else ""
        elif _TRAINED.search(line):
            yield from close()
            block = Split.TRAIN, ""
            said.over = f"step {at.step}, the last one" if at.last else ""
        elif line.strip() and block is not None:
            yield from close()
            block = None
        if limit := _MOST_STEPS.search(line):
            at.most = int(limit[1])
        elif _STOPPED in line:
            said.over, said.num_epochs = f"the log says that the limit of {at.step} steps was reached", None
            yield SourceRow(step=float(at.step))
    yield from close()


def read_bars(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """The training's bar counts optimizer steps; what it says behind `val_` was validated after that step."""
    bars = PostfixBar()
    for line in lines:
        found = bar(line)
        if found is None or found.title != "Training steps":
            continue
        step = bars.batch(found)
        if step is None:
            continue
        said.total_steps = found.of
        entries = dict(found.entries)
        entries.pop("train_epoch", None)
        figures = figures_of(entries, ("train_global_step", "train_consumed_samples"), said)
        validated = {name: value for name, value in figures.items() if name.startswith("val_")}
        trained = {name.removeprefix("train_"): value for name, value in figures.items() if name not in validated}
        if step >= found.of:
            said.over = f"step {step} of {found.of}"
        yield SourceRow(trained, float(step), split=Split.TRAIN)
        if validated:
            yield SourceRow(validated, float(step))


NEMO_RL = Producer("nemo-rl", "NeMo-RL log", re.compile(r"📊 (?:Training|Validation) Results"), ("📊",), read_blocks)
NEMO_ALIGNER = Producer(
    "nemo-aligner", "NeMo-Aligner log", re.compile(r"^Training steps:?\s*\d+%\|"), ("Training steps",), read_bars
)
