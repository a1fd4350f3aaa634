"""A plan in the making: values are put in, problems gather."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmtui.workspace import Workspace
from trainer import pairs
from trainer.config import Problem
from trainer.values import ErrorOrWarning


@dataclass(slots=True)
class PlanDraft:
    """A plan in the making: values are put in, problems gather."""

    ws: Workspace
    cwd: Path
    source: str
    flat: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """Key → where its value came from, where that is not the preset."""
    readings: dict[str, pairs.PairReading] = field(default_factory=dict)

    def wrong(
        self,
        key: str,
        what: str,
        remedy: str,
        source: str = "",
        severity: ErrorOrWarning = "error",
        form_remedy: str = "",
    ) -> None:
        self.problems.append(Problem(key, what, remedy, source or self.source, severity, form_remedy))
