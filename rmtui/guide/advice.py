"""What to try next, ranked: the guide's at this place of its decision path, rmtui's own where the guide has none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmtui.guide import policy, published_figures, rates
from rmtui.guide.expectations import is_guides_own
from rmtui.guide.model import Advice, Reading, Subject
from rmtui.guide.path import Standing
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import State

if TYPE_CHECKING:
    from rmtui.documents.guide import Difference
    from trainer.values import Value

OVERFITTING = ("overfitting_turn", "overfitting_turn_alone", "overfitting_gap")
BROKEN = ("non_finite", "came_apart", "beyond_untrained")
"""Readings of a training whose steps were too large: whatever asks for more of the same is not advised."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules of advice look at."""

    at: Standing
    readings: Mapping[str, Reading]
    limits: Thresholds

    @property
    def subject(self) -> Subject:
        return self.at.subject

    @property
    def can_go_on(self) -> bool:
        """It ended before its time, and a resume takes it up again."""
        return self.subject.run.resumable and (self.subject.cut_off or self.subject.run.state is State.STOPPED)

    def has(self, *ids: str) -> tuple[str, ...]:
        """Those of the readings that were made."""
        return tuple(item for item in ids if item in self.readings)

    def expected(
        self, ranges: Mapping[str, published_figures.Range], start: Mapping[str, float] = published_figures.AFTER_LOSSES
    ) -> dict[str, list[float]]:
        """The guide's ranges, stated from `start`; on another base or data, in proportion to this run's last losses."""
        if is_guides_own(self.subject, self.limits):
            return {metric: list(ends) for metric, ends in ranges.items()}
        moved = {}
        for metric, base in start.items():
            own = self.subject.newest(metric)
            if metric in ranges and own is not None:
                moved[metric] = [round(own * end / base, 3) for end in ranges[metric]]
        return moved

    def fourth_epoch(self) -> dict[str, list[float]]:
        """What the ideal path's fourth epoch is expected to add to its third."""
        third, fourth = published_figures.IDEAL[2], published_figures.IDEAL[3]
        half = self.limits.band_loss
        ranges = {
            "train_loss": (round(fourth.train_loss - half, 4), round(fourth.train_loss + half, 4)),
            "val_loss": (round(fourth.val_loss - half, 4), round(fourth.val_loss + half, 4)),
        }
        return self.expected(ranges, {"train_loss": third.train_loss, "val_loss": third.val_loss})


def advise(
    at: Standing,
    readings: Sequence[Reading],
    limits: Thresholds = DEFAULT,
    silenced: Collection[str] = (),
) -> list[Advice]:
    """Next steps, best first; each key of `changes` differs from what the run had."""
    situation = Situation(at, {reading.id: reading for reading in readings}, limits)
    if not at.losses and not readings and not situation.can_go_on:
        return []  # queued, or nothing was measured
    found: list[Advice] = []
    for rule in _rules(at.subject):
        for item in rule(situation):
            taken = any(
                item.id == earlier.id or (item.changes and item.changes == earlier.changes) for earlier in found
            )
            if item.id not in silenced and not taken:
                found.append(item)
    return found


def _rules(subject: Subject) -> Sequence[Callable[[Situation], Iterator[Advice]]]:
    if subject.cut_off:
        return CUT_OFF_RULES
    return TRAINING_RULES if subject.trains else RULES


def _without_contrary(found: list[Advice]) -> list[Advice]:
    """Who is to keep a run is not to change it, nor to doubt its data."""
    keeps = any(item.id == "keep" for item in found)
    return [item for item in found if not keeps or not (item.changes or item.id == "check_data")]


def recommend(
    at: Standing,
    readings: Sequence[Reading],
    runs: Sequence[Subject],
    limits: Thresholds = DEFAULT,
    silenced: Collection[str] = (),
) -> list[Advice]:
    """What the policy recommends over all `runs` of the data set, then the guide's advice that does not contradict it.

    On the guide's own base and data the guide's order stays; an unknown val_acc is confirmed first in any case.
    """
    guides = _without_contrary(advise(at, readings, limits, silenced))
    first = None if at.subject.cut_off else policy.next_step(at.subject, runs, limits)
    if first is None or first.id in silenced or is_guides_own(at.subject, limits):
        return guides
    rest = [item for item in guides if not _contradicts(item, first, at, runs, limits)]
    ahead = [item for item in rest if item.id in ("go_on", "confirm_val_acc")]
    return [*ahead, first, *(item for item in rest if item not in ahead)]


