"""From rows to runs: where each row lies, where one training ends and the next begins, what each epoch came to.

Places are what the source says. Where it gives no steps, rows are numbered in their order, and the run says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rmtui.importers.accuracy_scales import LeftOut, shares
from rmtui.importers.dictionary_rows import EPOCHS, STEPS
from rmtui.importers.epoch_ends import FIGURES, EpochEnds, mean_losses, rows_to_epochs
from rmtui.importers.epoch_labels import passes
from rmtui.importers.metric_names import (
    ACCURACIES,
    VALIDATION_METRICS,
    MetricName,
    Split,
    names_of,
    sources_of,
    split_in,
)
from rmtui.importers.model import (
    MOST_EVALUATIONS,
    MOST_IN_ALL,
    MOST_POINTS,
    Foreign,
    Point,
    RecordedCurve,
    thinned,
)
from rmtui.importers.source_rows import Said, SourceRow
from rmtui.runs.epoch_places import epoch_at
from rmtui.runs.model import Epoch


class _Kind(NamedTuple):
    """What a name, in a section, means for how its values are kept."""

    name: MetricName
    evaluated: bool
    """Of a validation or test set."""


@dataclass(slots=True)
class OneTraining:
    """One training while its rows come in."""

    said: Said = field(default_factory=Said)
    curves: dict[MetricName, RecordedCurve] = field(default_factory=dict)
    places: dict[int, float] = field(default_factory=dict)
    """Step → epoch, in order of steps, where the source says both or the steps are numbered here."""
    evaluated: set[int] = field(default_factory=set)
    """Steps with metrics of a validation or test set."""
    numbered: bool = False
    """The source gives no steps: rows are numbered."""
    begun: SourceRow | None = None
    """The first row that lies beyond the start."""
    step: float | None = None
    epoch: float | None = None
    ours: bool = False
    """The source is rmtui's own: its names are kept."""
    whole: bool = False
    """The source is one history without resumes: an earlier step after a later one supersedes nothing."""
    _kinds: dict[tuple[str, Split | None], _Kind] = field(default_factory=dict)
    _kept: int = 0
    """Points of all curves, at most: what a resume takes away is not counted off."""

    def begins_anew(self, row: SourceRow) -> bool:
        """Whether a row is another training's: step and epoch, as far as both are known, go back to the beginning."""
        if self.begun is None or (row.step is not None and self.step is not None and row.step >= self.step):
            return False
        places = ((row.step, self.step, self.begun.step), (row.epoch, self.epoch, self.begun.epoch))
        back = [
            new < last and (new <= first or bool(self.said.over))
            for new, last, first in places
            if new is not None and last is not None and first is not None
        ]
        return bool(back) and all(back)

    def take(self, row: SourceRow) -> None:
        """Put a row's figures where they belong."""
        step = self._step(row)
        if (
            self.step is not None and step < self.step and not self.whole
        ):  # a resume: what was said of later places no longer counts
            self._cut(step)
        self.step = step
        epoch = row.epoch
        if epoch is None and row.step is not None and self.said.steps_per_epoch:
            epoch = row.step / self.said.steps_per_epoch
        if epoch is not None:
            self.epoch = epoch
            self._keep_place(int(step), epoch, row)
        if self.begun is None and (row.step or row.epoch):
            self.begun = row
        for written, value in row.figures.items():
            self.note(written, row.split, (step, value, row.time))

    def _keep_place(self, step: int, epoch: float, row: SourceRow) -> None:
        """Of very many places some are enough, as epochs grow in step with steps; those of evaluations are all kept."""
        self.places[step] = epoch
        if any(self._kind(written, row.split).evaluated for written in row.figures):
            self.evaluated.add(step)
        if len(self.places) >= 2 * MOST_POINTS + len(self.evaluated):
            if len(self.evaluated) > MOST_EVALUATIONS:
                self.evaluated = set(sorted(self.evaluated)[1::2])
            kept = set(list(self.places)[1::2]) | self.evaluated
            self.places = {at: place for at, place in self.places.items() if at in kept}

    def _step(self, row: SourceRow) -> float:
        if row.step is not None:
            self.numbered = False
            return row.step
        if row.epoch is not None and self.said.steps_per_epoch:
            return float(round(row.epoch * self.said.steps_per_epoch))
        if self.step is not None and not self.numbered:
            return self.step
        self.numbered = True
        return self._next_number(row)

    def _next_number(self, row: SourceRow) -> float:
        """Rows at one place share a number; an evaluation lies where the last row did."""
        last = self.step or 0.0
        if row.epoch is None:
            evaluated = all(self._kind(written, row.split).evaluated for written in row.figures)
            return last if row.figures and evaluated else last + 1
        if self.epoch is not None and row.epoch < self.epoch:
            return next((float(step) for step, epoch in self.places.items() if epoch >= row.epoch), last)
        if row.epoch == self.epoch or (self.step is None and row.epoch == 0):
            return last
        return last + 1

    def _cut(self, step: float) -> None:
        for curve in self.curves.values():
            curve.cut(step)
        self.places = {at: epoch for at, epoch in self.places.items() if at < step}

    def note(self, written: str, split: Split | None, point: Point) -> None:
        """Add a metric's value as the source writes it."""
        kind = self._kind(written, split)
        curve = self.curves.get(kind.name)
        if curve is None:
            curve = self.curves[kind.name] = RecordedCurve()
        curve.add(point, thin=not kind.evaluated)
        self._kept += 1
        if self._kept > MOST_IN_ALL:
            self._thin()

    def _kind(self, written: str, split: Split | None) -> _Kind:
        found = self._kinds.get((written, split))
        if found is None:
            name = MetricName(written, None if split_in(written) else split)
            found = self._kinds[written, split] = _Kind(name, _is_evaluated(name))
        return found

    def _thin(self) -> None:
        """The longest curves give up points until all of them are few enough."""
        curves = sorted(self.curves.values(), key=lambda curve: len(curve.points), reverse=True)
        self._kept = sum(len(curve.points) for curve in curves)
        for curve in curves:
            if self._kept <= MOST_IN_ALL // 2:
                break
            self._kept -= len(curve.points) - len(curve.points) // 2
            curve.halve()

    @property
    def empty(self) -> bool:
        return not any(curve.points for curve in self.curves.values())


