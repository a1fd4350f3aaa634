"""The validation pairs behind the metrics: most wrong, closest, tied; of two runs, regressed and fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.glyphs import ASCII_CLASS
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.guide.pair_kinds import IN_JSON, Kind
from rmtui.guide.text_report import margins_lines
from rmtui.i18n import translate
from rmtui.index import settings
from rmtui.runs.model import Run
from rmtui.translation import tr

if TYPE_CHECKING:
    from rmtui.documents.data import PairDocument, PairsDocument

SHOWN = 200
"""Pairs fetched at once; nobody reads more in one sitting."""
ONE: tuple[Kind, ...] = ("wrong", "close", "tied")
TWO: tuple[Kind, ...] = ("regressed", "fixed", "wrong", "suspect")


@dataclass
class PairsLoaded(Message):
    """The document of `pairs --json`."""

    document: PairsDocument


class PairsScreen(MarkedPairs, RunCommands):
    """The list on the left, the pair under the cursor with its differing words marked."""

    CSS_PATH = "pairs.tcss"
    BINDINGS = actions.bindings("back", "pairs", "marks")
    AUTO_FOCUS = "#list"

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._runs = list(runs)
        self._kinds = ONE if len(self._runs) == 1 else TWO
        self._kind = self._kinds[0]
        self._chosen = False
        """A person chose the kind; else it is the first one that has pairs."""
        self._document: PairsDocument | None = None

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Label(id="tabs")
        yield Label(id="note", classes="quiet")
        yield Label(id="margins", classes="quiet")
        yield Label(id="marks")
        with Container(id="body"):
            yield Choices(id="list", classes="-lines", markup=False)
            with VerticalScroll(id="reader", can_focus=True):
                yield Static(id="pair")
        yield KeyLine()

    def current(self) -> Run | None:
        return self._runs[0]

    def on_mount(self) -> None:
        self._fetch()

    def _fetch(self) -> None:
        ws, refs, lang = self.ws, [run.id for run in self._runs], self.rmtui.lang
        kinds = [self._kind] if self._chosen else list(self._kinds)

        def job() -> PairsLoaded:
            from rmtui.operations.pair_report import pairs

            document = pairs(ws, refs, kinds[0], limit=SHOWN, lang=lang)
            filled = next((kind for kind in kinds if document["counts"][IN_JSON[kind]]), kinds[0])
            return PairsLoaded(document if filled == kinds[0] else pairs(ws, refs, filled, limit=SHOWN, lang=lang))

        self.ask("pairs", job, group="pairs")

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"pairs.{key}", self.rmtui.lang, **values)

    def on_failed(self, message: Failed) -> None:
        """Why there are no pairs stays where they would be."""
        if message.job == "pairs":
            self.query_one(TopBar).show_parts(" → ".join(run.name for run in self._runs))
            said = (message.error.what, message.error.why, message.error.remedy)
            why = "\n".join(tr(part, words=False) for part in said if part)
            self.query_one("#pair", Static).update(Text(why))

    @on(PairsLoaded)
    def _loaded(self, message: PairsLoaded) -> None:
        document = self._document = message.document
        self.query_one(KeyLine).renew()
        names = " → ".join(run["name"] for run in document["runs"])
        self._kind = next(kind for kind in self._kinds if IN_JSON[kind] == document["kind"])
        kind = self._sentence(self._kind)
        self.query_one(TopBar).show_parts(names, "", document["runs"][0]["evaluation"])
        self.query_one("#tabs", Label).show_text(self._tabs(document))
        self._show_line("#note", document["note"])
        self._show_line("#margins", margins_lines(document["runs"], self.rmtui.lang, self.app.has_class(ASCII_CLASS)))
        items = self.query_one("#list", Choices)
        items.clear_options()
        items.add_options([Option(self.pair_line(place)) for place in range(len(document["pairs"]))])
        items.highlighted = 0 if document["pairs"] else None
        self.show_marks()
        if not document["pairs"]:
            self.query_one("#pair", Static).update(self._sentence("none", kind=kind))

    def _tabs(self, document: PairsDocument) -> Text:
        """Every kind with how many pairs it has, the one that is shown on a bar; then of how many pairs."""
        palette, line = palette_of(self), Text(" ", no_wrap=True, overflow="ellipsis")
        for kind in self._kinds:
            here, count = kind == self._kind, document["counts"][IN_JSON[kind]]
            style = palette.text + palette.selected if here else palette.text if count else palette.quiet
            name = self._sentence("suspects" if kind == "suspect" else kind)
            line.append(f" {name} {count} ", style)
            line.append("·" if kind != self._kinds[-1] else "", palette.quiet)
        return line.append(f"   {self._sentence('scored', scored=document['pairs_scored'])}", palette.quiet)

    def _show_line(self, place: str, text: str) -> None:
        """A line that is there while it says something."""
        self.query_one(place, Label).show_text(text)
        self.query_one(place).display = bool(text)

    def listed(self) -> Sequence[str]:
        return [pair["id"] for pair in self._document["pairs"]] if self._document else []

    def marked_file(self) -> tuple[Path, Mapping[str, str] | None]:
        path = self._document["data"] if self._document else None
        if path is None:
            raise UserError("the validation file is gone", remedy="put it back first")
        fields = settings.table(self._runs[0].config, "data").get("fields")
        return Path(path), {str(key): str(name) for key, name in fields.items()} if isinstance(fields, dict) else None

    def pair_line(self, place: int) -> Text:
        assert self._document is not None
        pair = self._document["pairs"][place]
        margins = [rewards["margin"] if rewards else None for rewards in pair["rewards"]]
        said = " ".join(formats.fixed(margin, 2, sign=True) for margin in margins)
        prompt = pair["prompt"] or pair["chosen"] or pair["id"]
        return self.mark_of(pair["id"]).append(f"{said}  ", palette_of(self).quiet).append(end_of(prompt))

    @on(Choices.OptionHighlighted)
    def _highlighted(self, message: Choices.OptionHighlighted) -> None:
        if self._document is not None:
            pair, names = self._document["pairs"][message.option_index], [run["name"] for run in self._document["runs"]]
            self.query_one("#pair", Static).update(self._render_pair(pair, names))
            self.query_one("#reader").scroll_home(animate=False)

    def _render_pair(self, pair: PairDocument, names: Sequence[str]) -> Text:
        palette = palette_of(self)
        text = Text().append(pair["id"], palette.quiet)
        place = f"  {self._sentence('on_line', line=pair['line'])}" if pair.get("line") else ""
        text.append(f"{place}\n", palette.quiet)
        for name, rewards in zip(names, pair["rewards"], strict=True):
            if rewards:
                sides = {"chosen": rewards["chosen"], "rejected": rewards["rejected"], "margin": rewards["margin"]}
                shown = {key: formats.fixed(value, 3, sign=True) for key, value in sides.items()}
                text.append(f"{self._sentence('rewards', run=name, **shown)}\n", palette.quiet)
        if pair["words"] is None or pair["prompt"] is None:
            return text.append(f"\n{self._sentence('texts_gone')}")
        return append_pair(text, pair["prompt"], pair["words"]["chosen"], pair["words"]["rejected"], palette)

    def offers(self, action: str) -> bool:
        """The next kind, where there are pairs of any."""
        return super().offers(action) and (action != "next" or self._document is not None)

    def action_next(self) -> None:
        self._turn(1)

    def action_previous(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        self._kind = self._kinds[(self._kinds.index(self._kind) + by) % len(self._kinds)]
        self._chosen = True
        self._fetch()

    def action_export(self) -> None:
        from rmtui.app.screens.dialogs import Ask

        name = f"{self._kind}-pairs.jsonl"
        self.app.push_screen(Ask(self._sentence("ask_file"), name), self._export)

    def _export(self, name: str | None) -> None:
        if not name or self._document is None:
            return
        document, path, lang = self._document, self.ws.root / Path(name).expanduser(), self.rmtui.lang

        def job() -> str:
            from rmtui.operations.pair_report import export

            return translate("pairs.written", lang, count=export(document, path), path=path)

        self.do("export", job)
