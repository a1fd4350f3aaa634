"""Fixtures of the fault suite, and its summary with the strangers touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "launch"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "app"))

import fault_kit
import launch_kit as kit

from rmtui.runs import proc
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


TOUCHED: list[str] = []
"""Tests that did something to a process of another workspace."""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A training of somebody else's on this machine, with a tag of its own: nobody may touch it."""
    attempt = tmp_path_factory.mktemp("elsewhere") / "runs" / "20200101-000000-5555" / "attempt-1"
    attempt.mkdir(parents=True)
    (attempt.parent / "spec.toml").write_text("")
    env = os.environ | {proc.TAG: f"{attempt.parent.name}:1:feed:{proc.place(attempt)}"}
    process = subprocess.Popen(["sleep", "100000"], env=env, cwd=attempt, start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def _strangers_are_left_alone(stranger: subprocess.Popen[bytes], request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    touched = stranger.poll() is not None or proc.state_letter(proc.find(stranger.pid) or proc.Proc(0, 0)) == "T"
    if touched:
        TOUCHED.append(request.node.nodeid)
    assert not touched, "a process of another workspace was ended or stopped"


@pytest.fixture
def audit(ws: Workspace, request: pytest.FixtureRequest) -> fault_kit.Audit:
    """Called with each run when its fault is over; what it finds goes into the summary."""
    return fault_kit.Audit(ws, request.node)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    fault_kit.summarise(terminalreporter, "faults", f", foreign processes touched {len(TOUCHED)}")
