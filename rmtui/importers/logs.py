"""Training logs in the guide's format: `Epoch 2: train_loss=0.67, val_loss=0.61, val_acc=71%` and its usual variants.

Separators, order, per cent or fraction, clock times and progress bars around the figures do not matter; losses may
stand on lines of their own after the `Epoch` line, or before it (`order`), or in a table by epoch (`logtables`).
Rotated files (`x.log.2.gz`, `x.log.1`, `x.log`) are one log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.epochs import mean_losses
from rmtui.importers.log_lines import EPOCH_FIGURES, Figure, LogLine, parse, rank_of
from rmtui.importers.log_order import LineOrder, LogLayout
from rmtui.importers.log_tables import untabled
from rmtui.importers.model import Foreign, Point, fraction
from rmtui.importers.text_files import identity, lines
from rmtui.runs.model import Epoch

_ROTATED = re.compile(r"\.log(?:[.-](\d+))?(?:\.gz)?$")

_DATE = 19000000
"""A rotated part's number from here on is a date."""

_NAMED = re.compile(r"(.+?)_\d|([^_]+)_")
"""The name of a data set before the time at which a launch script started, or before whatever it put there."""


@dataclass(slots=True)
class _Segment:
    """Figures between a start of the training and the next."""

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)
    total: int | None = None
    current: int | None = None
    place: float | None = None
    """The epoch as the log last wrote it: 1.3 lies inside the second."""
    logged: list[tuple[float, float]] = field(default_factory=list)
    """(place, loss) that a Trainer printed on the way."""
    from_zero: bool = False
    """The log calls its first epoch 0."""
    said_over: bool = False
    """A line after the last epoch says that the training is over."""
    loose: set[tuple[int, str]] = field(default_factory=set)
    """(epoch, figure) that only a loose name has given so far: `acc`, not `val_acc`."""


def is_log(path: Path) -> bool:
    """Named like a log, rotated or packed or not."""
    return bool(_ROTATED.search(path.name)) or path.suffix in (".log", ".out", ".txt")


def families(paths: Iterable[Path]) -> list[list[Path]]:
    """Log files that belong together: the rotated parts of one log, oldest first."""
    families: dict[Path, list[Path]] = {}
    for path in sorted(paths):
        stem = path.with_name(_ROTATED.sub(".log", path.name))
        families.setdefault(stem, []).append(path)
    return [sorted(parts, key=_age, reverse=True) for parts in families.values()]


def _age(path: Path) -> float:
    """Parts are numbered from the newest; dates (`x.log-20260131`) grow towards it."""
    match = _ROTATED.search(path.name)
    number = int(match.group(1) or 0) if match else 0
    return _DATE / number if number >= _DATE else number


def read_logs(parts: Sequence[Path]) -> list[Foreign]:
    """Every run in one log, given as its rotated parts, oldest first. UserError where its figures cannot be placed."""
    layout = LogLayout()
    segments, notes = _segments(layout.watch(_parse_lines(parts)), LineOrder.AFTER)
    if (order := layout.order()) is not LineOrder.AFTER:
        segments, notes = _segments(_parse_lines(parts), order)
    elif segments and layout.before:
        notes.append(f"{_figures(layout.before)} left out: they stand before the first line of an epoch")
    if not segments and notes:
        raise UserError(f"cannot read {parts[-1]}", "; ".join(notes), "write the epoch into each line of figures")
    base = _ROTATED.sub("", parts[-1].name)
    digest = identity(*parts)
    changed = parts[-1].stat().st_mtime
    return [
        Foreign(
            name=base if len(segments) == 1 else f"{base}-{number}",
            origin=parts[-1],
            kind="guide-log",
            identity=f"{digest}:{number}",
            data=_data_set(parts[-1], base),
            config={"num_epochs": segment.total} if segment.total else {},
            epochs=tuple(Epoch(epoch, **segment.epochs[epoch]) for epoch in sorted(segment.epochs)),  # type: ignore[arg-type]
            series=segment.series,
            created=changed,
            ended=changed,
            notes=tuple(notes),
            last_word="another one follows in the log" if number < len(segments) else _finished_because(segment),
        )
        for number, segment in enumerate(segments, 1)
    ]


def _finished_because(segment: _Segment) -> str:
    """Of epochs that were announced as so many, the last one is there, with all figures that the one before it has."""
    if segment.said_over:
        return "the log says so"
    total = segment.total
    if total is None or segment.current != total:
        return ""
    wanted = segment.epochs.get(total - 1, {"val_loss": 0.0}).keys()
    return f"epoch {total} of {total}" if wanted <= segment.epochs.get(total, {}).keys() else ""


