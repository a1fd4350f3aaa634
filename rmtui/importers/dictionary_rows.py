"""Rows out of dictionaries: what a Trainer prints, LLaMA-Factory's and ms-swift's JSON lines, anybody's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rmtui.importers.source_rows import Said, SourceRow, figures_of, place, split_of, whole

STEPS = (
    *("train/global_step", "trainer/global_step", "eval/global_step", "global_step", "step", "current_steps", "steps"),
    *("iteration", "iter", "global_steps", "current_step", "training_step", "train_step", "num_updates", "_step"),
)
EPOCHS = ("epoch", "train/epoch", "current_epoch", "epochs", "trainer/epoch")
TOTALS = ("total_steps", "max_steps", "max_step", "total_step", "num_training_steps")
EPOCH_TOTALS = ("num_train_epochs", "num_epochs", "total_epochs", "max_epochs")
TIMES = ("_timestamp", "timestamp", "time", "wall time", "wall_time")
_BOTH = "global_step/max_steps"
"""ms-swift writes `10/400` under it, others under a step's own name."""
_PLACES = frozenset((*STEPS, *EPOCHS, *TOTALS, *EPOCH_TOTALS, *TIMES, _BOTH))
_NO_METRICS = _PLACES | {"best_metric", "best_global_step"}
"""ms-swift says the best checkpoint's metric behind the last step: it is none of that step."""
_END = "train_runtime"


def dictionary_row(values: Mapping[str, object], said: Said) -> SourceRow | None:
    """What one dictionary gives; None where it has neither a place nor an end of the training.

    A Trainer's last one (`train_runtime`) says that the training is over, and its train_loss is the mean over all.
    """
    step, epoch = _first(values, STEPS), _first(values, EPOCHS)
    for name in (_BOTH, *STEPS) if step is None else ():
        if step is None and isinstance(both := values.get(name), str) and "/" in both:
            now, _, total = both.partition("/")
            step, said.total_steps = place(now), whole(total) or said.total_steps
    said.total_steps = _count(values, TOTALS) or said.total_steps
    said.num_epochs = _count(values, EPOCH_TOTALS) or said.num_epochs
    figures = figures_of(values, _NO_METRICS, said)
    if _END in values:
        said.over = "the log ends with its train_runtime"
        said.whole_loss = figures.pop("train_loss", None)
    elif step is None and epoch is None:
        return None
    if said.total_steps and step is not None and step >= said.total_steps:
        said.over = f"step {step:.0f} of {said.total_steps}"
    return SourceRow(figures, step, epoch, split_of(values), _first(values, TIMES))


def _first(values: Mapping[str, object], names: Iterable[str]) -> float | None:
    for name in names:
        if name in values and (found := place(values[name])) is not None:
            return found
    return None


def _count(values: Mapping[str, object], names: Iterable[str]) -> int | None:
    for name in names:
        if name in values and (found := whole(values[name])) is not None:
            return found
    return None


def flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of inner dictionaries under joined names, `val/loss`; lists are left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            if before.count("/") < 4:
                yield from flat(value, f"{before}{name}/")
        elif not isinstance(value, list):
            yield f"{before}{name}", value
