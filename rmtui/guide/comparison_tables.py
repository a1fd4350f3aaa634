"""A comparison written out: as a plain table for a terminal, as Markdown that one pastes into a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rmtui.guide.comparison import OTHER_SET, split_unknown
from rmtui.guide.published_figures import METRICS
from rmtui.i18n import metric_text, signed_percent, signed_points, translate, value_text
from rmtui.text import clean, width

if TYPE_CHECKING:
    from rmtui.documents.guide import ChangeDocument, ComparedMetric, CompareDocument
    from trainer.values import Value


def sections(document: CompareDocument, lang: str = "en") -> Iterator[tuple[str, list[list[str]]]]:
    """The tables of a comparison: heading, then rows whose first is the head."""
    names = [run["name"] for run in document["runs"]]
    differs, _ = split_unknown(document["config"]["differs"])
    if differs:
        rows = [[key, *(value_text(key, value) for value in values)] for key, values in differs.items()]
        yield "differs", [["", *names], *rows]
    yield "epochs", [["", *names], *_epochs(document, lang)]
    yield "figures", [["", *names], *_figures(document, lang)]


def _epochs(document: CompareDocument, lang: str) -> Iterator[list[str]]:
    for metric in METRICS:
        for row in document["epochs"]:
            if any(value is not None for value in row[metric]):
                label = f"{metric} {translate('table.epoch_of', lang, epoch=row['epoch'])}"
                yield [label, *(_known(metric, value) for value in row[metric])]


def _figures(document: CompareDocument, lang: str) -> Iterator[list[str]]:
    for metric in METRICS:
        summary = document["summary"][metric]
        intervals = summary.get("interval") or [None] * len(summary["last"])
        last = [_with_half(metric, *pair) for pair in zip(summary["last"], intervals, strict=True)]
        yield [f"{metric} {translate('table.last', lang)}", *last]
        yield [f"{metric} {translate('table.best', lang)}", *(_best(metric, *pair, lang) for pair in _tops(summary))]
        yield [f"{metric} Δ", "", *(change_text(metric, change, lang) for change in summary["change"][1:])]


def _tops(summary: ComparedMetric) -> Iterator[tuple[float | None, float | None]]:
    yield from zip(summary["best"], summary["best_epoch"], strict=True)


def _best(metric: str, value: float | None, epoch: float | None, lang: str) -> str:
    if value is None or epoch is None:
        return metric_text(metric, value)
    return f"{metric_text(metric, value)} ({translate('table.epoch_of', lang, epoch=f'{epoch:.3g}')})"


def _known(metric: str, value: float | None) -> str:
    return "–" if value is None else metric_text(metric, value)


def _with_half(metric: str, value: float | None, interval: Sequence[float] | None) -> str:
    shown = metric_text(metric, value)
    return f"{shown} ±{50 * (interval[1] - interval[0]):.1f}" if interval else shown


def change_text(metric: str, change: ChangeDocument | None, lang: str = "en") -> str:
    """`+2.8 points, better` or `−23 %, better`; ? where a metric is not known, no word where it is of other pairs."""
    if change is None:
        return "?"
    if metric == "val_acc":
        shown = translate("table.points", lang, change=signed_points(change["delta"]))
    else:
        shown = signed_percent(change["percent"])
    if change["verdict"] == OTHER_SET:
        return shown
    word = {True: "table.better", False: "table.worse", None: "table.equal"}[change["better"]]
    return translate("table.chance" if change["delta"] and change["verdict"] == "same" else word, lang, change=shown)


def said(document: CompareDocument) -> list[str]:
    """The sentences of a comparison: who leads, the next step, warnings, verdicts, seeds."""
    lines = [document["lead"], *_chosen(document), *filter(None, [document["next"]])]
    lines += [f"! {warning}" for warning in document["warnings"]]
    for paired in document["paired"]:
        lines += [text for text in paired["texts"] if text not in document["warnings"]]
    return lines + [row["text"] for row in document["seeds"]]


def _chosen(document: CompareDocument) -> list[str]:
    return [document["chosen"]["text"]] if "chosen" in document else []


def same_text(document: CompareDocument) -> str:
    """`num_epochs 3 · lora.r 32 · …`."""
    return _settings_text(document["config"]["same"])


def some_text(document: CompareDocument) -> str:
    """The settings of which only some runs have a value, as `same_text` has those of all."""
    _, some = split_unknown(document["config"]["differs"])
    return _settings_text({key: next((one for one in values if one is not None), None) for key, values in some.items()})


def _settings_text(settings: Mapping[str, Value]) -> str:
    return " · ".join(f"{key} {value_text(key, value)}" for key, value in settings.items() if value not in ("", [], {}))


def plain(document: CompareDocument, all_keys: bool = False, lang: str = "en") -> str:
    """For a terminal: aligned columns, wide characters counted as two."""
    blocks = [_aligned(rows) for _, rows in sections(document, lang)]
    if some := some_text(document):
        blocks.insert(min(1, len(blocks)), translate("table.some", lang, settings=some))
    if same := same_text(document):
        count = translate("table.same_count", lang, count=len(document["config"]["same"]))
        blocks.insert(min(1, len(blocks)), translate("table.same", lang, settings=same) if all_keys else count)
    blocks.insert(0, "\n".join(said(document)))
    return "\n\n".join(block for block in blocks if block)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(width(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0] + " " * (widths[0] - width(row[0]))]
        cells += [" " * (wide - width(cell)) + cell for cell, wide in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(document: CompareDocument, lang: str = "en") -> str:
    """For a pull request: what differs, the metrics, the verdicts; epochs and equal settings folded away."""
    names = " vs ".join(_escaped(run["name"]) for run in document["runs"])
    parts = [f"### {names}"]
    tables = dict(sections(document, lang))
    if "differs" in tables:
        parts.append(pipes(tables["differs"], translate("table.differs", lang)))
    parts.append(pipes(tables["figures"], translate("table.figure", lang)))
    parts.append("\n".join(f"- {_escaped(line)}" for line in said(document)))
    parts.append(_folded(translate("table.every_epoch", lang), pipes(tables["epochs"], translate("table.epoch", lang))))
    if some := some_text(document):
        parts.append(_folded(translate("table.some_settings", lang), _escaped(some)))
    if same := same_text(document):
        parts.append(_folded(translate("table.equal_settings", lang), _escaped(same)))
    return "\n\n".join(part for part in parts if part) + "\n"


def pipes(rows: Sequence[Sequence[str]], corner: str) -> str:
    """A Markdown table of rows whose first is the head; `corner` heads the first column. Empty without a body."""
    if len(rows) < 2:
        return ""
    head, *body = rows
    lines = ["| " + " | ".join(_escaped(cell) for cell in [corner, *head[1:]]) + " |"]
    lines.append("|---|" + "--:|" * (len(head) - 1))
    return "\n".join([*lines, *("| " + " | ".join(map(_escaped, row)) + " |" for row in body)])


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" if body else ""


def _escaped(text: str) -> str:
    """Names and values of users are text, not Markdown."""
    return re.sub(r"[\\|<*`\[]|(?<!\w)_|_(?!\w)", r"\\\g<0>", clean(text))
