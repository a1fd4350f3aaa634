"""Lists to choose from, on the ground of their screen; and texts whose further lines stand below their first word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.widgets import OptionList

from rmtui.app import actions

if TYPE_CHECKING:
    from rich.table import Table


class Choices(OptionList, inherit_bindings=False):
    """Moves the cursor; what enter does is its screen's affair, so that the footer can say it."""

    DEFAULT_CSS = """
    Choices { border: none; padding: 0 1; background: $background; }
    Choices:focus { border: none; background-tint: $foreground 0%; }
    Choices > .option-list--option-highlighted { color: $foreground; background: $foreground 10%; text-style: none; }
    Choices:focus > .option-list--option-highlighted {
        color: $foreground; background: $primary 25%; text-style: none;
    }
    Choices > .option-list--option-disabled { color: $foreground; }
    Choices.-lines { text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS = actions.bindings("choices")


def hanging(*rows: tuple[Text, Text]) -> Table:
    """Rows of (lead, words); words that are wrapped stay right of the widest lead."""
    from rich.table import Table

    table = Table.grid(expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for lead, words in rows:
        table.add_row(lead, words)
    return table
