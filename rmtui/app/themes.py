"""Five themes, each chosen by hand for true colour, for xterm's 256 colours (what SSH gives) and for 16.

A theme gives colours a meaning: state, better or worse, the ground of what is selected, six run identities. No colour
is mixed on the way: a mixture would come out as some neighbour among 256. `tests/app/test_app_colours.py` computes
that every text can be read on every ground it gets.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from textual.color import Color
from textual.theme import Theme


class Depth(StrEnum):
    """How many colours the terminal shows."""

    TRUE = "true"
    INDEXED = "256"
    SIXTEEN = "16"


def depth_of(system: ColorSystem | None) -> Depth:
    """The depth that Rich found; what has no colours at all is treated like 16."""
    return {ColorSystem.TRUECOLOR: Depth.TRUE, ColorSystem.EIGHT_BIT: Depth.INDEXED}.get(
        system or ColorSystem.STANDARD, Depth.SIXTEEN
    )


class Colours(NamedTuple):
    """Strings of colours separated by blanks."""

    grounds: str
    """Background, bars at top and foot, rules."""
    inks: str
    """Text, quiet text, accent."""
    states: str
    """Good, warning, bad."""
    selected: str
    """Ground of the selected row while its list has the focus, and while not; then, where the row's own colours could
    not be read on these, the one ink for each."""
    raw: str
    """Raw steps behind their mean; the shade of the expected range."""
    runs: str
    """Six identities: curve, mark, column of a comparison. The first two are train and val of a single run."""
    fill: str = ""
    """Ground of a curve's 95 % band; empty: each run's own colour, mixed (true colour), or a shade (16 colours)."""
    dark: bool = True


COLOURS: dict[str, dict[Depth, Colours]] = {
    "dark": {
        Depth.TRUE: Colours(
            "#16181d #1f2229 #343a45",
            "#d7dae0 #a2a8b4 #79bdff",
            "#88d188 #e6b85c #ff8c8c",
            "#263d57 #2b3038",
            "#3f6283 #3a4350",
            "#79bdff #f5ad6b #88d188 #dc9fea #66d9ce #e8e07a",
        ),
        Depth.INDEXED: Colours(
            "#121212 #1c1c1c #444444",
            "#e4e4e4 #a8a8a8 #5fafff",
            "#87d787 #d7af5f #ff8787",
            "#000087 #303030",
            "#005f87 #444444",
            "#5fafff #ffaf5f #87d787 #d7afff #5fd7d7 #d7d787",
            "#303030",
        ),
        Depth.SIXTEEN: Colours(
            "ansi_black ansi_black ansi_bright_black",
            "ansi_bright_white ansi_white ansi_cyan",
            "ansi_green ansi_yellow ansi_bright_red",
            "ansi_blue ansi_bright_black ansi_bright_white ansi_black",
            "ansi_bright_black ansi_bright_black",
            "ansi_cyan ansi_yellow ansi_green ansi_bright_magenta ansi_bright_white ansi_bright_red",
        ),
    },
    "light": {
        Depth.TRUE: Colours(
            "#fbfbf8 #f1f1ec #d2d2c9",
            "#1c2026 #565a62 #0b57a0",
            "#156a27 #7a4c00 #a81824",
            "#cfe1f5 #e6e6df",
            "#9dbfe0 #d5dbe4",
            "#0b57a0 #9c4a00 #156a27 #7f2a93 #00666a #655800",
            dark=False,
        ),
        Depth.INDEXED: Colours(
            "#ffffff #eeeeee #c6c6c6",
            "#1c1c1c #5f5f5f #005faf",
            "#005f00 #5f5f00 #af0000",
            "#d7d7ff #e4e4e4",
            "#afd7ff #d0d0d0",
            "#005faf #af5f00 #005f00 #870087 #005f5f #5f5f00",
            "#ffd7af",
            dark=False,
        ),
        Depth.SIXTEEN: Colours(
            "ansi_bright_white ansi_bright_white ansi_bright_black",
            "ansi_black ansi_black ansi_blue",
            "ansi_blue ansi_magenta ansi_red",
            "ansi_blue ansi_white ansi_bright_white ansi_black",
            "ansi_white ansi_white",
            "ansi_blue ansi_red ansi_magenta ansi_black ansi_blue ansi_red",
            dark=False,
        ),
    },
    "high-contrast": {
        Depth.TRUE: Colours(
            "#000000 #000000 #808080",
            "#ffffff #d8d8d8 #ffff00",
            "#00ff66 #ffd000 #ff8080",
            "#ffff00 #4a4a00 #000000 #ffffff",
            "#008fa0 #606060",
            "#00e5ff #ffb000 #00ff66 #ff80ff #ffffff #ffff00",
        ),
        Depth.INDEXED: Colours(
            "#000000 #000000 #808080",
            "#ffffff #d7d7d7 #ffff00",
            "#00ff5f #ffd700 #ff8787",
            "#ffff00 #303030 #000000 #ffffff",
            "#0087af #626262",
            "#00d7ff #ffaf00 #00ff5f #ff87ff #ffffff #ffff00",
            "#3a3a3a",
        ),
        Depth.SIXTEEN: Colours(
            "ansi_black ansi_black ansi_white",
            "ansi_bright_white ansi_bright_white ansi_bright_yellow",
            "ansi_bright_green ansi_bright_yellow ansi_bright_red",
            "ansi_bright_yellow ansi_white ansi_black ansi_black",
            "ansi_bright_black ansi_bright_black",
            "ansi_bright_cyan ansi_bright_yellow ansi_bright_green ansi_bright_magenta ansi_bright_white "
            "ansi_bright_red",
        ),
    },
    # After Okabe and Ito (2008): told apart with every common colour vision.
    "colour-blind": {
        Depth.TRUE: Colours(
            "#16181d #1f2229 #343a45",
            "#e4e4e4 #a8a8a8 #56b4e9",
            "#56b4e9 #f0e442 #e69f00",
            "#263d57 #2b3038",
            "#2f6484 #3a4350",
            "#56b4e9 #e69f00 #19b88a #dd8fb8 #f0e442 #f0804a",
        ),
        Depth.INDEXED: Colours(
            "#121212 #1c1c1c #444444",
            "#e4e4e4 #a8a8a8 #5fafff",
            "#5fafff #ffff5f #ffaf00",
            "#000087 #303030",
            "#005f87 #444444",
            "#5fafff #ffaf00 #00af87 #d787af #ffff5f #ff875f",
            "#303030",
        ),
        Depth.SIXTEEN: Colours(
            "ansi_black ansi_black ansi_bright_black",
            "ansi_bright_white ansi_white ansi_cyan",
            "ansi_cyan ansi_bright_yellow ansi_bright_magenta",
            "ansi_blue ansi_bright_black ansi_bright_white ansi_black",
            "ansi_bright_black ansi_bright_black",
            "ansi_cyan ansi_yellow ansi_bright_magenta ansi_bright_white ansi_green ansi_bright_red",
        ),
    },
}
OWN = "16-colours"
"""The terminal's own colours on its own ground, whatever else it could show."""
_OWN = COLOURS["dark"][Depth.SIXTEEN]._replace(
    grounds="ansi_default ansi_default ansi_bright_black", inks="ansi_default ansi_bright_black ansi_cyan"
)
NAMES = (*COLOURS, OWN)
FILL = 0.2
"""Share of a run's colour in the ground of its band."""