def _is_evaluated(name: MetricName) -> bool:
    return (split_in(name.written) or name.split) in (Split.VALIDATION, Split.TEST)


def from_points(points: Iterable[tuple[MetricName, Point]], said: Said, ours: bool = False) -> OneTraining:
    """A training whose metrics come point by point under their names, in any order; one of them may be the epoch."""
    training = OneTraining(said, ours=ours)
    epochs = RecordedCurve()
    for name, point in points:
        lower = name.written.lower()
        if lower in EPOCHS and point[1] >= 0:
            epochs.add(point, thin=True)
        if ours or lower not in _PLACES:
            training.note(name.written, name.split, point)
    for curve in training.curves.values():
        curve.points.sort(key=lambda point: point[0])
    training.places = dict(sorted((int(step), epoch) for step, epoch, _ in epochs.points))
    training.step = max((curve.points[-1][0] for curve in training.curves.values() if curve.points), default=None)
    training.epoch = next(reversed(training.places.values()), None)
    return training


_PLACES = frozenset((*EPOCHS, *STEPS))


class Trainings:
    """The trainings that rows tell of, one after the other. `said` is filled by the reader while rows come."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._found = [OneTraining(said)]

    def take(self, row: SourceRow) -> None:
        """The next row: of the training at hand, or the first of another one."""
        if self._found[-1].begins_anew(row):
            self._part()
        self._found[-1].take(row)

    def _part(self) -> None:
        """What was said of the training before is its own, what the source says from here on is not."""
        said = self._said
        self._found[-1].said = Said(**{name: getattr(said, name) for name in Said.__slots__})
        said.over, said.whole_loss, said.unused = "", None, dict(said.unused)
        self._found.append(OneTraining(said))

    def found(self) -> list[OneTraining]:
        """Those with metrics."""
        return [training for training in self._found if not training.empty]


def trainings(rows: Iterable[SourceRow], said: Said) -> list[OneTraining]:
    """The trainings in a source that is read row by row."""
    found = Trainings(said)
    for row in rows:
        found.take(row)
    return found.found()


@dataclass(frozen=True, slots=True)
class LogOrigin:
    """Where rows were read from, as a run's origin says it."""

    path: Path
    kind: str
    name: str
    digest: str
    changed: float
    """When the file was last written, Unix seconds."""
    recognised: str = ""
    """What the source was taken for, in words."""
    means: bool = False
    """Logged losses are means since the line before, as a Trainer writes them."""


