"""What each key does here and now: the focused pane first, then its screen, then what works everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from rmtui.app import actions
from rmtui.app.actions import PANES, of_pane
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.records.facts import State

STATES: dict[State, str] = {
    State.QUEUED: "waits for a device",
    State.STARTING: "its processes load model and data",
    State.RUNNING: "trains",
    State.STOPPING: "saves a checkpoint, then ends",
    State.FINISHED: "trained all its epochs",
    State.STOPPED: "ended early because someone asked",
    State.FAILED: "ended with an error: l shows the log",
    State.KILLED: "ended from outside, without a word",
    State.INTERRUPTED: "cut off by a restart; r goes on",
    State.UNKNOWN: "its fate cannot be told from here",
    State.IMPORTED: "trained elsewhere, read from its files",
}
OTHERS = {
    "marked": "with space; drawn and compared",
    "pinned": "stays at the top",
    "best": "the best val_acc on its data",
    "rose": "val_acc rose in the last epoch",
    "fell": "val_acc fell in the last epoch",
}


class HelpScreen(ModalScreen[None]):
    """Made from the bindings that are active, so that it is true after any change of keys."""

    BINDINGS = actions.bindings("help")

    def __init__(self, asked_from: Screen[Any]) -> None:
        super().__init__()
        self._sections = list(sections(asked_from))

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help", can_focus=True):
            yield Static(self._written(), id="keys-help")

    def _written(self) -> Text:
        palette = palette_of(self)
        text = self._legend()
        for title, rows in self._sections:
            text.append(f"{title}\n", palette.accent)
            width = min(16, max((len(keys) for keys, _, _ in rows), default=0))
            for keys, word, explanation in rows:
                text.append(f"  {keys:<{width}}  ", "bold").append(word)
                text.append(f"  {explanation}\n" if explanation else "\n", palette.quiet)
            text.append("\n")
        text.append_text(self._signs()).append("\n")
        return text.append("Keys can be changed in keys.toml of the workspace.", palette.quiet)

    def _legend(self) -> Text:
        """The signs of the states in a line or two; what they mean in detail stands below the keys."""
        palette, glyphs = palette_of(self), glyphs_of(self)
        text = Text()
        for state in STATES:
            text.append(glyphs.states[state], palette.state(state)).append(f"\xa0{state.value}  ")
        return text.append("\n\n")

    def _signs(self) -> Text:
        """What stands before a run's name; colour only repeats the sign and the word."""
        palette, glyphs = palette_of(self), glyphs_of(self)
        text = Text().append("signs of a run\n", palette.accent)
        for state, meaning in STATES.items():
            text.append(f"  {glyphs.states[state]}  ", palette.state(state)).append(f"{state.value:<12}")
            text.append(f"{meaning}\n", palette.quiet)
        signs = (glyphs.marked, glyphs.pinned, glyphs.best, glyphs.up, glyphs.down)
        for sign, (word, meaning) in zip(signs, OTHERS.items(), strict=True):
            text.append(f"  {sign}  {word:<12}").append(f"{meaning}\n", palette.quiet)
        return text

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


Rows = list[tuple[str, str, str]]


def sections(screen: Screen[Any]) -> Iterator[tuple[str, Rows]]:
    """(heading, rows of keys, word, explanation), nearest pane first."""
    found: dict[str, dict[str, tuple[list[str], ActiveBinding]]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.id is None or not binding.description:
            continue
        rows = found.setdefault(_heading(active), {})
        keys, _ = rows.setdefault(binding.action, ([], active))
        keys.append(screen.app.get_key_display(binding))
    for heading, rows in found.items():
        yield heading, [(" ".join(keys), one.binding.description, one.tooltip) for keys, one in rows.values()]


def _heading(active: ActiveBinding) -> str:
    pane = (active.binding.id or "").partition(".")[0]
    if pane in PANES and any(of_pane(pane)):
        return PANES[pane]
    return {"table": "the list", "chart": "the curves", "log": "the log", "form": "the form"}.get(pane, "here")
