"""Logs that no known program wrote: the guide's `Epoch 2: train_loss=0.67, val_loss=0.61, val_acc=71%` and variants.

Separators, order, per cent or fraction, clock times and progress bars around the figures do not matter; losses may
stand on lines of their own after the `Epoch` line, or before it (`log_order`), or in a table by epoch (`log_tables`).
A figure is of the validation only where its name, its line or a heading over it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from rmtui.errors import UserError
from rmtui.importers.accuracy_scales import AccuraciesOfLines
from rmtui.importers.ensembles import Members
from rmtui.importers.log_lines import EPOCH_FIGURES, Figure, LogLine, parse
from rmtui.importers.log_order import LineOrder, LogLayout
from rmtui.importers.log_tables import untabled
from rmtui.importers.metric_names import (
    FROM_TEST,
    KNOWN,
    VALIDATION_METRICS,
    MetricName,
    Split,
    is_bare,
    of_set,
    speaks_of_training,
)
from rmtui.importers.model import MOST_EVALUATIONS, Foreign, RecordedCurve, thinned
from rmtui.importers.training import LogOrigin
from rmtui.runs.model import Epoch

_MOST_UNREAD = 100


@dataclass(slots=True)
class _Segment:
    """Figures between a start of the training and the next."""

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    series: dict[str, RecordedCurve] = field(default_factory=dict)
    total: int | None = None
    current: int | None = None
    place: float | None = None
    """The epoch as the log last wrote it: 1.3 lies inside the second."""
    step: int | None = None
    """The last step, counted over all epochs."""
    base: int = 0
    """Steps of the epochs before, in a log that counts each epoch's from the beginning."""
    step_place: float | None = None
    """The epoch in which the last step was written."""
    bare: dict[int, set[float]] = field(default_factory=dict)
    """Epoch → losses of which nothing says whose they are."""
    tests: dict[int, dict[str, float]] = field(default_factory=dict)
    """Epoch → figures of a test set, under the validation's names."""
    from_zero: bool = False
    """The log calls its first epoch 0."""
    said_over: bool = False
    """A line after the last epoch says that the training is over."""
    names: dict[str, str] = field(default_factory=dict)
    """Metric → how the log calls it."""
    inside: dict[int, dict[str, float]] = field(default_factory=dict)
    """Epoch → figures of its last evaluation that a step's line gave: the epoch's, where no line of its own says."""
    ends: dict[int, int] = field(default_factory=dict)
    """Epoch → the last step before the line with its figures."""
    every: int = 1
    """Of so many epochs one is kept."""
    unread: dict[str, None] = field(default_factory=dict)
    """Names that were not read, in the order of their coming."""

    @property
    def begun(self) -> bool:
        """Whether anything was read of it."""
        return bool(self.epochs or self.inside or self.series)

    def keeps(self, epoch: int) -> bool:
        """Whether an epoch's figures are kept; of very many every second, fourth … is."""
        by_epoch: tuple[dict[int, Any], ...] = self.epochs, self.bare, self.tests, self.inside, self.ends
        if max(map(len, by_epoch)) > MOST_EVALUATIONS:
            self.every *= 2
            for held in by_epoch:
                for left_out in [at for at in held if at % self.every]:
                    del held[left_out]
        return epoch % self.every == 0


def read_generic(origin: LogOrigin, text: Callable[[], Iterable[str]]) -> list[Foreign]:
    """Every run in one log; `text` gives its lines, twice if need be. UserError where its figures cannot be placed."""
    members = Members()
    try:
        parted = [_PartOfLog(*_read(origin, lambda: members.watch(_parse_lines(text()))))]
    except UserError:
        if not members.labels:
            raise
    if members.labels:
        parted = list(_of_members(origin, members, text))
    of = sum(len(part.segments) for part in parted)
    runs: list[Foreign] = []
    for part in parted:
        for place, segment in enumerate(part.segments, 1):
            last = place == len(part.segments) if members.in_turn else len(runs) + 1 == of
            runs.append(_run(origin, segment, (len(runs) + 1, of, last), part.notes))
    return runs


class _PartOfLog(NamedTuple):
    """Trainings of a log, and in words what of them was not read."""

    segments: list[_Segment]
    notes: list[str]


