"""A file of pairs in another layout, written as lines of the house's own for as long as it is checked.

Each of its lines knows the record that it comes from, so that findings name the user's own lines.
"""

from __future__ import annotations

import dataclasses
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rmtui.datacheck.model import FileReport, Finding
from trainer.pairs import PairReading


class Spool:
    """Lines of the house's layout in a file of their own, which goes with this object; `records` has each line's."""

    def __init__(self) -> None:
        self.records: array[int] = array("q")
        self.read = 0
        """Records of the file, also those that no line comes from."""
        self._file = tempfile.NamedTemporaryFile(prefix="rmtui-check-", suffix=".jsonl")  # noqa: SIM115

    def take(self, reading: PairReading, tick: Callable[[float], None]) -> Iterator[bytes]:
        """Every line as it is written; `tick` hears the share of the file that is read."""

        def heard(share: float, records: int) -> None:
            self.read = records
            tick(share)

        for records, lines in reading.blocks(heard):
            self.records.extend(records)
            self._file.write(b"\n".join(lines) + b"\n")
            yield from lines
        self._file.flush()

    @property
    def path(self) -> Path:
        return Path(self._file.name)


def in_records(reports: Sequence[FileReport]) -> tuple[FileReport, ...]:
    """The reports with findings by the records of the files, where these were spooled."""
    records = {str(report.path): report.records for report in reports if report.records is not None}
    if not records:
        return tuple(reports)
    return tuple(
        dataclasses.replace(report, findings=tuple(_renumbered(one, report, records) for one in report.findings))
        for report in reports
    )


def _renumbered(finding: Finding, report: FileReport, records: Mapping[str, Sequence[int]]) -> Finding:
    line, related, figures = finding.line, finding.related, finding.figures
    if line is not None and report.records is not None:
        line = report.records[line - 1]
    if related and related[0] in records:
        related = (related[0], records[related[0]][related[1] - 1])
        figures = {**figures, "other": related[1]}
    return dataclasses.replace(finding, line=line, related=related, figures=figures)
