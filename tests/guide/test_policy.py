"""The step that is recommended over all runs of a data set: each rule from both sides of its limit."""

import math

import numpy as np
import pytest
from guide_cases import subject
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from rmtui.guide import advice, evidence, path, policy
from rmtui.guide.model import BadValue
from rmtui.guide.readings import read

LN2 = math.log(2)


def run(name, rate, *rows, start=0.72, method="lora", pairs=400, **more):
    """A run of one row an epoch: train_loss, val_loss, val_acc."""
    config = {
        "learning_rate": rate,
        "num_epochs": more.pop("planned", len(rows)),
        "method": method,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.1,
        "lora": {"r": 16, "alpha": 32, "dropout": 0.1},
    }
    about = {"start_loss": start, **more.pop("more", {})}
    return subject(list(rows), name=name, config=config, val_pairs=pairs, more=about, **more)


LEARNED, BETTER, WORSE = (0.64, 0.62, 0.66), (0.6, 0.58, 0.7), (0.66, 0.64, 0.64)
FLAT = (0.72, 0.71, 0.51)
BROKE = (3.0, 2.6, 0.5)


def step(*runs):
    """The recommendation for the newest run."""
    return policy.next_step(runs[-1], runs)


def wanted(*runs):
    found = step(*runs)
    return found.id, dict(found.changes)


def test_a_training_that_broke_goes_on_with_a_tenth_of_its_rate():
    assert wanted(run("a", 3e-3, BROKE)) == ("rate_down", {"learning_rate": 3e-4})
    nan = run("a", 3e-3, (math.nan, math.nan, None), more={"bad_values": (BadValue("loss", 7),)})
    assert wanted(nan) == ("rate_down", {"learning_rate": 3e-4})


def test_an_untrained_head_with_a_high_loss_is_not_a_broken_training():
    """The loss of a head as it was drawn may be anything: here 3.1 before the first step."""
    assert wanted(run("a", 1e-4, BROKE, start=3.1)) == ("rate_not_learned", {"learning_rate": 1e-3})
    assert wanted(run("a", 1e-4, BROKE, start=None))[0] == "rate_not_learned"  # a usual rate, and no steps are known


def test_what_has_not_learned_goes_up_tenfold_and_at_least_to_the_methods_usual_rate():
    assert wanted(run("a", 1e-4, FLAT)) == ("rate_not_learned", {"learning_rate": 1e-3})
    assert wanted(run("a", 1e-7, FLAT)) == ("rate_not_learned", {"learning_rate": 1e-4})
    assert wanted(run("a", 1e-7, FLAT, method="full")) == ("rate_not_learned", {"learning_rate": 1e-5})


def test_the_usual_rate_is_not_proposed_where_it_was_too_large():
    """1e-4 is LoRA's usual rate; here its train_loss ended above that of the untrained model."""
    low, high = run("low", 1e-6, FLAT), run("high", 1e-4, (1.0, 0.75, 0.5))
    assert wanted(high, low) == ("rate_not_learned", {"learning_rate": 1e-5})


def test_a_val_acc_within_chance_has_not_learned_and_one_above_it_has():
    """Of 400 pairs, 0.549 is within the 95 % interval of a coin (0.451 … 0.549) and 0.56 is not."""
    assert wanted(run("a", 1e-3, (0.68, 0.68, 0.545)))[0] == "rate_not_learned"
    assert wanted(run("a", 1e-3, (0.66, 0.65, 0.57)))[0] == "rate_up"


def test_the_highest_rate_that_works_is_raised_threefold_for_one_epoch():
    assert wanted(run("a", 1e-4, LEARNED, BETTER)) == ("rate_up", {"learning_rate": 3e-4, "num_epochs": 1})


def test_the_lowest_rate_that_works_is_lowered_threefold():
    assert wanted(run("a", 1e-4, BETTER), run("b", 3e-4, WORSE)) == ("rate_lower", {"learning_rate": 3.3e-5})


def test_a_higher_rate_that_is_ahead_after_as_many_epochs_leads():
    """One epoch at 3e-4 beats the first epoch at 1e-4, though not yet its third."""
    slow = run("slow", 1e-4, (0.7, 0.66, 0.62), (0.64, 0.62, 0.66), (0.6, 0.58, 0.7))
    fast = run("fast", 3e-4, (0.64, 0.6, 0.67))
    assert wanted(slow, fast)[1]["learning_rate"] == 9e-4
    beaten = run("beaten", 3e-4, (0.68, 0.67, 0.6))
    assert wanted(slow, beaten)[0] == "rate_lower"