def foreign_runs(origin: LogOrigin, found: Sequence[OneTraining], notes: Sequence[str] = ()) -> list[Foreign]:
    """Trainings as runs; of several in one file each carries its number."""
    return [
        foreign(origin, training, number if len(found) > 1 else 0, notes, last=number == len(found))
        for number, training in enumerate(found, 1)
    ]


def foreign(origin: LogOrigin, training: OneTraining, number: int, notes: Sequence[str], last: bool = True) -> Foreign:
    """One training as a run. `number` counts the trainings of one source from 1; 0: it is the only one."""
    names = names_of([name for name, curve in training.curves.items() if curve.points], training.ours)
    _place_steps(training)
    _count_passes(training)
    series, left_out = _series(training, names)
    places = _filled(training, series)
    evaluated = sorted({epoch for step in _evaluated(series) if (epoch := places.get(int(step))) is not None})
    said = training.said
    ends = EpochEnds.of(said, None if training.numbered else training.step, training.epoch, evaluated)
    epochs = rows_to_epochs(_epoch_rows(training, series, places, ends, origin.means))
    num_epochs = said.num_epochs or _implied_epochs(training)
    config = {**said.config, **({"num_epochs": num_epochs} if num_epochs else {})}
    reached = None if training.epoch is None else ends.epoch(training.epoch)
    over = said.over or ("" if last else "another training follows")
    return Foreign(
        name=f"{origin.name}-{number}" if number else origin.name,
        origin=origin.path,
        kind=origin.kind,
        identity=f"{origin.digest}:{number}" if number else origin.digest,
        config=config,
        epochs=epochs,
        series=series,
        created=origin.changed,
        ended=origin.changed if over else None,
        notes=(*notes, *left_out.notes(), *_notes(training, epochs)),
        last_word=over,
        number=number or 1,
        places={step: ends.epoch(epoch) for step, epoch in places.items()},
        numbered=training.numbered,
        total_steps=said.total_steps,
        reached=(None if training.numbered or training.step is None else int(training.step), reached),
        recognised=_recognised(origin, series, len(_evaluated(series))),
        sources=sources_of(names),
        unused=tuple(said.unused),
    )


def _series(training: OneTraining, names: Mapping[MetricName, str]) -> tuple[dict[str, Sequence[Point]], LeftOut]:
    """Each curve under its name, accuracies as 0–1, and what of those was none."""
    left_out = LeftOut()
    series: dict[str, Sequence[Point]] = {}
    for name, found in names.items():
        points = training.curves[name].points
        if points := shares(points, left_out) if found in ACCURACIES else points:
            series[found] = points
    return series, left_out


def _place_steps(training: OneTraining) -> None:
    """Epochs of the steps for which no row gave one, where the source came to say how many steps an epoch has."""
    per_epoch = training.said.steps_per_epoch
    if not per_epoch or training.numbered or training.step is None:
        return
    steps = {int(point[0]) for curve in training.curves.values() for point in curve.points}
    if missing := steps - training.places.keys():
        training.places = dict(sorted({**training.places, **{step: step / per_epoch for step in missing}}.items()))
        training.epoch = max(training.epoch or 0.0, training.step / per_epoch)


