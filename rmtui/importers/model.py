"""A run as another program left it behind: what every importer returns. Unknown values stay None or absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmtui.runs.model import Epoch

Point = tuple[float, float, float | None]
"""(step, value, Unix time or None)."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """One run found in somebody's files."""

    name: str
    origin: Path
    kind: str
    """guide-log, trainer-state, tensorboard, wandb, csv or rmtui."""
    identity: str
    """Content hash: the same source imported twice is one run."""
    config: Mapping[str, object] = field(default_factory=dict)
    """Nested configuration, only what the source says."""
    data: str | None = None
    """Name of the data set, where the source says it."""
    epochs: tuple[Epoch, ...] = ()
    series: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    created: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()
    """What could not be read, in words."""
    last_word: str = ""
    """How the source says that this training is over (`epoch 3 of 3`); empty while it does not."""
    number: int = 1
    """Which of several trainings in one source it is."""
    places: Mapping[int, float] = field(default_factory=dict)
    """Step → epoch, where the source says so or it follows; in order of steps."""
    numbered: bool = False
    """The source gives no steps: those of `series` only number its lines."""
    total_steps: int | None = None
    """Steps of the whole training, where the source says so."""
    reached: tuple[int | None, float | None] = (None, None)
    """Step and epoch to which the source reaches."""
    recognised: str = ""
    """What the source was taken for, in words."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """rmtui's name of a metric → what it is called in the source."""
    unused: tuple[str, ...] = ()
    """Keys of the source that were not read."""


MOST_POINTS, MOST_EVALUATIONS = 50_000, 200_000
"""Points kept of a curve of the training, and of evaluations; of longer ones every second, fourth, … is."""
MOST_IN_ALL = 2_000_000
"""Points kept of all curves of one training."""


@dataclass(slots=True)
class RecordedCurve:
    """One figure's values by step, in the source's order."""

    points: list[Point] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, point: Point, thin: bool) -> None:
        self.seen += 1
        if self.seen % self.every:
            return
        self.points.append(point)
        if len(self.points) >= (MOST_POINTS if thin else MOST_EVALUATIONS):
            self.halve()

    def halve(self) -> None:
        """Keep every second point, of those to come as well."""
        self.points = self.points[1::2]
        self.every *= 2

    def cut(self, step: float) -> None:
        """Forget what was said from a step on."""
        while self.points and self.points[-1][0] >= step:
            self.points.pop()


def thinned(curves: Iterable[RecordedCurve]) -> Iterator[str]:
    """In words which share of long curves was kept."""
    long = [curve for curve in curves if curve.every > 1]
    if long:
        seen, every = max(curve.seen for curve in long), max(curve.every for curve in long)
        yield f"of curves of {seen:,} points 1 in {every} is kept"


class PerCent(float):
    """A figure written with its sign, `71 %`; it is 71."""
