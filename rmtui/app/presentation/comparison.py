"""A comparison as text: what differs first, epochs aligned, last and best with their difference, the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from rmtui import text as formats
from rmtui.app.presentation.hanging_indent import Row, row
from rmtui.app.widgets.cells import cut_middle, fit
from rmtui.app.widgets.chart.legend import shortened
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.guide.comparison import split_unknown
from rmtui.i18n import interval_text, translate, value_text
from rmtui.runs.model import State
from rmtui.translation import tr
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import ChangeDocument, ComparedMetric, CompareDocument
    from rmtui.documents.scalars import Metric
    from trainer.values import Value

FIRST = 12
"""Cells of a section's name."""
_BRIEF = {
    "num_epochs": "epochs",
    "learning_rate": "rate",
    "batch_size": "batch",
    "max_length": "length",
    "gradient_accumulation_steps": "accumul.",
    "lora.target_modules": "modules",
    "mixed_precision": "precision",
    "gradient_checkpointing": "recompute",
    "lr_scheduler": "schedule",
    "early_stopping_patience": "patience",
    "warmup_ratio": "warm-up",
    "weight_decay": "decay",
    "max_grad_norm": "grad norm",
}
"""Keys too long for their column."""
LONG = 32
"""Cells of an equal value that are worth a place in the folded line."""
METRICS: tuple[Metric, ...] = ("val_acc", "val_loss", "train_loss")


