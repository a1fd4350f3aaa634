"""Running jobs: progress and cancellation."""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.message import Message
from textual.worker import Worker, get_current_worker

from rmtui.translation import tr


@dataclass
class JobProgress(Message):
    """How far a work is, in words."""

    name: str
    words: str


class JobCancelled(Exception):
    """Raised inside a job that nobody waits for any more."""


@dataclass(slots=True)
class Jobs:
    """Workers by the words that name them."""

    _workers: dict[str, Worker[None]] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def begin(self, name: str, worker: Worker[None]) -> None:
        self._told.pop(name, None)
        self._workers[name] = worker

    def report(self, name: str, text: str) -> None:
        self._told[name] = text

    @property
    def names(self) -> list[str]:
        """What is still under way."""
        return [name for name, worker in self._workers.items() if not worker.is_finished]

    @property
    def summary(self) -> str:
        """`importing run 3 · ^g cancels`; empty when nothing is under way."""
        lines = [" ".join(filter(None, (tr(name), tr(self._told.get(name, ""))))) for name in self.names]
        return " · ".join([*lines, tr("^g cancels")]) if lines else ""

    def end(self, name: str) -> None:
        """Its answer has arrived; the worker itself ends a moment later."""
        self._workers.pop(name, None)

    def cancel(self) -> list[str]:
        """End all of them; their names."""
        names = self.names
        for name in names:
            self._workers.pop(name).cancel()
        return names


def still_wanted() -> None:
    """Inside a job: JobCancelled once it was cancelled."""
    if get_current_worker().is_cancelled:
        raise JobCancelled
