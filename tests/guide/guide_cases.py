"""Runs made of figures alone, for rules that need nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmtui.guide import published_figures
from rmtui.guide.model import Reading, Subject
from rmtui.guide.readings import read
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import Epoch, Run, State


def subject(
    rows: list[tuple[float | None, float | None, float | None]],
    *,
    name: str = "run",
    config: dict[str, Any] | None = None,
    val_pairs: int | None = None,
    state: State = State.FINISHED,
    more: dict[str, Any] | None = None,
    first_epoch: int = 1,
    **run: Any,
) -> Subject:
    """A run whose epochs have these (train_loss, val_loss, val_acc)."""
    epochs = tuple(Epoch(number, *row, val_pairs=val_pairs) for number, row in enumerate(rows, start=first_epoch))
    run = {"num_epochs": len(rows), "data": "helpful", **run}
    return Subject(
        Run(run.pop("id", name), name, Path(name), state, epochs=epochs, config=config or {}, **run), **(more or {})
    )


def of_guide(found: published_figures.GuideRun, name: str, **run: Any) -> Subject:
    """One of the two runs the guide starts from, as an import leaves it: figures of its last epoch alone."""
    return subject(
        [(found.train_loss, found.val_loss, found.val_acc)],
        name=name,
        config=dict(found.config),
        state=State.IMPORTED,
        first_epoch=found.epochs,
        **run,
    )


def said(item: Subject, before: Subject | None = None, limits: Thresholds = DEFAULT) -> dict[str, Reading]:
    """Readings by their id."""
    return {reading.id: reading for reading in read(item, before, limits)}
