"""No two sentences of one answer contradict each other: held over random histories of two runs and their pairs."""

from __future__ import annotations

import re

from guide_cases import subject
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtui.guide import comparison
from rmtui.guide.comparison import Entry
from rmtui.guide.paired_test import accuracy_test, paired_test
from rmtui.guide.readings import read
from rmtui.guide.verdict_line import verdict

UP = {"val_acc_rose", "val_acc_rose_though_loss", "val_acc_climbs", "val_acc_climbs_with_falls"}
DOWN = {"val_acc_fell"}
OPEN = {"val_acc_unproven", "val_acc_climbs_unproven"}
STILL = {"val_acc_flat", "val_acc_not_climbing"}


@st.composite
def histories(draw):
    """Two runs of one to four epochs on the same pairs: (clusters, [right of each epoch] of each run)."""
    n = draw(st.sampled_from([12, 60, 200, 400]))
    random = draw(st.randoms(use_true_random=False))
    each = draw(st.sampled_from([1, 4, 10]))
    clusters = {f"p{k}": str(k // each) for k in range(n)}
    base = [random.random() < 0.6 for _ in range(n)]

    def epoch(before, turns, drift):
        return [random.random() < drift if random.random() < turns else one for one in before]

    def run():
        rows = [epoch(base, draw(st.sampled_from([0.0, 0.01, 0.2])), 0.6)]
        for _ in range(draw(st.integers(0, 3))):
            turns, drift = draw(st.sampled_from([0.0, 0.004, 0.05, 0.4])), draw(st.sampled_from([0.2, 0.6, 0.95]))
            rows.append(epoch(rows[-1], turns, drift))
        return rows

    return clusters, run(), run()


def rewards(right):
    return {f"p{n}": (1.0, 0.0) if one else (0.0, 1.0) for n, one in enumerate(right)}


def made(name, rows):
    share = [sum(one) / len(one) for one in rows]
    losses = [(0.7 - 0.01 * n, 0.69 - 0.2 * (one - 0.5), one) for n, one in enumerate(share)]
    return subject(losses, name=name, val_pairs=len(rows[0]), val_fingerprint="x", config={"name": name})


def agree(found, word):
    """Readings of one scope say what its test says."""
    ids = {item.id for item in found}
    assert not (ids & UP and ids & DOWN), ids
    assert not (ids & (UP | DOWN) and ids & OPEN), ids
    assert not (ids & UP and ids & STILL) and not (ids & DOWN and "val_acc_flat" in ids), ids
    assert word != "same" or not ids & (UP | DOWN), (word, ids)
    assert word == "same" or not ids & (OPEN | {"val_acc_flat"}), (word, ids)
    assert word != "better" or not ids & (DOWN | STILL), (word, ids)
    assert word != "worse" or not ids & UP, (word, ids)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_readings_and_the_verdict_of_a_run_agree_with_the_test_of_its_pairs(history):
    clusters, rows, _ = history
    item, tests = made("run", rows), {}
    if len(rows) > 1:
        tests["epochs"] = accuracy_test(rewards(rows[0]), rewards(rows[-1]), clusters=clusters)
        tests["last"] = accuracy_test(rewards(rows[-2]), rewards(rows[-1]), clusters=clusters)
    tests = {scope: one for scope, one in tests.items() if one is not None}
    found = read(item, paired=tests)
    line = (
        verdict(item, None, found, [])
        .casefold()
        .replace("no longer improving", "still")
        .replace("perhaps improving", "open")
    )
    if "epochs" not in tests:
        return
    word = tests["epochs"].word
    agree([one for one in found if one.figures.get("scope", "epochs") == "epochs"], word)
    assert word != "same" or not re.search("improving|worse", line), line
    assert word != "better" or not re.search("worse|no clear change|still", line), line
    assert word != "worse" or not re.search("improving|still", line), line
    noisy = [one for one in found if one.id == "val_noisy"]
    assert not noisy or tests["last"].word == "same"
    if len(rows) == 2:  # the last epoch's change is the run's
        assert not (noisy and word != "same")


@settings(max_examples=40, deadline=None)
@given(histories())
def test_every_part_of_a_comparison_says_the_same_of_two_runs(history):
    clusters, one, other = history
    a, b = made("a", one), made("b", other)
    test = paired_test(rewards(one[-1]), rewards(other[-1]), clusters=clusters)
    entries = [
        Entry(a, f"epoch-{len(one)}", scored=True),
        Entry(b, f"epoch-{len(other)}", scored=True, test=test),
    ]
    document = comparison.compare(entries)
    (paired,), (readings,) = document["paired"], document["readings"]
    if test is None:
        assert paired["verdict"] is None
        return
    word, interval = paired["verdict"]["accuracy_verdict"], paired["verdict"]["accuracy"]
    said = {row["id"] for row in readings["readings"] if row["figures"].get("scope") == "runs"}
    assert word != "same" or not said & (UP | DOWN), said
    assert word == "same" or not said & (OPEN | {"val_acc_flat"}), said
    assert (interval["low"] <= 0 <= interval["high"]) is (word == "same") or 0 in (interval["low"], interval["high"])
    ends = {"better": "better.", "worse": "worse.", "same": "not distinguishable"}
    assert ends[word] in paired["texts"][0]
    change = document["summary"]["val_acc"]["change"][1]
    assert change["verdict"] == word
    if (
        document["best"]
        and document["best"]["by"] == "val_acc"
        and all(item.best.epoch == len(rows) for item, rows in ((a, one), (b, other)))
    ):
        leads = document["best"]["name"]
        assert (word == "same") is ("within chance" in document["lead"]), document["lead"]
        assert word == "same" or (leads == "b") is (word == "better")
