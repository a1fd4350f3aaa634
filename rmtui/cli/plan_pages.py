"""A plan as `launch --dry-run` shows it: its JSON document and its text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rmtui.cli.messages import echo

if TYPE_CHECKING:
    from rmtui.documents.launching import (
        DerivedDocument,
        PairReadingDocument,
        PlanDocument,
        ProblemDocument,
        SizesDocument,
    )
    from rmtui.operations.estimates import PastTime
    from rmtui.operations.plan import Plan
    from trainer.config import Problem
    from trainer.estimate import Derived, Sizes
    from trainer.pairs import PairReading


def document(plan: Plan, time: PastTime | None) -> PlanDocument:
    return {
        "name": plan.spec["name"],
        "line": plan.line,
        "argv": list(plan.command.argv),
        "environment": dict(plan.command.environment),
        "config": plan.spec["config"],
        "launch": plan.spec["launch"],
        "precision": plan.precision,
        "script": plan.script,
        "derived": _derived(plan.derived) if plan.derived else None,
        "sizes": _sizes(plan.sizes) if plan.sizes else None,
        "time": {"seconds": time.seconds, "runs": time.runs} if time else None,
        "data": {key: _reading(reading) for key, reading in plan.readings.items()},
        "problems": [_problem(problem) for problem in plan.problems],
    }


def _reading(reading: PairReading) -> PairReadingDocument:
    return {"layout": reading.name, "container": reading.container, "fields": reading.sources}


def _derived(derived: Derived) -> DerivedDocument:
    return {
        "train_pairs": derived.train_pairs,
        "world_size": derived.world_size,
        "effective_batch": derived.effective_batch,
        "steps_per_epoch": derived.steps_per_epoch,
        "last_step_pairs": derived.last_step_pairs,
        "total_steps": derived.total_steps,
        "warmup_steps": derived.warmup_steps,
        "evaluations": derived.evaluations,
        "checkpoints": derived.checkpoints,
    }


def _sizes(sizes: Sizes) -> SizesDocument:
    return {
        "parameters": sizes.parameters,
        "trainable": sizes.trainable,
        "weights_bytes": sizes.weights_bytes,
        "gradients_bytes": sizes.gradients_bytes,
        "optimizer_bytes": sizes.optimizer_bytes,
        "activations_bytes": sizes.activations_bytes,
        "total_bytes": sizes.total_bytes,
    }


def _problem(problem: Problem) -> ProblemDocument:
    return {
        "key": problem.key,
        "what": problem.what,
        "remedy": problem.remedy,
        "source": problem.source,
        "severity": problem.severity,
    }


def print_plan(plan: Plan, time: PastTime | None) -> None:
    from rmtui.text import clean

    print(plan.spec["name"])
    print(f"  {plan.line}")
    if (derived := plan.derived) is not None:
        echo(
            f"  {derived.train_pairs} pairs, {derived.steps_per_epoch} steps an epoch, {derived.total_steps} in all, "
            f"warm-up {derived.warmup_steps}, effective batch {derived.effective_batch}, "
            f"{derived.evaluations} evaluations"
        )
    if tokens := plan.spec["config"].get("batch_tokens"):
        echo(f"  at most {tokens} tokens a forward pass and process, in place of batch_size pairs")
    for line in plan.how_read:
        echo(f"  {clean(line)}")
    echo(f"  precision: {plan.precision}")
    if estimated := ", ".join(_estimates(plan, time)):
        echo(f"  {estimated}")
    if plan.place:
        echo(f"  on Slurm: {plan.place}")
    for problem in plan.problems:
        echo(f"  {problem.severity}: {problem}")
    if plan.script:
        print("", *(f"  {clean(line)}" for line in plan.script.splitlines()), sep="\n")


def _estimates(plan: Plan, time: PastTime | None) -> Iterator[str]:
    """Sizes and time, as far as they can be told."""
    from rmtui import text

    if (sizes := plan.sizes) is not None:
        share = f"{100 * sizes.trainable / sizes.parameters:.3g} %"
        yield f"{sizes.trainable:,} of {sizes.parameters:,} parameters trained ({share})"
        yield f"about {text.size(sizes.total_bytes)} a process"
    if time is not None:
        yield f"about {text.age(time.whole)}, from {time.runs} past run{'s' if time.runs > 1 else ''}"
