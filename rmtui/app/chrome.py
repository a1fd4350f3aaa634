"""The frame of every screen: the line at the top, the keys at the foot, and texts that redraw only when they change."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from rich.cells import cell_len
from rich.text import Span, Text
from textual.app import RenderResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from rmtui.app.host import WorkspaceApp, WorkspaceScreen
from rmtui.app.widgets.glyphs import ASCII_CLASS, glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.translation import spoken, tr


class Label(Static):
    """Text that is repainted only when it says something else."""

    is_verbatim = False
    """The text is in the language that is spoken already, and holds what people wrote."""

    def __init__(self, text: str | Text = "", *, id: str | None = None, classes: str | None = None) -> None:
        self._said = in_language(_as_text(text))
        super().__init__(self._said, id=id, classes=classes)

    def show_text(self, text: str | Text) -> None:
        """Show this text; nothing happens when it is there already."""
        fresh = _as_text(text) if self.is_verbatim else in_language(_as_text(text))
        if self.app.has_class(ASCII_CLASS):
            fresh = _in_ascii(fresh)
        if fresh != self._said or fresh.spans != self._said.spans:
            moves = self.changes_size(fresh)
            self._said = fresh
            self.update(fresh, layout=moves)

    def changes_size(self, fresh: Text) -> bool:
        """Whether the screen has to be laid out anew for this text."""
        return self.styles.auto_dimensions

    @property
    def plain(self) -> str:
        """The text, without colours."""
        return self._said.plain


def _shortened(path: str, by: int, ellipsis: str) -> str:
    """The last folder's name where a path is too long; no other words are cut."""
    head, slash, name = path.rpartition("/")
    if not by or not slash:
        return path
    start = head.rfind("  ") + 2 if "  " in head else 0
    return f"{head[:start]}{ellipsis}/{name}"


_SIGNS = str.maketrans("·–−—…×→←↔±★°‘’“”", "----~x>< +* ''\"\"")
"""One sign for one, so that colours stay where they are."""


def _in_ascii(text: Text) -> Text:
    made = text.copy()
    made.plain = text.plain.translate(_SIGNS)
    return made


def in_language(text: Text) -> Text:
    """The sentences of a text in the language that is spoken, piece by piece, so that colours stay with their words.

    Single words stay: a piece may be the name of a run.
    """
    if spoken() == "en":
        return text
    cuts = {0, len(text.plain), *(found.end() for found in _PIECE_ENDS.finditer(text.plain))}
    cuts |= {place for span in text.spans for place in (span.start, min(span.end, len(text.plain)))}
    ends = sorted(cuts)
    moved, plain = {0: 0}, ""
    for start, end in pairwise(ends):
        plain += tr(text.plain[start:end], words=False).replace(" %", "%")  # as Chinese is set
        moved[end] = len(plain)
    made = text.blank_copy(plain)
    made.spans = [Span(moved[span.start], moved[min(span.end, len(text.plain))], span.style) for span in text.spans]
    return made


_PIECE_ENDS = re.compile(r"\n|   +")


def _as_text(text: str | Text) -> Text:
    return text if isinstance(text, Text) else Text(text)


class TopBar(Label):
    """Where we are on the left, counts in the middle, devices on the right; long paths give way first, counts last.

    While something works in the background, that is shown on the right, and everything else gives way to it.
    """

    DEFAULT_CSS = "TopBar { height: 1; width: 100%; dock: top; }"

    def __init__(self) -> None:
        super().__init__(id="top")
        self._parts = ("", "", "")
        self._whole = Text()
        self._works = ""

    def on_mount(self) -> None:
        if isinstance(self.app, WorkspaceApp):
            self.show_jobs(self.app.jobs.summary)

    def show_parts(self, left: str, middle: str = "", right: str = "") -> None:
        self._parts = (tr(left), tr(middle), tr(right, words=False))
        self.renew()

    def show_line(self, text: Text) -> None:
        """One line that was laid out already."""
        self._parts = ("", "", "")
        self._whole = text
        self.renew()

    def show_jobs(self, text: str) -> None:
        """What works in the background; empty: nothing."""
        if text != self._works:
            self._works = text
            self.renew()

    def on_resize(self) -> None:
        self.renew()

    def renew(self) -> None:
        width = self.size.width or self.app.size.width
        if any(self._parts):
            line = self._in_parts(
                width - (cell_len(self._works) + 2 if self._works else 0), "" if self._works else self._parts[2]
            )
        else:
            line = Text(" ", no_wrap=True, overflow="ellipsis").append_text(self._whole)
        if self._works:
            line.truncate(max(0, width - cell_len(self._works) - 3), overflow="ellipsis", pad=True)
            line.append(f"  {self._works}", palette_of(self).accent)
        self.show_text(line)

    def _in_parts(self, width: int, right: str) -> Text:
        left, middle, _ = self._parts
        over = cell_len(left) + cell_len(middle) + cell_len(right) + 6 - width
        left = _shortened(left, max(over, 0), glyphs_of(self).ellipsis)
        over = cell_len(left) + cell_len(middle) + cell_len(right) + 6 - width
        right = right if over <= 0 else ""
        for shorter in ("rmtui", ""):
            if cell_len(left) + cell_len(middle) + 4 > width and middle:
                left = shorter
        first = (width - cell_len(middle)) // 2 - cell_len(left) - 1
        gap = max(2, first) if middle else 0
        palette = palette_of(self)
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        line.append(left, palette.accent).append(" " * gap).append(middle)
        line.append(" " * max(2, width - cell_len(line.plain) - cell_len(right) - 1)).append(right, palette.quiet)
        return line


def short_path(path: Path) -> str:
    """With ~ for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


LAST = ("back", "help")
"""What the footer says at its end, however short it is."""


class KeyLine(Widget):
    """The few keys that matter here and now, from the bindings of the focused pane upwards."""

    DEFAULT_CSS = "KeyLine { height: 1; width: 100%; dock: bottom; }"

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._line = Text()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.call_after_refresh(self.renew)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is self.screen and self.is_attached:
            self.renew()

    def on_resize(self) -> None:
        self.renew()

    def renew(self) -> None:
        fresh = self._render_keys()
        if fresh != self._line:
            self._line = fresh
            self.refresh()

    def _render_keys(self) -> Text:
        """As many keys as fit; the way back and `? help` always do."""
        palette = palette_of(self)
        entries = self._entries()
        last = [entry for word in LAST for entry in entries if entry[1] == tr(word)][: len(LAST)]
        room = self.size.width + 1 - sum(map(_width, last))
        line = Text(" ", no_wrap=True)
        for key, word in [entry for entry in entries if entry not in last]:
            if _width((key, word)) > room:
                break
            room -= _width((key, word))
            line.append(key, palette.accent).append(f" {word}   ")
        for key, word in last:
            line.append(key, palette.accent).append(f" {word}   ")
        line.rstrip()
        return _in_ascii(line) if self.app.has_class(ASCII_CLASS) else line

    def _entries(self) -> list[tuple[str, str]]:
        entries: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            offered = active.node is not self.screen or self._offers(binding.action)
            if binding.show and active.enabled and binding.description and offered:
                entries.setdefault(binding.action, (self.app.get_key_display(binding), tr(binding.description)))
        return list(entries.values())

    def _offers(self, action: str) -> bool:
        return not isinstance(self.screen, WorkspaceScreen) or self.screen.offers(action)

    def render(self) -> RenderResult:
        return self._line

    @property
    def plain(self) -> str:
        return self._line.plain


def _width(entry: tuple[str, str]) -> int:
    return cell_len(entry[0]) + cell_len(entry[1]) + 4