def _of_members(origin: LogOrigin, members: Members, text: Callable[[], Iterable[str]]) -> Iterator[_PartOfLog]:
    """What the log says of each member of an ensemble, or of each fold."""
    labels = members.labels
    for label in labels:
        segments, notes = _read(origin, partial(_lines_of, members, label, text))
        notes.append(f"the log has {len(labels)} members or folds, each a run of its own: this is {label}")
        if members.of_all:
            notes.append(_ignored(members.of_all, "of all members together, or no member is named"))
        yield _PartOfLog(segments, notes)


def _lines_of(members: Members, label: str, text: Callable[[], Iterable[str]]) -> Iterator[LogLine]:
    return members.of(label, _parse_lines(text()))


def _read(origin: LogOrigin, lines: Callable[[], Iterable[LogLine]]) -> tuple[list[_Segment], list[str]]:
    """The trainings in a log's lines, and in words what of them was not read."""
    layout, accuracies = LogLayout(), AccuraciesOfLines()
    segments, notes = _segments(accuracies.read(layout.watch(lines())), LineOrder.AFTER)
    if (order := layout.order()) is not LineOrder.AFTER or accuracies.mixed:
        segments, notes = _segments(accuracies.read(lines(), known=True), order)
    notes = [*accuracies.left_out.notes(), *notes]
    if order is LineOrder.AFTER and segments and layout.before:
        notes.append(_ignored(layout.before, "written before the first epoch line"))
    if not segments and notes:
        raise UserError(f"cannot read {origin.path}", "; ".join(notes), "put the epoch on every line that has metrics")
    return segments, notes


def _run(origin: LogOrigin, segment: _Segment, place: tuple[int, int, bool], notes: list[str]) -> Foreign:
    """`place`: its number, of how many, and whether no other training follows it."""
    number, of, last = place
    over = _finished_because(segment) if last else "another training follows"
    numbered = segment.step is None
    epochs = tuple(Epoch(epoch, **segment.epochs[epoch]) for epoch in sorted(segment.epochs))  # type: ignore[arg-type]
    series = {name: curve.points for name, curve in segment.series.items()}
    places = {int(point[0]): point[0] for points in series.values() for point in points} if numbered else _ends(segment)
    notes = [*notes, *thinned(segment.series.values())]
    if segment.every > 1:
        notes.append(f"of the epochs 1 in {segment.every} is kept")
    return Foreign(
        name=origin.name if of == 1 else f"{origin.name}-{number}",
        origin=origin.path,
        kind=origin.kind,
        identity=f"{origin.digest}:{number}",
        config={"num_epochs": segment.total} if segment.total else {},
        epochs=epochs,
        series=series,
        created=origin.changed,
        ended=origin.changed if over else None,
        notes=tuple(notes),
        last_word=over,
        number=number,
        places=dict(sorted(places.items())),
        numbered=numbered,
        recognised=origin.recognised,
        sources={name: written for name, written in segment.names.items() if name != written},
        unused=tuple(segment.unread),
    )


def _ends(segment: _Segment) -> dict[int, float]:
    """Step → epoch at the ends of epochs, where the log says them in order."""
    ends = sorted(segment.ends.items())
    in_order = all(step < later for (_, step), (_, later) in pairwise(ends))
    return {step: float(epoch) for epoch, step in ends} if in_order else {}


def _finished_because(segment: _Segment) -> str:
    """Of epochs that were announced as so many, the last one is there, with all figures that the one before it has."""
    if segment.said_over:
        return "the log says so"
    total = segment.total
    if total is None or segment.current != total:
        return ""
    wanted = segment.epochs.get(total - 1, {"val_loss": 0.0}).keys()
    return f"epoch {total} of {total}" if wanted <= segment.epochs.get(total, {}).keys() else ""


