"""Colours by meaning: a state, a run's identity, better or worse. Themes may name them; these are the fallbacks."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.style import Style
from textual.color import Color
from textual.widget import Widget

from rmtui.runs.model import State

RUN_COLOURS = ("#4fa3e0", "#e8a33d", "#5fbf77", "#d678b5", "#a58be8", "#c9c04a")
"""Six identities, distinct in hue and lightness; a theme overrides them with the variables run-1 … run-6."""

_TONES = {
    State.QUEUED: "quiet", State.STARTING: "live", State.RUNNING: "live", State.STOPPING: "warn",
    State.FINISHED: "good",
    State.STOPPED: "quiet", State.FAILED: "bad", State.KILLED: "bad", State.INTERRUPTED: "warn", State.UNKNOWN: "warn",
    State.IMPORTED: "quiet",
}  # fmt: skip


class Palette(NamedTuple):
    """Rich styles without background, so that they sit on whatever a row has."""

    text: Style
    quiet: Style
    accent: Style
    live: Style
    good: Style
    warn: Style
    bad: Style
    band: Style
    runs: tuple[Style, ...]

    def state(self, state: State) -> Style:
        return self.tone(_TONES[state])

    def tone(self, name: str) -> Style:
        """By word: text, quiet, accent, live, good, warn, bad."""
        style: Style = getattr(self, name)
        return style

    def run(self, slot: int) -> Style:
        return self.runs[slot % len(self.runs)]


def palette_of(widget: Widget) -> Palette:
    """The palette of the app's theme. Cheap after the first call of a theme."""
    variables = widget.app.theme_variables
    names = ("foreground", "background", "accent", "primary", "success", "warning", "error", "quiet", "band")
    named = tuple(variables.get(name, "") for name in names)
    runs = tuple(variables.get(f"run-{n + 1}", colour) for n, colour in enumerate(RUN_COLOURS))
    return _palette(named, runs)


@lru_cache(maxsize=16)
def _palette(named: tuple[str, ...], runs: tuple[str, ...]) -> Palette:
    text, ground, accent, primary, good, warn, bad, quiet, band = named
    ink, paper = Color.parse(text or "#e0e0e0"), Color.parse(ground or "#121212")
    return Palette(
        text=_ink(text or "#e0e0e0"),
        quiet=_ink(quiet or paper.blend(ink, 0.58).hex),
        accent=_ink(accent or "#ffa62b"),
        live=_ink(primary or "#4fa3e0"),
        good=_ink(good or "#5fbf77"),
        warn=_ink(warn or "#e8a33d"),
        bad=_ink(bad or "#e0605f"),
        band=_ink(band or paper.blend(ink, 0.3).hex),
        runs=tuple(_ink(colour) for colour in runs),
    )


def _ink(colour: str) -> Style:
    return Style(color=Color.parse(colour).rich_color)
