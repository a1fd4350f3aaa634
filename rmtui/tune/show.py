"""A search as verb, screen and scripts show it: its document, and the plan before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from rmtui import text
from rmtui.i18n import value_text
from rmtui.operations.estimates import past_time
from rmtui.operations.runs import reading
from rmtui.translation import spoken, tr
from rmtui.tune.course import Course, Folder, Order
from rmtui.tune.decide import Costs, added_epochs, decide
from rmtui.tune.model import Score, Search, Trial
from rmtui.tune.search_report import Summary, summary
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from typing import Literal

    from rmtui.documents.tuning import BestTrialDocument, StageDocument, TrialDocument, TuneDocument, TunePlanDocument
    from rmtui.operations.plan import Plan

MOST_TRIALS = 500
"""Of a planned course: a budget of years is not played through to its end."""


class SearchView(NamedTuple):
    """A search as it is now."""

    folder: Folder
    order: Order
    course: Course
    summary: Summary
    state: Literal["running", "waiting", "done"]


def look(ws: Workspace, folder: Folder) -> SearchView | None:
    """None where its order cannot be read. UserError where its trials cannot."""
    order = folder.order()
    if order is None:
        return None
    course = folder.course()
    with reading(ws) as index:
        found = summary(order, course, index, spoken())
    state: Literal["running", "waiting", "done"]
    state = "running" if folder.driven else "done" if course.done else "waiting"
    return SearchView(folder, order, course, found, state)


def document(shown: SearchView) -> TuneDocument:
    """The document of `tune --json`."""
    order, course, found = shown.order, shown.course, shown.summary
    budget = order.search.budget
    return {
        "id": order.id,
        "folder": str(shown.folder.path),
        "created": datetime.fromtimestamp(order.created, UTC).isoformat(timespec="seconds"),
        "data": order.data,
        "state": shown.state,
        "why": course.done or course.trouble,
        "budget": {"amount": budget.amount, "unit": budget.unit, "spent": found.spent},
        "space": list(order.search.space),
        "goal": order.search.goal,
        "best": _best(found),
        "trials": [_trial(trial) for trial in course.trials],
        "notes": list(course.notes),
    }


def _best(found: Summary) -> BestTrialDocument | None:
    top = found.best
    if top is None or top.score is None:
        return None
    around = found.interval
    return {
        "n": top.n,
        "val_loss": top.score.val_loss,
        "val_acc": top.score.val_acc,
        "interval": [around.low, around.high] if around is not None else None,
        "pairs": found.pairs,
        "tried": found.tried,
        "chosen": found.chosen,
        "repeats": [trial.n for trial in found.repeats],
    }


def _trial(trial: Trial) -> TrialDocument:
    score = trial.score
    sound = score is not None and not score.broken
    return {
        "n": trial.n,
        "role": trial.role,
        "parent": trial.parent or None,
        "run": trial.run or None,
        "settings": dict(trial.settings),
        "epochs": trial.epochs,
        "seed": trial.seed,
        "why": trial.why,
        "ended": score is not None,
        "broken": score.broken or None if score is not None else None,
        "val_loss": score.val_loss if score is not None and sound else None,
        "val_acc": score.val_acc if score is not None and sound else None,
        "epochs_computed": score.epochs if score is not None else None,
        "seconds": score.seconds if score is not None else None,
    }


def planned(ws: Workspace, made: Plan, search: Search) -> TunePlanDocument:
    """What a search would do and cost, played through with made-up results: the base rate is the best, and longer
    training helps a little."""
    assert made.derived is not None
    with reading(ws) as index:
        past = past_time(index, made.derived, made.spec)
    pace = past.seconds / search.base_epochs if past is not None else None
    trials = list(_played(search, pace))
    epochs = sum(added_epochs(trial, trials) for trial in trials)
    seconds = pace * epochs + past.beside * len(trials) if pace is not None and past is not None else None
    return {
        "data": str(made.spec["data"]),
        "settings": dict(search.settings),
        "steps_per_epoch": made.derived.steps_per_epoch,
        "budget": {
            "amount": search.budget.amount,
            "unit": search.budget.unit,
            "spent": Costs(search.budget, pace).spent(trials),
        },
        "rungs": list(search.rungs),
        "stages": _stages(trials),
        "runs": len(trials),
        "epochs": epochs,
        "seconds": seconds,
        "past_runs": past.runs if past is not None else 0,
    }


def plan_lines(document: TunePlanDocument) -> list[str]:
    """A plan and its cost for a person: each line a phrase of the catalogue."""
    budget = document["budget"]
    settings = " · ".join(f"{key} {value_text(key, value)}" for key, value in document["settings"].items())
    lines = [
        f"search on {document['data']}: budget {budget['amount']:g} {budget['unit']}",
        f"  begins at {settings}; {document['steps_per_epoch']} steps an epoch",
        "  if that rate is the right one and longer training helps:",
    ]
    for stage in document["stages"]:
        lines.append(
            f"  {stage['trials']:>3} × {tr(stage['role'])}, {stage['epochs']} epoch{'s' * (stage['epochs'] > 1)}: "
            f"{stage['epochs_computed']:.3g} epochs computed"
        )
    total = f"  in all {document['runs']} runs, {document['epochs']:.3g} epochs"
    past = document["past_runs"]
    if document["seconds"] is not None:
        total += f", about {text.age(document['seconds'])}, from {past} past run{'s' if past > 1 else ''}"
    return [*lines, total]


def _played(search: Search, pace: float | None) -> Iterator[Trial]:
    """The trials of a search whose results are made up."""
    trials: list[Trial] = []
    while len(trials) < MOST_TRIALS:
        found = decide(search, trials, {}, seconds_per_epoch=pace)
        if found.done or not found.proposals:
            break
        for each in found.proposals:
            trial = Trial(len(trials) + 1, *each)
            away = math.log(trial.rate / search.settings["learning_rate"]) / math.log(3)
            loss = 0.6 + 0.02 * away * away - 0.01 * math.log2(trial.epochs)
            added = added_epochs(trial, trials)
            branch = 0.8 * trial.epochs
            trials.append(trial._replace(score=Score(loss, 0.65, {}, added, added * (pace or 0.0), loss, None, branch)))
    yield from trials


def _stages(trials: list[Trial]) -> list[StageDocument]:
    kinds = dict.fromkeys((trial.role, trial.epochs) for trial in trials)
    return [
        {
            "role": role,
            "epochs": epochs,
            "trials": len(found := [trial for trial in trials if (trial.role, trial.epochs) == (role, epochs)]),
            "epochs_computed": sum(added_epochs(trial, trials) for trial in found),
        }
        for role, epochs in kinds
    ]
