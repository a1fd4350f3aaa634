"""Five themes and the colours they give a meaning: state, better or worse, the guide, six run identities."""

from __future__ import annotations

from textual.theme import Theme


def _theme(
    name: str, base: dict[str, str], quiet: str, band: str, runs: str, dark: bool = True, ansi: bool = False
) -> Theme:
    variables = {"quiet": quiet, "band": band}
    variables |= {f"run-{number}": colour for number, colour in enumerate(runs.split(), 1)}
    variables |= {"footer-key-foreground": base["accent"], "input-cursor-text-style": "reverse"}
    if ansi:
        variables |= _ANSI
    return Theme(name=name, dark=dark, ansi=ansi, variables=variables, **base)  # type: ignore[arg-type]


_ANSI = {
    "ansi-background": "ansi_black",
    "ansi-foreground": "ansi_white",
    "border-blurred": "ansi_black",
    "block-cursor-foreground": "ansi_black",
    "block-cursor-background": "ansi_white",
    "input-cursor-background": "ansi_black",
    "input-cursor-foreground": "ansi_bright_white",
    "input-selection-background": "ansi_bright_blue",
    "input-selection-foreground": "ansi_black",
    "screen-selection-background": "ansi_bright_blue",
    "screen-selection-foreground": "ansi_black",
}
"""What Textual's own rules want of a theme whose colours cannot be mixed."""


def _base(background: str, foreground: str, surface: str, panel: str, accent: str, states: str) -> dict[str, str]:
    success, warning, error = states.split()
    return {
        "primary": accent,
        "secondary": accent,
        "accent": accent,
        "background": background,
        "foreground": foreground,
        "surface": surface,
        "panel": panel,
        "success": success,
        "warning": warning,
        "error": error,
    }


DARK = _theme(
    "dark",
    _base("#16181d", "#d7dae0", "#1d2026", "#2a2e37", "#6cb6ff", "#7ec77e #e0b050 #f07070"),
    "#8a909c",
    "#3a4350",
    "#6cb6ff #f0a35e #7ec77e #d08be0 #5fd0c5 #e8e07a",
)
LIGHT = _theme(
    "light",
    _base("#fbfbf8", "#22262c", "#f1f1ec", "#e2e2db", "#0b61b0", "#1a7a2e #8a5a00 #b3202a"),
    "#666a72",
    "#d5dbe4",
    "#0b61b0 #b35400 #1a7a2e #8a2fa0 #00797d #7a6a00",
    dark=False,
)
CONTRAST = _theme(
    "high-contrast",
    _base("#000000", "#ffffff", "#000000", "#303030", "#ffff00", "#00ff66 #ffd000 #ff6a6a"),
    "#d0d0d0",
    "#505050",
    "#00e5ff #ffb000 #00ff66 #ff80ff #ffffff #ffff00",
)
# Okabe and Ito's palette (2008): distinguishable with every common colour vision.
COLOUR_BLIND = _theme(
    "colour-blind",
    _base("#16181d", "#e4e4e4", "#1d2026", "#2a2e37", "#56b4e9", "#56b4e9 #f0e442 #e69f00"),
    "#9a9a9a",
    "#3a4350",
    "#56b4e9 #e69f00 #009e73 #cc79a7 #f0e442 #d55e00",
)
SIXTEEN = _theme(
    "16-colours",
    _base(
        "ansi_default",
        "ansi_default",
        "ansi_default",
        "ansi_bright_black",
        "ansi_bright_blue",
        "ansi_green ansi_yellow ansi_red",
    ),
    "ansi_bright_black",
    "ansi_bright_black",
    "ansi_bright_blue ansi_yellow ansi_green ansi_magenta ansi_cyan ansi_bright_red",
    ansi=True,
)

THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND, SIXTEEN)
NAMES = tuple(theme.name for theme in THEMES)


def following(name: str) -> str:
    """The theme after this one, round and round; the first for a name that is none of ours."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]
