"""Tables for people and for pipes: aligned and fitted on a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmtui.text import fit, width
from rmtui.translation import tr

COLOURS = {"good": "32", "bad": "31", "live": "36", "quiet": "2"}
"""What a colour says → its SGR number."""


@dataclass(frozen=True, slots=True)
class Column:
    """`worth`: columns of little worth leave first where the terminal is narrow; 0 never leaves. `ours`: its cells are
    the program's words, which a terminal gets in the language that is spoken; pipes get English, for scripts."""

    title: str
    right: bool = False
    worth: int = 0
    widest: int = 60
    ours: bool = False


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
    room = shutil.get_terminal_size().columns
    colours = "NO_COLOR" not in os.environ
    for line in layout(columns, cells, room, colours):
        print(line)


def layout(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int, colours: bool = False) -> list[str]:
    """The lines of a table, none of them wider than `room`."""
    columns = [replace(column, title=tr(column.title)) for column in columns]
    rows = [
        [replace(cell, text=tr(cell.text)) if column.ours else cell for column, cell in zip(columns, row, strict=True)]
        for row in rows
    ]
    widths = [
        min(column.widest, max([width(column.title), *(width(row[n].text) for row in rows)]))
        for n, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while sum(widths[n] + 2 for n in kept) - 2 > room and any(columns[n].worth for n in kept):
        kept.remove(max(kept, key=lambda n: columns[n].worth))
    over = sum(widths[n] + 2 for n in kept) - 2 - room
    if over > 0:
        widest = max(kept, key=lambda n: widths[n])
        widths[widest] = max(4, widths[widest] - over)
    head = [Cell(column.title, "quiet") for column in columns]
    return [_line([(row[n], widths[n], columns[n].right) for n in kept], colours) for row in [head, *rows]]


def _line(cells: Sequence[tuple[Cell, int, bool]], colours: bool) -> str:
    parts = []
    for cell, wide, right in cells:
        text = fit(cell.text, wide, right)
        parts.append(f"\x1b[{COLOURS[cell.colour]}m{text}\x1b[0m" if colours and cell.colour else text)
    return "  ".join(parts).rstrip()
