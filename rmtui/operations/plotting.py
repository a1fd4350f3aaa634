"""Curves as text with plotext, for a terminal or a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.index.read_curves import Axis, Series
from rmtui.runs.model import Run

AXES: tuple[str, ...] = get_args(Axis)
_DEFAULT = (("loss", "train_loss", "val_loss"), ("val_acc",))
"""Charts of a plot without --metric; a metric that no run has is left out."""
_UNITS = {"step": "step", "epoch": "epoch", "tokens": "tokens", "time": "minutes"}


def plot(
    index: Index,
    refs: Sequence[str],
    metrics: Sequence[str],
    x: Axis,
    width: int,
    height: int,
    colours: bool,
) -> str:
    """The charts of some runs. UserError where no run has a metric that was asked for."""
    runs = [index.run(index.resolve(ref)) for ref in dict.fromkeys(refs)]
    known = {metric for run in runs for metric in index.metrics(run.id)}
    if missing := [metric for metric in metrics if metric not in known]:
        there = ", ".join(sorted(known)) or "nothing yet"
        raise UserError(f"there is no metric {', '.join(missing)}", f"these runs have: {there}", "name one of these")
    groups = [(metric,) for metric in metrics] or _DEFAULT
    charts = [_chart(index, runs, group, x, width, height, colours) for group in groups if known.intersection(group)]
    if not charts:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{names} has no metrics yet", "", "wait for the first steps", exit_code=1)
    return "\n\n".join(charts)


def _chart(
    index: Index, runs: Sequence[Run], metrics: Sequence[str], x: Axis, width: int, height: int, colours: bool
) -> str:
    import plotext

    plotext.clear_figure()
    plotext.theme("clear" if not colours else "default")
    plotext.plot_size(width, height)
    for run in runs:
        for metric in metrics:
            series = index.series(run.id, metric, columns=width * 2, x=x)
            _draw(plotext, series, metric if len(runs) == 1 else f"{run.name} {metric}", x)
    title = " · ".join(metrics)
    plotext.title(f"{runs[0].name}: {title}" if len(runs) == 1 else title)
    plotext.xlabel(_UNITS[x])
    text = str(plotext.build())
    return (text if colours else str(plotext.uncolorize(text))).rstrip()


def _draw(plotext: Any, series: Series, label: str, x: Axis) -> None:
    """One line a metric; where a value was not finite, the line breaks."""
    scale = 60.0 if x == "time" else 1.0
    for xs, ys in _pieces(series):
        few = len(xs) <= 8
        plotext.plot([at / scale for at in xs], ys, label=label, marker="braille" if not few else "dot")
        label = ""


def _pieces(series: Series) -> Iterator[tuple[list[float], list[float]]]:
    """Stretches without a gap; a column of several points is drawn from its low to its high."""
    xs: list[float] = []
    ys: list[float] = []
    for x, low, high, last in zip(series.x, series.low, series.high, series.last, strict=True):
        if math.isnan(last) or math.isnan(x):
            if xs:
                yield xs, ys
            xs, ys = [], []
        elif low == high:
            xs.append(x)
            ys.append(last)
        else:
            xs += (x, x)
            ys += (low, high)
    if xs:
        yield xs, ys
