"""What the figures of a run say, in a few lines beside its curves: epochs, readings, the next step. Workers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.message import Message

from rmtui.app import said
from rmtui.app.widgets import figures
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.records.facts import Run
from rmtui.workspace import Workspace

SIGNS = {"error": ("gap", "bad"), "warning": ("best_up", "warn"), "info": ("pointer", "quiet"), "good": ("ok", "good")}
"""Severity of a reading → glyph and tone."""


@dataclass
class Summarised(Message):
    """The words below the curves of a run."""

    run: Run
    words: Text
    bands: tuple[dict[str, Any], ...] = ()
    """What the guide, or the preset, expects of each epoch."""


def summarise(ws: Workspace, run: Run, glyphs: Glyphs, palette: Palette, lang: str) -> Summarised:
    from rmtui.operations.advise import advise

    text = Text("\n".join(said.epoch_lines(run, glyphs)))
    if run.epochs or run.state.final:
        text.append("\n" if run.epochs else "")
        document = advise(ws, run.id, lang)
        text.append_text(readings(document, glyphs, palette))
        return Summarised(run, text, tuple((document["expectations"] or {}).get("bands", ())))
    return Summarised(run, text)


def readings(document: dict[str, Any], glyphs: Glyphs, palette: Palette, advice: int = 1) -> Text:
    """Readings, worst first, and the first steps advised."""
    text = Text()
    for reading in document["readings"]:
        sign, tone = SIGNS[reading["severity"]]
        text.append(f"{getattr(glyphs, sign)} ", palette.tone(tone)).append(f"{figures.clean(reading['text'])}\n")
    for step in document["advice"][:advice]:
        text.append(f"{glyphs.arrow} {figures.clean(step['text'])}", palette.accent)
        text.append("   a: more\n", palette.quiet)
    text.rstrip()
    return text
