"""What is known of a run, as plain facts: the words that every room above shares. No file, no SQL, no screen here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

NOTHING: Mapping[str, Any] = {}


class State(StrEnum):
    """The state of a run. Derived from files and processes by `rmtui.runs.state`, never only stored."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    IMPORTED = "imported"

    @property
    def alive(self) -> bool:
        """Processes of the run exist, or are about to."""
        return self in (State.STARTING, State.RUNNING, State.STOPPING)

    @property
    def final(self) -> bool:
        """Nothing more will happen without a person."""
        return self in (State.FINISHED, State.STOPPED, State.FAILED, State.KILLED, State.INTERRUPTED, State.IMPORTED)


RESUMES = "resumes from step "
"""How the reason of a resumed run that waits begins."""


def state_words(state: str, reason: str) -> tuple[str, str]:
    """The state as lists show it, and the rest of its reason: (`queued (resumes from step 53)`, `place 1, …`)."""
    if not reason.startswith(RESUMES):
        return str(state), reason
    lead, _, rest = reason.partition("; ")
    return f"{state} ({lead})", rest


def state_text(state: str, reason: str) -> str:
    """`killed: out of memory`, `stopped by ann at step 93`, `rank 0 was killed (SIGKILL) at step 8`, `queued (resumes
    from step 53): place 1, …`: the state once, in front where the reason does not name it."""
    head, rest = state_words(state, reason)
    return rest if rest.startswith(f"{head} ") or f" was {head} (" in rest else f"{head}: {rest}" if rest else head


class Status(NamedTuple):
    """A state with its reason in words (`killed: out of memory, rank 1, step 412`)."""

    state: State
    reason: str = ""
    resumable: bool = False
    supervised: bool = True
    """False: ranks are alive under no supervisor; app, stop and resume adopt them."""
    silent: bool = False
    """The supervisor holds its lock and does not work; a stop replaces it."""
    reachable: bool = True
    """False: it lives where no process of this one's can be seen or signalled, under no supervisor."""


class Epoch(NamedTuple):
    """Figures of one epoch; None where the source does not have them, never invented."""

    epoch: int
    train_loss: float | None = None
    val_loss: float | None = None
    val_acc: float | None = None
    """Share of validation pairs whose chosen answer gets the higher reward, 0–1."""
    val_pairs: int | None = None
    reward_margin: float | None = None
    entered: str = ""
    """Where val_acc was entered by a person, not measured: `by hand`, or the log that it was read from."""
    val_clusters: int | None = None
    """Prompts, or groups, that these pairs are of, and as how many independent pairs they measure val_acc; None where
    the source has neither: then pairs are taken as independent."""
    val_effective: float | None = None


class EvaluatedStep(NamedTuple):
    """One evaluation of a run's own validation set, wherever in an epoch; None where the source has none."""

    step: int | None
    epoch: float | None
    """Passes over the training pairs so far."""
    val_loss: float | None = None
    val_acc: float | None = None
    val_pairs: int | None = None
    reward_margin: float | None = None
    val_clusters: int | None = None
    val_effective: float | None = None


class Best(NamedTuple):
    """The best evaluation, at an epoch's end or within an epoch (see `trainer.best`)."""

    epoch: float | None
    """None where only steps are known."""
    val_acc: float | None
    val_loss: float | None
    step: int | None = None


class Landmarks(NamedTuple):
    """What a list of runs is read against."""

    best: frozenset[str] = frozenset()
    """Ids: of all runs on the same validation pairs the one with the highest val_acc."""
    grouped: bool = False
    """Whether any run belongs to a group."""


class Attempt(NamedTuple):
    """One start of a run: the first launch or a resume. Times are Unix seconds."""

    n: int
    state: State
    reason: str = ""
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    resumed_from_step: int | None = None


class Run(NamedTuple):
    """A run as lists and panels show it. Times are Unix seconds."""

    id: str
    name: str
    folder: Path
    state: State
    reason: str = ""
    resumable: bool = False
    preset: str | None = None
    data: str | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    host: str = ""
    processes: int | None = None
    step: int = 0
    total_steps: int | None = None
    epochs_done: float | None = 0.0
    """None where only steps are known."""
    num_epochs: int | None = None
    train_loss: float | None = None
    """Of the last epoch that ended; while none has, None. The validation's metrics are of the last evaluation."""
    val_loss: float | None = None
    val_acc: float | None = None
    val_pairs: int | None = None
    val_clusters: int | None = None
    val_effective: float | None = None
    best: Best | None = None
    last_event: float | None = None
    seconds_per_step: float | None = None
    """Median over the latest steps."""
    tags: tuple[str, ...] = ()
    note: str = ""
    pinned: bool = False
    archived: bool = False
    group: str = ""
    val_fingerprint: str | None = None
    """SHA-256 of the validation pairs; runs are compared by metrics only where it is equal."""
    config: Mapping[str, Any] = NOTHING
    """The nested configuration, opaque here."""
    epochs: tuple[Epoch, ...] = ()

    @property
    def entered(self) -> str:
        """Where the val_acc of the last epoch was entered by a person: from what; else empty."""
        return self.epochs[-1].entered if self.epochs and self.val_acc == self.epochs[-1].val_acc else ""

    @property
    def gap(self) -> float | None:
        """val_loss − train_loss of the last epoch; above 0.2 the guide warns."""
        if self.val_loss is None or self.train_loss is None:
            return None
        return self.val_loss - self.train_loss