def _count_passes(training: OneTraining) -> None:
    """Where the source numbers its epochs instead of counting passes, its places are counted anew."""
    steps: dict[bool, set[int]] = {True: set(), False: set()}
    for name, curve in training.curves.items():
        steps[_is_evaluated(name)].update(int(point[0]) for point in curve.points)
    counted = passes(training.places, steps[False], steps[True], training.numbered)
    if counted != training.places:
        training.places = counted
        training.epoch = max(counted.values(), default=None)


def _implied_epochs(training: OneTraining) -> int | None:
    """Epochs of a whole training of so many steps, from its last step and epoch: epochs grow in step with steps."""
    total, step, epoch = training.said.total_steps, training.step, training.epoch
    if training.numbered or not (total and step and epoch) or len(training.places) < 2:
        return None
    found = total * epoch / step
    error = 0.005 * total / step  # an epoch is often printed with two digits
    return (
        round(found) if error < 0.25 and abs(found - round(found)) <= max(error, 0.02) and round(found) >= 1 else None
    )


def _recognised(origin: LogOrigin, series: Mapping[str, Sequence[Point]], evaluations: int) -> str:
    pairs = origin.kind == "llama-factory" and {"train_acc", "val_acc"} & series.keys()
    stage = " of a training on pairs" if pairs else ""  # its accuracy is of stage rm, dpo or kto alike
    count = f"{evaluations} evaluation{'s' * (evaluations != 1)}" if evaluations else "no evaluation"
    return f"{origin.recognised}{stage}, {count}"


def _evaluated(series: Mapping[str, Sequence[Point]]) -> list[float]:
    return sorted({point[0] for name in VALIDATION_METRICS for point in series.get(name, ())})


def _filled(training: OneTraining, series: Mapping[str, Sequence[Point]]) -> dict[int, float]:
    """Epochs of the evaluations, too, where they follow from the rows around: epochs grow in step with steps."""
    places = dict(sorted(training.places.items()))
    steps = list(places)
    if not steps:
        return {}
    for at in map(int, _evaluated(series)):
        if at not in places and (epoch := epoch_at(at, steps, places)) is not None:
            places[at] = epoch
    return dict(sorted(places.items()))


def _epoch_rows(
    training: OneTraining,
    series: Mapping[str, Sequence[Point]],
    places: Mapping[int, float],
    ends: EpochEnds,
    means: bool,
) -> dict[int, dict[str, float]]:
    """What is said at ends of epochs; an epoch's train_loss may be the mean of the losses logged in it."""
    rows: dict[int, dict[str, float]] = {}
    for name in FIGURES:
        for step, value, _ in series.get(name, ()):
            epoch = places.get(int(step))
            if epoch is not None and (number := ends.end(epoch)) is not None:
                rows.setdefault(number, {})[name] = value
    steps = list(places) if len(places) >= MOST_POINTS else []  # of so many some were left out
    losses = [
        (places.get(int(step), epoch_at(int(step), steps, places)), value) for step, value, _ in series.get("loss", ())
    ]
    placed = [(ends.epoch(epoch), value) for epoch, value in losses if epoch is not None]
    if means and len(placed) == len(losses):
        done = ends.epoch(training.epoch or 0.0)
        for number, loss in mean_losses(placed):
            if number in rows or number <= done:
                rows.setdefault(number, {}).setdefault("train_loss", loss)
    _whole_loss(training, rows)
    return rows


def _whole_loss(training: OneTraining, rows: dict[int, dict[str, float]]) -> None:
    """The mean over a whole training is that of its epoch where it has one epoch."""
    loss = training.said.whole_loss
    if loss is not None and training.epoch is not None and 1 - 0.1 <= training.epoch <= 1:
        rows.setdefault(1, {}).setdefault("train_loss", loss)


def _notes(training: OneTraining, epochs: Sequence[Epoch]) -> Iterator[str]:
    said = training.said
    if said.whole_loss is not None and len(epochs) != 1:
        yield f"train_loss {said.whole_loss:.4f} is the mean over the whole training, not of one epoch"
    if training.numbered and training.curves:
        yield "the source has no steps: its rows are numbered instead"
    yield from thinned(training.curves.values())
