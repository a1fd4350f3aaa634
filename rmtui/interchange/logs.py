"""Training logs in the guide's format: `Epoch 2: train_loss=0.67, val_loss=0.61, val_acc=71%` and its usual variants.

Separators, order, per cent or fraction, clock times and progress bars around the figures do not matter; losses may
stand on lines of their own after the `Epoch` line. Rotated files (`x.log.2.gz`, `x.log.1`, `x.log`) are one log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmtui.interchange.facts import LOOSE, METRIC_NAMES, Foreign, Point, canonical, fraction
from rmtui.interchange.text import identity, lines
from rmtui.records.facts import Epoch

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf|-inf"
_ALIASES = sorted((alias for aliases in METRIC_NAMES.values() for alias in aliases), key=len, reverse=True)
_NAMES = "|".join(re.escape(alias) for alias in _ALIASES)
_EPOCH = re.compile(
    r"""(?<!\w)(["']?)epoch["']?\s*[:=#]?\s*\[?\s*(\d+(?:\.\d+)?)(?:\s*(?:/|of)\s*(\d+))?""", re.IGNORECASE
)
_FIGURE = re.compile(
    rf"""(?<![\w/])["']?({_NAMES})["']?\s*(?:[:=]|is|→|->)?\s*["']?({_NUMBER})["']?\s*(%)?(?![\w.])""", re.IGNORECASE
)
_STEP = re.compile(r"""(?<![\w])["']?(?:global_)?step["']?\s*[:=]?\s*\[?(\d+)""", re.IGNORECASE)
_ROTATED = re.compile(r"\.log(?:[.-](\d+))?(?:\.gz)?$")

_NAMED = re.compile(r"(.+?)_\d|([^_]+)_")
"""The name of a data set before the time at which a launch script started, or before whatever it put there."""

_Figure = tuple[str, float, bool, str]
"""(metric, value as written, followed by a per cent sign, its name in the log)."""

EPOCH_FIGURES = ("train_loss", "val_loss", "val_acc", "reward_margin")


@dataclass(slots=True)
class _Segment:
    """Figures between a start of the training and the next."""

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)
    total: int | None = None
    current: int | None = None
    from_zero: bool = False
    """The log calls its first epoch 0."""
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


def _age(path: Path) -> int:
    match = _ROTATED.search(path.name)
    return int(match.group(1) or 0) if match else 0


def read_logs(parts: Sequence[Path]) -> list[Foreign]:
    """Every run in one log, given as its rotated parts, oldest first."""
    segments, notes = _segments(line for path in parts for line in lines(path))
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
        )
        for number, segment in enumerate(segments, 1)
    ]


def _data_set(path: Path, base: str) -> str | None:
    """The guide's launch script writes logs/training/rm/DATA_….log; elsewhere a log's name says nothing of its data."""
    match = _NAMED.match(base)
    if match is None or path.resolve().parts[-3:-1] != ("training", "rm"):
        return None
    return match.group(1) or match.group(2)


def _segments(text: Iterator[str]) -> tuple[list[_Segment], list[str]]:
    """A first epoch after later ones begins a new run; any other repeat is a resume, and its figures count."""
    segments = [_Segment()]
    unread = 0
    for line in text:
        announced = _EPOCH.search(line)
        figures = list(_figures(line))
        if announced:
            _enter(segments, announced, figures)
        unread += _note(segments[-1], line, figures, announced is not None)
    kept = [segment for segment in segments if segment.epochs or segment.series]
    notes = [f"{unread} figures outside 0–1 were given as an accuracy and left out"] if unread else []
    return kept, notes


def _enter(segments: list[_Segment], announced: re.Match[str], figures: list[_Figure]) -> None:
    quote, text, total = announced.groups()
    last = segments[-1]
    from_zero = last.from_zero or (text == "0" and not quote)
    number = _epoch_number(text, from_zero)
    restarted = number == 1 and last.current is not None and bool(last.epochs)
    if restarted and (last.current != 1 or _repeats(last.epochs.get(1, {}), figures)):
        last = _Segment()
        segments.append(last)
    last.current, last.from_zero = number, from_zero
    if total:
        last.total = int(total)


def _epoch_number(text: str, from_zero: bool) -> int:
    """`2` and `2.0` are the end of epoch 2, `1.3` lies inside it."""
    epoch = float(text)
    if from_zero or epoch != int(epoch):
        return int(epoch) + 1
    return max(1, int(epoch))


def _repeats(known: dict[str, float], figures: list[_Figure]) -> bool:
    """The line says again, with another value, what this epoch already has."""
    return any(name in known and known[name] != value for name, value, _, written in figures if written not in LOOSE)


def _figures(line: str) -> Iterator[_Figure]:
    for match in _FIGURE.finditer(line):
        yield canonical(match.group(1)), float(match.group(2)), bool(match.group(3)), match.group(1).lower()


def _note(segment: _Segment, line: str, figures: list[_Figure], epoch_line: bool) -> int:
    """Put a line's figures where they belong; returns how many accuracies made no sense."""
    bad = 0
    step = _STEP.search(line)
    for name, value, percent, written in figures:
        if name == "val_acc":
            share = fraction(value, percent)
            if share is None:
                bad += 1
                continue
            value = share
        of_step = step is not None and written in LOOSE
        if name in EPOCH_FIGURES and segment.current is not None and not of_step:
            _set(segment, segment.current, name, value, written in LOOSE)
        elif step:
            shown = written if of_step else name
            segment.series.setdefault(shown, []).append((float(step.group(1)), value, None))
    return bad


def _set(segment: _Segment, epoch: int, name: str, value: float, loose: bool) -> None:
    """An epoch's figure; `acc` never stands in for a `val_acc` that the log has said."""
    held = segment.epochs.setdefault(epoch, {})
    if loose and name in held and (epoch, name) not in segment.loose:
        return
    held[name] = value
    (segment.loose.add if loose else segment.loose.discard)((epoch, name))
