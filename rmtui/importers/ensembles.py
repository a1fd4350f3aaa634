"""Logs of ensembles and of folds, whose lines are of one member each: every member is a training of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rmtui.importers.log_lines import LogLine

_MOST = 100
"""Members beyond this are none."""


@dataclass(slots=True)
class Members:
    """The members that a log's lines speak of, gathered line by line."""

    of_all: int = 0
    """Figures of all members together, or of none that is known, among those that were parted last."""
    _figures: dict[str, int] = field(default_factory=dict)
    """Label → figures under it."""
    _means: dict[str, int] = field(default_factory=dict)
    """Label → lines under it that may be of all members."""
    _inline: bool = False
    """Labels stand on the lines of figures; else in headings over them."""
    _again: bool = False
    """A heading came back after another one: members take turns."""
    _now: str = ""

    def watch(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """The lines, each looked at on its way."""
        self._figures, self._means, self._now = {}, {}, ""
        for line in lines:
            if line.member and (line.member in self._figures or len(self._figures) <= _MOST):
                self._inline |= bool(line.figures)
                self._again |= line.member != self._now and line.member in self._figures
                self._now = line.member
                self._figures.setdefault(line.member, 0)
            if self._now and line.figures:
                self._figures[self._now] += 1
                self._means[self._now] = self._means.get(self._now, 0) + _is_lone_mean(line)
            yield line

    @property
    def in_turn(self) -> bool:
        """Members are trained side by side: the end of one is no beginning of another."""
        return bool(self.labels) and (self._inline or self._again)

    @property
    def labels(self) -> list[str]:
        """Of two or more members, in the order of their coming; empty where a log is of one training."""
        found = [label for label, figures in self._figures.items() if figures]
        same = len({label.split()[0] for label in found}) == 1
        return found if same and 2 <= len(found) <= _MOST else []

    def of(self, member: str, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """The lines that speak of a member, and those that speak of none and give no figures."""
        self.of_all = 0
        now = ""
        for line in lines:
            now = line.member or ("" if self._inline or (self._again and not line.figures) else now)
            place = line.epoch is not None or line.step is not None
            mean = line.together or (_is_lone_mean(line) and not all(self._means.values()))
            if line.figures and (not now or (mean and not line.member)):
                self.of_all += len(line.figures)
                if place:
                    yield replace(line, figures=())
            elif now in ("", member):
                yield line


def _is_lone_mean(line: LogLine) -> bool:
    return line.mean and line.epoch is None and line.step is None
