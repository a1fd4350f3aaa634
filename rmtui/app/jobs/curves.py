"""What workers fetch for charts: curves in as many columns as the screen has. No widget is touched here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

from rmtui import text as formats
from rmtui.app.widgets.chart.curve import Axis, Band, Curve, View, finite
from rmtui.app.widgets.table.columns import ends_at
from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.index.read_curves import Series
from rmtui.runs.model import Run
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import BandDocument

VAL = 1
"""Colour slot of the validation curves of a single run; 0 has its training."""
MOST_RUNS = 6
"""Runs with a colour of their own in one chart; a seventh could not be distinguished."""


class Shown(NamedTuple):
    """A run on a chart with the colour slot it keeps."""

    run_id: str
    name: str
    slot: int


class Wanted(NamedTuple):
    """What charts ask for."""

    runs: tuple[Shown, ...]
    """The run under the cursor first; of the others only the validation curves are drawn."""
    view: View
    columns: int
    crowd: tuple[str, ...] = ()
    """Ids of further runs: quiet lines behind."""


@dataclass
class CurvesLoaded(Message):
    """Curves of the runs that were wanted."""

    wanted: Wanted
    losses: tuple[Curve, ...]
    accuracies: tuple[Curve, ...]
    planned: float | None = None
    """x of the last step of the run that is still at work."""
    end: str = ""
    """When it ends: `ends 14:32`."""
    bands: tuple[BandDocument, ...] | None = None
    """What is expected of the run under the cursor; None where that was not asked for."""


Kept = dict[object, Curve | None]
"""Quiet lines as they were read: two hundred of them are not to be read again for each run that the cursor passes."""


def load_curves(index: Index, wanted: Wanted, every_train: bool = True, kept: Kept | None = None) -> CurvesLoaded:
    """`every_train=False`: of a comparison, validation curves only. `kept`: valid while the index has nothing new."""
    kept = {} if kept is None else kept
    losses: list[Curve] = []
    accuracies: list[Curve] = []
    entered: list[Curve] = []
    alone = len(wanted.runs) == 1
    for number, shown in enumerate(wanted.runs):
        known = set(index.metrics(shown.run_id))
        name = "" if alone else shown.name
        with_train = number == 0 and every_train
        val = _curve(index, shown, "val_loss", "val" if alone else "", known, wanted, run=name)
        if with_train:
            losses += _train_curves(index, shown, known, wanted, "" if val else name)
        losses += [curve._replace(dashed=with_train and not alone, slot=VAL if alone else shown.slot) for curve in val]
        for curve in _curve(index, shown, "val_acc", "val_acc", known, wanted, run=name):
            slot = VAL if alone else shown.slot
            accuracies.append(_with_best(index, curve._replace(slot=slot), wanted.view.axis))
        entered += _entered(index, shown, wanted.view.axis, name)
    accuracies = [*_with_spread(index, _thickest(index, accuracies)), *entered]
    behind = [
        [_crowded(index, run_id, metric, wanted, kept) for run_id in wanted.crowd] for metric in ("val_loss", "val_acc")
    ]
    planned, end = _planned(index.run(wanted.runs[0].run_id), wanted.view.axis, [*losses, *accuracies])
    return CurvesLoaded(wanted, (*_there(behind[0]), *losses), (*_there(behind[1]), *accuracies), planned, end)


def load_with_bands(ws: Workspace, index: Index, run: Run, wanted: Wanted, kept: Kept) -> CurvesLoaded:
    """The curves with the guide's bands of the first run, so that its charts are not drawn again for them."""
    from rmtui.operations.advise import bands_alone  # the guide comes after the first frame

    loaded = load_curves(index, wanted, kept=kept)
    with suppress(UserError):  # whoever reads the run for its words says what is wrong
        loaded.bands = tuple(bands_alone(ws, index, run))
    return loaded


def _thickest(index: Index, curves: Sequence[Curve]) -> list[Curve]:
    """The curve of the best of several runs drawn thicker."""
    best = {curve.key: curve.best[1] for curve in curves if curve.best is not None}
    first = max(best, key=lambda key: best[key], default=None)
    return [curve._replace(thick=len(curves) > 1 and curve.key == first) for curve in curves]


def _with_spread(index: Index, curves: Sequence[Curve]) -> list[Curve]:
    """The first one with its 95 % band: more of them would hide each other."""
    if not curves:
        return []
    run = index.run(curves[0].key.partition("/")[0])
    values = [value for value in curves[0].last if finite(value) and 0 <= value <= 1]
    if not run.val_pairs or len(values) < len(curves[0].last):
        return list(curves)
    from trainer.intervals import accuracy_interval

    known = run.val_pairs, run.val_clusters, run.val_effective
    ends = [accuracy_interval(value, *known) for value in values]
    return [curves[0]._replace(spread=([one.low for one in ends], [one.high for one in ends])), *curves[1:]]


