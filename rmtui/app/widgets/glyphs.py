"""Signs of states and metrics, and the ASCII signs for fonts without them; a sign never appears without its word."""

from __future__ import annotations

from typing import NamedTuple

from textual.widget import Widget

from rmtui.runs.model import State

ASCII_CLASS = "-ascii"
"""The app carries this class while it draws with ASCII alone."""


class Glyphs(NamedTuple):
    """One set of signs; every field is as wide as its twin in the other set where columns depend on it."""

    states: dict[State, str]
    marked: str
    best: str
    pinned: str
    up: str
    down: str
    best_up: str
    ellipsis: str
    bar_full: str
    bar_part: str
    bar_empty: str
    block: str
    block_empty: str
    vertical: str
    horizontal: str
    corner: str
    tick_left: str
    tick_below: str
    target: str
    cursor: str
    gap: str
    band: str
    pointer: str
    arrow: str
    ok: str
    dash: str
    plus_minus: str
    times: str
    minus: str
    more: str
    delta: str
    enter: str
    entered: str
    """After a value that a person entered."""
    curves: str
    """Markers of the six curve slots."""


UNICODE = Glyphs(
    states={
        State.QUEUED: "◌", State.STARTING: "◔", State.RUNNING: "●", State.STOPPING: "◑", State.FINISHED: "✓",
        State.STOPPED: "■", State.FAILED: "✗", State.KILLED: "✗", State.INTERRUPTED: "▲", State.UNKNOWN: "?",
        State.IMPORTED: "⌁",
    },
    marked="▌", best="★", pinned="⌃", up="↑", down="↓", best_up="▲", ellipsis="…", bar_full="━", bar_part="╸",
    bar_empty="─", block="▮", block_empty="▯", vertical="│", horizontal="─", corner="└", tick_left="┤", tick_below="┬",
    target="┄", cursor="┊", gap="✗", band="░", pointer="▸", arrow="→", ok="✓", dash="–", plus_minus="±", times="×",
    minus="−", more="▼", delta="Δ", enter="⏎", entered="✎", curves="●◆▲■▼✚",
)  # fmt: skip

ASCII = Glyphs(
    states={
        State.QUEUED: ".", State.STARTING: "o", State.RUNNING: "*", State.STOPPING: "o", State.FINISHED: "+",
        State.STOPPED: "#", State.FAILED: "x", State.KILLED: "x", State.INTERRUPTED: "!", State.UNKNOWN: "?",
        State.IMPORTED: "~",
    },
    marked="|", best="*", pinned="^", up="^", down="v", best_up="^", ellipsis="~", bar_full="#", bar_part="#",
    bar_empty="-", block="#", block_empty=".", vertical="|", horizontal="-", corner="+", tick_left="|", tick_below="+",
    target=".", cursor=":", gap="x", band=":", pointer=">", arrow=">", ok="+", dash="-", plus_minus="+-", times="x",
    minus="-", more="v", delta="diff", enter="enter", entered="'", curves="o*^#v+",
)  # fmt: skip


def glyphs_of(widget: Widget) -> Glyphs:
    """The set that the widget's app draws with."""
    return ASCII if widget.app.has_class(ASCII_CLASS) else UNICODE
