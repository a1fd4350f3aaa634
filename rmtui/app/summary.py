"""What the figures of a run say, in a few lines beside its curves; fetched in a worker."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual.message import Message

from rmtui.app import said
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.records.facts import Run


@dataclass
class Summarised(Message):
    """The words below the curves of a run."""

    run_id: str
    words: Text


def summarise(run: Run, glyphs: Glyphs, palette: Palette) -> Summarised:
    return Summarised(run.id, Text("\n".join(said.epoch_lines(run, glyphs))))
