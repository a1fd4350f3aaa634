"""What the metrics of a run say, in a few lines beside its curves: verdict, readings, epochs. Workers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message

from rmtui import text as formats
from rmtui.app.presentation import run_header
from rmtui.app.presentation.hanging_indent import Row, row
from rmtui.app.presentation.verdict import verdict_text
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.index.index import Index
from rmtui.runs.model import Run
from rmtui.translation import colon
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


EPOCHS = 4
"""Lines of epochs; of more, the last ones and the best."""
KEYS = "a"
"""Leads to the advice, where enter takes the step."""


@dataclass
class Summarised(Message):
    """What the metrics of a run say: the verdict, and below the curves the readings and epochs."""

    run: Run
    verdict: Text
    rows: tuple[Row, ...]
    bands: tuple[BandDocument, ...] = ()
    """What the guide, or the preset, expects of each epoch."""


def summarise(ws: Workspace, index: Index, run: Run, glyphs: Glyphs, palette: Palette, lang: str) -> Summarised:
    """The verdict with the next step; the worst readings, the epochs, and what is folded."""
    from rmtui.guide.text_report import margins_line
    from rmtui.operations.advise import document
    from rmtui.operations.load_subjects import margins

    noted = [row("", Text(run.note, palette.quiet))] if run.note else []
    table = [row("", text) for text in run_header.epoch_table(run, glyphs, palette, EPOCHS)]
    if not run.epochs and not run.state.final:
        return Summarised(run, Text(), ())
    says = document(ws, index, run, lang)
    if spread := margins(run):
        table.append(row("", margins_line(spread, lang, glyphs.curves.isascii())))
    verdict = verdict_text(says, f"{KEYS}\xa0{glyphs.enter}", palette, lang)
    rows = (*noted, *readings(says, glyphs, palette, lang), *_starred(ws, index, run, glyphs, palette, lang), *table)
    return Summarised(run, verdict, rows, tuple(says["expectations"]["bands"] if says["expectations"] else ()))


def _starred(ws: Workspace, index: Index, run: Run, glyphs: Glyphs, palette: Palette, lang: str) -> list[Row]:
    """Of the run that lists mark as the best: what its val_acc, the highest of many, is worth on other pairs."""
    from rmtui.operations.candidates import choice_of

    is_best = run.val_fingerprint is not None and index.best_of(run.val_fingerprint) == run.id
    found = choice_of(ws, index, run, lang) if is_best else None
    return [row(Text(f"{glyphs.best} ", palette.accent), formats.clean(found["text"]))] if found else []


def readings(document: AdviseDocument, glyphs: Glyphs, palette: Palette, lang: str) -> list[Row]:
    """The worst readings, a line each, and where the others are."""
    from rmtui.guide.short_form import folded_line, reading_line, worst_readings

    shown = worst_readings(document)
    found = []
    for reading in shown:
        sign, tone = SIGNS[reading["severity"]]
        lead = Text(f"{getattr(glyphs, sign)} ", palette.tone(tone))
        found.append(row(lead, formats.clean(reading_line(reading, lang))))
    folded = Text(f"{folded_line(document, len(shown), lang)}{colon()}", palette.quiet).append(KEYS, palette.accent)
    return [*found, row(Text(f"{glyphs.more} ", palette.quiet), folded)]
