"""The guide's decision path over all runs of a data set: what is done, where the user is, what is ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rmtui.guide import rates
from rmtui.guide.expectations import expectation, good_enough
from rmtui.guide.model import Reading, Subject, changes
from rmtui.guide.paired_test import AccuracyTest
from rmtui.guide.published_figures import BALANCED, CONSERVATIVE, FORMER_RATE, FORMER_RATE_EPOCHS, RAISED_RATE
from rmtui.guide.readings import read
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import NOTHING
from rmtui.runs.model import State as RunState
from trainer.config import flatten

if TYPE_CHECKING:
    from rmtui.documents.scalars import Config

State = Literal["done", "here", "ahead", "skipped"]
DONE: State
HERE: State
AHEAD: State
SKIPPED: State
DONE, HERE, AHEAD, SKIPPED = "done", "here", "ahead", "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the path. `outcome` names what was found: yes, no or unknown; tried; read, with `figures`."""

    id: str
    state: State
    outcome: str = "unknown"
    run: str | None = None
    """Name of the run it rests on."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    doubtful: bool = False
    """What was found may be chance."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the runs of a data set say about each question of the path."""

    subject: Subject
    before: Subject | None
    losses: bool
    overfit: bool | None
    known: bool
    rose: bool | None
    doubtful: bool
    """The pairs do not bear out that val_acc rose, or fell: it may be chance."""
    preset_a: Subject | None
    enough: bool | None
    former_rate: Subject | None


def locate(
    subject: Subject,
    runs: Sequence[Subject],
    before: Subject | None,
    limits: Thresholds = DEFAULT,
    paired: Mapping[str, AccuracyTest] | None = None,
    own_a: Config = NOTHING,
) -> Standing:
    """Where the user is with this run, given every run of its data set (oldest first); `paired` as in `read`.

    `own_a` is the configuration of the workspace's preset A. A run that was cut off answers no question, and only runs
    that came to their end count as tried.
    """
    found = read(subject, before, limits, paired=paired)
    ids = {reading.id for reading in found}
    ended = [item for item in runs if item.run.id != subject.run.id and has_ended(item)]
    ended += [subject] if has_ended(subject) else []
    own = flatten(own_a)
    first = next((item for item in reversed(ended) if is_preset_a(item, own)), None)
    answers = not subject.cut_off
    return Standing(
        subject=subject,
        before=before,
        losses=answers and has_metrics(subject),
        overfit=_overfit(ids) if answers else None,
        known=answers and subject.newest("val_acc") is not None,
        rose=_rose(subject, before, limits) if answers else None,
        doubtful=_doubtful(subject, found),
        preset_a=first,
        enough=_enough(first, limits),
        former_rate=next((item for item in ended if is_former_rate(item, first)), None),
    )


def has_ended(subject: Subject) -> bool:
    """The run came to its end with an evaluation. A log that breaks off before its last epoch has not."""
    if subject.newest("val_loss") is None and subject.newest("val_acc") is None:
        return False
    planned = subject.run.num_epochs or subject.value("num_epochs")
    whole = not isinstance(planned, int) or subject.last_epoch >= planned
    return subject.run.state is RunState.FINISHED or (subject.run.state is RunState.IMPORTED and whole)


def has_metrics(subject: Subject) -> bool:
    return subject.last("train_loss") is not None or subject.last("val_loss") is not None


def _overfit(ids: set[str]) -> bool | None:
    if ids & {"overfitting_turn", "overfitting_turn_alone", "overfitting_gap"}:
        return True
    return False if ids & {"no_overfitting", "no_turn", "came_apart"} else None


def _rose(subject: Subject, before: Subject | None, limits: Thresholds) -> bool | None:
    """Did val_acc rise: over the run's epochs, else against the run before?"""
    known = subject.known("val_acc")
    if subject.newest("val_acc") is None:
        return None
    if len(known) > 1:
        return known[-1][1] - known[0][1] > limits.flat_accuracy
    change = changes(before, subject).get("val_acc") if before else None
    return None if change is None else change.delta > limits.flat_accuracy


def _doubtful(subject: Subject, found: Sequence[Reading]) -> bool:
    """Is the change that `_rose` looks at within chance? False where the number of pairs is not known."""
    scope = "epochs" if len(subject.known("val_acc")) > 1 else "runs"
    about = [item for item in found if item.figures.get("scope") == scope]
    return any(item.id == "val_acc_unproven" or item.figures.get("within") is not None for item in about)


