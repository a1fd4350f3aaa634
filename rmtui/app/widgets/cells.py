"""Texts in cells as Textual draws them: by Rich's table of widths, which is not Unicode's for some rare letters."""

from __future__ import annotations

from functools import partial

from rich.cells import cell_len

from rmtui import text


def cut_middle(name: str, cells: int, ellipsis: str, head: int | None = None) -> str:
    """A name of at most so many cells: its beginning (`head` cells; None: nearly half) and its end, which is the longer
    part: names of one series differ there."""
    name = text.clean(name)
    if cell_len(name) <= cells:
        return name
    if cells < 3:
        return ""
    kept = _within(name, (cells - 1) // 2 if head is None else head)
    return f"{kept}{ellipsis}{_within(name[::-1], cells - 1 - cell_len(kept))[::-1]}"


def _within(words: str, cells: int) -> str:
    """The longest beginning of so many cells."""
    return next(words[:end] for end in range(len(words), -1, -1) if cell_len(words[:end]) <= cells)


fit = partial(text.fit, measure=cell_len)
