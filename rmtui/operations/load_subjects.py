"""Loading what the guide looks at: runs with their evaluations from the index, rewards of pairs from the folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide import thresholds
from rmtui.guide.comparison import seedless
from rmtui.guide.model import BadValue, LengthFacts, RewardSummary, Subject, TrainFacts, common_epoch
from rmtui.guide.pair_changes import MarginSpread, spreads
from rmtui.guide.paired_test import AccuracyTest, Clusters, accuracy_test
from rmtui.guide.thresholds import Thresholds
from rmtui.index import settings
from rmtui.index.index import Index
from rmtui.index.read_curves import Series
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer import manifest
from trainer.calibrate import cross_fitted
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from rmtui.documents.runs import MarginsDocument

FAMILY = 300
"""Runs of a data set that the guide looks back on: more would cost time and say nothing new."""

COLUMNS = 512
UNTRAINED = "untrained/val_loss"
"""By the evaluation before the first step (`eval_at_start`)."""
EVALUATED = ("val_loss", "val_acc")

MOST_FITTED = 5000
"""Validation pairs of which the loss at a cross-fitted temperature is computed."""
_EVALUATION = re.compile(r"(epoch|step)-(\d+)\.jsonl")


def limits(ws: Workspace) -> Thresholds:
    """The workspace's thresholds."""
    return thresholds.load(ws.root / thresholds.FILE)


def subject(index: Index, run: Run) -> Subject:
    """A run as the guide sees it, with its evaluations and rewards. `Subject(run)` alone is cheap, for many runs.

    Step by step metrics come as roll-ups, so a long run costs no more than a short one.
    """
    known = set(index.metrics(run.id))
    evaluations = _evaluations(index, run)
    return Subject(
        _with_evaluations(run, evaluations),
        rewards=_rewards(index, run) if {"reward_mean", "reward_std"} <= known else (),
        bad_values=_bad_values(index, run),
        peak_step=_peak(index.series(run.id, "learning_rate", COLUMNS)),
        evaluations=evaluations,
        start_loss=start_loss(index, run),
        lengths=_lengths(index, run, known),
        trained=_trained(index, run, known),
        has_model=has_model(run),
        checkpoint=_checkpoint(run),
    )


def bare(index: Index, run: Run) -> Subject:
    """The subject with the metrics of its epochs alone, for one question about hardly more than a row of the list."""
    if not _lacks_evaluations(run):
        return Subject(run)
    return Subject(_with_evaluations(run, _evaluations(index, run)))


def _evaluations(index: Index, run: Run) -> dict[str, tuple[tuple[float, float], ...]]:
    return {metric: _points(index.series(run.id, metric, COLUMNS, "epoch")) for metric in EVALUATED}


def _lacks_evaluations(run: Run) -> bool:
    return bool(run.epochs) and all(row.val_loss is None and row.val_acc is None for row in run.epochs)


def _with_evaluations(run: Run, evaluations: Mapping[str, Sequence[tuple[float, float]]]) -> Run:
    """The run with the last evaluation inside an epoch as that epoch's, where there was none at any epoch's end: a log
    that counts in steps, say."""
    if not _lacks_evaluations(run):
        return run
    last = {metric: {max(1, math.ceil(at)): value for at, value in points} for metric, points in evaluations.items()}
    losses, shares = (last.get(metric, {}) for metric in EVALUATED)
    rows = [row._replace(val_loss=losses.get(row.epoch), val_acc=shares.get(row.epoch)) for row in run.epochs]
    return run._replace(epochs=tuple(rows))


def has_model(run: Run) -> bool:
    """A model or checkpoints of the run are here."""
    return any((run.folder / name).is_dir() for name in ("model", "checkpoints"))


def _checkpoint(run: Run) -> int | None:
    """The step that a resume goes on from, as far as names tell: a resume looks into the files."""
    found = manifest.checkpoints(run.folder) if run.resumable else []
    return found[-1].step if found else None


