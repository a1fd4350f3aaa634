"""Fixtures of the fault suite, and its summary: faults tried, outcomes, events lost, orphans left."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "launch"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "app"))

import fault_kit
import launch_kit as kit

from rmtui.workspace import Workspace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = kit.make_workspace(tmp_path)
    yield made
    kit.clean_up(made)


@pytest.fixture
def audit(ws: Workspace, request: pytest.FixtureRequest) -> fault_kit.Audit:
    """Called with each run when its fault is over; what it finds goes into the summary."""
    return fault_kit.Audit(ws, request.node)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        for key, value in report.user_properties
        if key == "fault"
    ]
    if not rows:
        return
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in Counter(row[0] for row in rows).most_common())
    lost, orphans = sum(row[1] for row in rows), sum(row[2] for row in rows)
    terminalreporter.section("faults")
    terminalreporter.line(f"faults tried {len(rows)}: {outcomes}")
    terminalreporter.line(f"events lost {lost}, orphans left {orphans}")
