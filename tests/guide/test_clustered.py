"""Pairs that share prompts: clusters of files, formulas against brute force, intervals against the truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rmtui.demo import make_pairs
from rmtui.guide.paired_test import accuracy_test, paired_test
from rmtui.statistics import effective_differences, mcnemar_exact, sign_flip, simulated_coverage
from trainer.clusters import find_clusters
from trainer.intervals import accuracy_interval, clustered_error, effective_pairs
from trainer.rows import Row


def rows(*prompts, **fields):
    return [
        Row(f"p{place}", prompt, f" yes {place}", f" no {place}", fields={k: v[place] for k, v in fields.items()})
        for place, prompt in enumerate(prompts)
    ]


def sides(clusters):
    """Which rows are together, by their places."""
    found: dict[str, set[int]] = {}
    for key, name in clusters.of.items():
        found.setdefault(name, set()).add(int(key[1:]))
    return sorted(map(sorted, found.values()))


def test_the_demos_questions_are_clustered_by_topic_not_by_wording():
    _, topics = make_pairs.topics()
    made = make_pairs.make(topics, "val")
    found = find_clusters([Row(row["id"], row["prompt"], row["chosen"], row["rejected"]) for row in made])
    prompts = {row["prompt"] for row in made}
    assert len(prompts) == 4 * len(topics) and found.by == "first turn"
    assert len(topics) <= found.number <= len(topics) + 1
    of = {row["id"]: row["prompt"] for row in made}
    for members in ({of[key] for key in found.of if found.of[key] == name} for name in set(found.of.values())):
        assert sum(any(topic.task in prompt for prompt in members) for topic in topics) == 1


def test_one_prompt_is_one_cluster_and_another_is_another():
    found = find_clusters(rows("How tall is Etna?", "Who wrote Emma?", "how tall is  Etna?", "Why is the sky blue?"))
    assert sides(found) == [[0, 2], [1], [3]] and found.by == "prompt"
    turns = "\n\nHuman: Hi, bake bread?\n\nAssistant: Yes.\n\nHuman: {}\n\nAssistant:"
    found = find_clusters(rows(turns.format("with rye?"), turns.format("with wheat?"), "\n\nHuman: Who?\n\nAssistant:"))
    assert sides(found) == [[0, 1], [2]]


def test_a_group_column_outranks_the_texts_and_a_row_without_one_is_alone():
    found = find_clusters(rows("A one?", "A one?", "Other?", "Fourth?", group=["x", "y", "x", None]))
    assert sides(found) == [[0, 2], [1], [3]] and found.by == "group"
    assert sides(find_clusters(rows("a", "b", "c", group=[1, "1", 1]))) == [[0, 2], [1]]


def test_numbered_prompts_stay_apart_and_chinese_ones_meet_by_their_characters():
    assert find_clusters(rows(*[f"Question {n} of the survey" for n in range(40)])).number == 40
    chinese = (
        "如何给仙人掌浇水？",
        "请问如何给仙人掌浇水呢？",
        "谁写了红楼梦？",
        "中国的首都在哪里？",
        "天空为什么是蓝色的？",
    )
    assert sides(find_clusters(rows(*chinese))) == [[0, 1], [2], [3], [4]]


def test_names_do_not_depend_on_the_order_of_the_file():
    made = rows("How tall is Etna?", "Who wrote Emma?", "How tall is Etna, then?", "Who wrote Persuasion?")
    assert find_clusters(made).of == find_clusters(made[::-1]).of


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_the_clustered_error_is_its_formula(pairs):
    x, g = np.array([float(one) for one, _ in pairs]), np.array([name for _, name in pairs])
    mine = clustered_error(list(x), [str(name) for name in g])
    count = len(set(g))
    if count < 2:
        assert math.isnan(mine)
        return
    sums = [np.sum(x[g == name] - x.mean()) for name in set(g)]
    assert mine == pytest.approx(math.sqrt(count / (count - 1) * np.sum(np.square(sums))) / len(x), abs=1e-12)


def test_pairs_that_are_each_their_own_cluster_have_wilsons_interval():
    found = effective_pairs([True] * 240 + [False] * 101, [str(n) for n in range(341)])
    around = accuracy_interval(240 / 341, 341, *found)
    theirs = stats.binomtest(240, 341).proportion_ci(method="wilson")
    assert (around.low, around.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_pairs_that_all_agree_with_their_prompt_count_once_a_prompt():
    right = [n < 60 for n in range(100) for _ in range(5)]
    names = [str(n) for n in range(100) for _ in range(5)]
    found = effective_pairs(right, names)
    assert found.clusters == 100 and found.effective == pytest.approx(99)
    around, t = accuracy_interval(0.6, 500, *found), stats.t.ppf(0.975, 99)
    centre = (0.6 + t * t / 198) / (1 + t * t / 99)
    half = t / (1 + t * t / 99) * math.sqrt(0.24 / 99 + t * t / 4 / 99**2)
    assert (around.low, around.high) == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert effective_pairs([True] * 8, list("aabbccdd")).effective == 4
    assert accuracy_interval(0.5, 8, 1, 1.0).low == 0 and accuracy_interval(0.5, 8, 1, 1.0).high == 1


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=11))
def test_the_sign_flip_test_counts_every_sign(sums):
    reach = abs(sum(sums))
    flips = itertools.product((1, -1), repeat=len(sums))
    counted = [abs(sum(sign * one for sign, one in zip(signs, sums, strict=True))) >= reach for signs in flips]
    assert sign_flip(sums) == pytest.approx(np.mean(counted), abs=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_sign_flip_test_of_single_pairs_is_mcnemars(gained, lost):
    assert sign_flip([1] * gained + [-1] * lost + [0] * 7) == mcnemar_exact(gained, lost)


def test_the_sign_flip_test_of_many_clusters_equals_the_convolution_of_their_coins():
    sums = [1] * 300 + [-1] * 270 + [2] * 120 + [-2] * 100 + [3] * 20 + [-4] * 9
    law = np.array([1.0])
    for one in sums:
        coin = np.zeros(2 * abs(one) + 1)
        coin[[0, -1]] = 0.5
        law = np.convolve(law, coin)
    places = np.arange(len(law)) - len(law) // 2
    assert sign_flip(sums) == pytest.approx(law[np.abs(places) >= abs(sum(sums))].sum(), rel=1e-9)


ANSWER = st.tuples(st.booleans(), st.booleans(), st.integers(0, 9))


def rewards(right):
    return {f"p{n}": (1.0, 0.0) if one else (0.0, 1.0) for n, one in enumerate(right)}


@given(st.lists(ANSWER, min_size=2, max_size=60))
def test_an_interval_holds_zero_just_when_the_test_does_not_reject(pairs):
    a, b = (rewards([pair[side] for pair in pairs]) for side in (0, 1))
    found = accuracy_test(a, b, clusters={f"p{n}": str(pair[2]) for n, pair in enumerate(pairs)})
    if found is None:
        assert len({pair[2] for pair in pairs}) < 2
        return
    if found.word == "same":
        assert found.difference.low <= 0 <= found.difference.high
    else:
        assert (found.difference.low >= 0) is (found.word == "better") and found.p < 0.05
    assert found.difference.low <= found.difference.value <= found.difference.high


def prompts(rng, count, each, icc, share):
    """Right or wrong of `each` pairs of `count` prompts: beta-binomial, whose correlation within a prompt is `icc`."""
    rate = rng.beta(share * (1 / icc - 1), (1 - share) * (1 / icc - 1), count)
    return (rng.random((count, each)) < rate[:, None]).ravel()


@pytest.mark.parametrize(("count", "each", "icc"), [(85, 4, 0.3), (40, 4, 0.3), (60, 8, 0.5)])
def test_the_interval_covers_the_truth_though_pairs_share_prompts(count, each, icc):
    rng = np.random.default_rng(21)
    names = [str(n // each) for n in range(count * each)]
    hits, alone = [], []
    for _ in range(1000):
        right = prompts(rng, count, each, icc, 0.7)
        found = accuracy_interval(right.mean(), len(right), *effective_pairs(right.tolist(), names))
        hits.append(found.low <= 0.7 <= found.high)
        found = accuracy_interval(right.mean(), len(right))
        alone.append(found.low <= 0.7 <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.98
    assert np.mean(alone) < 0.88  # what an interval of independent pairs would cover


@pytest.mark.parametrize(("count", "each", "icc"), [(6, 10, 0.5), (12, 8, 0.3), (20, 4, 0.4)])
def test_the_coverage_that_is_reported_for_few_prompts_is_that_of_a_simulation_apart(count, each, icc):
    rng = np.random.default_rng(23)
    names = [str(n // each) for n in range(count * each)]
    hits = []
    for _ in range(1500):
        right = prompts(rng, count, each, icc, 0.7)
        found = accuracy_interval(right.mean(), len(right), *effective_pairs(right.tolist(), names))
        hits.append(found.low <= 0.7 <= found.high)
    effective = count * each / (1 + icc * (each - 1))
    assert simulated_coverage(0.7, count * each, count, effective) == pytest.approx(np.mean(hits), abs=0.035)


def test_two_equal_runs_differ_by_chance_no_more_often_than_the_level():
    rng, count, each = np.random.default_rng(22), 85, 4
    names = {f"p{n}": str(n // each) for n in range(count * each)}
    clustered, alone = [], []
    for _ in range(600):
        better = prompts(rng, count, each, 0.7, 0.5)  # of pairs that turn, a prompt's turn the same way
        turns = rng.random(count * each) < 0.5
        a, b = rewards(np.where(turns, ~better, True)), rewards(np.where(turns, better, True))
        clustered.append(accuracy_test(a, b, clusters=names).word != "same")
        alone.append(accuracy_test(a, b).word != "same")
    assert np.mean(clustered) <= 0.065
    assert np.mean(alone) > 0.1


def test_the_effective_number_of_differences_is_never_more_than_the_pairs():
    count, effective = effective_differences([1, -1, 0, 0, 1, -1], list("aabbcc"))
    assert (count, effective) == (3, 3.0)  # within a prompt they cancel: nothing is known of the spread between prompts
    assert effective_differences([0, 1, 0, -1], list("abcd")) == (4, 4.0)


def test_one_prompt_is_no_test():
    a, b = rewards([True, False]), rewards([True, True])
    assert paired_test(a, b, clusters={"p0": "x", "p1": "x"}) is None