def test_between_the_best_rate_and_a_far_higher_one_that_broke():
    runs = run("low", 1e-5, FLAT), run("a", 1e-4, BETTER), run("b", 1e-2, BROKE)
    assert wanted(*runs) == ("rate_between", {"learning_rate": 1e-3})


BRACKET = run("low", 3e-5, WORSE), run("high", 3e-4, WORSE)


def test_a_bracketed_rate_is_trained_for_longer_while_its_last_epoch_is_its_best():
    assert wanted(*BRACKET, run("a", 1e-4, BETTER)) == ("longer", {"num_epochs": 4})


def test_overfitting_ends_earlier_then_goes_slower_and_never_up():
    over = run("over", 3e-4, (0.6, 0.56, 0.7), (0.4, 0.62, 0.7), (0.2, 0.8, 0.7), (0.1, 1.05, 0.69))
    assert wanted(over) == ("stop_earlier", {"num_epochs": 1})
    again = run("short", 3e-4, (0.6, 0.56, 0.7))
    assert wanted(over, again)[1]["learning_rate"] == 1e-4


def test_labels_that_point_the_other_way_and_leaks_are_matters_of_the_data():
    assert step(run("a", 1e-4, (0.4, 1.2, 0.3))).id == "labels_turned"
    assert step(run("a", 1e-4, (0.7, 0.72, 0.3))).id != "labels_turned"  # it has learned nothing yet
    assert step(run("a", 1e-4, (0.1, 0.05, 0.995))).id == "leakage"
    assert step(run("a", 1e-4, (0.3, 0.3, 0.95))).id != "leakage"


DONE = (
    *BRACKET,
    run("a", 1e-4, LEARNED, BETTER, (0.5, 0.59, 0.7), (0.45, 0.6, 0.7)),
    run("slow", 3.3e-5, LEARNED, LEARNED, LEARNED, LEARNED),
)


def test_at_the_end_the_best_run_is_kept_and_what_the_pairs_can_show_is_said():
    found = step(*DONE)
    assert (found.id, found.changes, found.figures["run"]) == ("cannot_tell", {}, "a")
    many = [subject_with(item, 1_000_000) for item in DONE]
    assert policy.next_step(many[-1], many).id == "tuning_done"


def subject_with(item, pairs):
    rows = [(row.train_loss, row.val_loss, row.val_acc) for row in item.run.epochs]
    return run(item.run.name, item.value("learning_rate"), *rows, pairs=pairs)


def test_what_pairs_can_show_is_mcnemars_power():
    """340 pairs of which 15 % turn show 5.9 points: the normal test's power there is 0.8."""
    shown = policy.detectable(340)
    assert shown == pytest.approx(0.0588, abs=1e-4)
    spread = math.sqrt(0.15 / 340)
    assert 1 - norm.cdf(norm.ppf(0.975) - shown / spread) == pytest.approx(0.8, abs=1e-3)


def fitted(name, rate, losses, *rows, **more):
    """The same with its losses at a cross-fitted temperature, one an epoch."""
    return run(name, rate, *rows, more={"fitted": tuple(enumerate(losses, 1)), **more.pop("more", {})}, **more)


NOISY = fitted("noisy", 1e-3, [0.68], (0.71, 0.76, 0.6))
"""It ranks pairs well and is too sure of itself: its val_loss is above that of a constant."""


def test_an_untrained_model_with_the_lower_val_loss_is_not_the_best():
    lucky = fitted("lucky", 1e-5, [LN2], (0.72, 0.694, 0.5))
    over = fitted("large", 1e-2, [LN2], BROKE)
    assert step(lucky, over, NOISY).figures["run"] == "noisy"
    plain = [run("lucky", 1e-5, (0.72, 0.694, 0.5)), run("noisy", 1e-3, (0.71, 0.76, 0.6))]
    assert step(*plain).id == "rate_not_learned"  # by val_loss alone nothing is seen to have learned


def test_the_loss_has_to_beat_a_constant_by_more_than_luck():
    """2 · 400 · (ln 2 − loss) against 6.63: ln 2 − 0.0083."""
    assert wanted(fitted("a", 1e-4, [LN2 - 0.008], (0.7, 0.7, 0.56)))[0] == "rate_not_learned"
    assert wanted(fitted("a", 1e-4, [LN2 - 0.0086], (0.7, 0.7, 0.56)))[0] == "rate_up"


def test_what_has_hardly_learned_is_bounded_by_steps_that_are_too_large_alone():
    hardly = fitted("hardly", 1e-4, [0.68], (0.71, 0.7, 0.58))
    worse = fitted("worse", 1e-3, [0.69], (0.71, 0.7, 0.52))
    assert wanted(worse, hardly) == ("rate_up", {"learning_rate": 1e-2})
    large = fitted("large", 1e-3, [LN2], (1.0, 0.9, 0.5))
    assert wanted(large, hardly)[0] != "rate_up"
    clearly = fitted("clearly", 1e-4, [0.6], (0.65, 0.6, 0.68))
    assert wanted(worse, clearly)[0] != "rate_up"


