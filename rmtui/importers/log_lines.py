"""One line of a training's log: which epoch it speaks of and which figures it gives. `logs` makes runs of the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rmtui.importers.metric_names import (
    ACCURACIES,
    KNOWN,
    MetricName,
    Split,
    SplitLabels,
    is_of_elsewhen,
    metric,
    names_a_set,
    names_another,
    of_set,
    split_in,
    without_splits,
)
from rmtui.importers.model import PerCent

ALIASES = (
    *(
        "train_loss",
        "train loss",
        "training_loss",
        "training loss",
        "loss/train",
        "avg_train_loss",
        "训练损失",
        "训练集损失",
    ),
    *(
        "val_loss",
        "val loss",
        "validation_loss",
        "validation loss",
        "valid_loss",
        "valid loss",
        "eval_loss",
        "eval loss",
    ),
    *(
        "eval/loss",
        "val/loss",
        "loss/val",
        "avg_val_loss",
        "dev_loss",
        "dev loss",
        "验证损失",
        "验证集损失",
        "评估损失",
    ),
    *("val_acc", "val acc", "val_accuracy", "val accuracy", "validation_accuracy", "validation accuracy", "valid_acc"),
    *(
        "valid acc",
        "valid accuracy",
        "eval_accuracy",
        "eval accuracy",
        "eval/accuracy",
        "eval_acc",
        "eval acc",
        "val/acc",
    ),
    *("val/accuracy", "eval_rewards/accuracies", "eval/rewards/accuracies", "dev_acc", "dev acc", "dev accuracy"),
    *(
        "验证准确率",
        "验证集准确率",
        "验证精度",
        "评估准确率",
        "test_acc",
        "test acc",
        "test accuracy",
        "test_loss",
        "test loss",
    ),
    *(
        "测试准确率",
        "测试集准确率",
        "测试损失",
        "测试集损失",
        "train_acc",
        "train acc",
        "train accuracy",
        "training accuracy",
    ),
    *(
        "训练准确率",
        "训练集准确率",
        "accuracy",
        "acc",
        "准确率",
        "eval_margin",
        "eval/margin",
        "val_margin",
        "val margin",
    ),
    *("eval_rewards/margins", "eval/rewards/margins", "reward_margin", "reward margin", "margin"),
    *("loss", "train/loss", "step_loss", "batch_loss", "损失", "learning_rate", "lr", "train/learning_rate", "学习率"),
    *("grad_norm", "gradient_norm", "train/grad_norm"),
    *("rewards/accuracies", "rewards/margins", "train_epoch_loss", "eval_epoch_loss"),
    *("evaluation_loss", "evaluation_accuracy", "evaluation_acc", "eval/acc", "eval/margins", "testing_accuracy"),
    *(
        f"{split}{kind}_{what}"
        for split in ("", "val_", "eval_", "validation_", "train_", "test_")
        for kind in ("pairwise", "preference", "ranking")
        for what in ("acc", "accuracy")
    ),
)
"""Names that are looked for in free text; what they mean, `metric_names` says."""


def key(name: str) -> str:
    """A name without what people write differently: `Val Loss`, `val-loss`, `valLoss` and `val_loss` have one key."""
    return re.sub(r"[^\w/]|_", "", name.lower())


_BETWEEN = r"""[\s_:={(\[|"'-]{0,6}"""
"""What may stand between the words of a name: val_loss, val loss, val-loss, valLoss, val: {"loss"."""
_WRITTEN = {key(alias): alias for alias in ALIASES}
_ALIASES = sorted(_WRITTEN.values(), key=len, reverse=True)
_NAMES = "|".join(_BETWEEN.join(map(re.escape, re.split("[ _]", alias))) for alias in _ALIASES)
_FIRST = "".join(sorted({alias[0] for alias in _ALIASES} | {"b", "t"}))
_NUMBER = r"[-+]?(?:(?:\d+(?:[.,]\d+)?|\.\d+)(?:e[-+]?\d+)?|nan|inf)"
_FIGURE = re.compile(
    rf"""(?<![\w/])(?=["'{_FIRST}])(?P<other>best[\s_:-]{{1,3}})?["']?(?P<name>{_NAMES})["']?
    \s*(?:[:=]|is|→|->|为|是)?\s*["']?(?:tensor\()?(?P<number>{_NUMBER})["']?(?:\s*/\s*(?P<of>\d+))?
    \s*(?P<percent>%|percent|pct)?(?!\w|\.\w)""",
    re.IGNORECASE | re.VERBOSE,
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
_RANK = re.compile(r"\[(?:rank|default)[ _:]?(\d+)\]|^(?:rank|default)[ _:]?(\d+)\s*[:|]", re.IGNORECASE)
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
_WIDE = str.maketrans("：＝％，（）［］｜；", ":=%,()[]|;")
_VALIDATION = ("val_loss", "val_acc")
EPOCH_FIGURES = ("train_loss", "val_loss", "val_acc", "reward_margin")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a line gives it."""

    name: str
    """rmtui's name of the metric."""
    value: float
    """As it is written; with a sign of per cent a PerCent."""
    written: str
    """The name in the log, in the spelling of ALIASES."""
    spelled: str = ""
    """The name as it stands in the log."""
    split: Split | None = None
    """Whose pairs the figure is of, where the name alone does not say so: the line does, or a heading."""
    of: str = ""
    """The label of its pairs, where there may be several sets: `helpful: acc=0.71`."""

    @property
    def bare(self) -> bool:
        """The name itself says nothing of whose pairs it is."""
        return split_in(self.written) is None

    def under(self, split: Split) -> Figure:
        """The same below a heading."""
        if self.split is not None or not self.bare:
            return self
        return replace(self, name=metric(MetricName(self.written, split)), split=split)


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a line says. `epoch` is as written, `2`, `1.3`; None where it speaks of none."""

    figures: tuple[Figure, ...]
    epoch: str | None
    quoted: bool
    """The epoch stands in a dictionary: `"epoch": 1`."""
    total: int | None
    step: int | None
    best: bool
    """It tells which epoch was the best."""
    over: bool
    """It says that the training is over; an epoch's training that ended is none."""
    said: str
    """`begins` or `ends`, where the line says so of its epoch."""
    heading: Split | None = None
    """The line is a heading: what follows is of these pairs."""

    @property
    def of_epoch(self) -> set[str]:
        """Names of the figures that an epoch has, and no step."""
        return {figure.name for figure in self.figures if figure.name in EPOCH_FIGURES}

    @property
    def alone(self) -> bool:
        """Figures of an epoch, of which other lines say which one it is."""
        return self.epoch is None and self.step is None and bool(self.of_epoch)

    @property
    def summary(self) -> bool:
        """Training and validation stand side by side: an epoch has ended."""
        names = {figure.name for figure in self.figures}
        return "train_loss" in names and not names.isdisjoint(_VALIDATION)


def rank_of(text: str) -> int | None:
    """Which process printed a line that says so: `[rank1]: …`."""
    found = _RANK.search(text)
    return int(found.group(1) or found.group(2)) if found else None


def parse(text: str) -> LogLine:
    """A line of a log, without its end."""
    text = " ".join(text.translate(_WIDE).split())  # single spaces: what follows is linear in the line's length
    step = _STEP.search(text)
    figures = tuple(_figures(text, step is not None))
    number, total, quoted = _epoch(text, bool(figures))
    lower = text.lower()
    return LogLine(
        figures=figures,
        epoch=number,
        quoted=quoted,
        total=total,
        step=int(step.group(1)) if step else None,
        best=("best" in lower or "最" in text) and _BEST.search(text.replace("_", " ")) is not None,
        over=("train" in lower or "训练" in text) and _OVER.search(text) is not None and (number is None or quoted),
        said="" if number is None else "ends" if _ENDS.search(text) else "begins" if _BEGINS.search(text) else "",
        heading=_heading(text) if not figures and number is None else None,
    )


def _epoch(text: str, figures: bool) -> tuple[str | None, int | None, bool]:
    """The epoch that a line names, of how many, and whether it stands in a dictionary."""
    if "第" in text and (chinese := _CHINESE_EPOCH.search(text)):
        total = _CHINESE_TOTAL.search(text)
        of = chinese["total"] or (total and total[1])
        return chinese["number"], int(of) if of else None, False
    found = _EPOCH.search(text)
    if found is None or (found["joined"] and not figures):
        return None, None, False
    return found["number"], int(found["total"]) if found["total"] else None, bool(found["quote"])


def _figures(text: str, of_step: bool) -> Iterator[Figure]:
    """Every figure of a line under the name that its own words, or words before it, give it."""
    matches = [match for match in _FIGURE.finditer(text) if not match["other"] and not _is_another(text, match)]
    written = [_WRITTEN[key(match["name"])] for match in matches]
    strict = {metric(MetricName(name)) for name in written if split_in(name) is not None}
    beside = not of_step and not strict.isdisjoint(_VALIDATION) and "train_loss" not in strict
    lone = "loss" not in map(_plain, written) and not of_step
    labels: dict[bool, SplitLabels] = {}
    of = beside_figures = ""
    end = 0
    for match, name in zip(matches, written, strict=True):
        between = text[end : match.start("name")]
        beside_figures = between.rpartition("|")[2] if "|" in between else beside_figures + between
        of, end = _set_label(text, between, match.start("name"), of), match.end()
        split = None
        if of and split_in(name) is None:
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
        of = of if known in KNOWN else ""
        if of and split is None and split_in(name) is None:
            known = of_set(of, name, None)
        if known == "train_loss" and "train_runtime" in text:
            continue  # a Trainer's last line: the mean over all epochs
        if known == "loss" and beside:
            known = "train_loss"
        value = float(match["number"].replace(",", "."))
        if match["percent"]:
            value = PerCent(value)
        elif known in ACCURACIES and match["of"] and int(match["of"]):
            value = PerCent(100 * value / int(match["of"]))
        spelled = " ".join(match["name"].split())
        yield Figure(known, value, name, f"{of} {spelled}" if of else spelled, split, of)


def _set_label(text: str, between: str, start: int, before: str) -> str:
    """The label that names the pairs of a figure at `start`; empty where none does.

    `between` is the text since the figure before it, which had the label `before`. A label holds for figures behind it
    (`helpful: loss=0.6, acc=0.71`) until another one, or the next column.
    """
    colon = ":" in text[max(0, start - 5) : start]
    found = _SET_LABEL.search(text, max(0, start - 2 * _LONGEST_WORD), start) if colon else None
    bracket = _IN_BRACKETS.search(between) if "]" in between else None
    if found is None and bracket is not None:
        return bracket[1]
    if found is not None:
        return found[1] if names_a_set(found[1]) else ""
    return "" if "|" in between or "}" in between else before


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


def _set_before(text: str, start: int) -> str:
    """The word before a name that says its split, where it names a set of pairs: `helpful val_acc=0.71`."""
    before = _WORD_BEFORE.search(text, max(0, start - _LONGEST_WORD), start)
    return before[1] if before is not None and names_a_set(before[1]) else ""


def _plain(name: str) -> str:
    return metric(MetricName(name))


def _heading(text: str) -> Split | None:
    """The split that a line of nothing else names."""
    return split_in(text) if len(text) <= 80 and _HEADING.fullmatch(without_splits(text)) else None
