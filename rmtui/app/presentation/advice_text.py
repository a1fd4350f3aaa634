"""The answer of the guide as a screen shows it: lines to choose from, the reasons of one of them, or everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app.presentation.hanging_indent import Hanging, Row, row
from rmtui.app.presentation.summary import SIGNS
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.guide import short_form
from rmtui.guide.text_report import silenced_text
from rmtui.i18n import in_brackets, range_text, translate, value_text

if TYPE_CHECKING:
    from rmtui.documents.guide import AdviceDocument, AdviseDocument, PathStep, ReadingDocument
    from rmtui.documents.scalars import Severity


class AdviceText:
    """Lays out the document of `advise --json`."""

    def __init__(self, document: AdviseDocument, glyphs: Glyphs, palette: Palette, lang: str) -> None:
        self._document = document
        self._glyphs = glyphs
        self._palette = palette
        self._lang = lang

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"screen.{key}", self._lang, **values)

    # Lines

    def lines(self, spaced: bool, with_path: bool) -> Iterator[Option]:
        """Three advices and the worst readings, a line each, and what is folded; the path where there is room."""
        document = self._document
        yield self._title("advice" if document["advice"] else "no_advice")
        for place, step in enumerate(short_form.first_advices(document), start=1):
            words = formats.clean(short_form.advice_line(document, step, self._lang))
            line = Text().append(f"{place}. ", self._palette.accent).append(words, "bold" if place == 1 else "")
            yield Option(line, id=f"advice-{step['id']}")
        if spaced:
            yield Option("", disabled=True)
        shown = short_form.worst_readings(document)
        if shown:
            yield self._title("readings")
        for place, reading in enumerate(shown):
            words = formats.clean(short_form.reading_line(reading, self._lang))
            yield Option(self._sign(reading["severity"]).append(words), id=f"reading-{reading['id']}-{place}")
        folded = short_form.folded_line(document, len(shown), self._lang)
        yield Option(Text(f"{self._glyphs.more} {folded}", self._palette.quiet), id="folded")
        if with_path:
            yield Option("", disabled=True)
            yield from self._path()

    def _title(self, key: str) -> Option:
        return Option(Text(self._sentence(key), self._palette.accent), disabled=True)

    def _sign(self, severity: Severity) -> Text:
        sign, tone = SIGNS[severity]
        return Text().append(f"{getattr(self._glyphs, sign)} ", self._palette.tone(tone))

    # Of the line under the cursor

    def details(self, kind: str, name: str) -> list[Row]:
        """Reasons, what is expected and the readings behind it of an advice; a reading in full; what is folded."""
        if kind == "advice":
            return [*self._reasons(next(step for step in self._document["advice"] if step["id"] == name))]
        if kind == "reading":
            return [*self._reading_in_full(next(item for item in self._document["readings"] if item["id"] == name))]
        return [*self._standing()]

    def _reasons(self, step: AdviceDocument) -> Iterator[Row]:
        yield row("", Text(formats.clean(step["text"]), "bold"))
        yield row("", formats.clean(step["why"]))
        yield from (row("", line) for line in self._numbers(step))
        if step["because"]:
            yield row("", Text(self._sentence("rests_on"), self._palette.quiet))
        for reading in self._document["readings"]:
            if reading["id"] in step["because"]:
                yield row(self._sign(reading["severity"]), formats.clean(reading["text"]))

    def _numbers(self, step: AdviceDocument) -> Iterator[Text]:
        arrow = self._glyphs.arrow
        changes = [
            f"{key} {value_text(key, change['from'])} {arrow} {value_text(key, change['to'])}"
            for change in step["difference"]
            for key in [change["key"]]
        ]
        if changes:
            yield Text(" · ".join(changes), self._palette.good)
        if step["expected"]:
            ranges = [range_text(metric, *ends) for metric, ends in step["expected"].items()]
            yield Text(self._sentence("expected_values", ranges=" · ".join(ranges)), self._palette.quiet)

    def _reading_in_full(self, reading: ReadingDocument) -> Iterator[Row]:
        yield row(self._sign(reading["severity"]), self._reading_words(reading))
        resting = [step for step in self._document["advice"] if reading["id"] in step["because"]]
        for step in resting:
            words = formats.clean(short_form.advice_line(self._document, step, self._lang))
            yield row(f"{self._glyphs.arrow} ", Text(words, self._palette.quiet))
        if not resting:
            yield row("", Text(self._sentence("rests_on_none"), self._palette.quiet))

    def _reading_words(self, reading: ReadingDocument) -> Text:
        text = Text(formats.clean(reading["text"]))
        return text.append(in_brackets(translate("word.own", self._lang), self._lang)) if reading["own"] else text

    def _standing(self) -> Iterator[Row]:
        yield row("", Text(self._sentence("path"), self._palette.accent))
        yield from map(self._path_line, self._document["path"])

    # Everything

    def everything(self) -> Iterator[Option]:
        """Every advice with its reasons, every reading, what was expected, the path, and what is hidden."""
        document = self._document
        yield self._title("advice" if document["advice"] else "no_advice")
        for step in document["advice"]:
            yield Option(self._step(step), id=f"advice-{step['id']}")
        if document["readings"]:
            yield Option("", disabled=True)
            yield self._title("readings")
        for place, reading in enumerate(document["readings"]):  # one id is said of the epochs and of the run before
            shown = Hanging(row(self._sign(reading["severity"]), self._reading_words(reading)))
            yield Option(shown, id=f"reading-{reading['id']}-{place}")
        yield Option("", disabled=True)
        yield self._title("expected")
        yield from self._expectations()
        yield Option("", disabled=True)
        yield from self._path()
        if document["silenced"]:
            yield Option("", disabled=True)
            yield self._title("silenced")
        for silence in document["silenced"]:
            line = Text(silenced_text(silence, self._lang), self._palette.quiet)
            yield Option(Hanging(row("  ", line)), id=f"silenced-{silence['id']}-{silence['scope']}")

    def _step(self, step: AdviceDocument) -> Hanging:
        words = Text(overflow="fold").append(f"{formats.clean(step['text'])}\n", "bold")
        words.append(formats.clean(step["why"]))
        for line in self._numbers(step):
            words.append("\n").append_text(line)
        if step["because_titles"]:
            titles = " · ".join(map(formats.clean, step["because_titles"]))
            words.append("\n").append(self._sentence("because", readings=titles), self._palette.quiet)
        return Hanging(row(Text(f"{self._glyphs.arrow} ", self._palette.accent), words))

    def _expectations(self) -> Iterator[Option]:
        expected, record = self._document["expectations"], self._document["forecast_record"]
        lines = [item["text"] for item in expected["epochs"]] if expected else []
        lines = [expected["text"], *lines] if expected and lines else lines
        lines += [item["text"] for item in self._document["forecasts"]]
        lines += [record["text"]] if record else []
        for line in lines or [self._sentence("nothing_expected")]:
            yield Option(Hanging(row("  ", Text(formats.clean(line), self._palette.quiet))), disabled=True)

    def _path(self) -> Iterator[Option]:
        yield self._title("path")
        for stage in self._document["path"]:
            yield Option(Hanging(self._path_line(stage)), disabled=True)

    def _path_line(self, step: PathStep) -> Row:
        here, done = step["state"] == "here", step["state"] == "done"
        sign = self._glyphs.ok if done else self._glyphs.pointer if here else " "
        outcome = f"  {step['outcome_text']}" if done else ""
        run = in_brackets(step["run"], self._lang) if step["run"] else ""
        text = Text().append(step["text"], "bold" if here else "")
        text.append(f"{outcome}{run}  {'' if done else step['state_text']}".rstrip(), self._palette.quiet)
        return Text(f"{sign} "), text