class Comparison:
    """Lays out the document of `compare --json` in a width."""

    def __init__(
        self,
        document: CompareDocument,
        ws: Workspace,
        glyphs: Glyphs,
        palette: Palette,
        width: int,
        unfold: bool = False,
        lang: str = "en",
    ) -> None:
        self._document = document
        self._ws = ws
        self._runs = document["runs"]
        self._glyphs = glyphs
        self._palette = palette
        self._unfold = unfold
        self._lang = lang
        self._width = width
        self._short = width < 90
        """No room for per cents and words of a change: its sign and colour say it."""
        delta = (8 if self._short else 24) if len(self._runs) == 2 else 0
        for label in (23, 20):
            self._label = label
            self._cell = max(6, min(24, (width - label - delta) // len(self._runs)))
            if self._cell >= 12:
                break
        self.text = Text()

    def _sentence(self, key: str, /, **values: Any) -> str:
        return translate(f"table.{key}", self._lang, **values)

    def rows(self) -> list[Row]:
        """Everything, top to bottom: warnings, settings, metrics, what the tests found."""
        warnings = [self._sentence_row(self._glyphs.best_up, "warn", text) for text in self._document["warnings"]]
        self._heads()
        self._config()
        for metric in METRICS:
            self._metric(metric)
        table = [row("", line) for line in self.text.split("\n")]
        return [*warnings, *([row("", "")] if warnings else []), *table, *self._tests()]

    def _heads(self) -> None:
        best = self._document["best"]
        self.text.append(" " * self._label)
        for slot, run in enumerate(self._runs):
            star = f" {self._glyphs.best}" if best and best["run"] == run["id"] else ""
            mark = self._glyphs.curves[slot % 6]
            lead, dots = f"{mark}{star} ", self._glyphs.ellipsis
            name = lead + cut_middle(run["name"], self._cell - 1 - cell_len(lead), dots)
            self.text.append(fit(name, self._cell), self._palette.run(slot))
        self.text.append(self._glyphs.delta if len(self._runs) == 2 else "", self._palette.quiet)
        self.text.append("\n")
        states = [run["state"] for run in self._runs]
        if set(states) != {State.FINISHED.value}:
            self._row("", "", list(map(tr, states)), "quiet")

    def _key(self, key: str) -> str:
        """The end of a dotted key says more than its beginning."""
        return key if len(key) < self._label - FIRST else tr(_BRIEF.get(key, key.rpartition(".")[2]))

    def _row(self, first: str, label: str, cells: Sequence[str], tone: str = "text", after: Text | None = None) -> None:
        self.text.append(fit(f" {first}", FIRST), self._palette.quiet)
        self.text.append(fit(label, self._label - FIRST - 1, ellipsis=self._glyphs.ellipsis) + " ")
        for cell in cells:
            (shown,) = shortened([cell], self._cell - 1, self._glyphs.ellipsis)
            self.text.append(fit(shown, self._cell), self._palette.tone(tone))
        if after is not None:
            self.text.append_text(after)
        self.text.append("\n")

    def _config(self) -> None:
        config, differs = self._document["config"], self._sentence("differs")
        apart, some = split_unknown(config["differs"])
        self._settings(differs, apart)
        if not apart:
            self._row(differs, self._sentence("nothing_known"), [])
        if self._unfold:
            self._settings(self._sentence("some_word"), some, "quiet")
            self._settings(
                self._sentence("same_word"), {key: [value] for key, value in config["same"].items()}, "quiet"
            )
        else:
            known = {key: next((one for one in values if one is not None), None) for key, values in some.items()}
            for word, settings in (("some_word", known), ("same_word", config["same"])):
                if settings:
                    folded = f"{self._folded(settings)}\n"
                    self.text.append(fit(f" {self._sentence(word)}", FIRST) + folded, self._palette.quiet)
        self.text.append("\n")

    def _settings(self, heading: str, settings: Mapping[str, Sequence[Value]], tone: str = "text") -> None:
        """A row a setting; the heading beside the first."""
        for number, (key, values) in enumerate(settings.items()):
            cells = [self._value(key, value) for value in values]
            self._row(heading if number == 0 else "", self._key(key), cells, tone)

    def _value(self, key: str, value: Value) -> str:
        return self._ws.as_written(value_text(key, value))

    def _folded(self, same: Mapping[str, Value]) -> str:
        """As many values as a line holds, short ones; the number of the others."""
        shown: list[str] = []
        room = self._width - FIRST - cell_len(self._sentence("more_settings", count=99)) - 2
        for key, value in same.items():
            text = f"{self._key(key)} {self._value(key, value)}"
            if len(text) > LONG or cell_len(" · ".join([*shown, text])) > room:
                continue
            shown.append(text)
        hidden = len(same) - len(shown)
        more = self._sentence("more_settings", count=hidden) if hidden else ""
        return " · ".join(shown) + ("" if more.startswith("（") else "  ") + more

    def _metric(self, metric: Metric) -> None:
        summary = self._document["summary"][metric]
        label: str = metric
        for epoch in self._document["epochs"]:
            if any(value is not None for value in epoch[metric]):
                self._row(
                    label,
                    self._sentence("epoch_row", epoch=epoch["epoch"]),
                    [_format_metric(metric, value) for value in epoch[metric]],
                )
                label = ""
        if not any(value is not None for value in summary["last"]):
            return
        change = self._change(metric, summary["change"][1], self._short) if len(self._runs) == 2 else None
        self._row(label, self._sentence("last"), list(self._last(metric, summary)), "text", change)
        best = [
            f"{_format_metric(metric, value)}{f' (e{at:.3g})' if at is not None and self._cell > 11 else ''}"
            if value is not None
            else self._glyphs.dash
            for value, at in zip(summary["best"], summary["best_epoch"], strict=True)
        ]
        self._row("", self._sentence("best"), best, "quiet")
        if len(self._runs) > 2:
            self._deltas(metric, summary["change"])
        self.text.append("\n")

    def _last(self, metric: Metric, summary: ComparedMetric) -> Iterator[str]:
        intervals = summary.get("interval") or [None] * len(self._runs)
        for value, interval in zip(summary["last"], intervals, strict=True):
            half = (
                f" {interval_text(value or 0.0, *interval).replace('±', self._glyphs.plus_minus)}" if interval else ""
            )
            half = half if self._cell > 10 else ""
            yield _format_metric(metric, value) + half

    def _deltas(self, metric: Metric, changes: Sequence[ChangeDocument | None]) -> None:
        self.text.append(fit("", FIRST)).append(
            fit(f"{self._glyphs.delta} {self._sentence('to_first')}", self._label - FIRST), self._palette.quiet
        )
        for change in changes[: len(self._runs)]:
            text = self._change(metric, change, short=True)
            text.append(" " * max(1, self._cell - cell_len(text.plain)))
            self.text.append_text(text)
        self.text.append("\n")

    def _change(self, metric: Metric, change: ChangeDocument | None, short: bool = False) -> Text:
        """`+0.8 better`, `−0.9 % worse`: sign, size, and whether that is good."""
        if change is None or not change["delta"]:
            return Text("" if change is None else "=", self._palette.quiet)
        scale, digits = (100, 1) if metric == "val_acc" else (1, 3)
        text = formats.fixed(change["delta"] * scale, digits, sign=True, minus=self._glyphs.minus)
        if not short and metric != "val_acc":
            share = formats.fixed(100 * change["percent"], 1, sign=True, minus=self._glyphs.minus)
            text += f"  {share} %"
        good, chance = change["better"], change["verdict"] == "same"
        if good is not None and not short:
            text = f"{text}  {self._sentence('chance_word' if chance else 'better_word' if good else 'worse_word')}"
        tone = "text" if good is None or chance else "good" if good else "warn"
        return Text(text, self._palette.tone(tone))

    def _tests(self) -> Iterator[Row]:
        """What was chosen of how many, what the paired tests say, and the spread over seeds."""
        document = self._document
        texts = [document["chosen"]["text"]] if "chosen" in document else []
        texts += [text for pair in document["paired"] for text in pair["texts"]]
        for text in [*texts, *(seed["text"] for seed in document["seeds"])]:
            yield self._sentence_row(self._glyphs.pointer, "quiet", text)

    def _sentence_row(self, sign: str, tone: str, words: str) -> Row:
        return row(Text(f" {sign} ", self._palette.tone(tone)), formats.clean(words))


def _format_metric(metric: str, value: float | None) -> str:
    return formats.percent(value) if metric == "val_acc" else formats.loss(value)
