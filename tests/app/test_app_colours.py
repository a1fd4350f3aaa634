"""Every text can be read on every ground it gets: computed over all themes and depths, as xterm shows them."""

from __future__ import annotations

from itertools import product

import pytest
from rich.color import Color, ColorSystem, ColorType

from rmtui.app import themes
from rmtui.app.themes import Depth

XTERM = (
    *("000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5"),
    *("7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff"),
)
SYSTEM = {Depth.TRUE: ColorSystem.TRUECOLOR, Depth.INDEXED: ColorSystem.EIGHT_BIT, Depth.SIXTEEN: ColorSystem.STANDARD}
LOOKS = list(product(themes.NAMES, Depth))


def xterm(number: int) -> tuple[int, int, int]:
    """The colour that xterm shows for an index of its palette."""
    if number < 16:
        return tuple(bytes.fromhex(XTERM[number]))  # type: ignore[return-value]
    if number < 232:
        levels = (0, 95, 135, 175, 215, 255)
        return levels[(number - 16) // 36], levels[(number - 16) // 6 % 6], levels[(number - 16) % 6]
    return (8 + 10 * (number - 232),) * 3


def shown(colour: str, depth: Depth, default: str) -> tuple[int, int, int]:
    """What the terminal shows: through Rich's own conversion, which is what the app sends."""
    colour = default if colour == "ansi_default" else colour
    rich = Color.parse(colour.removeprefix("ansi_") if colour.startswith("ansi_") else colour)
    sent = rich.downgrade(SYSTEM[depth])
    if sent.type in (ColorType.STANDARD, ColorType.EIGHT_BIT):
        assert sent.number is not None
        return xterm(sent.number)
    assert sent.triplet is not None
    return tuple(sent.triplet)  # type: ignore[return-value]


def luminance(rgb: tuple[int, int, int]) -> float:
    """WCAG 2.2's relative luminance."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (v / 255 for v in rgb)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """WCAG 2.2's contrast ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("name", "depth"), LOOKS)
def test_every_text_can_be_read_on_every_ground(name, depth):
    colours = themes.colours_of(name, depth)
    background, surface, _ = colours.grounds.split()
    ground, away, *own = colours.selected.split()
    text, quiet, accent = colours.inks.split()
    words = [text, quiet, accent, *colours.states.split()]
    pairs = [*product(words, (background, surface)), *((run, background) for run in colours.runs.split())]
    pairs += [(own[0], ground), (own[1], away)] if own else [*product(words, (ground, away))]
    pairs += [(background if background != "ansi_default" else "ansi_black", colours.states.split()[1])]
    for ink, under in pairs:
        ratio = contrast(shown(ink, depth, "white"), shown(under, depth, "black"))
        assert ratio >= 4.5, f"{ink} on {under}: {ratio:.2f}"


@pytest.mark.parametrize(("name", "depth"), LOOKS)
def test_the_signs_of_runs_are_seen_on_every_bar(name, depth):
    """Graphics want 3 : 1 (WCAG 1.4.11)."""
    colours = themes.colours_of(name, depth)
    ground, away, *own = colours.selected.split()
    bars = [colours.grounds.split()[1], *([] if own else [ground, away])]
    for run, bar in product(colours.runs.split(), bars):
        assert contrast(shown(run, depth, "white"), shown(bar, depth, "black")) >= 3, f"{run} on {bar}"


@pytest.mark.parametrize("name", themes.NAMES)
def test_what_is_chosen_for_256_colours_is_among_them(name):
    """A colour in between would come out as a neighbour that nobody chose; greys may be one of Rich's roundings off."""
    if name == themes.OWN:
        return
    for colour in " ".join(str(part) for part in themes.colours_of(name, Depth.INDEXED)[:7]).split():
        wanted, got = Color.parse(colour).triplet or (), shown(colour, Depth.INDEXED, "white")
        off = 10 if len(set(wanted)) == 1 else 0
        assert max(abs(a - b) for a, b in zip(wanted, got, strict=True)) <= off, (colour, got)


@pytest.mark.parametrize(("name", "depth"), LOOKS)
def test_train_and_val_differ_and_the_selected_row_is_no_ground_of_the_list(name, depth):
    colours = themes.colours_of(name, depth)
    background, *_ = colours.grounds.split()
    train, val, *_ = (shown(run, depth, "white") for run in colours.runs.split())
    ground, away, *_ = (shown(bar, depth, "white") for bar in colours.selected.split())
    assert len({train, val, shown(background, depth, "black")}) == 3
    assert len({ground, away, shown(background, depth, "black")}) == 3
