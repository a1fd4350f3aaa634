"""What a training keeps between two steps: which evaluation is the best, when to give up, and dropout's seeds."""

import json
import math

import pytest

from trainer import config as options
from trainer.loop.progress import Progress, forward_seed, from_row, rescaled, to_row


def judged(metric, evaluations, patience=0):
    """Steps 1, 2, … evaluated as (val_acc, val_loss) → the progress after the last, or after the one that ends it."""
    progress = Progress()
    for accuracy, loss in evaluations:
        progress.step += 1
        progress.judge({"val_acc": accuracy, "val_loss": loss}, metric, patience)
        if progress.done:
            break
    return progress


@pytest.mark.parametrize(
    ("metric", "evaluations", "best"),
    [
        ("val_acc", [(0.6, 0.7), (0.7, 0.8), (0.65, 0.5)], 2),
        ("val_loss", [(0.6, 0.7), (0.7, 0.8), (0.65, 0.5)], 3),
        ("val_acc", [(0.6, 0.7), (0.6, 0.6), (0.6, 0.65)], 2),  # one accuracy: the lower loss
        ("val_acc", [(0.6, 0.7), (0.6, 0.7)], 1),  # one of both: the earlier
        ("val_loss", [(0.6, 0.7), (0.9, 0.7)], 1),
        ("val_acc", [(0.6, 0.7), (0.6, math.nan), (0.5, 0.1)], 1),
    ],
)
def test_which_evaluation_is_the_best(metric, evaluations, best):
    progress = judged(metric, evaluations)
    assert progress.best_step == best
    assert progress.best_value == evaluations[best - 1][("val_acc", "val_loss").index(metric)]
    assert progress.stale == len(evaluations) - best


@pytest.mark.parametrize(("patience", "ends"), [(0, 6), (1, 3), (2, 6), (3, 6)])
def test_patience_counts_evaluations_without_a_better_one(patience, ends):
    figures = [(0.5, 0.7), (0.6, 0.6), (0.55, 0.6), (0.7, 0.6), (0.6, 0.6), (0.7, 0.6)]
    progress = judged("val_acc", figures, patience)
    assert progress.step == ends
    assert bool(progress.done) == (patience in (1, 2))


def test_what_was_best_survives_being_written_down():
    progress = judged("val_acc", [(0.6, 0.1 + 0.2)])
    again = from_row(json.loads(json.dumps(to_row(progress))))
    assert again == progress
    again.step = 2
    assert not again.judge({"val_acc": 0.6, "val_loss": 0.3 + 1e-12}, "val_acc", 0)
    assert again.judge({"val_acc": 0.6, "val_loss": 0.29}, "val_acc", 0)


def test_every_forward_pass_has_a_seed_of_its_own():
    """One for all would drop the same elements in every step, on every rank."""
    places = [(seed, rank, step) for seed in (0, 42) for rank in range(4) for step in range(500)]
    seeds = {forward_seed(*place) for place in places}
    assert len(seeds) == len(places)
    assert max(seeds) < 2**63
    assert forward_seed(42, 1, 7) == forward_seed(42, 1, 7)


def test_an_inexact_resume_goes_on_at_the_same_share_of_the_epoch():
    there = rescaled(Progress(step=14, epoch=1, position=4, best_step=10), before=10, now=5)
    assert (there.step, there.epoch, there.position, there.best_step) == (7, 1, 2, 5)
    end = rescaled(Progress(step=10, epoch=0, position=10, evaluation_due=True), before=10, now=3)
    assert (end.step, end.position, end.evaluation_due) == (3, 3, True)


@pytest.mark.parametrize("name", ["", "val", "a/b", "..", " x"])
def test_a_name_that_no_validation_set_can_have_is_refused(name):
    """It would be a path elsewhere, or take the place of the set that chooses the best."""
    found = options.check({"data": {"extra_val": {name: "v.jsonl"}}})
    assert [problem.severity for problem in found] == ["error"]
    assert "cannot name a set" in str(found[0])
    assert options.check({"data": {"extra_val": {"held-out_2.b": "v.jsonl"}}}) == []


def test_validation_sets_typed_in_a_form():
    typed = options.parse_text(options.OPTIONS["data.extra_val"], "one=a.jsonl, two = b=c.jsonl")
    assert typed == {"one": "a.jsonl", "two": "b=c.jsonl"}
