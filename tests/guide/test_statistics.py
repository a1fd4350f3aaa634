"""Formulas against scipy to 1e-9, and intervals against simulations that know the truth."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from rmtui import statistics as ours
from rmtui.guide.forecast import around_next
from rmtui.guide.paired_test import seed_spread
from trainer import intervals
from trainer.calibrate import pair_loss

settings.register_profile("guide", deadline=None, max_examples=150)
settings.load_profile("guide")

LEVELS = st.floats(0.5, 0.999)
TOLERANCE = 1e-9
"""Relative. Absolute too, of the size of the figures that a difference is taken of, where it may be nearly zero."""


def close(one: float, other: float, size: float = 0.0) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE * size)


def same(mine: intervals.Interval, low: float, high: float) -> bool:
    """Both ends, to the size of the larger."""
    size = max(abs(low), abs(high))
    return close(mine.low, low, size) and close(mine.high, high, size)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), LEVELS)
def test_wilson_equals_scipy(share, level):
    k, n = share
    theirs = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    mine = intervals.wilson(k, n, level)
    assert same(mine, theirs.low, theirs.high) and close(mine.value, k / n)
    assert mine.low <= mine.value <= mine.high


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_equals_scipys_exact_binomial(b, c):
    theirs = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert close(ours.mcnemar_exact(b, c), theirs, 1e-260)  # below 1e-284 scipy says 0, as of 19 and 1061
    assert ours.mcnemar_exact(b, c) == ours.mcnemar_exact(c, b)


@st.composite
def discordant(draw):
    n = draw(st.integers(1, 5000))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


@given(discordant(), LEVELS)
def test_difference_of_accuracies_is_bonett_and_prices(counts, level):
    """Of their formula: p̃ = (f + 1) / (n + 2), and a Wald interval with scipy's quantile."""
    gained, lost, n = counts
    a, b = Fraction(gained + 1, n + 2), Fraction(lost + 1, n + 2)
    half = stats.norm.ppf(0.5 + level / 2) * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    low, high = max(-1.0, float(a - b) - half), min(1.0, float(a - b) + half)
    mine = ours.paired_share_difference(gained, lost, n, level)
    assert same(mine, low, high) and mine.value == (gained - lost) / n


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_equals_scipy(p):
    assert close(intervals.normal_quantile(p), stats.norm.ppf(p))


@given(LEVELS)
def test_two_sided_quantile_equals_scipy(level):
    assert close(intervals.two_sided(level), stats.norm.interval(level)[1])


@given(st.floats(1e-9, 1 - 1e-9), st.floats(1, 2000))
@example(0.5, 7.0)
@example(0.975, 1.0)
@example(1e-9, 1.0)
def test_t_quantile_equals_scipy(p, df):
    assert close(intervals.t_quantile(p, df), stats.t.ppf(p, df), 1e-3)


@given(st.floats(-50, 50), st.floats(0.5, 2000))
@example(1e-05, 1021.0)
@example(-1e-07, 3.0)
@example(0.0, 1.0)
def test_t_distribution_equals_scipy(t, df):
    assert close(intervals.t_cdf(t, df), stats.t.cdf(t, df), 1e-300)


@given(st.floats(0.1, 500), st.floats(0.1, 500), st.floats(0, 1))
def test_incomplete_beta_equals_scipy(a, b, x):
    assert close(intervals.incomplete_beta(a, b, x), special.betainc(a, b, x), 1e-6)


VALUES = st.floats(-10, 10).map(lambda value: round(value, 6))


@given(st.lists(VALUES, min_size=2, max_size=30), LEVELS)
def test_mean_with_students_interval_equals_scipy(values, level):
    mine = ours.mean_t(values, level)
    if len(set(values)) == 1:
        assert mine.low == mine.value == mine.high
        return
    low, high = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert same(mine, low, high) and close(mine.value, np.mean(values), 1)


