"""What each key does here and now: the focused pane first, then its screen, then what works everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen

from rmtui.app import actions
from rmtui.app.actions import PANES
from rmtui.app.host import WorkspaceApp
from rmtui.app.presentation.hanging_indent import HangingRows, Row, row
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.i18n import translate
from rmtui.runs.model import State
from rmtui.translation import tr

STATES: dict[State, str] = {
    State.QUEUED: "waiting for a device",
    State.STARTING: "loading model and data",
    State.RUNNING: "training",
    State.STOPPING: "saving a checkpoint, then exits",
    State.FINISHED: "trained to the last epoch",
    State.STOPPED: "stopped early on request",
    State.FAILED: "ended with an error; l shows the log",
    State.KILLED: "killed from outside, without a message",
    State.INTERRUPTED: "cut off by a reboot; r resumes",
    State.UNKNOWN: "its state cannot be determined from here",
    State.IMPORTED: "trained elsewhere, imported from its files",
}
OTHERS = {
    "marked": "with space; drawn and compared together",
    "pinned": "stays at the top",
    "best": "the best val_acc on its data",
    "rose": "val_acc rose in the last epoch",
    "fell": "val_acc fell in the last epoch",
    "typed in": "val_acc was typed in or read from another log, not measured here",
    "of many": "val_acc of the best of many runs: on other pairs less is expected",
}


WHERE = "Keys can be changed in keys.toml of the workspace; their names are in docs/keys.md."


class HelpScreen(ModalScreen[None]):
    """Made from the bindings that are active, so that it is true after any change of keys."""

    BINDINGS = actions.bindings("help")

    def __init__(self, asked_from: Screen[Any]) -> None:
        super().__init__()
        self._sections = list(sections(asked_from))

    CSS_PATH = "help.tcss"

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help", can_focus=True):
            yield HangingRows(id="keys-help")

    def on_mount(self) -> None:
        self.query_one(HangingRows).show_rows(self._rows())

    def _rows(self) -> list[Row]:
        """What the guide is; states; what each key does: the focused pane, its screen, everything; signs at the end."""
        palette = palette_of(self)
        assert isinstance(self.app, WorkspaceApp)
        guide = Text(translate("screen.the_guide", self.app.lang), palette.quiet)
        found = [row("", guide), row("", ""), row("", self._legend()), row("", "")]
        for title, rows in self._sections:
            found.append(row("", Text(tr(title), palette.accent)))
            found += self._keys(rows)
            found.append(row("", ""))
        found += self._signs()
        return [*found, row("", ""), row("", Text(tr(WHERE), palette.quiet))]

    def _keys(self, rows: Rows) -> list[Row]:
        """What explains itself runs on in a line; the others have one each."""
        palette = palette_of(self)
        shown = [one for one in rows if one[2]]
        width = min(14, max((cell_len(keys) for keys, _, _ in shown), default=0))
        names = max((cell_len(word) for _, word, _ in shown), default=0)
        found = []
        for keys, word, explanation in shown:
            lead = Text(f"  {keys:<{width}}  ", "bold").append(f"{fit(word, names)}  ", Style(bold=False))
            found.append(row(lead, Text(explanation, palette.quiet)))
        moves = Text("   ").join(
            _move(keys, word, palette.quiet) for keys, word, explanation in rows if not explanation
        )
        return [*found, *([row("  ", moves)] if moves.plain else [])]

    def _legend(self) -> Text:
        """The signs of the states in a line or two; their meaning in detail follows below the keys."""
        palette, glyphs = palette_of(self), glyphs_of(self)
        text = Text()
        for state in STATES:
            text.append(glyphs.states[state], palette.state(state)).append(f"\xa0{tr(state.value)}  ")
        text.rstrip()
        return text

    def _signs(self) -> list[Row]:
        """The sign before a run's name; colour only repeats the sign and the word."""
        palette, glyphs = palette_of(self), glyphs_of(self)
        found = [row("", Text(tr("signs of a run"), palette.accent))]
        for state, meaning in STATES.items():
            lead = Text(f"  {glyphs.states[state]}  ", palette.state(state)).append(
                fit(tr(state.value), 12), palette.text
            )
            found.append(row(lead, Text(tr(meaning), palette.quiet)))
        signs = (glyphs.marked, glyphs.pinned, glyphs.best, glyphs.up, glyphs.down, glyphs.entered, "~")
        for sign, (word, meaning) in zip(signs, OTHERS.items(), strict=True):
            found.append(row(f"  {sign}  {fit(tr(word), 12)}", Text(tr(meaning), palette.quiet)))
        return found

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
        yield heading, [(" ".join(keys), tr(one.binding.description), tr(one.tooltip)) for keys, one in rows.values()]


def _heading(active: ActiveBinding) -> str:
    pane = (active.binding.id or "").partition(".")[0]
    return PANES.get(pane, "here")


def _move(keys: str, word: str, quiet: Style) -> Text:
    """`j ↓ down`, not to be torn apart at a line's end."""
    return Text(keys.replace(" ", "\xa0"), "bold").append(f"\xa0{word.replace(' ', chr(0xA0))}", quiet)
