"""The guide's learning rates, for runs on its scale and for others.

1.5e-5 and 2e-5 mean something near the guide's own 1e-5 only; elsewhere the same steps are taken as factors.
"""

from __future__ import annotations

from rmtui.guide.model import Subject
from rmtui.guide.published_figures import FORMER_RATE, RAISED_RATE
from rmtui.guide.thresholds import DEFAULT, Thresholds


def current(subject: Subject) -> float | None:
    """The run's learning rate; None where it is not known."""
    value = subject.value("learning_rate")
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def on_scale(rate: float | None, limits: Thresholds = DEFAULT) -> bool:
    """Is the rate on the guide's scale? An unknown one is taken so."""
    return rate is None or limits.guide_rate_low <= rate <= limits.guide_rate_high


def raised(subject: Subject, limits: Thresholds = DEFAULT) -> float | None:
    """The next higher rate that the guide names; None when the run has its highest already."""
    rate = current(subject)
    if rate is None:
        return RAISED_RATE
    if not on_scale(rate, limits):
        return tidy(rate * limits.rate_up)
    return next((value for value in (RAISED_RATE, FORMER_RATE) if value > rate * 1.02), None)


def former(subject: Subject, limits: Thresholds = DEFAULT) -> float:
    """The rate before it was cut: 2e-5, or twice a rate on another scale."""
    rate = current(subject)
    return FORMER_RATE if rate is None or on_scale(rate, limits) else tidy(rate * limits.rate_back)


def tidy(rate: float) -> float:
    """Two significant digits: what a person would type."""
    return float(f"{rate:.1e}")