@given(st.lists(VALUES, min_size=2, max_size=8), LEVELS)
def test_spread_of_seeds_equals_numpy(values, level):
    found = seed_spread("val_acc", values, level)
    assert found is not None and found.count == len(values)
    assert close(found.deviation, float(np.std(values, ddof=1)), 1e-6)
    assert found.mean == ours.mean_t(values, level)


@given(st.lists(VALUES, min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_equals_numpy(values, p):
    assert close(ours.quantile(sorted(values), p), float(np.quantile(values, p)), 10)


@given(st.lists(VALUES, min_size=3, max_size=12), st.floats(0, 1))
def test_forecast_from_past_runs_is_students_prediction(moves, last):
    """The next of n + 1 draws: mean ± t·s·√(1 + 1/n), with scipy's quantile."""
    found = around_next(last, moves, 0.95)
    half = stats.t.ppf(0.975, len(moves) - 1) * np.std(moves, ddof=1) * math.sqrt(1 + 1 / len(moves))
    assert close(found.value, last + np.mean(moves), 10) and close(found.half, float(half), 1e-3)


def studentised(groups, draws, seed):
    """The bootstrap by its definition: clusters drawn whole, the mean over their pairs and its clustered error."""

    def mean_and_error(drawn):
        n, mean = sum(map(len, drawn)), np.mean(np.concatenate(drawn))
        squares = sum(np.sum(one - mean) ** 2 for one in drawn)
        return mean, math.sqrt(len(drawn) / (len(drawn) - 1) * squares) / n

    draw = random.Random(seed)
    mean, error = mean_and_error(groups)
    drawn = [mean_and_error(draw.choices(groups, k=len(groups))) for _ in range(draws)]
    found = [(its - mean) / its_error for its, its_error in drawn if its_error > 1e-9]
    low, high = np.quantile(found, [0.025, 0.975])
    half = stats.t.ppf(0.975, len(groups) - 1) * error
    return min(mean - half, mean - high * error), max(mean + half, mean - low * error)


@given(st.lists(st.integers(1, 4), min_size=10, max_size=16), st.integers(0, 5))
def test_bootstrap_draws_clusters_whole_and_is_studentised(sizes, seed):
    rng = np.random.default_rng(seed)
    groups = [rng.normal(0.1, 1.0, size) for size in sizes]
    names = [str(place) for place, one in enumerate(groups) for _ in one]
    low, high = studentised(groups, 60, seed)
    mine = ours.paired_bootstrap(list(np.concatenate(groups)), names, draws=60, seed=seed)
    assert close(mine.low, low, 3) and close(mine.high, high, 3)


def test_bootstrap_of_very_many_pairs_is_students_interval():
    values = np.random.default_rng(4).normal(0.02, 0.4, 12_000)
    low, high = stats.t.interval(0.95, 11_999, values.mean(), stats.sem(values))
    mine = ours.paired_bootstrap(list(values))
    assert close(mine.low, low) and close(mine.high, high)


@given(st.floats(0.01, 0.5), st.floats(0.02, 1))
def test_sample_size_follows_connors_formula_with_scipys_quantiles(difference, discordant):
    if difference > discordant:
        with pytest.raises(ValueError):
            ours.sample_size(difference, discordant)
        return
    a, b = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    exact = ((a * discordant**0.5 + b * (discordant - difference**2) ** 0.5) / difference) ** 2
    assert abs(ours.sample_size(difference, discordant) - exact) < 1 + 1e-6
    assert ours.sample_size(-difference, discordant) == ours.sample_size(difference, discordant)


@given(st.integers(50, 5000), st.floats(0.1, 0.5))
def test_the_detectable_difference_needs_just_these_pairs(n, discordant):
    found = ours.detectable(n, discordant)
    if found == math.inf:
        assert ours.sample_size(discordant, discordant) > n
        return
    assert ours.sample_size(found, discordant) <= n
    assert ours.sample_size(found * 0.99, discordant) >= n


def test_that_many_pairs_really_show_the_difference_with_80_percent_power():
    gain, loss = 0.14, 0.06
    n = ours.sample_size(gain - loss, gain + loss)
    draws = np.random.default_rng(5).multinomial(n, [gain, loss, 1 - gain - loss], size=1500)
    power = np.mean([ours.mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in draws])
    assert 0.74 < power < 0.86  # the exact test is a little conservative; standard error 0.01


@pytest.mark.parametrize(("n", "share"), [(341, 0.71), (348, 0.55), (60, 0.9), (21, 0.62)])
def test_wilson_covers_the_truth_as_often_as_it_says(n, share):
    counts = np.random.default_rng(6).binomial(n, share, 4000)
    hits = [found.low <= share <= found.high for found in (intervals.wilson(int(k), n) for k in counts)]
    assert 0.93 < np.mean(hits) < 0.985


@pytest.mark.parametrize(("gain", "loss", "n"), [(0.1, 0.07, 341), (0.05, 0.05, 341), (0.2, 0.05, 80)])
def test_difference_of_accuracies_covers_the_truth(gain, loss, n):
    draws = np.random.default_rng(7).multinomial(n, [gain, loss, 1 - gain - loss], size=3000)
    found = [ours.paired_share_difference(int(b), int(c), n) for b, c, _ in draws]
    assert 0.93 < np.mean([item.low <= gain - loss <= item.high for item in found]) < 0.985


def test_mcnemar_errs_no_more_often_than_its_level():
    draws = np.random.default_rng(8).multinomial(341, [0.08, 0.08, 0.84], size=3000)
    assert np.mean([ours.mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in draws]) <= 0.055


def few_large(rng):
    """Differences of which three in a hundred are twelve times as wide as the rest."""
    return rng.normal(0.05, 1, 120) + rng.normal(0, 12, 120) * (rng.random(120) < 0.03)


SHAPES = {
    "skewed": lambda rng: rng.gamma(2, 0.2, 120) - 0.35,
    "heavy": lambda rng: rng.standard_t(3, 120) + 0.05,
    "few large": few_large,
    "lognormal": lambda rng: rng.lognormal(0, 1, 120) - math.exp(0.5) + 0.05,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_bootstrap_covers_the_truth_with_skew_and_with_heavy_tails(shape):
    rng = np.random.default_rng(9)
    found = [ours.paired_bootstrap(list(SHAPES[shape](rng)), draws=99) for _ in range(300)]
    assert 0.93 <= np.mean([one.low <= 0.05 <= one.high for one in found]) < 0.99


def test_seed_spread_covers_the_truth():
    rng = np.random.default_rng(10)
    means = [ours.mean_t(list(rng.normal(0.7, 0.02, 3))) for _ in range(1500)]
    assert 0.93 < np.mean([found.low <= 0.7 <= found.high for found in means]) < 0.97


def test_forecast_from_past_runs_covers_the_truth():
    draws = np.random.default_rng(11).normal(-0.05, 0.02, (2000, 4))
    found = [(around_next(0.6, list(moves[:3]), 0.95), 0.6 + moves[3]) for moves in draws]
    assert 0.93 < np.mean([around.low <= came <= around.high for around, came in found]) < 0.97


@given(st.floats(-800, 800))
def test_pair_loss_is_stable_and_equal_to_scipys(margin):
    assert close(pair_loss(margin), -special.log_expit(margin))


def test_pair_loss_of_equal_rewards_is_ln2():
    assert pair_loss(0.0) == ours.LN2


@pytest.mark.parametrize(
    "call", [lambda: intervals.wilson(3, 0), lambda: intervals.wilson(4, 3), lambda: ours.paired_bootstrap([1.0])]
)
def test_impossible_counts_are_refused(call):
    with pytest.raises(ValueError):
        call()
