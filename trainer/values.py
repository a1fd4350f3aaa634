"""What JSON and TOML can hold, what a type cannot say of a value in a document, and how people write a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | None"
"""A value of a configuration, which nobody knows in advance."""
ErrorOrWarning = Literal["error", "warning"]
"""An error refuses; a warning asks."""


class Limits(NamedTuple):
    """Bounds of a value, for `Annotated`; JSON Schema has each under the same name."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    items: int | None = None
    """Exactly so many."""
    pattern: str | None = None
    enum: tuple[str, ...] | None = None
    non_finite: bool = False
    """NaN and infinity occur: JSON has no number for them, so they are printed as strings."""


def format_number(value: float) -> str:
    """A bound or rate as people write it: `32`, `1048576`, `1.5e-4`, `0.1`."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return re.sub(r"e([+-])0+", r"e\1", f"{value:g}").replace("e+", "e")