@lru_cache
def themes(depth: Depth) -> tuple[Theme, ...]:
    """All themes, in the colours that this many allow."""
    return tuple(_theme(name, colours_of(name, depth)) for name in NAMES)


def colours_of(name: str, depth: Depth) -> Colours:
    """What a theme's colours are on a terminal of this depth."""
    return _OWN if name == OWN else COLOURS[name][depth]


def _theme(name: str, colours: Colours) -> Theme:
    background, surface, rule = colours.grounds.split()
    text, quiet, accent = colours.inks.split()
    success, warning, error = colours.states.split()
    ground, away, *inks = colours.selected.split()
    raw, band = colours.raw.split()
    runs = colours.runs.split()
    ink, away_ink = inks or (text, text)
    ansi = background.startswith("ansi")
    variables = {
        "quiet": quiet,
        "field": background if inks else away,
        "band": band,
        "raw": raw,
        "selection": ground,
        "selection-away": away,
        "selection-ink": ink if inks else "",
        "selection-away-ink": away_ink if inks else "",
        "footer-key-foreground": accent,
        "block-cursor-background": ground,
        "block-cursor-foreground": ink,
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": away,
        "block-cursor-blurred-foreground": away_ink,
        "block-hover-background": surface,
        "input-cursor-text-style": "reverse",
        "input-cursor-background": background,
        "input-cursor-foreground": text,
        "input-selection-background": ground,
        "input-selection-foreground": ink,
        "screen-selection-background": ground,
        "screen-selection-foreground": ink,
        "border": accent,
        "border-blurred": rule,
        "text-muted": quiet,
        "text-disabled": quiet,
        "text-success": success,
        "text-warning": warning,
        "text-error": error,
        "text-accent": accent,
        "text-primary": accent,
    }
    variables |= {f"run-{number}": colour for number, colour in enumerate(runs, 1)}
    variables |= {f"fill-{number}": _fill(colours, background, run) for number, run in enumerate(runs, 1)}
    if ansi:
        variables |= {"ansi-background": background, "ansi-foreground": text}
    return Theme(
        name=name,
        dark=colours.dark,
        ansi=ansi,
        variables=variables,
        primary=accent,
        secondary=accent,
        accent=accent,
        background=background,
        foreground=text,
        surface=surface,
        panel=rule,
        success=success,
        warning=warning,
        error=error,
    )


def _fill(colours: Colours, background: str, run: str) -> str:
    if colours.fill or background.startswith("ansi"):
        return colours.fill
    return Color.parse(background).blend(Color.parse(run), FILL).hex


def following(name: str) -> str:
    """The theme after this one, round and round; the first for a name that is none of ours."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]
