"""The training stack: is it here? Looks without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

NAMES = ("torch", "transformers", "peft", "accelerate")


def missing(names: Sequence[str] = NAMES) -> list[str]:
    """Those that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]
