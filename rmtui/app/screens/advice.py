"""What the figures of a run mean, what to try next, and where that stands on the guide's path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui.app import actions
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.runactions import Done, RunActions
from rmtui.app.summary import SIGNS
from rmtui.app.widgets import figures
from rmtui.app.widgets.choices import Choices, hanging
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.palette import palette_of
from rmtui.guide.catalog import bound_text, value_text
from rmtui.records.facts import Run

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class Advised(Message):
    """The document of `advise --json`."""

    document: dict[str, Any]


class AdviceScreen(RunActions):
    """Advice first, enter opens it as a form; then the readings it rests on; then the path."""

    CSS_PATH = "advice.tcss"
    BINDINGS = actions.bindings("back", "advice")
    AUTO_FOCUS = "#items"

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._document: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Choices(id="items", markup=False)
        yield KeyLine()

    def current(self) -> Run | None:
        return self._run

    def on_mount(self) -> None:
        self.query_one(TopBar).tell(
            f"{self._run.name}: what it means, what to try",
            "",
            f"preset {self._run.preset}" if self._run.preset else "",
        )
        self._fetch()

    def language_changed(self) -> None:
        self._fetch()

    def _fetch(self) -> None:
        ws, run, lang = self.ws, self._run, self.rmtui.lang

        def job() -> Advised:
            from rmtui.operations.advise import advise

            return Advised(advise(ws, run.id, lang))

        self.ask("advice", job, group="advice")

    @on(Advised)
    def _advised(self, message: Advised) -> None:
        self._document = message.document
        items = self.query_one(Choices)
        before = items.highlighted
        items.clear_options()
        items.add_options(list(self._options()))
        items.highlighted = before if before is not None and before < items.option_count else 1

    def _options(self) -> Iterator[Option]:
        document = self._document
        yield self._title("what to try next" if document["advice"] else "nothing to try next: the guide is silent")
        for step in document["advice"]:
            yield Option(self._step(step), id=f"advice-{step['id']}")
        yield self._title("what the figures mean")
        for place, reading in enumerate(document["readings"]):  # one id is said of the epochs and of the run before
            yield Option(self._reading(reading), id=f"reading-{reading['id']}-{place}")
        yield self._title("expected and forecast")
        yield from self._expectations()
        yield self._title("the guide's path")
        for step in document["path"]:
            yield Option(self._path_line(step), disabled=True)

    def _title(self, words: str) -> Option:
        return Option(Text(words, palette_of(self).accent), disabled=True)

    def _step(self, step: dict[str, Any]) -> Table:
        palette, glyphs = palette_of(self), glyphs_of(self)
        words = Text(overflow="fold").append(f"{figures.clean(step['text'])}\n", "bold")
        words.append(f"{figures.clean(step['why'])}\n")
        for change in step["difference"]:
            key = change["key"]
            said = f"{value_text(key, change['from'])} {glyphs.arrow} {value_text(key, change['to'])}"
            words.append(f"{key}: {said}\n", palette.good)
        if step["expected"]:
            ranges = [
                f"{metric} {bound_text(metric, ends[0])}–{bound_text(metric, ends[1])}"
                for metric, ends in step["expected"].items()
            ]
            words.append(f"expected: {' · '.join(ranges)}\n", palette.quiet)
        words.rstrip()
        return hanging((Text(f"{glyphs.arrow} ", palette.accent), words))

    def _reading(self, reading: dict[str, Any]) -> Table:
        sign, tone = SIGNS[reading["severity"]]
        lead = Text(f"{getattr(glyphs_of(self), sign)} ", palette_of(self).tone(tone))
        return hanging((lead, Text(figures.clean(reading["text"]))))

    def _expectations(self) -> Iterator[Option]:
        expected = self._document["expectations"]
        lines = [item["text"] for item in expected["epochs"]] if expected else []
        lines = [expected["text"], *lines] if expected and lines else lines
        lines += [item["text"] for item in self._document["forecasts"]]
        record = self._document["forecast_record"]
        lines += [record["text"]] if record else []
        for line in lines or ["no figure is given for this preset, and too little is known for a forecast"]:
            yield Option(hanging((Text("  "), Text(figures.clean(line), palette_of(self).quiet))), disabled=True)

    def _path_line(self, step: dict[str, Any]) -> Table:
        glyphs, palette = glyphs_of(self), palette_of(self)
        here, done = step["state"] == "here", step["state"] == "done"
        sign = glyphs.ok if done else glyphs.pointer if here else " "
        outcome = f"  {step['outcome_text']}" if done else ""
        run = f"  ({step['run']})" if step["run"] else ""
        words = Text().append(step["text"], "bold" if here else "")
        words.append(f"{outcome}{run}  {'' if done else step['state_text']}".rstrip(), palette.quiet)
        return hanging((Text(f"{sign} "), words))

    # Actions

    def _chosen(self) -> tuple[str, str]:
        """(advice or reading, id) under the cursor."""
        items = self.query_one(Choices)
        if items.highlighted is None:
            return "", ""
        kind, name, *_ = (items.get_option_at_index(items.highlighted).id or "-").split("-")
        return kind, name

    @on(Choices.OptionSelected)
    def _selected(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        kind, name = self._chosen()
        step = next((step for step in self._document.get("advice", ()) if step["id"] == name), None)
        if kind != "advice" or step is None:
            return
        if step["action"] == "form":
            from rmtui.app.screens.form import FormScreen

            self.app.push_screen(FormScreen.again(self._run, step["changes"]))
        elif step["action"] == "check":
            self.rmtui.action_data()
        elif step["action"] == "evaluate":
            self.action_evaluate()
        else:
            self.say(step["text"])

    def action_silence(self) -> None:
        self._silence(False)

    def action_silence_always(self) -> None:
        self._silence(True)

    def _silence(self, always: bool) -> None:
        kind, name = self._chosen()
        if not kind:
            return
        run = self._run

        def job() -> str:
            from rmtui.operations.silence import silence

            silence(self.ws, run.id, name, always)
            return f"{name} is not said any more {'for any run' if always else f'for {run.name}'}"

        self._do("silence", job)

    def on_done(self, message: Done) -> None:
        super().on_done(message)
        self._fetch()
