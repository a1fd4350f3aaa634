"""Readings, advice and pairs written out for a terminal. Texts of users lose their control characters."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rmtui.guide.pair_kinds import kind_of
from rmtui.guide.short_form import GLYPHS
from rmtui.i18n import BETWEEN, in_brackets, range_text, title, translate, value_text
from rmtui.text import harmless, width

if TYPE_CHECKING:
    from rmtui.documents.data import GroupsDocument, PairDocument, PairedRun, PairsDocument
    from rmtui.documents.guide import AdviseDocument, Silence
    from rmtui.documents.runs import MarginsDocument

PATH_GLYPHS = {"done": "✓", "here": "▶", "ahead": "○", "skipped": "–"}
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", ".:-=+*#@"
_LONGEST = 600


def advice_text(document: AdviseDocument, lang: str) -> str:
    """What `rmtui advise --all` prints."""
    blocks = [
        document["verdict"],
        _block(translate("heading.readings", lang), _readings(document, lang)),
        _block(translate("heading.advice", lang), _advice(document, lang)),
        _block(translate("heading.path", lang), _path(document, lang)),
        _block(translate("heading.expectations", lang), _expectations(document, lang)),
        _block(translate("heading.forecasts", lang), _forecasts(document)),
        _block(
            translate("heading.silenced", lang),
            [f"  {silenced_text(row, lang)} [{harmless(row['id'])}]" for row in document["silenced"]],
        ),
    ]
    return "\n\n".join(block for block in blocks if block)


def silenced_text(row: Silence, lang: str) -> str:
    """`train_loss fell (this run, 2026-11-22, anna)`: what is silenced, for what, since when and by whom."""
    name = title(harmless(row["id"]), lang)
    scope = translate(f"silence.{row['scope']}", lang)
    if row["t"] is None:
        return name + in_brackets(scope, lang)
    when = time.strftime("%Y-%m-%d", time.localtime(row["t"]))
    by = translate("silence.by", lang, scope=scope, when=when, by=harmless(row["by"]) or "?")
    return name + in_brackets(by, lang)


def _block(heading: str, lines: Iterator[str] | Sequence[str]) -> str:
    body = "\n".join(lines)
    return f"{heading}\n{body}" if body else ""


def _readings(document: AdviseDocument, lang: str) -> Iterator[str]:
    for row in document["readings"]:
        word = translate(f"word.{row['severity']}", lang)
        own = in_brackets(translate("word.own", lang), lang) if row["own"] else ""
        yield f"  {GLYPHS[row['severity']]} {_named(word, row['text'], lang)}{own} [{row['id']}]"


def _advice(document: AdviseDocument, lang: str) -> Iterator[str]:
    for place, row in enumerate(document["advice"], start=1):
        yield f"  {place}. {row['text']} [{row['id']}]"
        yield f"     {row['why']}"
        for change in row["difference"]:
            before, after = (value_text(change["key"], value) for value in (change["from"], change["to"]))
            yield f"     {change['key']}: {before} → {after}"
        if row["expected"]:
            ranges = BETWEEN[lang].join(range_text(metric, *ends) for metric, ends in row["expected"].items())
            yield f"     {_named(translate('heading.expected', lang), ranges, lang)}"
        if row["because_titles"]:
            yield f"     {_named(translate('heading.because', lang), ' · '.join(row['because_titles']), lang)}"


def _named(name: str, text: str, lang: str) -> str:
    return translate("phrase.changes", lang, title=name, changes=text)


def _path(document: AdviseDocument, lang: str) -> Iterator[str]:
    for step in document["path"]:
        words = step["text"]
        if step["outcome"] != "unknown":
            asks = words.endswith(("?", "？"))
            words = f"{words} {step['outcome_text']}" if asks else _named(words, step["outcome_text"], lang)
        run = in_brackets(step["run"], lang) if step["run"] else ""
        yield f"  {PATH_GLYPHS[step['state']]} {words}{run} · {step['state_text']}"


def _expectations(document: AdviseDocument, lang: str) -> Iterator[str]:
    if document["expectations"]:
        yield f"  {in_brackets(document['expectations']['text'], lang).strip()}"
        yield from (f"  {row['text']}" for row in document["expectations"]["epochs"])


def _forecasts(document: AdviseDocument) -> Iterator[str]:
    yield from (f"  {row['text']}" for row in document["forecasts"])
    if document["forecast_record"]:
        yield f"  {document['forecast_record']['text']}"


def groups_text(document: GroupsDocument, lang: str) -> str:
    """What `rmtui pairs --by` prints: accuracy with its interval, a block a run."""
    blocks = []
    for run in document["runs"]:
        widest = max((width(group["label"]) for group in run["groups"]), default=0)
        lines = [translate("pairs.by", lang, run=run["name"], field=harmless(document["by"]))]
        for group in run["groups"]:
            low, high = (f"{100 * end:.1f}" for end in group["interval"])
            label = harmless(group["label"]) + " " * (widest - width(group["label"]))
            share = f"{100 * group['accuracy']:.1f} %"
            hits = translate("pairs.of", lang, right=group["right"], pairs=group["pairs"])
            lines.append(f"  {label}  {share:>7}  ({low:>5}–{high} %), {hits}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + (f"\n\n! {document['note']}" if document["note"] else "")


def margins_line(spread: MarginsDocument, lang: str, ascii_only: bool = False) -> str:
    """A spread of reward margins as a line: one sign a bin, taller where more pairs are, a bar at 0."""
    bars, zero = (ASCII_BARS, "|") if ascii_only else (BARS, "│")
    counts, most = spread["counts"], max(spread["counts"])
    signs = [bars[math.ceil(count * len(bars) / most) - 1] if count else " " for count in counts]
    drawn = "".join(signs[: len(signs) // 2]) + zero + "".join(signs[len(signs) // 2 :])
    ends = {"low": f"−{spread['reach']:.1f}", "high": f"+{spread['reach']:.1f}"}
    median = f"{spread['median']:+.2f}".replace("-", "−")
    return translate("pairs.margins", lang, bars=drawn, median=median, **ends)


def margins_lines(runs: Sequence[PairedRun], lang: str, ascii_only: bool = False) -> str:
    """A line for each run of the document of pairs, one below the other; one run alone needs no name."""
    if len(runs) == 1:
        return margins_line(runs[0]["margins"], lang, ascii_only)
    widest = max(width(run["name"]) for run in runs)
    names = [harmless(run["name"]) + " " * (widest - width(run["name"])) for run in runs]
    lines = [margins_line(run["margins"], lang, ascii_only) for run in runs]
    return "\n".join(f"{name}  {line}" for name, line in zip(names, lines, strict=True))


def pairs_text(document: PairsDocument, lang: str) -> str:
    """What `rmtui pairs` prints: each pair with its margins, its texts, and the words that differ in brackets."""
    names = [run["name"] for run in document["runs"]]
    kind = translate(f"pairs.{kind_of(document['kind'])}", lang)
    head = translate(
        "pairs.head", lang, kind=kind, count=document["count"], scored=document["pairs_scored"], names=names
    )
    blocks = [head, margins_lines(document["runs"], lang), *(_pair(pair, names, lang) for pair in document["pairs"])]
    if document["note"]:
        blocks.append(f"! {document['note']}")
    return "\n\n".join(blocks)


def _pair(pair: PairDocument, names: Sequence[str], lang: str) -> str:
    margins = [f"{name} {sides['margin']:+.3f}" for name, sides in zip(names, pair["rewards"], strict=True) if sides]
    lines = [f"{harmless(pair['id'])}  {translate('pairs.margin', lang)} {', '.join(margins)}"]
    if pair["words"]:
        lines += _folded("prompt", harmless(pair["prompt"] or ""))
        lines += _folded("chosen", _marked(pair["words"]["chosen"]))
        lines += _folded("rejected", _marked(pair["words"]["rejected"]))
    return "\n".join(lines)


def _marked(words: Sequence[tuple[str, bool]]) -> str:
    return "".join(f"[{harmless(piece)}]" if differs and piece.strip() else harmless(piece) for piece, differs in words)


def _folded(name: str, text: str) -> list[str]:
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + " …"
    return textwrap.wrap(text, 100, initial_indent=f"  {name:<9}", subsequent_indent=" " * 11) or [f"  {name:<9}"]