def _data_set(path: Path, base: str) -> str | None:
    """The guide's launch script writes logs/training/rm/DATA_….log; elsewhere a log's name says nothing of its data."""
    match = _NAMED.match(base)
    if match is None or path.resolve().parts[-3:-1] != ("training", "rm"):
        return None
    return match.group(1) or match.group(2)


def _parse_lines(parts: Sequence[Path]) -> Iterator[LogLine]:
    """What the log says, line by line."""
    return map(parse, _of_one_rank(untabled(line for path in parts for line in lines(path))))


def _segments(lines: Iterable[LogLine], order: LineOrder) -> tuple[list[_Segment], list[str]]:
    """A first epoch after later ones begins a new run; any other repeat is a resume, and its figures count."""
    segments = [_Segment()]
    unread = lost = 0
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
        unread += _note(segments[-1], line, order)
        segments[-1].said_over |= line.over
    for segment in segments:
        _trainer_means(segment)
    kept = [segment for segment in segments if segment.epochs or segment.series]
    return kept, list(_notes(unread, lost + _count(waiting.values()), order))


def _count(figures: Iterable[Figure]) -> int:
    return sum(figure.name in EPOCH_FIGURES for figure in figures)


def _notes(unread: int, lost: int, order: LineOrder) -> Iterator[str]:
    if unread:
        yield f"{_figures(unread)} left out: given as an accuracy, and outside 0–1"
    if lost and order is LineOrder.BEFORE:
        yield f"{_figures(lost)} left out: after the last line of an epoch, and in this log they stand before it"
    elif lost:
        yield f"{_figures(lost)} left out: nothing says whether their epoch stands before or after them"


def _figures(number: int) -> str:
    return "1 figure was" if number == 1 else f"{number} figures were"


def _of_one_rank(text: Iterable[str]) -> Iterator[str]:
    """The lines of the process that spoke first, where lines say whose they are: each rank has its own train_loss."""
    first = None
    for line in text:
        rank = rank_of(line)
        first = rank if first is None else first
        if rank is None or rank == first:
            yield line


def _enter(segments: list[_Segment], line: LogLine, text: str) -> bool:
    """Go to the epoch that a line announces; False where it only looks back."""
    last = segments[-1]
    from_zero = last.from_zero or (text == "0" and (not line.quoted or line.summary))
    place = float(text)
    number = _epoch_number(place, from_zero, line.quoted)
    if line.best and last.current is not None and number < last.current:
        return False
    if number > 1 and len(segments) > 1 and not last.epochs and not last.series:
        segments.pop()  # "no improvement since epoch 1" began no training
        last = segments[-1]
    back = last.place is not None and place < last.place
    again = last.place == place and _repeats(last.epochs.get(1, {}), line.figures)
    if number <= 1 and last.epochs and (back or again):
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
    return any(metric.name in known and known[metric.name] != metric.value for metric in figures if not metric.loose)


def _note(segment: _Segment, line: LogLine, order: LineOrder) -> int:
    """Put a line's figures where they belong; returns how many accuracies made no sense."""
    within = order is not LineOrder.AFTER and line.epoch is None  # the epoch that a step lies in has no line yet
    bad = 0
    for metric in line.figures:
        value: float | None = metric.value
        if metric.name == "val_acc":
            value = fraction(metric.value, metric.percent)
        of_step = line.step is not None and (metric.loose or within)
        if value is None:
            bad += 1
        elif metric.name in EPOCH_FIGURES and segment.current is not None and not of_step:
            _set(segment, segment.current, metric.name, value, metric.loose)
        elif line.step is not None:
            shown = metric.written if of_step else metric.name
            segment.series.setdefault(shown, []).append((float(line.step), value, None))
        elif metric.name == "loss" and line.quoted and segment.place is not None:
            segment.logged.append((segment.place, value))
    return bad


def _set(segment: _Segment, epoch: int, name: str, value: float, loose: bool) -> None:
    """An epoch's figure; `acc` never stands in for a `val_acc` that the log has said."""
    if epoch < 1:
        return
    held = segment.epochs.setdefault(epoch, {})
    if loose and name in held and (epoch, name) not in segment.loose:
        return
    held[name] = value
    (segment.loose.add if loose else segment.loose.discard)((epoch, name))


def _trainer_means(segment: _Segment) -> None:
    """A Trainer logs losses on the way: an epoch's train_loss is their mean where the log does not say it."""
    for epoch, loss in mean_losses(segment.logged):
        if epoch in segment.epochs:
            segment.epochs[epoch].setdefault("train_loss", loss)
