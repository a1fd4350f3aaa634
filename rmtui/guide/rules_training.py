"""Readings the guide leaves unsaid, and rmtui adds as its own: no learning at all, late warm-up, drift, NaN, noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rmtui.guide.divergence import beyond_untrained, come_apart
from rmtui.guide.model import Change, Reading, Subject, changes
from rmtui.guide.rules_losses import Case, with_interval
from rmtui.statistics import LN2


def stuck_at_ln2(case: Case) -> Iterator[Reading]:
    """Loss stuck at ln 2 = 0.6931: the rewards of both answers are still equal."""
    last, accuracy = case.subject.newest("train_loss"), case.subject.newest("val_acc")
    learned = accuracy is not None and accuracy > case.limits.ln2_accuracy
    if last is None or learned or abs(last - LN2) > case.limits.ln2_distance:
        return
    # A loss that comes from above 0.69 and passes ln 2 on its way down is learning.
    if any(abs(value - LN2) > case.limits.ln2_distance for _, value in case.subject.known("train_loss")):
        return
    if case.before is not None and _passing(case, case.before):
        return
    rate, alpha, r = (case.subject.value(key) for key in ("learning_rate", "lora.alpha", "lora.r"))
    values = {"train_loss": last, "ln2": LN2, "val_acc": accuracy, "learning_rate": rate, "alpha": alpha, "r": r}
    yield Reading("stuck_at_ln2", "warning", values)


def _passing(case: Case, before: Subject) -> bool:
    """Imported runs know one epoch only: a loss far below the run before is on its way, not stuck."""
    change = changes(before, case.subject).get("train_loss")
    return change is not None and -change.delta > case.limits.ln2_distance


def loss_came_apart(case: Case) -> Iterator[Reading]:
    """A train_loss that rises above ln 2: no over-fitting, the steps are too large."""
    if found := come_apart(case.subject, case.limits):
        (epoch, lowest), (last_epoch, last) = found
        yield Reading("came_apart", "error", {"at": epoch, "first": lowest, "to": last_epoch, "last": last, "ln2": LN2})


def losses_beyond_untrained(case: Case) -> Iterator[Reading]:
    """Losses above those of a model that was not trained at all: the steps are too large."""
    if beyond_untrained(case.subject, case.limits) and not come_apart(case.subject, case.limits):
        losses = {name: case.subject.newest(name) for name in ("train_loss", "val_loss")}
        yield Reading("beyond_untrained", "error", losses | {"ln2": LN2})


def late_warmup(case: Case) -> Iterator[Reading]:
    """A learning rate that ended its warm-up too late, as the steps show it, else as the configuration says."""
    run, peak, ratio = case.subject.run, case.subject.peak_step, case.subject.value("warmup_ratio")
    constant = case.subject.value("lr_scheduler") == "constant"
    share = peak / run.total_steps if peak and run.total_steps and not constant else ratio
    if isinstance(share, (int, float)) and share > case.limits.late_warmup:
        yield Reading("late_warmup", "warning", {"share": share, "limit": case.limits.late_warmup, "peak_step": peak})


def rewards_drift(case: Case) -> Iterator[Reading]:
    """The mean of all rewards wanders off: only differences are trained, but float formats tie far from 0."""
    rewards = [item for item in case.subject.rewards if item.spread > 0]
    if not rewards:
        return
    first, last = rewards[0], rewards[-1]
    far = abs(last.mean) / last.spread
    moved = abs(last.mean - first.mean) / last.spread
    grew = len(rewards) > 1 and moved > case.limits.drift_growth and abs(last.mean) > abs(first.mean)
    if far > case.limits.drift_spread or grew:
        values = {"mean": last.mean, "spread": last.spread, "first": first.mean, "epoch": last.epoch, "far": far}
        yield Reading("rewards_drift", "warning", values)


def non_finite(case: Case) -> Iterator[Reading]:
    """NaN or infinity anywhere; where a log counts in epochs alone, so does the sentence."""
    steps = case.subject.bad_values
    rows = [
        {"metric": metric, "step": None, "epoch": row.epoch, "count": 1}
        for row in case.subject.run.epochs
        for metric, value in (("train_loss", row.train_loss), ("val_loss", row.val_loss))
        if value is not None and not math.isfinite(value)
    ]
    if steps and (case.subject.run.total_steps or not rows):
        values = {"metric": steps[0].metric, "step": steps[0].step, "count": len(steps)}
        yield Reading("non_finite", "error", values)
    elif rows:
        yield Reading("non_finite", "error", rows[0])


def val_noisy(case: Case) -> Iterator[Reading]:
    """The last change of val_acc may be chance: by the test of its pairs, else within its interval on a small set."""
    known = case.subject.known("val_acc")
    if len(known) < 2:
        return
    (_, before), (epoch, last) = known[-2], known[-1]
    values = with_interval(case, last)
    half, n = values["half"], values["val_pairs"]
    change = Change("val_acc", before, last)
    if (tested := case.paired.get("last")) is not None:
        if change.delta and tested.word == "same":
            yield Reading("val_noisy", "info", values | {"epoch": epoch, "delta": change.delta, "p": tested.p})
    elif half is not None and n is not None and n < case.limits.few_val_pairs and 0 < abs(change.delta) < half:
        yield Reading("val_noisy", "info", values | {"epoch": epoch, "delta": change.delta})


def alpha_fixed(case: Case) -> Iterator[Reading]:
    """r changed and alpha did not follow: alpha / r, and with it the effective step, changed too."""
    if case.before is None:
        return
    keys = ("lora.alpha", "lora.r")
    (alpha, r), (old_alpha, old_r) = ([side.value(key) for key in keys] for side in (case.subject, case.before))
    if not r or not old_r or r == old_r:
        return
    if alpha is None or old_alpha is None:
        if alpha is None and old_alpha is None:
            yield Reading("alpha_unknown", "info", {"r": r, "before_r": old_r})
        return
    scale, old = alpha / r, old_alpha / old_r
    if max(scale / old, old / scale) > case.limits.alpha_over_r:
        values = {"scale": scale, "before": old, "r": r, "before_r": old_r, "factor": scale / old}
        yield Reading("alpha_fixed", "warning", values)


def val_sets_differ(case: Case) -> Iterator[Reading]:
    """Metrics of different validation sets are not compared; of sets not known to be the same, with caution."""
    if case.before is None:
        return
    mine, other = case.subject.run.val_fingerprint, case.before.run.val_fingerprint
    values = {"before": case.before.run.name, "run": case.subject.run.name}
    if mine and other and mine != other:
        yield Reading("val_sets_differ", "warning", values)
    elif not (mine and other) and changes(case.before, case.subject):
        yield Reading("val_sets_unknown", "warning" if mine or other else "info", values)


RULES = (
    non_finite,
    loss_came_apart,
    losses_beyond_untrained,
    stuck_at_ln2,
    late_warmup,
    rewards_drift,
    val_noisy,
    alpha_fixed,
    val_sets_differ,
)
