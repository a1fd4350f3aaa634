"""Lines of a progress bar as tqdm draws it, `Epoch 1:  50%|#####  | 200/400 [01:00<01:00, 3.3it/s, loss=0.65]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_BAR = re.compile(
    r"^(?P<title>[^|]{0,120}?):?\s*\d{1,3}%\|[^|]{0,300}\|\s*(?P<done>\d+)/(?P<of>\d+)\s*\[(?P<rest>[^\]]{0,4000})\]?"
)
_ENTRY = re.compile(r"(?P<name>[^\W\d][\w/.()-]{0,80})\s*=\s*(?P<value>[-+]?[\w.+-]+%?)")
_EPOCH = re.compile(r"(?<![a-z])ep(?:och)?s?\W{0,3}(?P<number>\d+)(?:\s*(?:/|of)\s*(?P<of>\d+))?", re.IGNORECASE)


class Bar(NamedTuple):
    """One state of a bar."""

    title: str
    done: int
    of: int
    entries: Mapping[str, str]
    """What stands behind the speed: `loss=0.65`."""

    @property
    def epoch(self) -> tuple[int, int | None] | None:
        """The epoch in its title, and of how many."""
        found = _EPOCH.search(self.title)
        return (int(found["number"]), int(found["of"]) if found["of"] else None) if found else None


def bar(line: str) -> Bar | None:
    """The bar that a line draws; None for other lines."""
    if "%|" not in line:
        return None
    found = _BAR.search(line)
    if found is None:
        return None
    entries = {entry["name"]: entry["value"] for entry in _ENTRY.finditer(found["rest"])}
    return Bar(found["title"].strip(), int(found["done"]), int(found["of"]), entries)


@dataclass(slots=True)
class PostfixBar:
    """A bar whose loop calls `set_postfix` with a batch's metrics, and only then counts the batch.

    tqdm draws it at once, with the count before, and perhaps again when the batch is counted.
    """

    last: Bar | None = None

    def batch(self, found: Bar) -> int | None:
        """The batch, from 1, whose metrics a state shows; None where it shows none that are new."""
        last, self.last = self.last, found
        again = last is not None and last.title == found.title and last.entries == found.entries
        if not found.entries or again:
            return None
        begun = last is None and found.done > 0  # the log was cut: this may be the second drawing
        return found.done if begun else min(found.done + 1, found.of)
