"""What a line of a log says, but for its digits: which figures it gives under which names, where they stand.

Lines of a log repeat with other numbers. They are looked at once for all that differ in digits alone, so a log costs
little more than finding its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rmtui.importers.line_names import FIGURE, OWN_FIGURE, WRITTEN, key
from rmtui.importers.member_labels import is_a_mean, is_of_all, member_in
from rmtui.importers.metric_names import (
    KNOWN,
    MetricName,
    Split,
    SplitLabels,
    is_of_elsewhen,
    metric,
    names_a_set,
    names_another,
    names_figure,
    of_set,
    split_in,
    without_splits,
)

_EPOCH = re.compile(
    r"""(?<![\w/])(?P<quote>["']?)ep(?:och)?(?:(?P<joined>[_-])|["']?\s*[:=#]?)\s*["'\[(]*\s*
    (?P<number>\d+(?:\.\d+)?)(?![\d.]*\s*%)(?:\s*(?:/|of)\s*(?P<total>\d+))?""",
    re.IGNORECASE | re.VERBOSE,
)
_CHINESE_EPOCH = re.compile(
    r"第\s*(?P<number>\d+)\s*(?:/\s*(?P<total>\d+)\s*)?个?\s*(?:轮|epoch|回合|周期)", re.IGNORECASE
)
_CHINESE_TOTAL = re.compile(r"共\s*(\d+)\s*个?\s*(?:轮|epoch|回合|周期)", re.IGNORECASE)
_ENDS = re.compile(r"(?<![a-z])(?:done|finished|completed?|ended|ends?)(?![a-z])|结束|完成|完毕", re.IGNORECASE)
_BEGINS = re.compile(r"(?<![a-z])(?:start(?:s|ed|ing)?|beg[iau]n(?:s|ning)?)(?![a-z])|开始", re.IGNORECASE)
_STEP = re.compile(r"""(?<![\w])["']?(?:(?:global_)?step|iter(?:ation)?)["']?\s*[:=]?\s*["'\[]*(\d+)""", re.IGNORECASE)
_BEST = re.compile(r"(?<![a-z])best(?![a-z])|最[佳好优]", re.IGNORECASE)
_OVER = re.compile(
    r"(?<!\w)training (?:has |is |was )?(?:completed?|finished|done|ended)(?!\w)|[\"']train_runtime[\"']"
    r"|训练(?:已|全部)?(?:结束|完成|完毕)|`trainer\.fit` stopped: `max_(?:epochs|steps)=\d+` reached",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"\W*(?:(?:results?|metrics|scores|set|on|the|of|phase|stage|loop|performance|结果|指标|阶段|集|上|的)\W+|\W)*",
    re.IGNORECASE,
)
"""What may stand beside the words of a split in a line that is a heading: `=== Validation results ===`."""
_WORD_BEFORE = re.compile(r"(?<![\w./-])([A-Za-z][A-Za-z0-9_-]*) $")
_LONGEST_WORD = 40
_SET_LABEL = re.compile(
    r"""(?:^|[|;,:\])}>\d]\s?|[-–]\s|(?<![a-z])(?:val|eval|dev|test|train)\w*\s|\b(?:on|of|for)\s)["']?([A-Za-z][\w.-]{0,39})["']?\s?:\s?[\[{(]?["']?$""",
    re.IGNORECASE,
)
"""`helpful: ` right before a figure's name."""
_IN_BRACKETS = re.compile(r"\[(?:val|eval|dev|test|train)[a-z]*[/:_. -]{1,3}([A-Za-z][\w.-]{0,39})\]", re.IGNORECASE)
"""`[val/helpful]`: a split and a set of its pairs."""
_NAMED = re.compile(r"([A-Za-z\u4e00-\u9fff][A-Za-z\u4e00-\u9fff _-]{1,24})$")
"""Words right before a bare name: `Validation set loss`."""

_MAY_BE_OWN = re.compile(r"acc|loss|margin", re.IGNORECASE)

Span = tuple[int, int]
"""Where something stands in a line: from, to."""
_NOWHERE = (0, 0)


class FigureShape(NamedTuple):
    """A figure of a line, but for its digits."""

    name: str
    """rmtui's name of the metric; empty where the label is part of it."""
    written: str
    """The name in the spelling of ALIASES."""
    spelled: str
    """The name as it stands in the log."""
    split: Split | None
    """Whose pairs the figure is of, where not the name but the line says so."""
    label: Span
    """The label of its pairs."""
    number: Span
    of: Span
    """`44` in `acc 31/44`."""
    percent: bool

    def name_with(self, label: str) -> str:
        """rmtui's name of the metric of pairs with this label; the label itself where the log's name is kept."""
        return self.name or (of_set(label, self.written, None) if self.written else label)


@dataclass(frozen=True, slots=True)
class LineShape:
    """What all lines say that differ in digits alone; see `LogLine`. Nothing stands at an empty span."""

    figures: tuple[FigureShape, ...]
    epoch: Span
    total: Span
    quoted: bool
    step: Span
    best: bool
    over: bool
    said: str
    heading: Split | None
    unread: tuple[Span, ...]
    member: Span
    together: bool
    mean: bool


def shape_of(line: str) -> LineShape:
    """The shape of a line with single spaces, each of whose digits is 0."""
    step = _STEP.search(line)
    own, unread = _own_figures(line)
    figures = (*_figures(line, step is not None), *own)
    epoch, total, quoted = _epoch(line, bool(figures))
    lower = line.lower()
    named = epoch != _NOWHERE
    return LineShape(
        figures=figures,
        epoch=epoch,
        total=total,
        quoted=quoted,
        step=step.span(1) if step else _NOWHERE,
        best=("best" in lower or "最" in line) and _BEST.search(line.replace("_", " ")) is not None,
        over=("train" in lower or "训练" in line) and _OVER.search(line) is not None and (not named or quoted),
        said="" if not named else "ends" if _ENDS.search(line) else "begins" if _BEGINS.search(line) else "",
        heading=_heading(line) if not figures and not named else None,
        unread=unread,
        member=member_in(line, figures[0].number[0] if figures else None),
        together=bool(figures) and is_of_all(line[: figures[0].number[0]]),
        mean=bool(figures) and is_a_mean(line[: figures[0].number[0]]),
    )


kept_shape_of = lru_cache(maxsize=4096)(shape_of)
"""The same, of lines that are short enough to be kept."""


def _epoch(text: str, figures: bool) -> tuple[Span, Span, bool]:
    """The epoch that a line names, of how many, and whether it stands in a dictionary."""
    if "第" in text and (chinese := _CHINESE_EPOCH.search(text)):
        total = _CHINESE_TOTAL.search(text)
        of = _span(chinese, "total") or (total.span(1) if total else _NOWHERE)
        return chinese.span("number"), of, False
    found = _EPOCH.search(text)
    if found is None or (found["joined"] and not figures):
        return _NOWHERE, _NOWHERE, False
    return found.span("number"), _span(found, "total") or _NOWHERE, bool(found["quote"])


def _span(match: re.Match[str], group: str) -> Span | None:
    """Where a group stands; None where it is empty or took no part."""
    return match.span(group) if match[group] else None


def _figures(text: str, of_step: bool) -> Iterator[FigureShape]:
    """Every figure of a line under the name that its own words, or words before it, give it."""
    matches = [match for match in FIGURE.finditer(text) if not match["other"] and not _is_another(text, match)]
    written = [WRITTEN[key(match["name"])] for match in matches]
    strict = {metric(MetricName(name)) for name in written if split_in(name) is not None}
    beside = not of_step and not strict.isdisjoint(("val_loss", "val_acc")) and "train_loss" not in strict
    lone = "loss" not in map(_plain, written) and not of_step
    labels: dict[bool, SplitLabels] = {}
    of = _NOWHERE
    beside_figures = ""
    end = 0
    for match, name in zip(matches, written, strict=True):
        between = text[end : match.start("name")]
        beside_figures = between.rpartition("|")[2] if "|" in between else beside_figures + between
        of, end = _set_label(text, end, match.start("name"), of), match.end()
        split = None
        if of != _NOWHERE and split_in(name) is None:
            split = SplitLabels(beside_figures, heading=False).last(len(beside_figures))
        elif split_in(name) is None:
            heading = _plain(name) == "loss"
            if heading not in labels:
                labels[heading] = SplitLabels(text, heading)
            split = labels[heading].last(match.start("name"))
            named = _words_before(text, match.start("name"))
            split = (split_in(named[1]) if named else None) or split or (split_in(text) if lone else None)
        known = metric(MetricName(name, split))
        if known in strict:
            split, known = None, _plain(name)  # said under its own name on this line
        if split_in(name) is not None:
            of = _set_before(text, match.start("name"))
        of = of if known in KNOWN else _NOWHERE
        if of != _NOWHERE and split is None and split_in(name) is None:
            known = ""
        if known == "train_loss" and "train_runtime" in text:
            continue  # a Trainer's last line: the mean over all epochs
        if known == "loss" and beside:
            known = "train_loss"
        number, share = match.span("number"), _span(match, "of") or _NOWHERE
        spelled = " ".join(match["name"].split())
        yield FigureShape(known, name, spelled, split, of, number, share, match["percent"] is not None)


def _own_figures(text: str) -> tuple[list[FigureShape], tuple[Span, ...]]:
    """Figures of a split under a name of their own, `val_acc_helpful=0.71`, and names of others that are not read."""
    if not _MAY_BE_OWN.search(text):
        return [], ()
    taken = [match.span() for match in FIGURE.finditer(text)]
    own: list[FigureShape] = []
    unread: list[Span] = []
    for match in OWN_FIGURE.finditer(text):
        name = match["name"]
        start, end = match.span("name")
        known = any(start < until and since < match.end() for since, until in taken) or key(name) in WRITTEN
        if known or not names_figure(name) or _BEST.search(name.replace("_", " ")):
            continue
        if split_in(name) is None or _looks_back(name) or _is_another(text, match):
            unread.append((start, end))
        else:
            percent = match["percent"] is not None
            own.append(FigureShape("", "", "", None, (start, end), match.span("number"), _NOWHERE, percent))
    return own, tuple(unread)


def _looks_back(name: str) -> bool:
    return any(is_of_elsewhen(word) for word in re.split(r"[\W_]+", name))


def _set_label(text: str, end: int, start: int, before: Span) -> Span:
    """The label that names the pairs of a figure at `start`; nowhere where none does.

    The figure before it ends at `end` and had the label `before`. A label holds for figures behind it
    (`helpful: loss=0.6, acc=0.71`) until another one, or the next column.
    """
    between = text[end:start]
    colon = ":" in text[max(0, start - 5) : start]
    found = _SET_LABEL.search(text, max(0, start - 2 * _LONGEST_WORD), start) if colon else None
    bracket = _IN_BRACKETS.search(between) if "]" in between else None
    if found is None and bracket is not None:
        return end + bracket.start(1), end + bracket.end(1)
    if found is not None:
        return found.span(1) if names_a_set(found[1]) else _NOWHERE
    return _NOWHERE if "|" in between or "}" in between else before


def _is_another(text: str, match: re.Match[str]) -> bool:
    """Whether the word before a bare name makes it another figure's, `KL loss 0.01`, or no figure of now."""
    start = match.start("name")
    before = _WORD_BEFORE.search(text, max(0, start - _LONGEST_WORD), start)
    if before is None:
        return False
    return is_of_elsewhen(before[1]) or (split_in(match["name"]) is None and names_another(before[1]))


def _words_before(text: str, start: int) -> re.Match[str] | None:
    """Words that end right before a place."""
    if start < 2 or text[start - 1] not in " _-" or not text[start - 2].isalpha():
        return None
    return _NAMED.search(text, max(0, start - _LONGEST_WORD), start)


def _set_before(text: str, start: int) -> Span:
    """The word before a name that says its split, where it names a set of pairs: `helpful val_acc=0.71`."""
    before = _WORD_BEFORE.search(text, max(0, start - _LONGEST_WORD), start)
    return before.span(1) if before is not None and names_a_set(before[1]) else _NOWHERE


def _plain(name: str) -> str:
    return metric(MetricName(name))


def _heading(text: str) -> Split | None:
    """The split that a line of nothing else names."""
    return split_in(text) if len(text) <= 80 and _HEADING.fullmatch(without_splits(text)) else None
