"""Training pairs to read: words of other prompts speak against their labels. A person marks those that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.chrome import KeyLine, Label, TopBar
from rmtui.app.feed import Failed
from rmtui.app.marked_pairs import MarkedPairs
from rmtui.app.presentation.pair_text import append_pair, end_of
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.palette import palette_of
from rmtui.datacheck.model import Cancelled
from rmtui.guide.pair_changes import differing
from rmtui.i18n import translate
from rmtui.translation import tr

if TYPE_CHECKING:
    from rmtui.documents.data import SuspectDocument, SuspectsDocument

SHOWN = 200
"""Suspects that are listed, the likeliest; the verb lists all."""


@dataclass
class SuspectsLoaded(Message):
    """The document of `suspects --json`; None: it was cancelled."""

    document: SuspectsDocument | None


@dataclass
class SuspectsProgress(Message):
    """The share that is done."""

    share: float

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SuspectsProgress)


class SuspectsScreen(MarkedPairs):
    """The likeliest first on the left, the pair under the cursor with its differing words marked."""

    CSS_PATH = "suspects.tcss"
    BINDINGS = actions.bindings("back", "marks")
    AUTO_FOCUS = "#list"

    def __init__(self, train: Path) -> None:
        super().__init__()
        self._train = train
        self._cancel = Event()
        self._document: SuspectsDocument | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Static(id="note", classes="quiet", markup=False)
        yield Label(id="marks")
        with Container(id="body"):
            yield Choices(id="list", classes="-lines", markup=False)
            with VerticalScroll(id="reader", can_focus=True):
                yield Static(id="pair", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._title()
        self.query_one("#note", Static).update(tr("reading …"))
        path, cancel = self._train, self._cancel

        def tell(share: float) -> None:
            if cancel.is_set():
                raise Cancelled
            self.post_message(SuspectsProgress(share))

        def job() -> SuspectsLoaded:
            from rmtui.operations.suspects import suspects

            try:
                return SuspectsLoaded(suspects(path, limit=SHOWN, tell=tell))
            except Cancelled:
                return SuspectsLoaded(None)

        self.ask("suspects", job)

    def _title(self) -> None:
        self.query_one(TopBar).show_parts("suspects", "", self.ws.as_written(str(self._train)))

    def on_unmount(self) -> None:
        self._cancel.set()

    def on_failed(self, message: Failed) -> None:
        """Why nobody is suspected stays where they would be."""
        if message.job == "suspects":
            said = (message.error.what, message.error.why, message.error.remedy)
            self.query_one("#note", Static).update("\n".join(tr(part, words=False) for part in said if part))

    @on(SuspectsProgress)
    def _progress(self, message: SuspectsProgress) -> None:
        if self._document is None:
            self.query_one("#note", Static).update(tr(f"judged by the words of other prompts: {message.share:.0%}"))

    @on(SuspectsLoaded)
    def _loaded(self, message: SuspectsLoaded) -> None:
        self._document = message.document
        self._write()

    def write_again(self) -> None:
        super().write_again()
        self._title()
        self._write()

    def _write(self) -> None:
        if self._document is None:
            return
        from rmtui.operations.suspects import suspect_lines

        self.query_one("#note", Static).update("\n".join(suspect_lines(self._document)))
        items = self.query_one("#list", Choices)
        place = items.highlighted or 0
        items.clear_options()
        items.add_options([Option(self.pair_line(number)) for number in range(len(self._pairs))])
        items.highlighted = place if self._pairs else None
        self.show_marks()

    @property
    def _pairs(self) -> Sequence[SuspectDocument]:
        return self._document["suspects"] if self._document else []

    def listed(self) -> Sequence[str]:
        return [pair["id"] for pair in self._pairs]

    def marked_file(self) -> tuple[Path, Mapping[str, str] | None]:
        return self._train, None

    def pair_line(self, place: int) -> Text:
        pair = self._pairs[place]
        margin = formats.fixed(max(pair["margins"]), 2, sign=True)
        text = self.mark_of(pair["id"]).append(f"{margin}  ", palette_of(self).quiet)
        return text.append(end_of(pair["prompt"]))

    @on(Choices.OptionHighlighted)
    def _highlighted(self, message: Choices.OptionHighlighted) -> None:
        if message.option_index < len(self._pairs):
            pair = self._pairs[message.option_index]
            self.query_one("#pair", Static).update(self._render_pair(pair))
            self.query_one("#reader").scroll_home(animate=False)

    def _render_pair(self, pair: SuspectDocument) -> Text:
        palette = palette_of(self)
        text = Text(pair["id"], palette.quiet)
        text.append(f"  {translate('pairs.on_line', self.rmtui.lang, line=pair['line'])}\n", palette.quiet)
        margins = " ".join(formats.fixed(one, 2, sign=True) for one in pair["margins"])
        text.append(tr(f"log-odds of chosen by other prompts' words: {margins}") + "\n", palette.quiet)
        return append_pair(text, pair["prompt"], *differing(pair["chosen"], pair["rejected"]), palette)