def _planned(run: Run, axis: Axis, curves: Sequence[Curve]) -> tuple[float | None, str]:
    """Where a run that is at work ends on an axis, and when."""
    if not run.state.alive or not run.total_steps or not run.step:
        return None, ""
    now = time.time()
    at = ends_at(run, now)
    end = f"ends {formats.clock(at, now)}" if at else ""
    if axis is Axis.STEP:
        return float(run.total_steps), end
    if axis is Axis.EPOCH:
        return (float(run.num_epochs) if run.num_epochs else None), end
    reached = max((curve.x[-1] for curve in curves if len(curve.x)), default=0.0)
    return reached * run.total_steps / run.step, end


def _crowded(index: Index, run_id: str, metric: str, wanted: Wanted, kept: Kept) -> Curve | None:
    """A quiet line; None for a run that is gone or has no such metric."""
    key = (run_id, metric, wanted.view.axis, wanted.view.window, wanted.columns)
    if key not in kept:
        window = wanted.view.window
        try:
            series = index.series(run_id, metric, wanted.columns, wanted.view.axis.value, window.low, window.high)
        except UserError:
            return None
        kept[key] = curve_of(f"{run_id}/{metric}", run_id, series)._replace(quiet=True) if len(series) else None
    return kept[key]


def _there(curves: Sequence[Curve | None]) -> list[Curve]:
    return [curve for curve in curves if curve is not None]


def _train_curves(index: Index, shown: Shown, known: set[str], wanted: Wanted, run: str) -> list[Curve]:
    """The loss of each step, drawn as its mean; of a run whose steps are not known, the epochs' train_loss."""
    steps = _curve(index, shown, "loss", "train", known, wanted, run=run)
    steps = [curve._replace(noisy=True) for curve in steps]
    return steps or _curve(index, shown, "train_loss", "train", known, wanted, run=run)


def _curve(
    index: Index,
    shown: Shown,
    metric: str,
    label: str,
    known: set[str],
    wanted: Wanted,
    *,
    run: str,
) -> list[Curve]:
    if metric not in known:
        return []
    view = wanted.view
    series = index.series(shown.run_id, metric, wanted.columns, view.axis.value, view.window.low, view.window.high)
    if not len(series):
        return []
    curve = curve_of(f"{shown.run_id}/{metric}", label, series)
    return [curve._replace(run=run, slot=shown.slot)]


def _entered(index: Index, shown: Shown, axis: Axis, run: str) -> list[Curve]:
    """val_acc that a person entered: drawn as the second metric of its run, and called so."""
    places = {Axis.STEP: 0, Axis.EPOCH: 1}
    if axis not in places or not (found := index.entered(shown.run_id)):
        return []
    points = [(float(row[places[axis]]), row[2]) for row in found]
    curve = Curve.points(f"{shown.run_id}/val_acc_entered", "val_acc entered", points)
    return [curve._replace(run=run, slot=shown.slot, dashed=True)]


def curve_of(key: str, label: str, series: Series) -> Curve:
    """A series of the index as a line of a chart."""
    return Curve(key, label, series.x, series.low, series.high, series.last, series.broken)


def _with_best(index: Index, curve: Curve, axis: Axis) -> Curve:
    """The run's best evaluation marked, where it is in sight."""
    run_id = curve.key.partition("/")[0]
    best = index.run(run_id).best
    if best is None or best.val_acc is None:
        return curve
    for x, y in zip(curve.x, curve.last, strict=True):
        if y == best.val_acc and (best.step is None or index.step_at(run_id, axis.value, x) >= best.step):
            return curve._replace(best=(x, y))
    return curve


def band(bands: Sequence[BandDocument], metric: str, run: Run, axis: Axis) -> Band | None:
    """The guide's expected range of a metric along an axis that epochs can be placed on; None otherwise."""
    steps = run.total_steps / run.num_epochs if run.total_steps and run.num_epochs else None
    width = {Axis.EPOCH: 1.0, Axis.STEP: steps}.get(axis)
    rows = [row for row in bands if row["metric"] == metric]
    if width is None or not rows:
        return None
    at = [row["epoch"] * width for row in rows]
    return Band(at, [row["low"] for row in rows], [row["high"] for row in rows])


def overlay(cursor: Run, marked: Sequence[Run]) -> tuple[Shown, ...]:
    """The run under the cursor, then the marked ones; each marked run keeps the slot of its place among the marks."""
    slots = {run.id: slot for slot, run in enumerate(marked[:MOST_RUNS])}
    first = Shown(cursor.id, cursor.name, slots.get(cursor.id, min(len(slots), MOST_RUNS - 1) if slots else 0))
    others = [Shown(run.id, run.name, slots[run.id]) for run in marked[:MOST_RUNS] if run.id != cursor.id]
    return (first, *others)
