"""One action: its id, keys and words, and the Textual binding made of them."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding


class Action(NamedTuple):
    """One thing a person can do with a key. `id` is `pane.name`; screen or widget of that pane has `action_<name>`."""

    id: str
    keys: str
    """Textual key names, separated by commas; users replace them in keys.toml."""
    word: str
    """What the footer and the palette call it."""
    help: str
    footer: bool = False
    """One of the few keys that matter most in its pane."""
    palette: bool = True
    priority: bool = False
    """Jobs while a text field has the focus."""
    does: str = ""
    """The Textual action, where it is not called like the id: `move(1)`."""

    @property
    def pane(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The id without its pane."""
        return self.id.partition(".")[2]

    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.does or self.name,
            self.word,
            show=self.footer,
            tooltip=self.help,
            id=self.id,
            priority=self.priority,
        )
