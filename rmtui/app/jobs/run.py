"""What the run screen fetches: attempts, epochs, devices, the configuration as lines. Workers only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from rmtui import text
from rmtui.app.jobs.curves import curve_of
from rmtui.app.widgets.chart.curve import Curve, View
from rmtui.index.index import Index
from rmtui.operations.runs import last_evaluation
from rmtui.runs.model import Attempt, Run

if TYPE_CHECKING:
    from rmtui.documents.runs import EvaluationDocument

EXTRA = ("learning_rate", "grad_norm")
"""Metrics of each step with a chart of their own on a large screen."""


@dataclass
class RunLoaded(Message):
    """The run as it is now; `latest` are the newest values of its step metrics."""

    run: Run
    attempts: tuple[Attempt, ...]
    latest: tuple[tuple[str, float], ...]
    evaluation: Mapping[str, EvaluationDocument]
    """The newest metrics of each validation set."""
    sealed: tuple[str, ...]
    """What looks at sealed test sets found of it."""


@dataclass
class ExtraLoaded(Message):
    """Curves of EXTRA, in that order."""

    curves: tuple[tuple[Curve, ...], ...]


def load_run(index: Index, run_id: str, lang: str) -> RunLoaded:
    from rmtui.operations.sealed_looks import tests_of

    run = index.run(run_id)
    known = index.metrics(run_id)
    latest = []
    for metric in ("loss", "learning_rate", "grad_norm", "pairs_per_s", "tokens_per_s"):
        if metric in known:
            series = index.series(run_id, metric, 2)
            if len(series) and math.isfinite(series.last[-1]):
                latest.append((metric, series.last[-1]))
    sealed = tuple(look["text"] for look in tests_of(index.workspace, run, lang))
    return RunLoaded(run, tuple(index.attempts(run_id)), tuple(latest), last_evaluation(index, run_id), sealed)


def load_extra(index: Index, run_id: str, view: View, columns: int) -> ExtraLoaded:
    found = []
    known = index.metrics(run_id)
    for metric in EXTRA:
        curves: tuple[Curve, ...] = ()
        if metric in known:
            window = view.window
            series = index.series(run_id, metric, columns, view.axis.value, window.low, window.high)
            curves = (
                (
                    curve_of(f"{run_id}/{metric}", metric.replace("_", " "), series)._replace(
                        noisy=metric == "grad_norm"
                    ),
                )
                if len(series)
                else ()
            )
        found.append(curves)
    return ExtraLoaded(tuple(found))


def speeds(latest: Sequence[tuple[str, float]]) -> list[str]:
    """`loss 0.612`, `learning rate 1.2e-5`, `gradient norm 1.4`, `8.0 pairs/s`, `1.0k tokens/s`."""
    from rmtui.i18n import rate_text

    says = {
        "loss": lambda value: f"loss {value:.3f}",
        "learning_rate": lambda value: f"learning rate {rate_text(float(f'{value:.3g}'))}",
        "grad_norm": lambda value: f"gradient norm {value:.3g}",
        "pairs_per_s": lambda value: f"{value:.3g} pairs/s",
        "tokens_per_s": lambda value: f"{text.short(value)} tokens/s",
    }
    return [says[metric](value) for metric, value in latest]
