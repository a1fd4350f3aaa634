"""Marks on the pairs of a list, flip, tie or drop, and the version of the file that is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message

from rmtui.app.base import Base, Done
from rmtui.app.chrome import Label
from rmtui.app.screens.dialogs import Confirm
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.i18n import BETWEEN
from rmtui.translation import colon, tr

if TYPE_CHECKING:
    from rmtui.documents.data import RelabelDocument
    from rmtui.operations.relabel import Action

ORDER: tuple[Action, ...] = ("flip", "tie", "drop")
NAMED = 4
"""Pairs of an action that the question names."""


@dataclass
class Foreseen(Message):
    """What a version would be; nothing is written yet."""

    document: RelabelDocument
    marks: Mapping[str, Action]


class MarkedPairs(Base):
    """A screen with a list of pairs, `#list`, and a line for what is marked, `#marks`."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: dict[str, Action] = {}
        self._before: list[tuple[str, Action | None]] = []
        """What undo brings back, newest last."""
        self._kept: dict[str, Action] = {}
        """Marks of the version that was written last."""

    def listed(self) -> Sequence[str]:
        """Ids of the pairs, in the order of the list."""
        raise NotImplementedError

    def marked_file(self) -> tuple[Path, Mapping[str, str] | None]:
        """The file that the pairs are of, and its mapping of fields; UserError where it is gone."""
        raise NotImplementedError

    def pair_line(self, place: int) -> Text:
        """A pair in the list, its mark first."""
        raise NotImplementedError

    def mark_of(self, key: str) -> Text:
        """The word of its mark, as wide as any; nothing while no pair is marked."""
        if not self._marks:
            return Text()
        words = {action: tr(action) for action in ORDER}
        wide = max(Text(word).cell_len for word in words.values())
        word = words[self._marks[key]] if key in self._marks else ""
        return Text(word, palette_of(self).warn).append(" " * (wide - Text(word).cell_len + 1))

    def offers(self, action: str) -> bool:
        """Marking where there is a pair; writing, once something is marked."""
        if action in ("write_version", "undo_mark"):
            return bool(self._marks)
        return bool(self.listed()) if action.startswith("mark(") else super().offers(action)

    def action_mark(self, action: Action) -> None:
        """Mark the pair under the cursor; the same again takes the mark away."""
        place = self.query_one("#list", Choices).highlighted
        if place is None:
            return
        key = self.listed()[place]
        self._before.append((key, self._marks.get(key)))
        self._set(key, None if self._marks.get(key) == action else action)

    def action_undo_mark(self) -> None:
        if self._before:
            self._set(*self._before.pop())

    def _set(self, key: str, action: Action | None) -> None:
        had = bool(self._marks)
        if action is None:
            self._marks.pop(key, None)
        else:
            self._marks[key] = action
        keys, items = list(self.listed()), self.query_one("#list", Choices)
        appeared = bool(self._marks) != had
        for place in range(len(keys)) if appeared else [keys.index(key)] if key in keys else []:
            items.replace_option_prompt_at_index(place, self.pair_line(place))
        if key in keys:
            items.highlighted = keys.index(key)
        self.show_marks()

    def show_marks(self) -> None:
        """The line that counts the marks, and the keys that there are now."""
        counts = Counter(self._marks.values())
        parts = [f"{tr(action)} {counts[action]}" for action in ORDER if counts[action]]
        line = self.query_one("#marks", Label)
        line.show_text(Text(f" {tr('marked')}{colon()}{' · '.join(parts)}", palette_of(self).warn) if parts else "")
        line.display = bool(parts)
        self.refresh_bindings()

    def action_write_version(self) -> None:
        """Ask, with the name of the file that would be written."""
        if not self._marks:
            self.toast("no pair is marked")
            return
        marks = dict(self._marks)
        try:
            path, fields = self.marked_file()
        except UserError as error:
            self.complain(error)
            return

        def job() -> Foreseen:
            from rmtui.operations.relabel import foresee

            return Foreseen(foresee(path, marks, fields), marks)

        self.ask("version", job, group="version")

    def on_foreseen(self, message: Foreseen) -> None:
        path, fields = self.marked_file()
        marks = message.marks

        def job() -> Done:
            from rmtui.operations.relabel import relabel

            made = relabel(path, marks, None, fields)
            return Done(f"written: {made['path']} ({made['pairs']:,} pairs)")

        def answered(yes: bool | None) -> None:
            if yes:
                self._kept = dict(marks)
                self.ask("version", job)

        question = f"Write {Path(message.document['path']).name}?"
        self.app.push_screen(Confirm(question, self._explained(message.document, marks)), answered)

    def _explained(self, document: RelabelDocument, marks: Mapping[str, Action]) -> str:
        comma = BETWEEN[self.rmtui.lang]
        parts = []
        for action in ORDER:
            ids = [key for key, own in marks.items() if own == action]
            if ids:
                named = comma.join([*ids[:NAMED], *(["…"] if len(ids) > NAMED else [])])
                parts.append(f"{tr(action)} {len(ids)}{colon()}{named}")
        source, version = Path(document["source"]), Path(document["path"])
        lines = [
            *parts,
            tr(f"{document['pairs']:,} pairs are left; {source.name} stays as it is."),
            tr(f"Beside it: {version.name} and its log, {Path(document['log']).name}."),
        ]
        return "\n".join(lines)

    def action_leave(self) -> None:
        if not self.holds_back(self.app.pop_screen):
            super().action_leave()

    def holds_back(self, then: Callable[[], object]) -> bool:
        """Marks that no version holds are asked for first."""
        if not self._marks or self._marks == self._kept:
            return False

        def answered(yes: bool | None) -> None:
            if yes:
                then()

        said = "Nothing was written; the marks are lost."
        self.app.push_screen(Confirm(f"Leave {len(self._marks)} marked pairs?", said), answered)
        return True