def _segments(lines: Iterable[LogLine], order: LineOrder) -> tuple[list[_Segment], list[str]]:
    """A first epoch after later ones begins a new run; any other repeat is a resume, and its figures count."""
    segments = [_Segment()]
    lost = 0
    waiting: dict[str, Figure] = {}
    for line in lines:
        if order is not LineOrder.AFTER and line.epoch is None and line.step is None:
            waiting |= {figure.written: figure for figure in line.figures}
            line = replace(line, figures=())
        elif waiting and line.epoch is not None and not line.best:
            sure = order is LineOrder.BEFORE or segments[-1].place == float(line.epoch)
            line = replace(line, figures=(*(waiting.values() if sure else ()), *line.figures))
            lost, waiting = lost + (0 if sure else _count(waiting.values())), {}
        if line.epoch is not None and not _enter(segments, line, line.epoch):
            continue
        _note(segments[-1], line, order)
        for name in line.unread:
            if len(segments[-1].unread) < _MOST_UNREAD:
                segments[-1].unread[name] = None
        segments[-1].said_over |= line.over
    for segment in segments:
        _settle(segment)
    kept = [segment for segment in segments if segment.begun]
    return kept, list(_notes(lost + _count(waiting.values()), order))


def _count(figures: Iterable[Figure]) -> int:
    return sum(figure.name in EPOCH_FIGURES for figure in figures)


def _notes(lost: int, order: LineOrder) -> Iterator[str]:
    if lost and order is LineOrder.BEFORE:
        yield _ignored(lost, "written after the last epoch line, where this log writes them before it")
    elif lost:
        yield _ignored(lost, "unclear whether they belong to the epoch line before or after them")


def _ignored(number: int, why: str) -> str:
    return f"1 value was ignored: {why}" if number == 1 else f"{number} values were ignored: {why}"


def _enter(segments: list[_Segment], line: LogLine, text: str) -> bool:
    """Go to the epoch that a line announces; False where it only looks back."""
    last = segments[-1]
    from_zero = last.from_zero or (text == "0" and (not line.quoted or line.summary))
    place = float(text)
    number = _epoch_number(place, from_zero, line.quoted)
    if line.best and last.current is not None and number < last.current:
        return False
    if number > 1 and len(segments) > 1 and not last.begun:
        segments.pop()  # "no improvement since epoch 1" began no training
        last = segments[-1]
    back = last.place is not None and place < last.place
    again = last.place == place and _repeats(last.epochs.get(1, {}), line.figures)
    if number <= 1 and (last.epochs or last.inside) and (back or again):
        last = _Segment()
        segments.append(last)
    last.current, last.place, last.from_zero = number, place, from_zero
    last.total, last.said_over = line.total or last.total, False
    return True


def _epoch_number(epoch: float, from_zero: bool, quoted: bool) -> int:
    """`2` and `2.0` are the end of epoch 2, `1.3` lies inside it; a Trainer's `"epoch": 0` lies before the first."""
    if from_zero or epoch != int(epoch):
        return int(epoch) + 1
    return int(epoch) if quoted else max(1, int(epoch))


def _repeats(known: dict[str, float], figures: Iterable[Figure]) -> bool:
    """The line says again, with another value, what this epoch already has."""
    return any(one.name in known and known[one.name] != one.value for one in figures if not one.bare)


def _note(segment: _Segment, line: LogLine, order: LineOrder) -> None:
    """Put a line's figures where they belong."""
    within = order is not LineOrder.AFTER and line.epoch is None  # the epoch that a step lies in has no line yet
    step = None if line.step is None else _count_step(segment, line.step)
    for figure in line.figures:
        value = figure.value
        of_step = step is not None and (within or (figure.bare and figure.split is None))
        if segment.current is not None and segment.current >= 1 and not of_step:
            _set(segment, segment.current, figure, value, of_epoch=step is None)
        if step is not None:
            _add(segment, figure.written if of_step and figure.name in EPOCH_FIGURES else figure.name, step, value)
        elif segment.step is not None and (figure.name in VALIDATION_METRICS or _only_there(segment, figure)):
            _add(segment, figure.name, segment.step, value)  # an evaluation lies at the last step before it
        segment.names.setdefault(figure.name, MetricName(figure.spelled, figure.split).shown)


def _only_there(segment: _Segment, figure: Figure) -> bool:
    """A figure of pairs with a name of their own, in a log that has named no epoch."""
    return segment.current is None and figure.name not in KNOWN


