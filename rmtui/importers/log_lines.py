"""One line of a training's log: which epoch it speaks of and which figures it gives. `logs` makes runs of the lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rmtui.importers.line_shapes import FigureShape, kept_shape_of, shape_of
from rmtui.importers.metric_names import ACCURACIES, MetricName, Split, metric, split_in
from rmtui.importers.model import PerCent

_RANK = re.compile(r"\[(?:rank|default)[ _:]?(\d+)\]|^(?:rank|default)[ _:]?(\d+)\s*[:|]", re.IGNORECASE)
_WIDE = str.maketrans("：＝％，（）［］｜；", ":=%,()[]|;")
_LABEL_PART = re.compile(r"\d+|[^\W\d_]+")
_DIGITS = str.maketrans("123456789", "000000000")
_LONGEST_KEPT = 1000
"""Shapes of longer lines are not kept: they repeat less, and need room."""
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
    unread: tuple[str, ...] = ()
    """Names of numbers that look like figures and are not read."""
    member: str = ""
    """Of which member of an ensemble, or which fold, the line speaks: `member 1`."""
    together: bool = False
    """Its figures are of all members."""
    mean: bool = False
    """They may be, unless each member has such a line."""

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
    same = text.translate(_DIGITS)
    shape = kept_shape_of(same) if len(same) <= _LONGEST_KEPT else shape_of(same)
    epoch, total, step = (text[start:end] for start, end in (shape.epoch, shape.total, shape.step))
    return LogLine(
        figures=tuple([_figure(text, figure) for figure in shape.figures]),
        epoch=epoch or None,
        quoted=shape.quoted,
        total=int(total) if total else None,
        step=int(step) if step else None,
        best=shape.best,
        over=shape.over,
        said=shape.said,
        heading=shape.heading,
        unread=tuple([text[start:end] for start, end in shape.unread]) if shape.unread else (),
        member=" ".join(_LABEL_PART.findall(text[shape.member[0] : shape.member[1]].lower())),
        together=shape.together,
        mean=shape.mean,
    )


def _figure(text: str, shape: FigureShape) -> Figure:
    """The figure of a shape with this line's digits."""
    start, end = shape.label
    label = text[start:end]
    name = shape.name_with(label)
    start, end = shape.number
    value = float(text[start:end].replace(",", "."))
    start, end = shape.of
    if shape.percent:
        value = PerCent(value)
    elif end and name in ACCURACIES and int(text[start:end]):
        value = PerCent(100 * value / int(text[start:end]))
    if not shape.written:
        return Figure(name, value, name, name)
    spelled = f"{label} {shape.spelled}" if label else shape.spelled
    return Figure(name, value, shape.written, spelled, shape.split, label)
