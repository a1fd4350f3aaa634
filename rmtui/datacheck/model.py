"""What a data check says, as plain facts. Reading and judging are elsewhere."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rmtui.i18n import translate
from trainer.pairs import PairReading
from trainer.values import ErrorOrWarning

if TYPE_CHECKING:
    from rmtui.documents.data import FileFigures

    class Spool(Protocol):
        """What `rmtui.datacheck.spool` writes."""

        records: array[int]

        @property
        def path(self) -> Path: ...


class Cancelled(Exception):
    """A pass was ended by a person."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of finding: how bad it is, what it does to a training, and whether a cleaned file leaves the row out."""

    name: str
    severity: ErrorOrWarning
    """error: a launch stops; warning: it asks."""
    harm: int
    """Rank of a report; the larger, the worse."""
    drops: bool
    """`--fix` leaves such a row out."""

    def title(self, lang: str = "en") -> str:
        return translate(f"kind.{self.name}", lang)

    def meaning(self, lang: str = "en") -> str:
        """What it does to a training, one sentence."""
        return translate(f"kind.why_{self.name}", lang)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. Of two related lines the later is the one that is blamed."""

    line: int | None
    """From 1, counting \\n only; None: the whole file."""
    kind: str
    severity: ErrorOrWarning
    key: str
    """Name of its sentence in the catalogue."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the sentence is made of; texts of users among it."""
    related: tuple[str, int] | None = None
    """File and line that this one repeats, contradicts or leaks from."""

    def render(self, lang: str = "en") -> str:
        made = dict(self.figures)
        if "path" in made:
            made["where"] = translate("check.of_file", lang, path=made["path"]) if made["path"] else ""
        if "found" in made:
            made["type"] = translate(f"check.type_{made['found']}", lang)
        return translate(f"check.{self.key}", lang, **made)

    @property
    def message(self) -> str:
        return self.render()


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in one file. `findings` are sorted by line, whole-file ones first; huge files' are cut."""

    path: Path
    lines: int
    good: int
    """Pairs without an error."""
    findings: tuple[Finding, ...]
    errors: int
    warnings: int
    counts: Mapping[str, int]
    """Kind → how often, complete even where `findings` is cut."""
    figures: FileFigures
    """Shares and medians of the pairs: lengths, chosen longer, sources, languages; in how many tokens were counted."""
    verdicts: bytes
    """A byte a line of `rows`: 0 fine, 1 with a warning, 2 left out by `--fix`."""
    size: int
    """Bytes of `rows` that were read."""
    reading: PairReading | None = None
    """How the file is read; None where it is not."""
    spool: Spool | None = None
    """Its lines in the house's own layout, where the file itself holds none."""

    @property
    def rows(self) -> Path:
        """The lines that were checked."""
        return self.spool.path if self.spool else self.path

    @property
    def records(self) -> Sequence[int] | None:
        """Each line's record in the file, where the file itself holds no such lines."""
        return self.spool.records if self.spool else None


@dataclass(frozen=True, slots=True)
class Report:
    """The check of one or several files; the first file is taken as training data, later ones are held against it."""

    files: tuple[FileReport, ...]
    near_done: bool = True
    """False: the pass for near-duplicates was left out or cancelled."""

    @property
    def failed(self) -> bool:
        return any(file.errors for file in self.files)