def _contradicts(item: Advice, first: Advice, at: Standing, runs: Sequence[Subject], limits: Thresholds) -> bool:
    """Whether an advice repeats what was tried, asks for the opposite of the recommended step, or undoes no cut."""
    if item.changes and item.changes == first.changes:
        return True
    if item.id == "keep":
        return bool(first.changes)
    if first.id in (*policy.ENDS, "labels_turned") and (item.changes or item.id == "check_data"):
        return True
    if item.id == "lower_rate" and first.id in policy.TOO_LARGE:
        return True
    if item.id == "rate_back" and not _was_cut(at):
        return True
    rate, mine = item.changes.get("learning_rate"), rates.current(at.subject)
    if rate is None or mine is None:
        return item.id in ("more_epochs", "one_more_epoch") and first.id in policy.TOO_LARGE
    recommended = first.changes.get("learning_rate", mine)
    opposite = (rate - mine) * (recommended - mine) < 0 or (first.id in policy.TOO_LARGE and rate > recommended)
    return opposite or any(_same_settings(other, at.subject, item.changes) for other in runs)


def _was_cut(at: Standing) -> bool:
    before = rates.current(at.before) if at.before else None
    mine = rates.current(at.subject)
    return before is not None and mine is not None and mine < before


def _same_settings(other: Subject, subject: Subject, changes: Mapping[str, object]) -> bool:
    """Whether a run was trained with the subject's settings and these changes already."""
    keys = {*policy.KEPT, *changes}
    return all(other.value(key) == changes.get(key, subject.value(key)) for key in keys)


def difference(item: Advice, subject: Subject) -> list[Difference]:
    """The advice against the run's configuration: key, from (None: not known), to."""
    return [{"key": key, "from": subject.value(key), "to": value} for key, value in item.changes.items()]


def _changed(subject: Subject, wanted: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in wanted.items() if subject.value(key) != value}


def fix_numbers(case: Situation) -> Iterator[Advice]:
    """Own: NaN, or a loss that comes apart, wants a lower rate and a clipped gradient before anything else."""
    if because := case.has(*BROKEN):
        rate = rates.current(case.subject)
        wanted = {"learning_rate": rates.tidy(rate / 2)} if rate else {}
        clip = case.subject.value("max_grad_norm")
        wanted |= {"max_grad_norm": 1.0} if clip == 0 or (clip or 0) > 1 else {}
        yield Advice("lower_rate", wanted, because=because, own=True)


def go_on(case: Situation) -> Iterator[Advice]:
    """Own: a run that was stopped, or cut off, is resumed first, unless its training broke."""
    if case.can_go_on and not case.has(*BROKEN):
        run, checkpoint = case.subject.run, case.subject.checkpoint
        about = {"state": str(run.state), "reached": run.step, "checkpoint": checkpoint, "key": "r"}
        yield Advice("go_on", action="resume", own=True, figures=about)


def confirm_val_acc(case: Situation) -> Iterator[Advice]:
    """Step 3: confirming val_acc outranks every other advice."""
    if because := case.has("val_acc_unknown"):
        about = {"run": case.subject.run.name, "has_model": case.subject.has_model}
        yield Advice("confirm_val_acc", because=because, action="evaluate", figures=about)


def leave_ln2(case: Situation) -> Iterator[Advice]:
    """Own: LoRA usually wants about ten times the rate of full fine-tuning."""
    because = case.has("stuck_at_ln2")
    rate = rates.current(case.subject)
    if not because:
        return
    if rate is None:
        yield _ask("rate_unknown", case, because)
        return
    lora = case.subject.value("method") != "full"
    factor = case.limits.lora_rate_factor if lora else case.limits.rate_back
    wanted = {"learning_rate": rates.tidy(rate * factor)}
    yield Advice("raise_step", wanted, because=because, own=True, figures={"factor": factor, "rate": rate})


def against_overfitting(case: Situation) -> Iterator[Advice]:
    """Advice 5, when it is over-fitting: dropout 0.1 → 0.2 at r = 32, or r down to 24."""
    if because := case.has(*OVERFITTING):
        yield from _less_overfitting(case, because, likely=True)


