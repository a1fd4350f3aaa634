"""The loss that trials are ranked by does not depend on the rewards' scale, and is honest: fitted on the other half."""

from __future__ import annotations

import math
import random

import pytest
from scipy.optimize import minimize_scalar

from rmtui.statistics import LN2
from trainer.calibrate import cross_fitted, pair_loss, scale


def margins(seed: int, pairs: int = 200, shift: float = 0.5, wide: float = 1.0) -> dict[str, float]:
    draw = random.Random(seed)
    return {f"p{number}": wide * draw.gauss(shift, 1.0) for number in range(pairs)}


@pytest.mark.parametrize("seed", range(5))
def test_the_factor_is_the_one_that_scipy_finds(seed):
    values = list(margins(seed).values())
    found = minimize_scalar(lambda t: sum(pair_loss(t * m) for m in values), bounds=(0, 50), method="bounded")
    assert scale(values) == pytest.approx(found.x, abs=1e-3)


def mean(found: dict[str, float]) -> float:
    return sum(found.values()) / len(found)


def test_a_model_that_is_ten_times_too_sure_of_itself_has_the_same_loss():
    one, ten = (mean(cross_fitted(margins(1, wide=wide), {})) for wide in (1.0, 10.0))
    assert one == pytest.approx(ten, abs=1e-9) and one < LN2
    assert mean({k: pair_loss(m) for k, m in margins(1, wide=10.0).items()}) > one + 0.5


def test_of_a_model_that_is_wrong_more_often_than_not_nothing_is_believed():
    assert cross_fitted(margins(2, shift=-0.5), {}) == dict.fromkeys(margins(2), LN2)
    assert scale([]) == 0 and scale([-1.0]) == 0 and math.isfinite(scale([1.0, 2.0]))


def test_noise_is_not_taken_for_learning():
    """Margins without any direction: fitted on the same pairs the loss would be below ln 2 each time."""
    losses = [mean(cross_fitted(margins(seed, shift=0.0), {})) for seed in range(40)]
    assert sum(losses) / 40 >= LN2


def test_pairs_of_a_cluster_are_in_one_half():
    values = {"a": 1.0, "b": 1.0, "c": -3.0, "d": -3.0}
    found = cross_fitted(values, dict.fromkeys(values, "same"))
    assert set(found.values()) == {LN2}, "there is no other half to learn a factor from"
