"""What JSON and TOML can hold, and what a type cannot say of a value in a document."""

from __future__ import annotations

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
