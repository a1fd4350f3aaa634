"""A pair as text: its prompt and both answers, the words that only one of them has marked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from rmtui import text as formats
from rmtui.app.widgets.palette import Palette

Pieces = Sequence[tuple[str, bool]]
"""Words, and whether the other answer lacks them."""


def append_pair(text: Text, prompt: str, chosen: Pieces, rejected: Pieces, palette: Palette) -> Text:
    """Add all three, headed by their names."""
    text.append("\nprompt\n", palette.accent).append(f"{_safe(prompt.strip())}\n")
    text.append("\nchosen\n", palette.good)
    _mark(text, chosen, palette.good)
    text.append("\n\nrejected\n", palette.bad)
    _mark(text, rejected, palette.bad)
    return text


def _mark(text: Text, pieces: Pieces, style: Style) -> None:
    """Words that the other answer does not have are bold and underlined."""
    for words, differs in pieces:
        text.append(_safe(words), style + Style(bold=True, underline=True) if differs else None)


def _safe(text: str) -> str:
    return "\n".join(formats.clean(line) for line in text.split("\n"))


def end_of(prompt: str) -> str:
    """The end of a prompt on one line: what was asked last."""
    return formats.clean(" ".join(prompt.split())[-80:])
