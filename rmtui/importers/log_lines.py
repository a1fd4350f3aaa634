"""One line of a training's log: which epoch it speaks of and which figures it gives. `logs` makes runs of the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rmtui.importers.model import LOOSE, METRIC_NAMES, canonical, key

_BETWEEN = r"""[\s_:={(\[|"'-]{0,6}"""
"""What may stand between the words of a name: val_loss, val loss, val-loss, valLoss, val: {"loss"."""
_WRITTEN = {key(alias): alias for aliases in METRIC_NAMES.values() for alias in aliases}
_ALIASES = sorted(_WRITTEN.values(), key=len, reverse=True)
_NAMES = "|".join(_BETWEEN.join(map(re.escape, re.split("[ _]", alias))) for alias in _ALIASES)
_FIRST = "".join(sorted({alias[0] for alias in _ALIASES} | {"b", "t"}))
_NUMBER = r"[-+]?(?:(?:\d+(?:[.,]\d+)?|\.\d+)(?:e[-+]?\d+)?|nan|inf)"
_FIGURE = re.compile(
    rf"""(?<![\w/])(?=["'{_FIRST}])(?P<other>(?:best|train(?:ing)?(?!{_BETWEEN}loss))[\s_:-]{{1,3}})?["']?(?P<name>{_NAMES})["']?
    \s*(?:[:=]|is|→|->|为|是)?\s*["']?(?P<number>{_NUMBER})["']?(?:\s*/\s*(?P<of>\d+))?
    \s*(?P<percent>%|percent|pct)?(?!\w|\.\w)""",
    re.IGNORECASE | re.VERBOSE,
)
_EPOCH = re.compile(
    r"""(?<![\w/])(?P<quote>["']?)ep(?:och)?(?:(?P<joined>[_-])|["']?\s*[:=#]?)\s*["'\[(]*\s*
    (?P<number>\d+(?:\.\d+)?)(?:\s*(?:/|of)\s*(?P<total>\d+))?""",
    re.IGNORECASE | re.VERBOSE,
)
_CHINESE_EPOCH = re.compile(
    r"第\s*(?P<number>\d+)\s*(?:/\s*(?P<total>\d+)\s*)?个?\s*(?:轮|epoch|回合|周期)", re.IGNORECASE
)
_CHINESE_TOTAL = re.compile(r"共\s*(\d+)\s*个?\s*(?:轮|epoch|回合|周期)", re.IGNORECASE)
_ENDS = re.compile(r"(?<![a-z])(?:done|finished|completed?|ended|ends?)(?![a-z])|结束|完成|完毕", re.IGNORECASE)
_BEGINS = re.compile(r"(?<![a-z])(?:start(?:s|ed|ing)?|beg[iau]n(?:s|ning)?)(?![a-z])|开始", re.IGNORECASE)
_STEP = re.compile(r"""(?<![\w])["']?(?:global_)?step["']?\s*[:=]?\s*["'\[]*(\d+)""", re.IGNORECASE)
_RANK = re.compile(r"\[(?:rank|default)[ _:]?(\d+)\]|^(?:rank|default)[ _:]?(\d+)\s*[:|]", re.IGNORECASE)
_BEST = re.compile(r"(?<![a-z])best(?![a-z])|最[佳好优]", re.IGNORECASE)
_OVER = re.compile(
    r"(?<!\w)training (?:has |is |was )?(?:completed?|finished|done|ended)(?!\w)|[\"']train_runtime[\"']"
    r"|训练(?:已|全部)?(?:结束|完成|完毕)",
    re.IGNORECASE,
)
_OF_TRAINING = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])|训练", re.IGNORECASE)
_OF_VALIDATION = re.compile(r"(?<![a-z])(?:val|eval|test|dev)|验证|测试", re.IGNORECASE)
_WIDE = str.maketrans("：＝％，（）［］｜；", ":=%,()[]|;")
_VALIDATION = ("val_loss", "val_acc")
EPOCH_FIGURES = ("train_loss", "val_loss", "val_acc", "reward_margin")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a line gives it."""

    name: str
    """rmtui's name of the metric."""
    value: float
    percent: bool
    """Its sign follows."""
    written: str
    """The name in the log, in the spelling of METRIC_NAMES."""

    @property
    def loose(self) -> bool:
        return self.written in LOOSE


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

    @property
    def of_epoch(self) -> set[str]:
        """Names of the figures that an epoch has, and no step."""
        return {figure.name for figure in self.figures if figure.name in EPOCH_FIGURES and not figure.loose}

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
    figures = tuple(_settled(list(_figures(text)), text, step is not None))
    number, total, quoted = _epoch(text, bool(figures))
    return LogLine(
        figures=figures,
        epoch=number,
        quoted=quoted,
        total=total,
        step=int(step.group(1)) if step else None,
        best=_BEST.search(text.replace("_", " ")) is not None,
        over=_OVER.search(text) is not None and (number is None or quoted),
        said="" if number is None else "ends" if _ENDS.search(text) else "begins" if _BEGINS.search(text) else "",
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


def _figures(text: str) -> Iterator[Figure]:
    for match in _FIGURE.finditer(text):
        written = _WRITTEN[key(match["name"])]
        name, value = canonical(written), float(match["number"].replace(",", "."))
        if match["other"]:
            continue
        if name == "val_acc" and match["of"] and int(match["of"]):
            value /= int(match["of"])
        yield Figure(name, value, bool(match["percent"]), written)


def _settled(figures: list[Figure], text: str, of_step: bool) -> Iterator[Figure]:
    """`loss` beside a validation's figures is the training's, and so is `acc` where no validation is spoken of."""
    strict = {figure.name for figure in figures if not figure.loose}
    beside = not of_step and not strict.isdisjoint(_VALIDATION) and "train_loss" not in strict
    training = _OF_TRAINING.search(text) and not _OF_VALIDATION.search(text)
    for figure in figures:
        if figure.name == "train_loss" and "train_runtime" in text:
            continue  # a Trainer's last line: the mean over all epochs
        if figure.loose and training and not of_step:
            continue
        if figure.name == "loss" and beside:
            figure = Figure("train_loss", figure.value, False, figure.written)
        yield figure
