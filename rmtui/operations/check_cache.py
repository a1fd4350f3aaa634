"""What checks before a launch found, kept in the workspace's local state: the same data is not checked twice.

An entry holds while its files have the size and times they had, or, where only the times changed, the same bytes.
Another check (its own code, the tokenizer, max_length) is another entry.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import rmtui.datacheck
import trainer.pairs
from rmtui.datacheck.model import Finding
from rmtui.datacheck.report import CheckSummary
from rmtui.runs.files import atomic_write
from trainer.containers import shards
from trainer.unreadable import Unreadable

FILE = "checks.json"
READERS = (
    "pairs.py",
    "rows.py",
    "house.py",
    "turns.py",
    "containers.py",
    "held_out.py",
    "reading.py",
    "hub.py",
    "joined.py",
)
"""Modules of the trainer that decide what a line or record says."""
MOST = 20
"""Entries that are kept, the newest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which files."""

    files: tuple[Path, ...]
    model: Path | None
    max_length: int
    fields: tuple[tuple[str, str], ...] = ()
    training: tuple[Path, ...] = ()
    """Training files, where there are several; the last of `files` is then the validation file."""

    def how(self) -> list[Any]:
        """Everything but the files' content that an answer rests on."""
        tokenizer = self.model / "tokenizer.json" if self.model else None
        counted = [str(tokenizer), *_times(tokenizer)] if tokenizer else None
        return [
            _version(),
            [str(path) for path in self.files],
            counted,
            self.max_length,
            [len(self.training), *(list(pair) for pair in self.fields)],
        ]


class Answer(TypedDict):
    """What was found, of which files and how it was asked."""

    how: list[Any]
    times: list[list[int]]
    content: list[str]
    found: list[CheckSummary]


def recall(store: Path | None, question: Question) -> list[CheckSummary] | None:
    """What was found of just these files; None where that is not known."""
    entries = _read(store)
    times = [_times(path) for path in question.files]
    for entry in entries:
        if entry["how"] != question.how() or [size for size, *_ in entry["times"]] != [size for size, *_ in times]:
            continue
        if entry["times"] == times or entry["content"] == [_content(path) for path in question.files]:
            return entry["found"]
    return None


def remember(store: Path | None, question: Question, times: Sequence[list[int]], found: Sequence[CheckSummary]) -> None:
    """Keep an answer. `times` are those from before the check: a file that changed during it is not vouched for."""
    if store is None or [_times(path) for path in question.files] != list(times):
        return
    entry: Answer = {
        "how": question.how(),
        "times": list(times),
        "content": [_content(path) for path in question.files],
        "found": list(found),
    }
    kept = [old for old in _read(store) if old["how"][1] != entry["how"][1]]
    try:
        atomic_write(store / FILE, json.dumps([entry, *kept][:MOST], default=_row).encode())
    except OSError:  # a convenience only; the next launch checks again
        return


def times_of(question: Question) -> list[list[int]]:
    """Size, modification and change time of each file."""
    return [_times(path) for path in question.files]


def _times(path: Path) -> list[int]:
    """Size, modification and change time. Of a folder of shards, the sum and the latest."""
    facts = [part.stat() for part in _parts(path)]
    times = [(one.st_mtime_ns, one.st_ctime_ns) for one in facts]
    return [sum(one.st_size for one in facts), *(max(column) for column in zip(*times, strict=True))]


def _parts(path: Path) -> list[Path]:
    try:
        return shards(path)
    except Unreadable:
        return [path]


def _content(path: Path) -> str:
    digests = []
    for part in _parts(path):
        if part.is_file():
            with part.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def _version() -> str:
    """A digest of the check's own code and thresholds: whoever changes them asks anew."""
    folder = Path(rmtui.datacheck.__file__).parent
    total = hashlib.sha256()
    top = Path(trainer.pairs.__file__).parent
    reader = [top / name for name in READERS] + sorted((top / "layouts").glob("*.py"))
    for path in (*sorted(folder.glob("*.py")), *folder.glob("*.toml"), *reader):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def _read(store: Path | None) -> list[Answer]:
    """The entries; none where the file is missing, or not as this module writes it."""
    try:
        entries = json.loads((store / FILE).read_bytes()) if store else []
        return [_entry(**entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _entry(how: list[Any], times: list[list[int]], content: list[str], found: list[Any]) -> Answer:
    return {"how": how, "times": times, "content": content, "found": [_summary(row) for row in found]}


def _row(one: CheckSummary) -> dict[str, object]:
    return {"path": str(one.path), "first": dataclasses.asdict(one.first), "count": one.count}


def _summary(row: dict[str, Any]) -> CheckSummary:
    first = dict(row["first"])
    first["related"] = tuple(first["related"]) if first["related"] else None
    return CheckSummary(Path(row["path"]), Finding(**first), row["count"])
