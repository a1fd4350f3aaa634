"""On which side of an epoch's line a log writes its figures, where they stand on lines of their own.

Most logs announce an epoch and then give its figures; some give them and then say that the epoch is done. One log does
it in one way, so all its epochs decide together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from rmtui.importers.log_lines import LogLine

_ENOUGH = 10_000
"""Lines of epochs after which a log has shown its order."""


class LineOrder(Enum):
    """Where the figures of an epoch stand."""

    AFTER = "after its line"
    BEFORE = "before its line"
    UNCLEAR = "nothing says which"


@dataclass(slots=True)
class _Head:
    """A line of an epoch, with lines of the same epoch that follow."""

    place: float
    names: set[str]
    """Figures on the line itself, or between two lines of this epoch."""
    said: str
    after: set[str] = field(default_factory=set)
    """Figures between it and the line of the next epoch."""


@dataclass(slots=True)
class LogLayout:
    """What stands where in a log, gathered line by line."""

    before: int = 0
    """Figures before the first line of an epoch."""
    _front: set[str] = field(default_factory=set)
    _heads: list[_Head] = field(default_factory=list)
    _over: bool = False
    _stepped: bool = False
    """A step was written: figures after it lie there."""

    def watch(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """The lines, each looked at on its way."""
        for line in lines:
            if len(self._heads) >= _ENOUGH:
                yield line
                continue
            self._over |= line.over
            self._stepped |= line.step is not None
            if line.epoch is not None and not line.best:
                self._head(line, float(line.epoch))
            elif line.alone:
                self.before += 0 if self._heads or self._stepped else len(line.of_epoch)
                (self._heads[-1].after if self._heads else self._front).update(line.of_epoch)
            yield line

    def _head(self, line: LogLine, place: float) -> None:
        last = self._heads[-1] if self._heads else None
        if last is not None and place == last.place:
            last.names |= last.after | line.of_epoch
            last.after.clear()
            last.said = last.said or line.said
        elif last is None or place > last.place or last.after or line.of_epoch:  # else it only looks back
            self._heads.append(_Head(place, set(line.of_epoch), line.said))

    def order(self) -> LineOrder:
        """Each epoch has the same figures; those of the last may still be to come."""
        if not self._heads or not self._front:
            return LineOrder.AFTER
        before, after = self._fits_before(), self._fits_after()
        if before != after:
            return LineOrder.BEFORE if before else LineOrder.AFTER
        labels = {head.said for head in self._heads}
        return {"ends": LineOrder.BEFORE, "begins": LineOrder.AFTER}.get(
            labels.pop() if len(labels) == 1 else "", LineOrder.UNCLEAR
        )

    def _fits_before(self) -> bool:
        groups = [self._front, *(head.after for head in self._heads)]
        sets = [head.names | group for head, group in zip(self._heads, groups, strict=False)]
        left = groups[-1]
        return all(groups[:-1]) and all(one == sets[0] for one in sets) and (not left or self._goes_on(left, sets[0]))

    def _fits_after(self) -> bool:
        """What stands before the first epoch is then an evaluation before the training, or the end of a lost part."""
        sets = [head.names | head.after for head in self._heads]
        if "train_loss" in self._front and self._heads[0].place <= 1:
            return False
        wanted = sets[0] if len(sets) > 1 else sets[0] or self._front
        return all(one == wanted for one in sets[:-1]) and (sets[-1] == wanted or self._goes_on(sets[-1], wanted))

    def _goes_on(self, some: set[str], names: set[str]) -> bool:
        """An epoch at the log's end may be half written, unless the training is over."""
        return not self._over and some <= names
