"""What the metrics of a run mean, what to try next, and where that is on the guide's path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.base import Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.presentation.summary import SIGNS
from rmtui.app.routes import AgainForm, Data
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.choices import Choices, hanging
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.guide.text_report import silenced_text
from rmtui.i18n import bound_text, title, translate, value_text
from rmtui.runs.model import Run

if TYPE_CHECKING:
    from rich.table import Table

    from rmtui.documents.guide import AdviceDocument, AdviseDocument, PathStep, ReadingDocument


@dataclass
class Advised(Message):
    """The document of `advise --json`."""

    document: AdviseDocument


class AdviceScreen(RunCommands):
    """Advice first, enter opens it as a form; then the readings it rests on; then the path."""

    CSS_PATH = "advice.tcss"
    BINDINGS = actions.bindings("back", "advice")
    AUTO_FOCUS = "#items"

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self.document: AdviseDocument | None = None
        self._asked = ""
        """The advice whose readings the cursor goes through."""

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Choices(id="items", markup=False)
        yield KeyLine()

    def current(self) -> Run | None:
        return self._run

    def on_mount(self) -> None:
        self._fetch()

    def write_again(self) -> None:
        super().write_again()
        self._fetch()

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"screen.{key}", self.rmtui.lang, **values)

    def _fetch(self) -> None:
        ws, run, lang = self.ws, self._run, self.rmtui.lang
        preset = f"preset {run.preset}" if run.preset else ""
        self.query_one(TopBar).show_parts(self._sentence("advice_of", run=run.name), "", preset)

        def job() -> Advised:
            from rmtui.operations.advise import advise

            return Advised(advise(ws, run.id, lang))

        self.ask("advice", job, group="advice")

    @on(Advised)
    def _advised(self, message: Advised) -> None:
        self.document = message.document
        items = self.query_one(Choices)
        before = items.highlighted
        items.clear_options()
        items.add_options(list(self._options()))
        items.highlighted = before if before is not None and before < items.option_count else 1

    def _options(self) -> Iterator[Option]:
        document = self.document
        assert document is not None
        yield self._title("advice" if document["advice"] else "no_advice")
        for step in document["advice"]:
            yield Option(self._step(step), id=f"advice-{step['id']}")
        yield Option("", disabled=True)
        yield self._title("readings")
        for place, reading in enumerate(document["readings"]):  # one id is said of the epochs and of the run before
            yield Option(self._reading(reading), id=f"reading-{reading['id']}-{place}")
        yield Option("", disabled=True)
        yield self._title("expected")
        yield from self._expectations(document)
        yield Option("", disabled=True)
        yield self._title("path")
        for stage in document["path"]:
            yield Option(self._path_line(stage), disabled=True)
        if document["silenced"]:
            yield Option("", disabled=True)
            yield self._title("silenced")
        for row in document["silenced"]:
            line = Text(silenced_text(row, self.rmtui.lang), palette_of(self).quiet)
            yield Option(hanging((Text("  "), line)), id=f"silenced-{row['id']}-{row['scope']}")

    def _title(self, key: str) -> Option:
        return Option(Text(self._sentence(key), palette_of(self).accent), disabled=True)

    def _step(self, step: AdviceDocument) -> Table:
        palette, glyphs = palette_of(self), glyphs_of(self)
        words = Text(overflow="fold").append(f"{formats.clean(step['text'])}\n", "bold")
        words.append(formats.clean(step["why"]))
        words.append("\n")
        if step["because_titles"]:
            text = " · ".join(map(formats.clean, step["because_titles"]))
            words.append(f"{self._sentence('because', readings=text)}\n", palette.quiet)
        for change in step["difference"]:
            key = change["key"]
            text = f"{value_text(key, change['from'])} {glyphs.arrow} {value_text(key, change['to'])}"
            words.append(f"{key}: {text}\n", palette.good)
        if step["expected"]:
            ranges = [
                f"{metric} {bound_text(metric, ends[0])}–{bound_text(metric, ends[1])}"
                for metric, ends in step["expected"].items()
            ]
            words.append(f"{self._sentence('expected_values', ranges=' · '.join(ranges))}\n", palette.quiet)
        words.rstrip()
        return hanging((Text(f"{glyphs.arrow} ", palette.accent), words))

    def _reading(self, reading: ReadingDocument) -> Table:
        sign, tone = SIGNS[reading["severity"]]
        lead = Text(f"{getattr(glyphs_of(self), sign)} ", palette_of(self).tone(tone))
        text = Text(formats.clean(reading["text"]))
        if reading["own"]:
            text.append(f" ({translate('word.own', self.rmtui.lang)})")
        return hanging((lead, text))

    def _expectations(self, document: AdviseDocument) -> Iterator[Option]:
        expected = document["expectations"]
        lines = [item["text"] for item in expected["epochs"]] if expected else []
        lines = [expected["text"], *lines] if expected and lines else lines
        lines += [item["text"] for item in document["forecasts"]]
        record = document["forecast_record"]
        lines += [record["text"]] if record else []
        for line in lines or [self._sentence("nothing_expected")]:
            yield Option(hanging((Text("  "), Text(formats.clean(line), palette_of(self).quiet))), disabled=True)

    def _path_line(self, step: PathStep) -> Table:
        glyphs, palette = glyphs_of(self), palette_of(self)
        here, done = step["state"] == "here", step["state"] == "done"
        sign = glyphs.ok if done else glyphs.pointer if here else " "
        outcome = f"  {step['outcome_text']}" if done else ""
        run = f"  ({step['run']})" if step["run"] else ""
        text = Text().append(step["text"], "bold" if here else "")
        text.append(f"{outcome}{run}  {'' if done else step['state_text']}".rstrip(), palette.quiet)
        return hanging((Text(f"{sign} "), text))

    # Actions

    def _chosen(self) -> tuple[str, str]:
        """(advice or reading, id) under the cursor."""
        items = self.query_one(Choices)
        if items.highlighted is None:
            return "", ""
        kind, name, *_ = (items.get_option_at_index(items.highlighted).id or "-").split("-")
        return kind, name

    def offers(self, action: str) -> bool:
        """What the line under the cursor has a use for."""
        kind, _ = self._chosen()
        return action not in ("take", "why") or kind in (
            ("advice", "silenced") if action == "take" else ("advice", "reading")
        )

    @on(Choices.OptionHighlighted)
    def _moved(self) -> None:
        self.query_one(KeyLine).renew()

    @on(Choices.OptionSelected)
    def _selected(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        kind, name = self._chosen()
        if kind == "silenced":
            self._unmute(name)
        elif kind == "reading":
            self.action_why()
        elif kind == "advice":
            self._take(name)

    def _take(self, name: str) -> None:
        step = next((step for step in self._advice() if step["id"] == name), None)
        if step is None:
            return
        if step["action"] == "form":
            self.go(AgainForm(self._run, step["changes"]))
        elif step["action"] == "check":
            self.go(Data())
        elif step["action"] == "evaluate":
            self.action_confirm()
        elif step["action"] == "resume":
            self.action_resume()
        else:
            self.toast(step["text"])

    def action_confirm(self) -> None:
        """val_acc by an evaluation, or typed where there is nothing to evaluate."""
        from rmtui.operations.load_subjects import has_model

        if has_model(self._run):
            self.action_evaluate()
        else:
            self.action_edit("val_acc")

    def _advice(self) -> list[AdviceDocument]:
        return self.document["advice"] if self.document else []

    def action_why(self) -> None:
        """From an advice to the readings that it rests on, one after the other, and back to it."""
        kind, name = self._chosen()
        if kind == "advice":
            self._asked = name
        rests = {step["id"]: step["because"] for step in self._advice()}
        if kind == "reading" and name not in rests.get(self._asked, ()):
            self._asked = next((step for step, ids in rests.items() if name in ids), "")
            if not self._asked:
                self.toast(self._sentence("rests_on_none"))
                return
            self._go_to(f"advice-{self._asked}")
            return
        items = self.query_one(Choices)
        places = [
            place
            for place, option in enumerate(items.options)
            if (option.id or "").startswith("reading-")
            and (option.id or "").split("-")[1] in rests.get(self._asked, ())
        ]
        after = [place for place in places if kind == "advice" or place > (items.highlighted or 0)]
        if after:
            items.highlighted = after[0]
        elif self._asked:
            self._go_to(f"advice-{self._asked}")

    def _go_to(self, option: str) -> None:
        items = self.query_one(Choices)
        items.highlighted = items.get_option_index(option)

    def action_silence(self) -> None:
        self._silence(False)

    def action_silence_always(self) -> None:
        self._silence(True)

    def _silence(self, always: bool) -> None:
        kind, name = self._chosen()
        if kind not in ("advice", "reading"):
            return
        run = self._run
        item = title(name, self.rmtui.lang)
        message = self._sentence("silenced_always" if always else "silenced_run", item=item, run=run.name)

        def job() -> str:
            from rmtui.operations.mute import silence

            silence(self.ws, run.id, name, always)
            return message

        self.do("silence", job)

    def _unmute(self, name: str) -> None:
        run, message = self._run, self._sentence("said_again", item=title(name, self.rmtui.lang))

        def job() -> str:
            from rmtui.operations.mute import unsilence

            unsilence(self.ws, run.id, name)
            return message

        self.do("silence", job)

    def on_done(self, message: Done) -> None:
        self._fetch()
