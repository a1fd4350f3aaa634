"""Loading what the guide looks at: runs with their evaluations from the index, rewards of pairs from the folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from rmtui.errors import UserError
from rmtui.guide import thresholds
from rmtui.guide.subject import BadValue, RewardSummary, Subject
from rmtui.guide.thresholds import Thresholds
from rmtui.records.facts import Run
from rmtui.records.index import Index
from rmtui.workspace import Workspace

FAMILY = 300
"""Runs of a data set that the guide looks back on: more would cost time and say nothing new."""

_EVALUATION = re.compile(r"(epoch|step)-(\d+)\.jsonl")


def limits(ws: Workspace) -> Thresholds:
    """The workspace's thresholds."""
    return thresholds.load(ws.root / thresholds.FILE)


def subject(index: Index, run: Run) -> Subject:
    """A run as the guide sees it, with its evaluations and rewards. `Subject(run)` alone is cheap, for many runs."""
    known = set(index.metrics(run.id))
    series = {name: index.series_full(run.id, name) if name in known else [] for name in _WANTED}
    scale = run.num_epochs / run.total_steps if run.num_epochs and run.total_steps else None
    return Subject(
        run,
        rewards=_rewards(series["reward_mean"], series["reward_std"], scale),
        bad_values=_bad_values(series),
        peak_step=_peak(series["learning_rate"]),
        evaluations={
            metric: tuple((round(step * scale, 6), value) for step, value in series[metric]) if scale else ()
            for metric in ("val_loss", "val_acc")
        },
    )


_WANTED = ("val_loss", "val_acc", "reward_mean", "reward_std", "learning_rate", "loss", "grad_norm")


def _rewards(
    means: Sequence[tuple[int, float]], spreads: Sequence[tuple[int, float]], scale: float | None
) -> tuple[RewardSummary, ...]:
    by_step = dict(spreads)
    return tuple(
        RewardSummary(round(step * scale, 3) if scale else step, mean, by_step[step])
        for step, mean in means
        if math.isfinite(mean) and math.isfinite(by_step.get(step, math.nan))
    )


def _bad_values(series: dict[str, list[tuple[int, float]]]) -> tuple[BadValue, ...]:
    found = [
        BadValue(name, step)
        for name in ("loss", "val_loss", "grad_norm")
        for step, value in series[name]
        if not math.isfinite(value)
    ]
    return tuple(sorted(found, key=lambda bad: bad.step))


def _peak(rates: Sequence[tuple[int, float]]) -> int | None:
    """First step at the highest rate, once a lower one has followed: before that the peak is not known."""
    if not rates:
        return None
    highest = max(rate for _, rate in rates)
    step = next(step for step, rate in rates if rate == highest)
    return step if any(later > step and rate < highest for later, rate in rates) else None


def siblings(index: Index, run: Run) -> list[Run]:
    """Runs on the same data set, oldest first, this one among them: the newest few hundred, all for an older run."""
    query = f'data:"{run.data}"' if run.data and '"' not in run.data else ""
    found = [other for other in index.runs(query, limit=FAMILY) if other.data == run.data]
    if run.id not in {other.id for other in found}:
        found = [other for other in index.runs(query) if other.data == run.data]
    if run.id not in {other.id for other in found}:
        found.append(run)  # archived: lists leave it out
    return sorted(found, key=lambda other: (other.created, other.id))


def run_before(run: Run, runs: Sequence[Run]) -> Run | None:
    """The newest earlier run with figures, on the same validation set where that is known of both."""
    earlier = [other for other in runs if (other.created, other.id) < (run.created, run.id) and has_figures(other)]
    same = [other for other in earlier if other.val_fingerprint == run.val_fingerprint]
    found = same or [other for other in earlier if not (other.val_fingerprint and run.val_fingerprint)]
    return found[-1] if found else None


def has_figures(run: Run) -> bool:
    return bool(run.epochs) or run.train_loss is not None or run.val_loss is not None


def evaluations(run: Run) -> list[Path]:
    """Files with the rewards of single pairs on the run's own validation set, oldest evaluation first."""
    folder = run.folder / "validation"
    found = [path for path in folder.glob("*.jsonl") if _EVALUATION.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def evaluation(run: Run, which: str = "last") -> Path | None:
    """`last` or `best` epoch, or a name (`epoch-2`); None where there are no such rewards; UserError for a bad name."""
    files = {path.stem: path for path in evaluations(run)}
    epochs = {int(name.partition("-")[2]): path for name, path in files.items() if name.startswith("epoch-")}
    if which == "last":
        return epochs[max(epochs)] if epochs else None
    if which == "best":
        epoch = run.best.epoch if run.best else None
        return epochs.get(int(epoch)) if epoch is not None and float(epoch).is_integer() else evaluation(run)
    if which not in files:
        raise UserError(f"{run.name} has no evaluation {which}", f"it has: {', '.join(files) or 'none'}", "name one")
    return files[which]


def read_rewards(path: Path) -> dict[str, tuple[float, float]]:
    """Pair id → (chosen, rejected); lines that are torn or not finite are left out."""
    found = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                sides = float(row["chosen"]), float(row["rejected"])
            except (ValueError, KeyError, TypeError):
                continue
            if all(map(math.isfinite, sides)):
                found[str(row["id"])] = sides
    return found
