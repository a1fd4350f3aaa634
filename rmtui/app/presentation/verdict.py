"""The first line about a run, on every screen: the verdict, and the next step with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from rmtui.app.widgets.palette import Palette

if TYPE_CHECKING:
    from rmtui.documents.guide import AdviseDocument


def verdict_text(document: AdviseDocument, key: str, palette: Palette, lang: str) -> Text:
    """`Under-trained and improving: val_acc 68.3 → 71.1 % (±1.8). Next: 3 epochs ⏎`; `key` takes the step."""
    from rmtui.guide.short_form import split_verdict  # the guide comes after the first frame

    head, step = split_verdict(document, lang)
    text = Text(head).append(step, palette.accent)
    if step and document["advice"][0]["action"] != "none":
        text.append(f"\xa0{key}", f"bold {palette.accent}")
    return text