def _enough(subject: Subject | None, limits: Thresholds) -> bool | None:
    if subject is None:
        return None
    wanted = expectation("A", {}, subject.run.config)
    return good_enough(wanted, subject, limits) if wanted else None


def is_preset_a(subject: Subject, own_a: Config = NOTHING) -> bool:
    """Trained with A's settings: those of the workspace's A (`own_a`, flat), or A's epochs and rate on another
    configuration.

    On another scale of rates, where A's own means nothing, a run that was launched as A with its epochs. C is not A.
    """
    label = (subject.run.preset or "").upper()
    if label in ("B", "C"):
        return False
    if label == "A" and own_a and all(_equal(subject.value(key), value) for key, value in own_a.items()):
        return True
    rate, epochs = subject.value("learning_rate"), subject.value("num_epochs")
    if not isinstance(epochs, int) or epochs < CONSERVATIVE["num_epochs"] or _is_preset_c(subject):
        return False
    return _near(rate, RAISED_RATE) or (label == "A" and not rates.on_scale(rates.current(subject)))


def _is_preset_c(subject: Subject) -> bool:
    """What tells C from A where no preset is named: its dropout with its batch size."""
    return all(_near(subject.value(key), value) for key, value in BALANCED.items())


def _equal(value: object, wanted: object) -> bool:
    return value == wanted or (isinstance(wanted, (int, float)) and _near(value, wanted))


def is_former_rate(subject: Subject, preset_a: Subject | None) -> bool:
    """B's rate with 3 epochs: 2e-5, or on another scale a third above A's; no other that happens to be higher."""
    rate, epochs = subject.value("learning_rate"), subject.value("num_epochs")
    if not isinstance(epochs, int) or epochs < FORMER_RATE_EPOCHS or not isinstance(rate, (int, float)):
        return False
    base = preset_a.value("learning_rate") if preset_a else None
    scaled = base * FORMER_RATE / RAISED_RATE if isinstance(base, (int, float)) else FORMER_RATE
    return _near(rate, FORMER_RATE) or _near(rate, scaled)


def _near(value: object, wanted: float) -> bool:
    return isinstance(value, (int, float)) and math.isclose(value, wanted, rel_tol=0.02)


def steps(at: Standing) -> list[Step]:
    """The path as it is shown: four steps of reading, then A, its verdict, and B's rate with 3 epochs."""
    name = at.subject.run.name
    acc = {"val_acc": at.subject.newest("val_acc")}
    tried_a = at.preset_a.run.name if at.preset_a else None
    tried_b = at.former_rate.run.name if at.former_rate else None
    acted = at.preset_a is not None or at.former_rate is not None
    questions: list[tuple[str, bool, str, str | None, Mapping[str, Any]]] = [
        ("read_losses", at.losses, "read" if at.losses else "unknown", name, _course(at.subject)),
        ("look_overfitting", at.overfit is not None, _yes_or_no(at.overfit), name, {}),
        ("confirm_val_acc", at.known, _yes_or_no(at.rose), name, acc),
        ("after_val_acc", at.known and at.rose is not None and acted, _yes_or_no(at.rose), name, acc),
        ("try_a", at.preset_a is not None, "tried" if tried_a else "unknown", tried_a, {}),
        ("judge_a", at.enough is not None, _yes_or_no(at.enough), tried_a, {}),
        ("b_rate", at.former_rate is not None, "tried" if tried_b else "unknown", tried_b, {}),
    ]
    found: list[Step] = []
    here = False
    for key, done, outcome, run, values in questions:
        state = DONE if done else AHEAD if here else HERE
        if key == "b_rate" and at.enough and not done:
            state = SKIPPED
        here = here or state == HERE
        doubtful = at.doubtful and at.rose is not None and key in ("confirm_val_acc", "after_val_acc")
        found.append(Step(key, state, outcome, run if done or state == HERE else None, values, doubtful))
    return found


def _course(subject: Subject) -> dict[str, list[float]]:
    """Each loss of the first epoch and of the last, one value where there is one epoch."""
    known = {metric: [value for _, value in subject.known(metric)] for metric in ("train_loss", "val_loss")}
    return {metric: [*values[:1], *values[1:][-1:]] for metric, values in known.items() if values}


def _yes_or_no(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