def _less_overfitting(case: Situation, because: tuple[str, ...], likely: bool) -> Iterator[Advice]:
    dropout, rank = case.subject.value("lora.dropout"), case.subject.value("lora.r")
    about: dict[str, Any] = {"likely": likely}
    if dropout is None:
        if likely and case.subject.value("method") != "full":
            yield _ask("dropout_unknown", case, because)
    elif dropout < published_figures.HIGHER_DROPOUT:
        wanted = {"lora.dropout": published_figures.HIGHER_DROPOUT}
        yield Advice("more_dropout" if likely else "overfitting_unlikely", wanted, because=because, figures=about)
    if likely and isinstance(rank, int) and rank > published_figures.LOWER_RANK:
        alpha = case.subject.value("lora.alpha")
        about |= {"alpha": alpha, "r": rank, "scale": alpha / published_figures.LOWER_RANK if alpha else None}
        yield Advice("lower_rank", {"lora.r": published_figures.LOWER_RANK}, because=because, figures=about)


def good_enough(case: Situation) -> Iterator[Advice]:
    """Preset A reached its range: nothing more has to be tried."""
    if case.at.enough and case.at.preset_a:
        yield Advice("keep", because=case.has("val_acc_is"), action="none", figures={"run": case.at.preset_a.run.name})


def after_a(case: Situation) -> Iterator[Advice]:
    """Step 4: A is not good enough, so B's learning rate with 3 epochs."""
    if case.at.enough is False and case.at.former_rate is None and case.at.preset_a:
        rate = rates.former(case.at.preset_a, case.limits)
        if not rates.on_scale(rates.current(case.at.preset_a), case.limits):
            rate = rates.tidy(
                (rates.current(case.at.preset_a) or 0) * published_figures.FORMER_RATE / published_figures.RAISED_RATE
            )
        wanted = {"learning_rate": rate, "num_epochs": published_figures.FORMER_RATE_EPOCHS}
        if changes := _changed(case.subject, wanted):
            about = {"run": case.at.preset_a.run.name}
            yield Advice("b_rate", changes, because=case.has("val_acc_is"), figures=about)


def back_to_former_rate(case: Situation) -> Iterator[Advice]:
    """Step 3, val_acc did not rise: back to 2e-5 with 3 epochs, or check the data."""
    if case.at.rose is not False:
        return
    former = rates.former(case.subject, case.limits)
    wanted = {"learning_rate": former, "num_epochs": published_figures.FORMER_RATE_EPOCHS}
    because = case.has("val_acc_fell", "val_acc_flat", "val_acc_unproven", "val_acc_not_climbing")
    changes = _changed(case.subject, wanted)
    mine = rates.current(case.subject)
    if mine is None:
        yield _ask("rate_unknown", case, because)
    elif former > mine and not case.has(*BROKEN):
        yield Advice("rate_back", changes, case.expected(published_figures.HIGHER_RATE), because)
    yield Advice("check_data", because=because, action="check")


def try_a(case: Situation) -> Iterator[Advice]:
    """Step 4: A first; on an existing configuration it changes epochs and rate only."""
    if case.at.preset_a is not None or case.has("stuck_at_ln2", *OVERFITTING, *BROKEN):
        return
    rate = rates.current(case.subject)
    up = published_figures.RAISED_RATE if rates.on_scale(rate, case.limits) else rates.raised(case.subject, case.limits)
    if changes := _changed(
        case.subject, {"num_epochs": published_figures.CONSERVATIVE["num_epochs"], "learning_rate": up}
    ):
        longer = len(case.subject.run.epochs) > published_figures.CONSERVATIVE["num_epochs"]
        yield Advice("preset_a", changes, {} if longer else case.expected(published_figures.PRESET_A), _learning(case))


def more_epochs(case: Situation) -> Iterator[Advice]:
    """Advice 1: 3 or 4 epochs; beyond, one more while both losses still fall (own)."""
    if case.has("stuck_at_ln2", *OVERFITTING, *BROKEN) or case.at.rose is False:
        return
    epochs = case.subject.value("num_epochs") or case.subject.run.num_epochs or len(case.subject.run.epochs)
    target = next((count for count in published_figures.MORE_EPOCHS_TO if count > epochs), None)
    if target:
        first = epochs < published_figures.MORE_EPOCHS_TO[0]
        expected = case.expected(published_figures.MORE_EPOCHS) if first else case.fourth_epoch()
        yield Advice("more_epochs", {"num_epochs": target}, expected, _learning(case))
    elif len(still := case.has("train_loss_fell", "val_loss_fell")) == 2 and _still_falls(case):
        yield Advice("one_more_epoch", {"num_epochs": epochs + 1}, because=still, own=True)


def _still_falls(case: Situation) -> bool:
    """Both losses fell over the last epoch, too."""
    lasts = [[value for _, value in case.subject.known(metric)][-2:] for metric in ("train_loss", "val_loss")]
    return all(len(pair) == 2 and pair[1] < pair[0] * (1 - case.limits.flat_loss) for pair in lasts)