def test_what_never_learned_is_tried_below_its_rate_and_then_trained_longer_at_the_highest_that_works():
    first, large = fitted("first", 1e-2, [LN2], FLAT), fitted("large", 1e-1, [LN2], BROKE)
    assert wanted(large, first) == ("rate_down", {"learning_rate": 1e-3})
    lower = fitted("lower", 1e-3, [LN2], (0.7, 0.7, 0.5))
    assert wanted(large, lower, first) == ("longer_to_learn", {"num_epochs": 4})


def test_what_learned_its_training_pairs_by_heart_is_tried_at_no_higher_rate():
    """The validation pairs show nothing of it: a lower rate for as long, at once. After one epoch no pair was seen
    twice, and a train_loss that hardly fell asks for a higher rate."""
    rows = (0.62, 0.75, 0.5), (0.5, 0.85, 0.51)
    assert wanted(fitted("heart", 1e-2, [0.70, 0.70], *rows)) == ("slower_to_learn", {"learning_rate": 3.3e-3})
    assert wanted(fitted("once", 1e-2, [0.70], (0.5, 0.85, 0.51)))[0] == "rate_not_learned"
    hardly = fitted("hardly", 1e-2, [0.70, 0.70], (0.68, 0.75, 0.5), (0.65, 0.85, 0.51))
    assert wanted(hardly)[0] == "rate_not_learned"
    little = fitted("little", 1e-2, [0.69, 0.67], *rows)
    assert wanted(little) == ("rate_lower", {"learning_rate": 3.3e-3, "num_epochs": 1})
    much = fitted("much", 1e-2, [0.64, 0.6], *rows)
    assert wanted(much)[0] == "rate_up"


def test_no_rate_is_raised_whose_first_epoch_made_new_pairs_worse():
    """Untrained 0.72; the limit is 0.756. What hardly learned at such a rate goes down tenfold."""
    rest = (0.6, 0.6, 0.68), (0.5, 0.58, 0.7)
    over = fitted("over", 1e-2, [0.6, 0.58, 0.57], (0.76, 0.65, 0.66), *rest)
    assert wanted(over) == ("rate_lower", {"learning_rate": 3.3e-3, "num_epochs": 1})
    assert wanted(fitted("right", 1e-2, [0.6, 0.58, 0.57], (0.75, 0.65, 0.66), *rest))[0] == "rate_up"
    lucky = fitted("lucky", 1e-1, [0.68], (0.78, 0.75, 0.52))
    assert wanted(lucky) == ("rate_lower", {"learning_rate": 1e-2})


def test_of_runs_that_the_pairs_cannot_tell_apart_the_one_leads_that_has_learned_more():
    """400 pairs: the luckiest loss, 0.66, is not shown to be lower than 0.67, and is than 0.684 (2.2 standard errors of
    the difference)."""
    around = fitted("low", 1e-5, [LN2], FLAT), fitted("high", 1e-2, [LN2], BROKE)
    lucky = fitted("lucky", 1e-4, [0.66], (0.7, 0.7, 0.6))
    trained = (0.6, 0.7, 0.6), (0.4, 0.75, 0.6)
    assert step(*around, fitted("more", 1e-3, [0.68, 0.67], *trained), lucky).figures["run"] == "more"
    assert step(*around, fitted("worse", 1e-3, [0.70, 0.684], *trained), lucky).figures["run"] == "lucky"


def test_what_has_learned_nothing_is_not_chosen_however_low_its_train_loss_happens_to_be():
    """Untrained models start anywhere; one that knows its training pairs counts, whatever few pairs show of it."""
    best = evidence.EpochEvidence(0.684, 0.72, 0.57, 400)
    untrained = evidence.EpochEvidence(0.688, 0.62, 0.5, 400)
    trained = untrained._replace(train_loss=0.5)
    wrong = trained._replace(val_acc=0.4)
    assert evidence.choose([untrained, best, wrong], lambda one: one) is best
    assert evidence.choose([untrained, best, trained], lambda one: one) is trained


def test_the_error_of_a_difference_of_losses_is_that_of_simulated_margins():
    """Margins of two models that correlate by one half, each at its best temperature."""
    rng, pairs, scale = np.random.default_rng(1), 400, 0.6
    means, losses = scale**2 / 2, []
    for _ in range(2000):
        a, own = rng.normal(size=(2, pairs))
        b = 0.5 * a + math.sqrt(0.75) * own
        losses.append([np.logaddexp(0, -(means + scale * one)).mean() for one in (a, b)])
    first, second = np.transpose(losses)
    assert evidence.spread(first.mean(), second.mean(), pairs) == pytest.approx(np.std(first - second), rel=0.1)


