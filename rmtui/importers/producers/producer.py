"""What a reader of one program's output is: how its lines are known, and how they become rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rmtui.importers.source_rows import Said, SourceRow


@dataclass(frozen=True, slots=True)
class Producer:
    """A program that writes logs."""

    kind: str
    """Short name, as a run's origin keeps it."""
    title: str
    """For people: `LLaMA-Factory log`."""
    signature: re.Pattern[str]
    """What only lines of this program have."""
    marks: tuple[str, ...]
    """One of these stands in every such line: looked for first, as that costs least."""
    read: Callable[[Iterable[str], Said], Iterator[SourceRow]]
    """Lines → rows; what the log says of the whole goes into `Said`, each part before the row that follows it."""
    means: bool = False
    """Its logged losses are means since the line before, as a Trainer's are."""

    def wrote(self, line: str) -> bool:
        """Whether a line is surely this program's."""
        return any(mark in line for mark in self.marks) and self.signature.search(line) is not None
