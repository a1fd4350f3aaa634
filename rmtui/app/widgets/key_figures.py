"""Named figures in columns, aligned on the decimal point: learning rate, gradient norm, pairs/s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from rmtui.app.widgets.figures import fit
from rmtui.app.widgets.palette import palette_of

GAP = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """`text` is the formatted number; `unit` stands after it; `tone` is a word of the palette."""

    name: str
    text: str
    unit: str = ""
    tone: str = "text"


def aligned(texts: Sequence[str]) -> list[str]:
    """Padded so that the decimal points stand in one column; texts without one end before it."""
    parts = [text.partition(".") for text in texts]
    before = max((cell_len(head) for head, _, _ in parts), default=0)
    after = max((len(point + tail) for _, point, tail in parts), default=0)
    return [f"{' ' * (before - cell_len(head))}{head}{(point + tail):<{after}}" for head, point, tail in parts]


class KeyFigures(Widget):
    """As many columns as fit, filled downwards."""

    DEFAULT_CSS = "KeyFigures { height: auto; }"

    def __init__(self, rows: int = 3, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows = rows
        self._figures: tuple[Figure, ...] = ()

    def show(self, figures: Sequence[Figure]) -> None:
        """Show these figures; nothing is redrawn when they equal those on screen."""
        if tuple(figures) != self._figures:
            self._figures = tuple(figures)
            self.refresh()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return self._rows

    def render_line(self, y: int) -> Strip:
        palette = palette_of(self)
        segments = [Segment(" ")]
        for start in range(0, len(self._figures), self._rows):
            column = self._figures[start : start + self._rows]
            if y >= len(column):
                continue
            names = max(cell_len(figure.name) for figure in column)
            texts, units = aligned([figure.text for figure in column]), max(len(figure.unit) for figure in column)
            figure = column[y]
            segments += [
                Segment(fit(figure.name, names) + "  ", palette.quiet),
                Segment(f"{texts[y]} ", palette.tone(figure.tone)),
                Segment(fit(figure.unit, units) + " " * GAP, palette.quiet),
            ]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)