def test_what_learned_its_training_pairs_by_heart_goes_slower_before_longer():
    rows = (0.62, 0.75, 0.5), (0.5, 0.85, 0.51)
    heart, large = fitted("heart", 1e-2, [0.70, 0.70], *rows), fitted("large", 1e-1, [LN2], BROKE)
    lower = fitted("lower", 1e-3, [LN2], (0.7, 0.7, 0.5))
    assert wanted(large, lower, heart) == ("slower_to_learn", {"learning_rate": 3.3e-3})
    hardly = fitted("hardly", 1e-2, [0.70, 0.70], (0.68, 0.75, 0.5), (0.65, 0.85, 0.51))
    assert wanted(large, lower, hardly)[0] == "longer_to_learn"
    tried = fitted("tried", 3.3e-3, [0.70, 0.70], *rows)
    assert wanted(large, lower, tried, heart)[0] == "longer_to_learn"


def test_growing_too_sure_is_not_overfitting_while_pairs_are_ranked_better():
    rows = (0.6, 0.56, 0.66), (0.4, 0.62, 0.68), (0.2, 0.8, 0.7), (0.1, 1.05, 0.71)
    assert wanted(run("sure", 3e-4, *rows))[0] == "stop_earlier"
    assert wanted(fitted("sure", 3e-4, [0.56, 0.55, 0.545, 0.54], *rows))[0] == "rate_up"
    assert wanted(fitted("over", 3e-4, [0.56, 0.6, 0.62, 0.64], *rows))[0] == "stop_earlier"


def test_runs_whose_pairs_are_not_known_are_not_ranked_with_those_that_are():
    """A val_loss of 0.5 and a fitted loss of 0.6 have no order; a run that broke bounds the rate all the same."""
    other, broke = run("imported", 1e-3, (0.5, 0.5, 0.75)), run("broke", 3e-4, BROKE)
    mine = fitted("mine", 1e-4, [0.6], (0.6, 0.7, 0.66))
    assert step(other, mine).figures["run"] == "mine"
    assert wanted(broke, mine) == ("rate_lower", {"learning_rate": 3.3e-5})


def test_a_model_below_chance_comes_last():
    wrong, right = evidence.rank(LN2, 0.3, 0.3, 400), evidence.rank(LN2, 0.7, 0.49, 400)
    assert right < wrong and evidence.rank(0.6, 0.7, 0.6, 400) < right


def test_runs_of_another_base_or_other_validation_pairs_do_not_count():
    base = {"model": "small"}
    other = run("other", 3e-4, BROKE)
    mine = run("mine", 1e-4, BETTER)
    mine.run.config.update(base)
    other.run.config.update(model="large")
    assert wanted(other, mine)[0] == "rate_up"


def test_without_a_rate_or_while_it_runs_nothing_is_recommended():
    unknown = run("a", 1e-4, BETTER)
    del unknown.run.config["learning_rate"]
    assert step(unknown) is None


ROWS = st.tuples(st.floats(0.05, 4), st.floats(0.05, 4), st.floats(0.2, 0.99))
HISTORIES = st.lists(
    st.tuples(st.sampled_from([1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2, 0.3]), st.lists(ROWS, min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@given(HISTORIES, st.booleans())
@settings(max_examples=250, deadline=None)
def test_no_history_gets_a_rate_that_broke_or_settings_that_were_tried(history, known):
    """`known`: rewards of single pairs, which bring the loss down to that of a constant at most."""
    runs = []
    for number, (rate, rows) in enumerate(history):
        losses = [min(loss, LN2) for _, loss, _ in rows]
        runs.append(fitted(f"run-{number}", rate, losses, *rows) if known else run(f"run-{number}", rate, *rows))
    last = runs[-1]
    at = path.locate(last, runs, None)
    found = advice.recommend(at, read(last), runs)
    first = policy.next_step(last, runs)
    if first is None:
        return
    assert first in found
    broken = [item.value("learning_rate") for item in runs if policy.broken(item, advice.DEFAULT)]
    if broken and first.changes:
        assert first.changes.get("learning_rate", 0.0) <= max(item.value("learning_rate") for item in runs)
    proposed = [first.changes.get(key, last.value(key)) for key in policy.KEPT]
    assert not first.changes or all([item.value(key) for key in policy.KEPT] != proposed for item in runs)
    if not first.changes and first.action == "none":
        assert not any(item.changes for item in found)
