"""The lines of the run table: its heading, and a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rmtui.app.widgets.cells import cut_middle, fit
from rmtui.app.widgets.palette import Palette
from rmtui.app.widgets.table.columns import COLUMNS, GAP, NAME, NOW, REASON, STATE, RunColumn, Setting, layout
from rmtui.runs.model import NOTHING, Run, State
from rmtui.translation import tr

LEAD = 5
"""Cells before the first column: mark, sign of the curve, pin, sign of the state, blank."""

Layout = Sequence[tuple[RunColumn, int]]


def useful(setting: Setting) -> list[RunColumn]:
    """Every column that could say something now, left to right."""
    useless = {"delta"} if setting.baseline is None else set()
    useless |= set() if setting.landmarks.grouped else {"group"}
    return [column for column in COLUMNS if column.key not in useless]


def shown(setting: Setting, sort: str = "") -> list[RunColumn]:
    """Columns that say what nothing else in their row does: the state has its sign, and its word in the last column."""
    return [column for column in useful(setting) if column.key != STATE or sort == STATE]


def laid_out(
    width: int, setting: Setting, sort: str = "", needs: Mapping[str, int] = NOTHING
) -> list[tuple[RunColumn, int]]:
    """The columns that a table of this width shows."""
    return layout(width - LEAD, shown(setting, sort), sort, needs)


def needs_of(runs: Iterable[Run], setting: Setting) -> dict[str, int]:
    """Cells of the longest text in each column that can grow; under NOW those of what a live or queued run does."""
    growing = [column for column in shown(setting) if column.grow]
    found = dict.fromkeys((column.key for column in growing), 0)
    for run in runs:
        passing = run.state.alive or run.state is State.QUEUED
        for column in growing:
            key = NOW if column.key == REASON and passing else column.key
            found[key] = max(found.get(key, 0), cell_len(column.say(run, setting).text))
    return found


@dataclass(frozen=True, slots=True)
class RunLines:
    """Draws lines under one setting; `sort` is a column's key and whether the greatest comes first."""

    setting: Setting
    palette: Palette
    sort: tuple[str, bool]

    def heading(self, columns: Layout) -> Strip:
        """The columns' titles; the sorted one carries an arrow."""
        glyphs = self.setting.glyphs
        key, descending = self.sort
        segments = [Segment(" " * LEAD)]
        for column, width in columns:
            sorted_here = column.key == key
            sign = (glyphs.down if descending else glyphs.up) if sorted_here else ""
            style = self.palette.text + Style(bold=True) if sorted_here else self.palette.quiet
            title = tr(column.title).replace("Δ", glyphs.delta).replace("±", glyphs.plus_minus)
            title = fit(title if column.right else title + sign, width, column.right, glyphs.ellipsis)
            title += sign if column.right else ""
            segments.append(Segment(fit(title, width + GAP), style))
        return Strip(segments)

    def notice(self, text: str) -> Strip:
        """A line that is not a row."""
        return Strip([Segment(" " * LEAD + tr(text, words=False), self.palette.quiet)])

    def run(self, run: Run, columns: Layout, marked: bool) -> Strip:
        setting, palette, glyphs = self.setting, self.palette, self.setting.glyphs
        slot = setting.slots.get(run.id)
        segments = [
            Segment(glyphs.marked if marked else " ", palette.accent),
            Segment(" ") if slot is None else Segment(glyphs.curves[slot % len(glyphs.curves)], palette.run(slot)),
            Segment(glyphs.pinned if run.pinned else " ", palette.quiet),
            Segment(f"{glyphs.states[run.state]} ", palette.state(run.state)),
        ]
        for column, width in columns:
            cell = column.say(run, setting)
            text = cell.short if cell.short and cell_len(cell.text) > width else cell.text
            text = cut_middle(text, width, glyphs.ellipsis) if column.key == NAME else text
            text = fit(text, width, column.right, glyphs.ellipsis)
            segments.append(Segment(text + " " * GAP, self._tone(cell.tone)))
        return Strip(segments)

    def _tone(self, tone: str) -> Style:
        if tone.startswith("state:"):
            return self.palette.state(State(tone[6:]))
        return self.palette.tone(tone)
