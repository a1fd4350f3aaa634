"""Whoever waits longer than a second for what another program holds says so, once a verb; the command line listens."""

from __future__ import annotations

from collections.abc import Callable

SILENT = 1.0
"""Seconds of waiting that are not worth a word."""

_hears: Callable[[str], None] | None = None


def listen(hears: Callable[[str], None] | None) -> None:
    """`hears` is given the first long wait from here on, in words; None: nobody, while the app has the terminal."""
    global _hears
    _hears = hears


def notify(text: str) -> None:
    """Something is waited for."""
    global _hears
    hears, _hears = _hears, None
    if hears is not None:
        hears(text)
