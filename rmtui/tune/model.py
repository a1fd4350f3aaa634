"""What a tuning search is: its budget, its trials and how each came out. Plain facts; nothing here reads a file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from rmtui.errors import UserError
from rmtui.guide import evidence
from rmtui.statistics import LN2

Unit = Literal["runs", "hours", "epochs"]
Goal = Literal["val_loss", "val_acc"]
Dimension = Literal["lr", "epochs", "r", "batch", "dropout"]
Role = Literal["bracket", "variation", "extension", "neighbour", "repeat"]
"""Why a trial was made: to find the rate, to vary another setting, to train a survivor on, to look beside the winner's
rate, or to repeat it with another seed."""

RATE = "learning_rate"
SPACE: Mapping[Dimension, str] = {
    "lr": RATE,
    "epochs": "num_epochs",
    "r": "lora.r",
    "batch": "batch_size",
    "dropout": "lora.dropout",
}
"""What may be searched, and the option that it is."""
GOALS: tuple[Goal, ...] = get_args(Goal)
USUAL_SPACE: tuple[Dimension, ...] = ("lr", "epochs")

NOTHING = 0.002
"""A loss less than this below ln 2 shows no learning at all, where the number of pairs is not known."""

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(runs?|h|hours?|m|min|epochs?)")


class Budget(NamedTuple):
    """What a search may spend."""

    amount: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def parse_budget(text: str) -> Budget:
    """`12runs`, `8h`, `90m` or `40epochs`; UserError for anything else, and for less than a run."""
    found = _BUDGET.fullmatch(text.strip().lower())
    if found is None:
        raise UserError(f"{text!r} is not a budget", remedy="write it like 12runs, 8h, 90m or 40epochs")
    amount, unit = float(found[1]), found[2]
    if unit.startswith(("run", "epoch")):
        if amount < 1 or amount != int(amount) or amount > 100_000:
            raise UserError(f"{text!r} is not a budget", "runs and epochs are whole numbers from 1", "give 12runs, say")
        return Budget(amount, "runs" if unit.startswith("run") else "epochs")
    hours = amount / 60 if unit.startswith("m") else amount
    if not 0 < hours <= 10_000:
        raise UserError(f"{text!r} is not a budget", "it is no time to train in", "give 8h or 90m, say")
    return Budget(hours, "hours")


def parse_goal(text: str) -> Goal:
    """`val_loss` (also where nothing is given) or `val_acc`; UserError for anything else."""
    for goal in GOALS:
        if goal == (text.strip() or GOALS[0]):
            return goal
    raise UserError(f"{text!r} is not a goal", remedy=f"choose from {', '.join(GOALS)}")


def parse_space(text: str) -> tuple[Dimension, ...]:
    """`lr,epochs,r`; UserError for what is not known."""
    asked = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in asked if word not in SPACE]
    if wrong or not asked:
        what = ", ".join(wrong) or repr(text)
        raise UserError(f"--space: {what} cannot be searched", remedy=f"choose from {', '.join(SPACE)}")
    return tuple(name for name in SPACE if name in asked)


class Score(NamedTuple):
    """How a trial came out, on the validation pairs, with the rate decayed to its end."""

    val_loss: float
    val_acc: float
    losses: Mapping[str, float]
    """Pair id → its loss at a cross-fitted temperature; empty where no rewards of single pairs are there."""
    epochs: float
    """Epochs that were computed for it: an extension only counts what it added."""
    seconds: float
    loss: float = math.inf
    """Mean loss at a cross-fitted temperature, by which trials are ranked; val_loss where margins are not known."""
    start: float | None = None
    """Loss of the untrained model, where it is known."""
    branch: float = 0.0
    """Epochs after which a longer run can go on from its checkpoint, before its rate decayed; 0: it starts anew."""
    broken: str = ""
    """Why it does not count, in words: its losses came apart, say; empty for a sound one."""
    train_loss: float | None = None
    """Of the last epoch."""
    pairs: float = 0.0
    """Effective number of validation pairs behind `loss`; 0 where margins are not known."""

    @property
    def rank(self) -> tuple[float, float]:
        """What trials are ordered by, lower is better: by evidence, as the advice orders runs."""
        return self.seen.rank if self.pairs else (self.loss, self.val_loss)

    @property
    def seen(self) -> evidence.EpochEvidence:
        """What its end shows, where margins are known."""
        return evidence.EpochEvidence(self.loss, self.train_loss, self.val_acc, self.pairs)

    @property
    def learned(self) -> bool:
        """It beats a constant reward on the validation pairs."""
        if not self.pairs:
            return self.loss < LN2 - NOTHING
        return evidence.beats_constant(self.loss, self.pairs)


class Trial(NamedTuple):
    """One run of a search, launched or about to be."""

    n: int
    """From 1, in the order in which they were decided."""
    role: Role
    settings: Mapping[str, float]
    """Dotted option → value; always with learning_rate. What is not here is as in the base configuration."""
    epochs: int
    """In all, those of the trial that it extends included."""
    seed: int
    why: str
    """In words, English as recorded."""
    parent: int = 0
    """The trial that it extends, varies or repeats; 0: none."""
    run: str = ""
    """The run's id; empty until it was launched."""
    score: Score | None = None
    """None until it ended."""

    @property
    def rate(self) -> float:
        return self.settings[RATE]

    @property
    def sound(self) -> bool:
        return self.score is not None and not self.score.broken


class Proposal(NamedTuple):
    """A trial that is to be made."""

    role: Role
    settings: Mapping[str, float]
    epochs: int
    seed: int
    why: str
    parent: int = 0


class Decision(NamedTuple):
    """What comes next: trials, side by side where devices are free, or the end and why."""

    proposals: tuple[Proposal, ...] = ()
    done: str = ""
    notes: tuple[str, ...] = ()
    """What was decided beside it: which trials are out, and why."""


class Search(NamedTuple):
    """What is searched, and under which rules. Everything here is known before the first run."""

    budget: Budget
    settings: Mapping[str, float]
    """Of the base configuration: the values that the space may vary."""
    base_epochs: int
    space: tuple[Dimension, ...] = USUAL_SPACE
    repeats: int = 2
    goal: Goal = "val_loss"
    seed: int = 42
    margin: float = 0.005
    """A val_loss this much higher is worth a trial's end."""
    level: float = 0.95
    shortest: int = 1
    """Epochs of the shortest runs: more than one where an epoch has very few steps."""
    most_epochs: int = 16
    lora: bool = True

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which candidates are compared."""
        if "epochs" not in self.space:
            return (self.base_epochs,)
        return tuple(self.shortest * 2**power for power in range(int(math.log2(self.most_epochs / self.shortest)) + 1))


def best(trials: Sequence[Trial], goal: Goal) -> Trial | None:
    """The best sound trial; None while there is none. Repeats are left out: by the luckiest seed nothing is chosen.

    Of trials that the pairs cannot tell from the one of the lowest loss it is the one that learned most, as the advice
    chooses among runs.
    """
    scored = [(trial, trial.score) for trial in trials if trial.sound and trial.score and trial.role != "repeat"]
    if goal == "val_loss" and scored and all(score.pairs for _, score in scored):
        return evidence.choose(scored, lambda pair: pair[1].seen)[0]
    return min((trial for trial, _ in scored), key=lambda trial: _rank(trial, goal), default=None)


def _rank(trial: Trial, goal: Goal) -> tuple[float, float]:
    """Lower is better."""
    assert trial.score is not None
    if goal == "val_acc":
        return -trial.score.val_acc, trial.score.loss
    return trial.score.rank
