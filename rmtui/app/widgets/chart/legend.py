"""The legend of a chart: every curve with sign, name and value, in one line or, where that is too short, in a few.

Names give way before values, and by what they share: `helpful-A-3` beside `helpful-C-2` is `…A-3`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from rmtui import text as formats
from rmtui.app.widgets.cells import cut_middle

LONGEST = 24
"""Cells of a name at most."""
GAP = 2
"""Blanks after an entry."""
_SHARED = re.compile(r"^.*[-_./ :]")
"""What names begin with alike, as far as its last whole word."""


class LegendEntry(NamedTuple):
    """A curve as the legend tells it. `run` is the name that may be shortened, `what` (train, val) is short already."""

    sign: str
    line: str
    run: str
    what: str
    value: str
    style: Style
    text: Style


class LegendForm(NamedTuple):
    """How much an entry says: cells for its run's name, a piece of its line, its value."""

    name: int
    line: bool = False
    value: bool = True


FULL = (LegendForm(LONGEST, line=True), LegendForm(12, line=True), LegendForm(12), LegendForm(8), LegendForm(6))
"""From the fullest to the shortest; where none fits into the last line either:"""
NAMED = (
    LegendForm(12, value=False),
    LegendForm(8, value=False),
    LegendForm(6, value=False),
    LegendForm(4, value=False),
)
READ = (LegendForm(4), LegendForm(0))


def laid(
    entries: Sequence[LegendEntry],
    first: int,
    width: int,
    most: int,
    quiet: Style,
    ellipsis: str,
    reading: bool = False,
) -> list[list[Segment]]:
    """The entries in lines of `width` cells, the first one of `first`: in as few lines as short names allow.

    Where `most` lines do not hold both, names stay and values go; `reading`, at a cursor, the other way round: signs
    still tell whose they are. If even that is too much, the last line says how many are left out.
    """
    tries = [(rows, form) for rows in range(1, most + 1) for form in FULL]
    tries += [(most, form) for form in ((*READ, *NAMED) if reading else (*NAMED, *READ))]
    runs = [entry.run for entry in entries]
    lines: list[list[list[Segment]]] = [[]]
    for rows, form in tries:
        names = shortened(runs, form.name, ellipsis)
        lines = _packed(map(_render_entry, entries, names, repeat(form)), first, width)
        if len(lines) <= rows and (not form.name or len(set(names)) == len(set(runs))):
            break
    left = sum(map(len, lines[most:]))
    if left:
        room = (width if most > 1 else first) - len(f"+{left + 1} more")
        while _width(chain.from_iterable(lines[most - 1])) > room and len(lines[most - 1]) > 1:
            lines[most - 1].pop()
            left += 1
        lines[most - 1].append([Segment(f"+{left} more", quiet)])
    return [list(chain.from_iterable(line)) for line in lines[:most]]


def shortened(names: Sequence[str], cells: int, ellipsis: str) -> list[str]:
    """Names of at most so many cells: without what all begin with, then without their middles, or but their ends."""
    names = [formats.clean(name) for name in names]
    shown = {name for name in names if name}
    if max(map(cell_len, names), default=0) <= cells:
        return names
    if len(shown) > 1 and cells < LONGEST and (shared := _SHARED.match(_beginning(min(shown), max(shown)))):
        names = [name and ellipsis + name[shared.end() :] for name in names]
    cut = {name: cut_middle(name, cells, ellipsis) for name in names}
    times = Counter(cut.values())
    return [cut_middle(name, cells, ellipsis, 0) if times[cut[name]] > 1 else cut[name] for name in names]


def _beginning(one: str, other: str) -> str:
    """What both begin with."""
    same = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[:same] if same is not None else min(one, other, key=len)


def _render_entry(entry: LegendEntry, name: str, form: LegendForm) -> list[Segment]:
    text = " ".join(filter(None, (name, entry.what)))
    value = entry.value if form.value else ""
    return [
        Segment(f"{entry.sign}{entry.line if form.line else ''} ", entry.style),
        Segment(f"{text} " if text and value else text, entry.text),
        Segment(f"{value}{' ' * GAP}", entry.text + Style(bold=True)),
    ]


def _packed(written: Iterable[list[Segment]], first: int, width: int) -> list[list[list[Segment]]]:
    """Entries one after the other, a new line where one does not fit; blanks at a line's end may be cut."""
    lines: list[list[list[Segment]]] = [[]]
    room = first
    for entry in written:
        length = _width(entry)
        if length - GAP > room and (lines[-1] or len(lines) == 1):
            lines.append([])
            room = width
        lines[-1].append(entry)
        room -= length
    return lines


def _width(segments: Iterable[Segment]) -> int:
    return sum(cell_len(segment.text) for segment in segments)
