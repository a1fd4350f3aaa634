"""Colours by meaning: a state, a run's identity, better or worse. Themes may name them; these are the fallbacks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
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
    raw: Style
    """Single steps behind their mean."""
    ground: Style
    """The screen's ground as an ink: what is left free at the edge of a band."""
    selected: Style
    """The ground of the selected row, with an ink where the row's own colours could not be read on it."""
    selected_away: Style
    """The same while the focus is elsewhere."""
    hit: Style
    """What a search found."""
    runs: tuple[Style, ...]
    fills: tuple[Style | None, ...]
    """Inks of the bands of the six runs; None where the terminal has too few colours."""

    def state(self, state: State) -> Style:
        return self.tone(_TONES[state])

    def tone(self, name: str) -> Style:
        """By word: text, quiet, accent, live, good, warn, bad."""
        style: Style = getattr(self, name)
        return style

    def run(self, slot: int) -> Style:
        return self.runs[slot % len(self.runs)]

    def bar(self, focus: bool) -> Style:
        """What the selected row lies on."""
        return self.selected if focus else self.selected_away


def on_bar(strip: Strip, bar: Style) -> Strip:
    """A strip on a bar's ground, in the bar's ink where it has one."""
    if bar.color is None:
        return strip.apply_style(bar)
    own = strip.apply_style(Style(bgcolor=bar.bgcolor))
    return Strip(
        [Segment(text, style + bar if style and style.bgcolor == bar.bgcolor else style) for text, style, _ in own],
        strip.cell_length,
    )


def palette_of(widget: Widget) -> Palette:
    """The palette of the app's theme, worked out once for a theme."""
    variables = widget.app.theme_variables
    if not _last or _last[0][0] is not variables:
        _last[:] = [(variables, _palette_from(variables))]
    return _last[0][1]


_last: list[tuple[Mapping[str, str], Palette]] = []
"""The variables of the theme that was asked for last, and their palette."""


def _palette_from(variables: Mapping[str, str]) -> Palette:
    named = tuple(variables.get(name, "") for name in _NAMES)
    runs = tuple(variables.get(f"run-{n + 1}", colour) for n, colour in enumerate(RUN_COLOURS))
    return _palette(named, runs, tuple(variables.get(f"fill-{n + 1}", "") for n in range(len(runs))))


_NAMES = (
    *("foreground", "background", "accent", "primary", "success", "warning", "error", "quiet", "band", "raw"),
    *("selection", "selection-ink", "selection-away", "selection-away-ink"),
)


@lru_cache(maxsize=16)
def _palette(named: tuple[str, ...], runs: tuple[str, ...], fills: tuple[str, ...]) -> Palette:
    text, ground, accent, primary, good, warn, bad, quiet, band, raw, bar, bar_ink, away, away_ink = named
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
        raw=_ink(raw or quiet or paper.blend(ink, 0.4).hex),
        ground=_ink(ground or "#121212"),
        selected=_bar(bar or paper.blend(ink, 0.2).hex, bar_ink),
        selected_away=_bar(away or paper.blend(ink, 0.1).hex, away_ink),
        hit=_bar(warn or "#e8a33d", ground if ground and not ground.startswith("ansi_default") else "ansi_black"),
        runs=tuple(_ink(colour) for colour in runs),
        fills=tuple(_ink(colour) if colour else None for colour in fills),
    )


def _bar(ground: str, ink: str) -> Style:
    bar = Style(bgcolor=Color.parse(ground).rich_color)
    return bar + _ink(ink) if ink else bar


def _ink(colour: str) -> Style:
    return Style(color=Color.parse(colour).rich_color)