def _count_step(segment: _Segment, written: int) -> int:
    """A line's step over all epochs: one that goes back as the epoch goes on is counted within its epoch."""
    last, before, now = segment.step, segment.step_place, segment.place
    if last is not None and before is not None and now is not None and now > before and segment.base + written <= last:
        segment.base = last
    segment.step, segment.step_place = segment.base + written, segment.place
    return segment.step


def _set(segment: _Segment, epoch: int, figure: Figure, value: float, of_epoch: bool) -> None:
    """A figure of an epoch; `of_epoch`: it is no step's besides."""
    if figure.name != "loss" and figure.name not in EPOCH_FIGURES and figure.name not in FROM_TEST:
        if of_epoch:
            _add(segment, figure.name, segment.step or epoch, value)
    elif not segment.keeps(epoch):
        return
    elif figure.name in EPOCH_FIGURES and not of_epoch:
        segment.inside.setdefault(epoch, {})[figure.name] = value
    elif figure.name in EPOCH_FIGURES:
        segment.epochs.setdefault(epoch, {})[figure.name] = value
        if segment.step is not None:
            segment.ends[epoch] = segment.step
    elif figure.name in FROM_TEST:
        segment.tests.setdefault(epoch, {})[FROM_TEST[figure.name]] = value
    elif not of_epoch:
        return
    elif figure.split is Split.TRAIN:
        segment.epochs.setdefault(epoch, {})["train_loss"] = value
    else:
        segment.bare.setdefault(epoch, set()).add(value)


def _add(segment: _Segment, name: str, step: int, value: float) -> None:
    thin = name not in VALIDATION_METRICS
    segment.series.setdefault(name, RecordedCurve()).add((float(step), value, None), thin)


def _settle(segment: _Segment) -> None:
    """What only the whole log decides: a lone loss of an epoch is the training's, a lone test set the validation."""
    for epoch, held in segment.inside.items():
        segment.epochs[epoch] = {**held, **segment.epochs.get(epoch, {})}
    for epoch, losses in segment.bare.items():
        if len(losses) == 1:
            segment.epochs.setdefault(epoch, {}).setdefault("train_loss", *losses)
    _call_bare(segment)
    validated = any(name in held for held in segment.epochs.values() for name in VALIDATION_METRICS)
    for epoch, held in segment.tests.items():
        for name, value in held.items():
            if not validated:
                segment.epochs.setdefault(epoch, {}).setdefault(name, value)
                segment.names[name] = name.replace("val_", "test_")


def _call_bare(segment: _Segment) -> None:
    """In a log without a word of training an accuracy of nobody's pairs keeps its own name."""
    if speaks_of_training((*segment.series, *(name for held in segment.epochs.values() for name in held))):
        return
    for name in list(segment.series):
        written = segment.names.get(name, name)
        if is_bare(MetricName(written), name) and written not in segment.series:
            segment.series[written] = segment.series.pop(name)
            del segment.names[name]


def _parse_lines(text: Iterable[str]) -> Iterator[LogLine]:
    """What the log says, line by line; figures below a heading (`Validation:`) are of the pairs that it names."""
    heading: Split | None = None
    sets: dict[str, str] = {}
    for line in map(parse, untabled(text)):
        if line.heading or line.epoch is not None or line.step is not None:
            heading = line.heading
        if heading and line.figures:
            line = replace(line, figures=tuple(figure.under(heading) for figure in line.figures))
        if any(figure.of or figure.name in VALIDATION_METRICS for figure in line.figures):
            line = replace(line, figures=tuple(_of_first_set(figure, sets) for figure in line.figures))
        yield line


_SPLIT_METRICS = frozenset((*VALIDATION_METRICS, *FROM_TEST, "train_acc", "train_margin"))


def _of_first_set(figure: Figure, sets: dict[str, str]) -> Figure:
    """Of several validation sets the first one is the validation; `sets`: metric → the one that holds it."""
    if not figure.of:
        sets[figure.name] = ""  # all pairs together
    elif figure.name in _SPLIT_METRICS and sets.setdefault(figure.name, figure.of) != figure.of:
        return replace(figure, name=of_set(figure.of, figure.written, figure.split if figure.bare else None))
    return figure