def start_loss(index: Index, run: Run) -> float | None:
    """Loss of the model before it was trained: on the validation pairs, where it was evaluated there; else the mean of
    the first twentieth of the steps, during which the rate warms up. None where neither is known."""
    if UNTRAINED in index.metrics(run.id):
        return index.series_full(run.id, UNTRAINED)[0][1]
    if not run.total_steps:
        return None
    first = index.series(run.id, "loss", COLUMNS, "step", None, max(1, run.total_steps // 20))
    known = [value for value in first.last if math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _points(series: Series) -> tuple[tuple[float, float], ...]:
    found = zip(series.x, series.last, strict=True)
    return tuple((round(x, 6), value) for x, value in found if math.isfinite(x) and math.isfinite(value))


def _rewards(index: Index, run: Run) -> tuple[RewardSummary, ...]:
    spreads = dict(_points(index.series(run.id, "reward_std", COLUMNS, "epoch")))
    means = _points(index.series(run.id, "reward_mean", COLUMNS, "epoch"))
    return tuple(RewardSummary(epoch, mean, spreads[epoch]) for epoch, mean in means if epoch in spreads)


def _trained(index: Index, run: Run, known: Collection[str]) -> TrainFacts | None:
    """Of the newest evaluation of training pairs."""
    names = ("train/val_loss", "train/val_acc", "train/val_pairs")
    if not set(names) <= set(known) or "train" in settings.table(settings.table(run.config, "data"), "extra_val"):
        return None  # a validation set of this name is no training pairs
    found = [_points(index.series(run.id, name, COLUMNS, "epoch")) for name in names]
    if not all(found):
        return None
    (epoch, loss), (_, accuracy), (_, pairs) = (points[-1] for points in found)
    return TrainFacts(epoch, loss, accuracy, round(pairs))


def _lengths(index: Index, run: Run, known: Collection[str]) -> LengthFacts | None:
    """Of the newest evaluation of the run's own set."""
    names = ("val_acc", "val_pairs", "pairs_chosen_shorter", "val_acc_chosen_shorter", "length_correlation")
    series = [index.series(run.id, name, 1).last if name in known else () for name in names]
    *found, correlation = [values[-1] if values and math.isfinite(values[-1]) else None for values in series]
    accuracy, pairs, shorter, accuracy_shorter = found
    if accuracy is None or pairs is None or shorter is None or accuracy_shorter is None:
        return None
    return LengthFacts(accuracy, int(pairs), shorter, accuracy_shorter, correlation)


def _bad_values(index: Index, run: Run) -> tuple[BadValue, ...]:
    """Every point that is not finite; points are read one by one only of a metric that holds such a one."""
    found = [
        BadValue(name, step)
        for name in sorted({"loss", "val_loss", "grad_norm"} & index.broken_metrics(run.id))
        for step, value in index.series_full(run.id, name)
        if not math.isfinite(value)
    ]
    return tuple(sorted(found, key=lambda bad: (bad.step, bad.metric != "loss")))


def _peak(rates: Series) -> int | None:
    """The step at the highest rate, once a lower one has followed: before that the peak is not known."""
    known = [(step, high) for step, high in zip(rates.steps, rates.high, strict=True) if math.isfinite(high)]
    if not known:
        return None
    highest = max(high for _, high in known)
    peak = next(step for step, high in known if high == highest)
    return peak if any(step > peak and high < highest for step, high in known) else None


def siblings(index: Index, run: Run) -> list[Run]:
    """Runs on the same data set, oldest first, this one among them: the newest few hundred; for an older run also those
    before it, as many.

    A run whose data set is not known is alone.
    """
    if not run.data:
        return [run]
    query = f'data="{run.data}"' if '"' not in run.data else ""
    found = _alike(index, run, query)
    if run.id not in found:
        found |= _alike(index, run, f"{query} created<{_second_after(run.created)}")
    found[run.id] = run  # one that is archived, too, which lists leave out
    return sorted(found.values(), key=lambda other: (other.created, other.id))


def _second_after(moment: float) -> str:
    """As a query writes it; the calendar's end where a run's folder names a time beyond it."""
    try:
        return datetime.fromtimestamp(moment + 1, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC).isoformat()


def _alike(index: Index, run: Run, query: str) -> dict[str, Run]:
    return {other.id: other for other in index.newest_runs(query, FAMILY) if other.data == run.data}


def run_before(run: Run, runs: Sequence[Run]) -> Run | None:
    """The newest earlier run with metrics, on the same validation set where that is known of both.

    Another seed of this run's own configuration is none: between the two, nothing was tried.
    """
    own = seedless(run)
    earlier = [
        other
        for other in runs
        if (other.created, other.id) < (run.created, run.id)
        and has_metrics(other)
        and (other.config.get("seed") == run.config.get("seed") or seedless(other) != own)
    ]
    same = [other for other in earlier if other.val_fingerprint == run.val_fingerprint]
    found = same or [other for other in earlier if not (other.val_fingerprint and run.val_fingerprint)]
    return found[-1] if found else None


def has_metrics(run: Run) -> bool:
    return bool(run.epochs) or run.train_loss is not None or run.val_loss is not None


def evaluations(run: Run) -> list[Path]:
    """Files with the rewards of single pairs on the run's own validation set, oldest evaluation first."""
    folder = run.folder / "validation"
    found = []
    for path in folder.glob("*.jsonl") if folder.is_dir() else ():
        with suppress(OSError):  # a link to nothing
            if _EVALUATION.fullmatch(path.name):
                found.append((path.stat().st_mtime_ns, path.name, path))
    return [path for _, _, path in sorted(found)]


def evaluation(run: Run, which: str = "last") -> Path | None:
    """`last` or `best` epoch, or a name (`epoch-2`); None where there are no such rewards; UserError for a bad name."""
    files = {path.stem: path for path in evaluations(run)}
    epochs = {int(name.partition("-")[2]): path for name, path in files.items() if name.startswith("epoch-")}
    if which == "last":
        return epochs[max(epochs)] if epochs else None
    if which == "best":
        best = run.best
        if best is None or best.epoch is None:
            return evaluation(run)
        within = f"step-{best.step:06d}" if best.step else ""
        return epochs.get(int(best.epoch)) if float(best.epoch).is_integer() else files.get(within)
    if which not in files:
        raise UserError(f"{run.name} has no evaluation {which}", f"it has: {', '.join(files) or 'none'}", "name one")
    return files[which]


def at_epoch(run: Run, epoch: int | None) -> Path | None:
    """The evaluation at the end of an epoch, None for the last; None where there is no such evaluation."""
    if epoch is None:
        return evaluation(run)
    return next((path for path in evaluations(run) if path.stem == f"epoch-{epoch}"), None)


def read_rewards(path: Path) -> dict[str, tuple[float, float]]:
    """Pair id → (chosen, rejected); lines that are torn or not finite are left out."""
    found = {}
    with suppress(OSError), open_plain(path) as lines:
        for line in lines:
            try:
                row = json.loads(line)
                pair, sides = str(row["id"]), (float(row["chosen"]), float(row["rejected"]))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
            if all(map(math.isfinite, sides)):
                found[pair] = sides
    return found


def fitted_losses(run: Run) -> tuple[tuple[float, float], ...]:
    """(epoch, loss at a cross-fitted temperature) of each evaluation at an epoch's end; empty unless all have the
    rewards of their single pairs, of at most `MOST_FITTED` pairs: more measure the plain loss as finely."""
    if not run.val_pairs or run.val_pairs > MOST_FITTED:
        return ()
    epochs = [row.epoch for row in run.epochs if row.val_loss is not None]
    files = {path.stem: path for path in evaluations(run)}
    found = []
    for epoch in epochs:
        path = files.get(f"epoch-{epoch}")
        seen = path.stat() if path else None
        loss = _fitted_loss(path, seen.st_mtime_ns, seen.st_size) if path and seen else None
        if loss is None:
            return ()
        found.append((float(epoch), loss))
    return tuple(found)


@lru_cache(maxsize=2000)
def _fitted_loss(path: Path, _changed: int, _size: int) -> float | None:
    """Of one evaluation; read again once its file has changed."""
    margins = {pair: chosen - rejected for pair, (chosen, rejected) in read_rewards(path).items()}
    found = cross_fitted(margins, read_clusters(path)[0])
    return fmean(found.values()) if found else None


def read_clusters(path: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Pair id → cluster as the trainer recorded it, empty where any pair has none; and the ids of all pairs."""
    found, ids = {}, set()
    with suppress(OSError), open_plain(path) as lines:
        for line in lines:
            try:
                row = json.loads(line)
                pair, cluster = str(row["id"]), row.get("cluster")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            ids.add(pair)
            if isinstance(cluster, str) and cluster:
                found[pair] = cluster
    return found if found.keys() == ids else {}, frozenset(ids)


def margins(run: Run) -> MarginsDocument | None:
    """The spread of reward margins in the run's last evaluation; None where there are no rewards of single pairs."""
    path = evaluation(run)
    rewards = read_rewards(path) if path else {}
    return margins_document(spreads([rewards])[0]) if rewards else None


def margins_document(spread: MarginSpread) -> MarginsDocument:
    """A spread as documents hold it."""
    return {"reach": spread.reach, "counts": spread.counts, "median": spread.median}


def paired(
    run: Run, before: Run | None, values: Thresholds, clusters: Callable[[Run, Path], Clusters]
) -> dict[str, AccuracyTest]:
    """Tests of val_acc pair by pair: the run's last epoch against its first and against the one before, and it against
    the run before."""
    known = [epoch for epoch, _ in Subject(run).known("val_acc")]
    found: dict[str, tuple[Path | None, Path | None]] = {"epochs": (at_epoch(run, 1), evaluation(run))}
    if len(known) > 1:
        found["last"] = at_epoch(run, known[-2]), at_epoch(run, known[-1])
    if before is not None and before.val_fingerprint and before.val_fingerprint == run.val_fingerprint:
        epoch = common_epoch(Subject(before), Subject(run))
        found["runs"] = at_epoch(before, epoch), at_epoch(run, epoch)
    tests = {
        scope: accuracy_test(read_rewards(first), read_rewards(last), values, clusters(run, last))
        for scope, (first, last) in found.items()
        if first and last and first != last
    }
    return {scope: test for scope, test in tests.items() if test is not None}
