"""From values to dots on a canvas, and the round numbers beside an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rmtui import text as formats
from rmtui.app.widgets.chart.curve import Axis

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


MOST_DECIMALS = 4


class Scale(NamedTuple):
    """A range of values on `dots` positions, 0 … dots − 1."""

    low: float
    high: float
    dots: int
    log: bool = False

    def dot(self, value: float) -> int:
        """Position of a value, clamped to the canvas."""
        return self.mapper()(value)

    def mapper(self) -> Callable[[float], int]:
        """`dot` for many values."""
        bend, last = self._bend, self.dots - 1
        low = bend(self.low)
        factor = last / (bend(self.high) - low)

        def plain(value: float) -> int:
            at = round((value - low) * factor)
            return at if 0 <= at <= last else 0 if at < 0 else last

        def bent(value: float) -> int:
            return max(0, min(last, round((bend(value) - low) * factor)))

        return bent if self.log else plain

    def value(self, dot: float) -> float:
        """The value at a position: the inverse of `dot`."""
        share = dot / max(1, self.dots - 1)
        bent = self._bend(self.low) + share * (self._bend(self.high) - self._bend(self.low))
        return 10**bent if self.log else bent

    def shows(self, value: float) -> bool:
        """The value fits on this scale at all: finite, and positive on a logarithmic one."""
        return math.isfinite(value) and (value > 0 or not self.log)

    def _bend(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value


class Tick(NamedTuple):
    value: float
    label: str


def round_step(length: float, parts: int) -> float:
    """The smallest of 1, 2, 2.5, 5 × 10ⁿ that divides `length` into at most `parts` steps."""
    rough = length / max(1, parts)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.9999)


def y_scale(values: Iterable[float], dots: int, parts: int, log: bool, least: float = 0.0) -> Scale:
    """A scale from round number to round number around the values, so that it seldom moves while a run is live.

    `least`: no two labels shall be nearer; what is finer than the figures mean is not shown as a difference.
    """
    shown = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(shown), max(shown)) if shown else (0.1 if log else 0.0, 1.0)
    if log:
        bottom, top = _outward_log(low), _outward_log(high, up=True)
        return Scale(bottom, top if top > bottom else bottom * 10, dots, log=True)
    if high - low < 1e-12 * max(1.0, abs(high)):
        room = abs(high) * 0.05 or 0.5
        low, high = low - room, high + room
    step = round_step(max(high - low, 2 * least), max(2, parts) * 2)
    if least:
        step = max(step, round_step(least, 1))
        high = max(high, math.floor(low / step + 1e-9) * step + 2 * step)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, dots)


def _outward_log(value: float, up: bool = False) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 2, 5, 10)
    if up:
        return next((step * power for step in steps if step * power >= value * (1 - 1e-12)), 10 * power)
    return max(step * power for step in steps if step * power <= value * (1 + 1e-12))


def y_ticks(scale: Scale, parts: int, percent: bool = False, least: float = 0.0) -> list[Tick]:
    """Round values inside the scale, all with as many decimals as the step between them needs."""
    factor = 100.0 if percent else 1.0
    if scale.log:
        return _log_ticks(scale, parts, factor)
    step = round_step((scale.high - scale.low) * factor, parts)
    step = max(step, round_step(least * factor, 1)) if least else step
    digits = decimals(step)
    label = _scientific(step) if digits > MOST_DECIMALS else lambda value: formats.fixed(value, digits)
    first = math.ceil(scale.low * factor / step - 1e-6)
    last = math.floor(scale.high * factor / step + 1e-6)
    return [Tick(n * step / factor, label(n * step + 0.0)) for n in range(first, last + 1)]


def _scientific(step: float) -> Callable[[float], str]:
    """Labels like 1.5e-5, for values whose decimals would not fit beside the axis."""

    def label(value: float) -> str:
        if value == 0:
            return "0"
        power = math.floor(math.log10(abs(value)) + 1e-9)
        return formats.scientific(value, decimals(step / 10.0**power))

    return label


def decimals(step: float) -> int:
    """Decimals that tell multiples of a round step apart."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return digits + 1 if abs(step * 10**digits - round(step * 10**digits)) > 1e-6 else digits


def _log_ticks(scale: Scale, parts: int, factor: float) -> list[Tick]:
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    for steps in ((1, 2, 5), (1,)):
        values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [value for value in values if scale.low * 0.999 <= value <= scale.high * 1.001]
        if len(inside) <= parts + 1:
            break
    every = max(1, math.ceil(len(inside) / (parts + 1)))
    return [Tick(value, f"{value * factor:.3g}") for value in inside[::every]]


def x_ticks(scale: Scale, axis: Axis, parts: int) -> list[Tick]:
    """Round positions along x with labels in the axis' own unit."""
    length = scale.high - scale.low
    if length <= 0:
        return []
    step = _x_step(length, axis, parts)
    label = _x_label(axis, step)
    first, last = math.ceil(scale.low / step - 1e-6), math.floor(scale.high / step + 1e-6)
    return [Tick(n * step, label(n * step)) for n in range(first, last + 1)]


def _x_step(length: float, axis: Axis, parts: int) -> float:
    if axis is Axis.TIME:
        for seconds in _TIME_STEPS:
            if length / seconds <= parts:
                return float(seconds)
        return math.ceil(length / parts / 86400) * 86400.0
    step = round_step(length, parts)
    return max(1.0, step) if axis in (Axis.STEP, Axis.TOKENS) else step


def _x_label(axis: Axis, step: float) -> Callable[[float], str]:
    if axis is Axis.TIME:
        return formats.span
    if axis is Axis.EPOCH:
        return lambda value: formats.fixed(value, decimals(step))
    return lambda value: formats.count(value) if abs(value) < 1e6 and axis is Axis.STEP else formats.short(value)


def x_value(axis: Axis, value: float) -> str:
    """A position along x in words, for the cursor: step 412, epoch 2.31, 3.2M tokens, 12 min."""
    if axis is Axis.STEP:
        return f"step {formats.count(value)}"
    if axis is Axis.EPOCH:
        return f"epoch {value:.2f}"
    if axis is Axis.TOKENS:
        return f"{formats.short(value)} tokens"
    return formats.span(value)
