"""Live mirrors of rank 0's metrics in TensorBoard, W&B and trackio, through accelerate's trackers.

A mirror never decides over a training: what one raises (no network, no key, a full disk) is said and ends it alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from trainer.config import TrainConfig, flatten, to_document

TRACKERS = ("tensorboard", "wandb", "trackio")
PROJECT = "rmtui"
"""Where all runs come together in W&B (unless WANDB_PROJECT names another project) and in trackio."""


class Mirrors:
    """The trackers that still take metrics."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._open: dict[str, GeneralTracker] = {}
        self._sent: dict[str, int] = {}
        """Metric → the step of its last value: an epoch's event repeats metrics of its evaluation."""

    def start(self, config: TrainConfig, run: Path, attempt: str, name: str) -> None:
        """Open every tracker of the configuration. TensorBoard's and W&B's files are in the run's `trackers/`."""
        values = {key: _plain(value) for key, value in flatten(to_document(config)).items()}
        shown = name or run.name
        named = {"name": shown if attempt == "attempt-1" else f"{shown} {attempt}", "group": run.name}
        (run / "trackers").mkdir(exist_ok=True)
        for one in config.trackers:
            self._try(one, partial(self._start, one, run, named, values))

    def _start(self, one: str, run: Path, named: Mapping[str, str], values: Mapping[str, object]) -> None:
        make = LOGGER_TYPE_TO_CLASS[one]
        if one == "tensorboard":
            tracker = make(run.name, run / "trackers")
        elif one == "wandb":
            tracker = make(os.environ.get("WANDB_PROJECT", PROJECT), dir=str(run / "trackers"), **named)
        else:
            tracker = make(PROJECT, **named)
        tracker.start()
        self._open[one] = tracker
        tracker.store_init_configuration(values)

    def send(self, metrics: Mapping[str, float], step: int, epoch: float, pairs_set: str = "") -> None:
        """One event's metrics; those of a further validation set carry its name: `NAME/val_loss`."""
        before = f"{pairs_set}/" if pairs_set else ""
        values = {"epoch": epoch, **{f"{before}{name}": value for name, value in metrics.items()}}
        values = {name: value for name, value in values.items() if self._sent.get(name) != step}
        self._sent |= dict.fromkeys(values, step)
        for one, tracker in list(self._open.items()):
            self._try(one, partial(tracker.log, values, step=step))

    def close(self) -> None:
        """Let the trackers write what they hold."""
        for one, tracker in list(self._open.items()):
            self._try(one, tracker.finish)
        self._open.clear()

    def _try(self, one: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            self._open.pop(one, None)
            self._warn(f"{one} gets no metrics: {str(error) or type(error).__name__}; training goes on")


def _plain(value: Any) -> int | float | str:
    """A value that every tracker takes for a hyperparameter."""
    return value if isinstance(value, (int, float, str)) else str(value)
