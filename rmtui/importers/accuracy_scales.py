"""Whether accuracies are written per cent or as a share: what all values of one name say together.

`71 %` says it itself, 71 can only be per cent, 0.71 only a share of 1: half of all pairs come out right by chance. But
a bare 1 among percentages may be 1 % or 100 %: no value is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rmtui.importers.line_names import key
from rmtui.importers.log_lines import Figure, LogLine
from rmtui.importers.metric_names import ACCURACIES
from rmtui.importers.model import PerCent, Point

_ALL = 1.0001
"""Up to here a value above 1 is a mean of ones in single precision."""
_CREDIBLE = 0.2
"""No accuracy of pairs comes below this: where a name is written in both ways, less is not read in either."""


@dataclass(slots=True)
class AccuracyScale:
    """What the values of one metric look like."""

    signed: int = 0
    """Values with a sign of per cent."""
    ones: int = 0
    above: int = 0
    """Values above 1, without sign."""
    below: int = 0
    """Values between 0 and 1, without sign."""

    def see(self, value: float) -> None:
        """Count a value in as it is written."""
        if isinstance(value, PerCent):
            self.signed += 1
        elif 0 < value <= 100:
            self.ones += 1 <= value <= _ALL
            self.above += value > _ALL
            self.below += value < 1

    @property
    def mixed(self) -> bool:
        """Whether what a value means depends on the others."""
        return bool((self.above or self.signed) and (self.below or self.ones))

    def share(self, value: float) -> float | None:
        """A value as 0–1; None where it is no accuracy, or the others leave open which one it is."""
        if not 0 <= value <= 100:
            return None
        if isinstance(value, PerCent):
            return value / 100
        if value > _ALL:
            return value / 100 if not self.below or value >= 100 * _CREDIBLE else None
        if self.above and value and not _CREDIBLE <= value < 1:
            return None
        if value >= 1 and self.signed and not self.below:
            return None  # its sign was forgotten, or it is all of them
        return min(value, 1.0)


@dataclass(slots=True)
class LeftOut:
    """Accuracies of which no value was made."""

    nonsense: int = 0
    unclear: int = 0

    def add(self, value: float) -> None:
        """Count one, by its reason."""
        unclear = AccuracyScale().share(value) is not None
        self.unclear += unclear
        self.nonsense += not unclear

    def notes(self) -> Iterator[str]:
        """In words."""
        if self.nonsense:
            yield _ignored(self.nonsense, "outside 0–1")
        if self.unclear:
            yield _ignored(self.unclear, "per cent or a share of 1? The others of that name do not say")


def _ignored(number: int, why: str) -> str:
    return f"1 accuracy was ignored: {why}" if number == 1 else f"{number} accuracies were ignored: {why}"


def shares(points: Iterable[Point], left_out: LeftOut) -> list[Point]:
    """A curve of accuracies as 0–1, without points that are none."""
    points = list(points)
    scale = AccuracyScale()
    for point in points:
        scale.see(point[1])
    found: list[Point] = []
    for step, value, time in points:
        share = scale.share(value)
        if share is None:
            left_out.add(value)
        else:
            found.append((step, share, time))
    return found


@dataclass(slots=True)
class AccuraciesOfLines:
    """Accuracies in the lines of a log. They may be read twice: only the whole log says what they mean together."""

    left_out: LeftOut = field(default_factory=LeftOut)
    _scales: dict[tuple[str, str], AccuracyScale] = field(default_factory=dict)

    @property
    def mixed(self) -> bool:
        """Whether the log has to be read again with `known`."""
        return any(scale.mixed for scale in self._scales.values())

    def read(self, lines: Iterable[LogLine], known: bool = False) -> Iterator[LogLine]:
        """The lines with accuracies as 0–1; `known`: all lines were read before."""
        self.left_out = LeftOut()
        for line in lines:
            if any(figure.name in ACCURACIES for figure in line.figures):
                line = replace(line, figures=tuple(self._figures(line.figures, known)))
            yield line

    def _figures(self, figures: Iterable[Figure], known: bool) -> Iterator[Figure]:
        for figure in figures:
            if figure.name not in ACCURACIES:
                yield figure
                continue
            scale = self._scales.setdefault((figure.name, key(figure.written)), AccuracyScale())
            if not known:
                scale.see(figure.value)
            share = (scale if known else AccuracyScale()).share(figure.value)
            if share is None:
                self.left_out.add(figure.value)
            else:
                yield figure if share == figure.value else replace(figure, value=share)