def higher_rate(case: Situation) -> Iterator[Advice]:
    """Advice 2: 1.5e-5, or back to 2e-5 with 3 epochs."""
    if case.has("stuck_at_ln2", *OVERFITTING, *BROKEN):
        return
    if rates.current(case.subject) is None:
        yield _ask("rate_unknown", case, _learning(case))
    elif up := rates.raised(case.subject, case.limits):
        yield Advice(
            "higher_rate", {"learning_rate": up}, case.expected(published_figures.HIGHER_RATE), _learning(case)
        )


def schedule(case: Situation) -> Iterator[Advice]:
    """Advice 3: a warm-up of 20–30 % when the rate is high, or cosine with warm-up; own: a shorter one when late."""
    ratio, shape = case.subject.value("warmup_ratio"), case.subject.value("lr_scheduler")
    if because := case.has("late_warmup"):
        yield Advice("shorter_warmup", {"warmup_ratio": published_figures.WARMUP}, because=because, own=True)
        return
    because = case.has("val_loss_rose_little", "val_loss_rose", "val_loss_flat")
    if not because or case.has("stuck_at_ln2", *BROKEN):
        return
    rate = rates.current(case.subject)
    high = rate is not None and rate >= published_figures.FORMER_RATE and rates.on_scale(rate, case.limits)
    if high and ratio is not None and ratio < published_figures.LONGER_WARMUP[0]:
        yield Advice("longer_warmup", {"warmup_ratio": published_figures.LONGER_WARMUP[0]}, because=because)
    if shape not in (None, "cosine"):
        yield Advice("cosine", {"lr_scheduler": "cosine"}, because=because)


def keep_rewards_near_zero(case: Situation) -> Iterator[Advice]:
    """Own: a small penalty on the sum of rewards holds their mean."""
    if because := case.has("rewards_drift"):
        yield Advice("center_rewards", {"center_rewards_coefficient": 0.01}, because=because, own=True)


def follow_alpha(case: Situation) -> Iterator[Advice]:
    """Own: alpha fixed while r changes also changes the effective step, alpha / r."""
    if (because := case.has("alpha_fixed")) and case.at.before:
        old = case.readings["alpha_fixed"].figures["before"]
        alpha = float(f"{old * case.subject.value('lora.r'):g}")
        yield Advice("follow_alpha", {"lora.alpha": alpha}, because=because, own=True, figures={"before": old})


def check_data(case: Situation) -> Iterator[Advice]:
    """Advice 4: different distributions, bad labels, too little data."""
    because = case.has("val_loss_rose_little", "val_loss_rose", "train_above_val", "val_noisy", "stuck_at_ln2")
    if because and case.at.rose is not False:
        yield Advice("check_data", because=because, action="check")


def unlikely_overfitting(case: Situation) -> Iterator[Advice]:
    """Advice 5, told as unlikely where val_loss rose by a little only."""
    because = case.has("val_loss_rose_little")
    if because and not case.has(*OVERFITTING, *BROKEN):
        yield from _less_overfitting(case, because, likely=False)


def more_val_pairs(case: Situation) -> Iterator[Advice]:
    """Own: a validation set too small for what is read from it."""
    if because := case.has("val_noisy"):
        yield Advice("more_val_pairs", because=because, action="none", own=True)


def _ask(name: str, case: Situation, because: tuple[str, ...]) -> Advice:
    """Nothing is called higher, lower or former of a value that is not known: which one it was is asked."""
    return Advice(name, because=because, action="launch", own=True, figures={"run": case.subject.run.name})


def _learning(case: Situation) -> tuple[str, ...]:
    return case.has("train_loss_fell", "train_above_val", "val_acc_rose", "val_acc_rose_though_loss", "val_acc_climbs")


CUT_OFF_RULES = (fix_numbers, go_on)
"""For a run that was killed, failed or was interrupted: what it was launched for is open."""
TRAINING_RULES = (fix_numbers, follow_alpha)
"""For a run that trains: that it broke, and what follows from settings alone. What to try next is open till its end."""
RULES = (
    fix_numbers,
    go_on,
    confirm_val_acc,
    leave_ln2,
    against_overfitting,
    good_enough,
    after_a,
    back_to_former_rate,
    try_a,
    more_epochs,
    higher_rate,
    schedule,
    keep_rewards_near_zero,
    follow_alpha,
    check_data,
    unlikely_overfitting,
    more_val_pairs,
)
"""In the order of their worth: the first that speaks is the first advice."""
