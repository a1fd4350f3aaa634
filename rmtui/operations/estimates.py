"""What a launch will take, estimated before it starts: parameters, memory, and time from past runs of its kind."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rmtui.index.index import Index
from rmtui.runs.model import Run, State
from trainer import estimate
from trainer.config import TrainConfig
from trainer.estimate import Derived, Shape, Sizes

RUNS_LOOKED_AT = 200
"""Newest runs among which those of the same kind are looked for."""
ALIKE = ("model", "max_length", "mixed_precision")
"""Keys that must be equal for another run's speed to say something."""


@dataclass(frozen=True, slots=True)
class PastTime:
    """Seconds that a training is likely to take, and from how many runs that is known."""

    seconds: float
    """Of its steps alone."""
    runs: int
    beside: float = 0.0
    """Of what is no step: starting, evaluations, checkpoints, the check of the saved model."""

    @property
    def whole(self) -> float:
        """From the launch to the end."""
        return self.seconds + self.beside


def model_sizes(config: TrainConfig) -> Sizes | None:
    """Parameters and memory; None where the model's folder is not there or does not tell."""
    folder = Path(config.model)
    file = folder / "config.json"
    if not config.model or not file.is_file():
        return None
    shape = _shape(folder, file.stat().st_mtime_ns)
    return estimate.sizes(config, shape) if shape else None


@functools.lru_cache(maxsize=16)
def _shape(folder: Path, changed: int) -> Shape | None:
    return estimate.model_shape(folder)


def past_time(index: Index, derived: Derived | None, spec: Mapping[str, Any]) -> PastTime | None:
    """By the median speed of past runs with the same model, length, precision and processes."""
    config = spec["config"]
    if derived is None:
        return None
    alike = [run for run in index.runs("", limit=RUNS_LOOKED_AT) if _alike(run, spec)]
    rates = list(_seconds_per_pair(alike))
    if not rates:
        return None
    beside = list(_seconds_beside(index, alike))
    seconds = estimate.seconds(derived, int(config["num_epochs"]), median(rates))
    return PastTime(seconds, len(rates), median(beside) if beside else 0.0)


def _alike(run: Run, spec: Mapping[str, Any]) -> bool:
    config = spec["config"]
    same = all(run.config.get(key) == config.get(key) for key in ALIKE)
    return same and run.processes == spec["launch"]["processes"]


def _seconds_beside(index: Index, runs: Sequence[Run]) -> Iterator[float]:
    """What finished runs took beside their steps; of runs in one go, as pauses and a second start are not of a kind."""
    for run in runs:
        if run.state is not State.FINISHED or not run.seconds_per_step:
            continue
        tries = index.attempts(run.id)
        if len(tries) == 1 and tries[0].started is not None and tries[0].ended is not None:
            yield max(0.0, tries[0].ended - tries[0].started - run.step * run.seconds_per_step)


def _seconds_per_pair(runs: Sequence[Run]) -> Iterator[float]:
    for run in runs:
        batch = run.config.get("batch_size", 0) * run.config.get("gradient_accumulation_steps", 0)
        if batch and run.seconds_per_step and run.processes:
            yield run.seconds_per_step / (batch * run.processes)
