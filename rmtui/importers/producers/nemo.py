"""NeMo-RL (results in blocks a step) and NeMo-Aligner (bars `Training steps`, `Validation steps`).

Read against `nemo_rl/algorithms/rm.py` and `nemo_aligner/algorithms/supervised.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.progress_bars import bar
from rmtui.importers.source_rows import Said, SourceRow, figures_of, place, whole

_EPOCH = re.compile(r"=+ Epoch (\d+)/(\d+) =+")
_STEP = re.compile(r"=+ Step (\d+)/(\d+) =+")
_TRAINED = re.compile(r"Training Results:")
_VALIDATED = re.compile(r"Validation Results(?: for `(?P<set>[^`]*)` set)?:")
_ENTRY = re.compile(r"^\s*[•*-] (?:Validation )?(?P<name>[A-Za-z][\w /.-]*?): (?P<value>[-+.\w]+)\s*$")


def read_blocks(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """A row a block. Steps are counted over all epochs; of several validation sets the first is the validation."""
    epoch, step, last = 1, 0, False
    sets: list[str] = []
    block: tuple[Split, str] | None = None
    figures: dict[str, str] = {}

    def close() -> Iterator[SourceRow]:
        if block is not None and figures:
            split, name = block
            named = {f"{name}/{key}" if name else key: value for key, value in figures.items()}
            yield SourceRow(figures_of(named, (), said), float(step), None if name else _place(step, said), split)
        figures.clear()

    for line in lines:
        if block is not None and (entry := _ENTRY.match(line)):
            figures[entry["name"]] = entry["value"]
            continue
        if found := _EPOCH.search(line):
            yield from close()
            epoch, said.num_epochs, block = int(found[1]), whole(found[2]), None
        elif found := _STEP.search(line):
            yield from close()
            said.steps_per_epoch, block = place(found[2]) or None, None
            step = (epoch - 1) * int(found[2]) + int(found[1])
            last = epoch == said.num_epochs and found[1] == found[2]
        elif found := _VALIDATED.search(line):
            yield from close()
            name = found["set"] or ""
            sets += [] if name in sets else [name]
            block = Split.VALIDATION, name if sets.index(name) else ""
        elif _TRAINED.search(line):
            yield from close()
            block = Split.TRAIN, ""
            said.over = f"step {step}, the last of epoch {epoch}" if last else ""
        elif line.strip() and block is not None:
            yield from close()
            block = None
    yield from close()


def _place(step: int, said: Said) -> float | None:
    return step / said.steps_per_epoch if said.steps_per_epoch else None


def read_bars(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """The training's bar counts optimizer steps; what it says behind `val_` was validated after that step."""
    for line in lines:
        found = bar(line)
        if found is None or found.title != "Training steps" or not found.entries:
            continue
        said.total_steps = found.of
        entries = dict(found.entries)
        entries.pop("train_epoch", None)
        figures = figures_of(entries, ("train_consumed_samples", "train_step_time", "val_step_time"), said)
        validated = {name: value for name, value in figures.items() if name.startswith("val_")}
        trained = {name.removeprefix("train_"): value for name, value in figures.items() if name not in validated}
        if found.done >= found.of:
            said.over = f"step {found.done} of {found.of}"
        yield SourceRow(trained, float(found.done), split=Split.TRAIN)
        if validated:
            yield SourceRow(validated, float(found.done))


NEMO_RL = Producer("nemo-rl", "NeMo-RL log", re.compile(r"📊 (?:Training|Validation) Results"), read_blocks)
NEMO_ALIGNER = Producer("nemo-aligner", "NeMo-Aligner log", re.compile(r"^Training steps:?\s*\d+%\|"), read_bars)
