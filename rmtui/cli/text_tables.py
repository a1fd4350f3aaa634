"""Tables for people and for pipes: aligned and fitted on a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = {"good": "32", "bad": "31", "live": "36", "quiet": "2"}
"""What a colour says → its SGR number."""


@dataclass(frozen=True, slots=True)
class Column:
    """`worth`: columns of little worth leave first where the terminal is narrow; 0 never leaves."""

    title: str
    right: bool = False
    worth: int = 0
    widest: int = 60


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    colour: str = ""


def on_terminal() -> bool:
    return sys.stdout.isatty()


def show(columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]]) -> None:
    """Print a table in the way that stdout is read."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if not on_terminal():
        print("\t".join(column.title for column in columns))
        for row in cells:
            print("\t".join(" ".join(cell.text.split()) for cell in row))
        return
    width = shutil.get_terminal_size().columns
    colours = "NO_COLOR" not in os.environ
    for line in layout(columns, cells, width, colours):
        print(line)


def layout(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, colours: bool = False) -> list[str]:
    """The lines of a table, none of them wider than `width`."""
    widths = [
        min(column.widest, max([cells_of(column.title), *(cells_of(row[n].text) for row in rows)]))
        for n, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while sum(widths[n] + 2 for n in kept) - 2 > width and any(columns[n].worth for n in kept):
        kept.remove(max(kept, key=lambda n: columns[n].worth))
    over = sum(widths[n] + 2 for n in kept) - 2 - width
    if over > 0:
        widest = max(kept, key=lambda n: widths[n])
        widths[widest] = max(4, widths[widest] - over)
    head = [Cell(column.title, "quiet") for column in columns]
    return [_line([(row[n], widths[n], columns[n].right) for n in kept], colours) for row in [head, *rows]]


def _line(cells: Sequence[tuple[Cell, int, bool]], colours: bool) -> str:
    parts = []
    for cell, width, right in cells:
        text = fit(cell.text, width, right)
        parts.append(f"\x1b[{COLOURS[cell.colour]}m{text}\x1b[0m" if colours and cell.colour else text)
    return "  ".join(parts).rstrip()


def fit(text: str, width: int, right: bool = False) -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis; wide characters count two, control characters go."""
    text = "".join(letter for letter in text if letter.isprintable())
    if cells_of(text) > width:
        while text and cells_of(text) > width - 1:
            text = text[:-1]
        text += "…"
    pad = " " * (width - cells_of(text))
    return pad + text if right else text + pad


def cells_of(text: str) -> int:
    """Columns that a terminal gives a text."""
    if text.isascii():
        return len(text)
    return sum(_cells(letter) for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
