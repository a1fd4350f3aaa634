"""Two settings by their seeds: a verdict on two trainings is not one on two settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from support import START, config, make_run_folder, training

from rmtui.cli import main
from rmtui.guide.settings_test import permuted, settings_test

PAIRS = 120
PROMPTS = {f"p{n}": str(n // 4) for n in range(PAIRS)}


def rewards(right):
    return {f"p{n}": (1.0, 0.0) if one else (0.0, 1.0) for n, one in enumerate(right)}


def first(count):
    return rewards([n < count for n in range(PAIRS)])


@pytest.mark.parametrize(
    ("a", "b"), [([0.7, 0.71, 0.69, 0.72], [0.75, 0.74, 0.71, 0.76]), ([1, 2, 2], [2, 3, 3, 4, 9])]
)
def test_the_permutation_is_scipys(a, b):
    def apart(one, other, axis):
        return np.abs(np.mean(one, axis=axis) - np.mean(other, axis=axis)).round(9)

    theirs = stats.permutation_test((a, b), apart, vectorized=True, n_resamples=np.inf, alternative="greater")
    assert permuted(a, b) == pytest.approx(theirs.pvalue)


def test_of_very_many_orders_some_are_drawn():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 12), rng.normal(0.8, 1, 12)
    theirs = stats.permutation_test((a, b), lambda x, y: np.mean(x) - np.mean(y), n_resamples=20_000, rng=1).pvalue
    assert permuted(list(a), list(b)) == pytest.approx(theirs, abs=0.01)


def test_below_four_seeds_of_each_there_is_no_verdict_and_from_four_there_is():
    good, bad = [first(n) for n in (90, 92, 94, 91)], [first(n) for n in (50, 52, 49, 55)]
    found = settings_test(bad, good[:3], PROMPTS)
    assert found.word is None and found.p is None
    assert found.deviation == pytest.approx(
        np.sqrt((3 * np.var([50, 52, 49, 55], ddof=1) + 2 * np.var([90, 92, 94], ddof=1)) / 5) / PAIRS
    )
    found = settings_test(bad, good, PROMPTS)
    assert found.word == "better" and found.p_seeds == pytest.approx(2 / 70) and found.p == found.p_seeds
    assert settings_test(good, bad, PROMPTS).word == "worse"


def test_what_one_prompt_does_for_every_seed_is_no_better_setting():
    """All four seeds win the same four pairs of one prompt: other seeds would, too, other prompts need not."""
    found = settings_test([first(60)] * 4, [first(64)] * 4, PROMPTS)
    assert found.p_seeds == pytest.approx(2 / 70) and found.p_prompts == 1.0 and found.word == "same"


def test_equal_settings_are_called_different_no_more_often_than_the_level():
    rng, hits = np.random.default_rng(5), []
    for _ in range(250):
        ease = np.repeat(rng.normal(0.6, 0.8, PAIRS // 4), 4)
        seeds = rng.normal(0, 0.35, 8)[:, None]
        right = rng.random((8, PAIRS)) < 1 / (1 + np.exp(-ease - seeds))
        found = settings_test([rewards(one) for one in right[:4]], [rewards(one) for one in right[4:]], PROMPTS)
        hits.append(found.word != "same")
    assert np.mean(hits) <= 0.06


def write(folder, found):
    path = folder.path / "validation" / "epoch-3.jsonl"
    path.parent.mkdir()
    lines = ({"id": key, "chosen": a, "rejected": b} for key, (a, b) in found.items())
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_comparison_says_that_it_is_of_trainings_until_there_are_seeds(ws, capsys):
    events = training()
    for seed in range(1, 5):
        for name, rate, right in (("slow", 1e-5, 60), ("fast", 3e-5, 90)):
            changes = config(seed=seed, learning_rate=rate)
            folder = make_run_folder(ws, f"{name}-{seed}", events=events, created=START + seed, config=changes)
            write(folder, first(right + seed))
        assert main(["-C", str(ws.root), "compare", "slow-1", "fast-1", "--json", "--lang", "en"]) == 0
        paired = json.loads(capsys.readouterr().out)["paired"][0]
        assert (len(paired["settings"]["a"]), len(paired["settings"]["b"])) == (seed, seed)
        assert paired["verdict"]["accuracy_verdict"] == "better"  # of the two trainings
        assert paired["settings"]["verdict"] == (None if seed < 4 else "better")
        said = "not two settings" if seed < 4 else "over seeds and prompts"
        assert said in paired["texts"][-1]
    assert main(["-C", str(ws.root), "compare", "slow-1", "slow-2", "--json"]) == 0
    assert "settings" not in json.loads(capsys.readouterr().out)["paired"][0]
