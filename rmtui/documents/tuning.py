"""A search for good settings: `tune --json`, and with `--dry-run`."""

from typing import Annotated, Literal, TypedDict

from rmtui.documents.runs import ChosenDocument
from rmtui.documents.scalars import Config, Count, Figure, Moment, Share
from trainer.values import Limits


class BudgetDocument(TypedDict):
    amount: Annotated[float, Limits(0)]
    unit: Literal["runs", "hours", "epochs"]
    spent: Annotated[float, Limits(0)]


class TrialDocument(TypedDict):
    """One run of a search. `parent`: the trial that it extends, varies or repeats; null for none."""

    n: Annotated[int, Limits(1)]
    role: Literal["bracket", "variation", "extension", "neighbour", "repeat"]
    parent: int | None
    run: str | None
    settings: Config
    epochs: Annotated[int, Limits(1)]
    seed: Count
    why: str
    ended: bool
    broken: str | None
    val_loss: Figure | None
    val_acc: Share | None
    epochs_computed: float | None
    """An extension computes only what it adds to its parent."""
    seconds: float | None


class BestTrialDocument(TypedDict):
    """The best so far. `interval` is of its val_acc as if it were the only trial; it was chosen among `tried`.
    `chosen`: what that leaves of it, once the search is done and where rewards of single pairs are known."""

    n: Annotated[int, Limits(1)]
    val_loss: Figure
    val_acc: Share
    interval: Annotated[list[Share], Limits(items=2)] | None
    pairs: Count
    tried: Count
    chosen: ChosenDocument | None
    repeats: list[int]


class TuneDocument(TypedDict):
    """A search. `state`: running while a process drives it; waiting when it can go on; done."""

    id: str
    folder: str
    created: Moment
    data: str
    state: Literal["running", "waiting", "done"]
    why: str
    """Why it ended, or what keeps it from going on; empty otherwise."""
    budget: BudgetDocument
    space: list[str]
    goal: Literal["val_loss", "val_acc"]
    best: BestTrialDocument | None
    trials: list[TrialDocument]
    notes: list[str]


class StageDocument(TypedDict):
    """Trials of one kind and length that a search would make."""

    role: str
    epochs: Count
    trials: Count
    epochs_computed: float


class TunePlanDocument(TypedDict):
    """What a search would do if the base rate were the right one and longer training helped."""

    data: str
    settings: Config
    steps_per_epoch: Count
    budget: BudgetDocument
    rungs: list[int]
    stages: list[StageDocument]
    runs: Count
    epochs: float
    seconds: float | None
    past_runs: Count
