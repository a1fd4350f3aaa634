"""Texts in cells as Textual draws them: by Rich's table of widths, which is not Unicode's for some rare letters."""

from __future__ import annotations

from functools import partial

from rich.cells import cell_len

from rmtui import text

fit = partial(text.fit, measure=cell_len)
