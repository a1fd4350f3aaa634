"""The audit after a fault: nothing lies, nothing is lost, nobody is left."""

from __future__ import annotations

from dataclasses import dataclass

import launch_kit as kit
import pytest

from rmtui.records import proc, state
from rmtui.records.facts import State, Status
from rmtui.records.folder import RunFolder
from rmtui.records.index import Index
from rmtui.workspace import Workspace
from trainer.events import read_from


@dataclass(frozen=True)
class Audit:
    ws: Workspace
    node: pytest.Item

    def __call__(self, run: RunFolder, index: bool = True) -> Status:
        """A final state, no tagged process, every acknowledged event readable, the index equal to the folders."""
        now = state.status(run)
        orphans = [] if now.state.alive else kit.proc.tagged(run.id)
        lost = acknowledged(run) - set(steps(run))
        self.node.user_properties.append(("fault", (str(now.state), len(lost), len(orphans))))
        assert now.state.final, f"{now.state}: {now.reason}"
        assert not orphans and not lost
        if index:
            found, wanted = indexed(self.ws, run), steps(run)
            assert found == wanted, f"index {found}, folders {wanted}"
        return now


def acknowledged(run: RunFolder) -> set[int]:
    """Steps that rank 0 logged, which it does after their event was written."""
    logs = [attempt.logs / "rank0.log" for attempt in run.attempts()]
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return {int(line.split()[1]) for line in lines if line.startswith("step ")}


def steps(run: RunFolder) -> list[int]:
    """Steps of every readable event, attempts joined: a later attempt overrides what it repeats."""
    found: set[int] = set()
    for attempt in run.attempts():
        if attempt.events.exists():
            events, _, _ = read_from(attempt.events)
            found |= {event.step for event in events if event.kind == "step"}
    return sorted(found)


def indexed(ws: Workspace, run: RunFolder) -> list[int]:
    """Steps of the loss curve in the index, made anew from the folders."""
    kit.until(lambda: not kit.supervised(run), "the supervisor's own last round")
    for path in ws.root.glob("runs.sqlite*"):
        path.unlink(missing_ok=True)
    with Index.open(ws) as index:
        index.sync()
        if "loss" not in index.metrics(run.id):
            return []
        return [step for step, _ in index.series_full(run.id, "loss")]


def settle(ws: Workspace, run: RunFolder) -> Status:
    """What a person with the app open would see happen: adoption, and waiting started again."""
    from rmtui.operations import adopt, queue

    def over() -> Status | None:
        adopt.adopt_all(ws)
        now = state.status(run)
        if now.state == State.QUEUED and not now.supervised:
            queue.start_again(ws)
        return now if now.state.final and not proc.tagged(run.id) else None

    return kit.until(over, f"{run.id} to settle: {state.status(run)}")
