"""What the metrics of a run say, in a few lines beside its curves: epochs, readings, the next step. Workers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message

from rmtui import text as formats
from rmtui.app.presentation import run_header
from rmtui.app.presentation.hanging_indent import Row, row
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.index.index import Index
from rmtui.runs.model import Run
from rmtui.translation import tr
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import AdviseDocument, BandDocument
    from rmtui.documents.scalars import Severity

SIGNS: dict[Severity, tuple[str, str]] = {
    "error": ("gap", "bad"),
    "warning": ("best_up", "warn"),
    "info": ("pointer", "quiet"),
    "good": ("ok", "good"),
}
"""Severity of a reading → glyph and tone."""


FIRST = ("val_acc_is",)
"""Readings that every run has and that come before all harmless ones."""
EPOCHS = 4
"""Lines of epochs; of more, the last ones and the best."""


@dataclass
class Summarised(Message):
    """The words below the curves of a run."""

    run: Run
    rows: tuple[Row, ...]
    bands: tuple[BandDocument, ...] = ()
    """What the guide, or the preset, expects of each epoch."""


def summarise(ws: Workspace, index: Index, run: Run, glyphs: Glyphs, palette: Palette, lang: str) -> Summarised:
    """The next step, what is wrong, the key metric, the epochs, then everything else."""
    from rmtui.guide.text_report import margins_line
    from rmtui.operations.advise import document
    from rmtui.operations.load_subjects import margins

    table = [row("", text) for text in run_header.epoch_table(run, glyphs, palette, EPOCHS)]
    if not run.epochs and not run.state.final:
        return Summarised(run, ())
    says = document(ws, index, run, lang)
    if spread := margins(run):
        table.append(row("", margins_line(spread, lang, glyphs.curves.isascii())))
    pressing, calm = readings(says, glyphs, palette)
    rows = (*steps(says, glyphs, palette), *pressing, *table, *calm)
    return Summarised(run, rows, tuple(says["expectations"]["bands"] if says["expectations"] else ()))


def steps(document: AdviseDocument, glyphs: Glyphs, palette: Palette, most: int = 1) -> list[Row]:
    """What to try next."""
    found = []
    for step in document["advice"][:most]:
        text = Text(formats.clean(step["text"]), palette.accent).append(tr("   a: more"), palette.quiet)
        found.append(row(Text(f"{glyphs.arrow} ", palette.accent), text))
    return found


def readings(document: AdviseDocument, glyphs: Glyphs, palette: Palette) -> tuple[list[Row], list[Row]]:
    """What has to be read, worst first, with the key metric; and the rest."""
    pressing: list[Row] = []
    calm: list[Row] = []
    for reading in document["readings"]:
        sign, tone = SIGNS[reading["severity"]]
        shown = row(Text(f"{getattr(glyphs, sign)} ", palette.tone(tone)), formats.clean(reading["text"]))
        matters = reading["severity"] in ("error", "warning") or reading["id"] in FIRST
        (pressing if matters else calm).append(shown)
    return pressing, calm
