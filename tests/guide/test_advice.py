"""Advice and the decision path, branch by branch, over the runs of a data set."""

from __future__ import annotations

import math

import pytest
from guide_cases import of_guide, subject

from rmtui.guide import advice, path, published_figures
from rmtui.guide.readings import read
from rmtui.guide.sentences import text
from rmtui.runs.model import State

BEFORE = of_guide(published_figures.BEFORE, "baseline-1", created=1.0)
AFTER = {
    "num_epochs": 2,
    "learning_rate": 1e-5,
    "lora": {"r": 32, "dropout": 0.1, "alpha": 64},
    "lr_scheduler": "linear",
}
A = {**AFTER, "num_epochs": 3, "learning_rate": 1.5e-5}


def advise(item, runs=(), before=BEFORE, **more):
    at = path.locate(item, [*runs, item], before)
    return advice.advise(at, read(item, before), **more)


def ids(*args, **more):
    return [found.id for found in advise(*args, **more)]


def states(item, runs=(), before=BEFORE):
    return {step.id: (step.state, step.outcome) for step in path.steps(path.locate(item, [*runs, item], before))}


def after(acc, val=0.605, config=AFTER, **more):
    return subject([(0.8755, 0.5928, 0.6845), (0.6728, val, acc)], name="after", config=config, created=2.0, **more)


def preset_a(acc, name="A-1"):
    rows = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.56, 0.57, acc)]
    return subject(rows, name=name, config=A, preset="A", created=3.0)


def test_val_acc_rose_so_three_epochs_and_a_higher_rate():
    found = advise(after(0.71))
    assert "confirm_val_acc" not in {item.id for item in found}
    assert found[0].id == "preset_a" and found[0].changes == {"num_epochs": 3, "learning_rate": 1.5e-5}
    assert "rate_back" not in {item.id for item in found}
    assert states(after(0.71))["after_val_acc"] == ("here", "yes")


def test_an_unknown_val_acc_is_no_reason_to_go_back():
    assert "rate_back" not in ids(after(None)) and ids(after(None))[0] == "confirm_val_acc"


def test_val_acc_did_not_rise_so_back_to_the_former_rate_or_the_data():
    found = advise(after(0.67))
    assert [item.id for item in found][:2] == ["rate_back", "check_data"]
    assert found[0].changes == {"learning_rate": 2e-5, "num_epochs": 3}
    assert "more_epochs" not in {item.id for item in found}
    assert states(after(0.67))["after_val_acc"] == ("here", "no")


@pytest.mark.parametrize(("acc", "enough"), [(0.745, "yes"), (0.70, "no")])
def test_a_is_judged_by_its_range(acc, enough):
    item = preset_a(acc)
    steps = states(item, [after(0.71)])
    assert steps["try_a"][0] == "done" and steps["judge_a"] == ("done", enough)
    assert steps["b_rate"][0] == ("skipped" if enough == "yes" else "here")


def test_a_not_good_enough_so_bs_rate_with_three_epochs():
    item = preset_a(0.70)
    found = advise(item, [after(0.71)])
    assert found[0].id == "b_rate" and found[0].changes == {"learning_rate": 2e-5}
    tried = subject([(0.8, 0.6, 0.7)] * 3, name="B-3", config={**A, "learning_rate": 2e-5}, created=4.0)
    assert "b_rate" not in ids(tried, [after(0.71), item])
    assert states(tried, [after(0.71), item])["b_rate"][0] == "done"


def test_a_good_enough_so_keep_it():
    found = advise(preset_a(0.75), [after(0.71)])
    assert found[0].id == "keep" and found[0].action == "none"


def test_a_is_recognised_by_its_settings_too_but_not_when_it_has_no_figures():
    assert path.is_preset_a(subject([(0.8, 0.6, 0.7)] * 3, config=A))
    assert not path.is_preset_a(subject([(0.8, 0.6, 0.7)] * 2, config={**A, "num_epochs": 2}))
    assert not path.is_preset_a(subject([(0.8, 0.6, 0.7)] * 3, config={**A, "learning_rate": 2e-5}))
    failed = subject([], name="A-0", config=A, preset="A", created=2.5, state=State.FAILED)
    assert states(after(0.71), [failed])["try_a"][0] != "done"


def test_overfitting_outranks_more_training():
    rows = [(0.6, 0.6, 0.7), (0.4, 0.55, 0.71), (0.2, 0.62, 0.71)]
    found = advise(subject(rows, config=AFTER), before=None)
    assert [item.id for item in found][:2] == ["more_dropout", "lower_rank"]
    assert found[0].changes == {"lora.dropout": 0.2} and found[1].changes == {"lora.r": 24}
    assert not {"more_epochs", "higher_rate", "preset_a"} & {item.id for item in found}


def test_lower_rank_says_what_it_does_to_the_effective_step():
    from rmtui.guide.sentences import reason

    found = advise(subject([(0.2, 0.6, 0.7)], config=AFTER), before=None)
    assert "2.67" in reason(next(item for item in found if item.id == "lower_rank"))


@pytest.mark.parametrize(
    ("rate", "raised", "former"),
    [
        (1e-5, 1.5e-5, 2e-5),
        (1.5e-5, 2e-5, 2e-5),
        (2e-5, None, 2e-5),
        (6e-5, 9e-5, 1.2e-4),
        (1e-3, 1.5e-3, 2e-3),
        (4e-6, 6e-6, 8e-6),
    ],
)
def test_rates_are_the_guides_on_its_scale_and_factors_elsewhere(rate, raised, former):
    from rmtui.guide import rates

    item = subject([(0.8, 0.7, 0.6)], config={"learning_rate": rate})
    assert rates.raised(item) == raised and rates.former(item) == former


def test_epochs_go_to_three_then_four_then_one_by_one_while_both_losses_fall():
    def epochs(count, falling=True):
        rows = [(0.9 - 0.05 * n, 0.7 - 0.02 * n * falling, 0.6 + 0.02 * n) for n in range(count)]
        found = advise(subject(rows, config={"num_epochs": count, "learning_rate": 2e-4}, preset="B"), before=None)
        return {item.id: item.changes.get("num_epochs") for item in found if "epoch" in item.id}

    assert epochs(1) == {"more_epochs": 3}
    assert epochs(3) == {"more_epochs": 4}
    assert epochs(4) == {"one_more_epoch": 5}
    assert epochs(4, falling=False) == {}


def test_nan_comes_before_everything():
    found = advise(subject([(math.nan, 0.7, None)], config={"learning_rate": 1e-3, "max_grad_norm": 0}), before=None)
    assert found[0].id == "lower_rate" and found[0].own
    assert found[0].changes == {"learning_rate": 5e-4, "max_grad_norm": 1.0}


@pytest.mark.parametrize(
    "rows", [[(0.7, 0.65, 0.61), (1.9, 2.2, 0.48)], [(0.7, 0.65, 0.61), (math.nan, math.nan, 0.0)]]
)
def test_a_training_that_broke_is_not_told_to_take_larger_steps(rows):
    found = advise(subject(rows, config=AFTER), before=None)
    assert [item.id for item in found][:2] == ["lower_rate", "check_data"]
    assert not {"rate_back", "preset_a", "higher_rate", "more_epochs", "more_dropout"} & {item.id for item in found}


def test_what_to_lower_is_named_only_where_it_is_known():
    from rmtui.guide.sentences import text

    known, unknown = (
        advise(subject([(math.nan, 0.7, None)], config=config), before=None)[0]
        for config in ({"learning_rate": 1e-3}, {})
    )
    assert text(known).endswith(": learning_rate 5e-4.") and ":" not in text(unknown)


def test_a_loss_at_ln2_is_not_told_that_it_is_learning():
    item = subject(
        [(0.6931, 0.6931, 0.50), (0.6930, 0.6930, 0.51)],
        name="imported",
        state=State.IMPORTED,
        config={"learning_rate": 1e-5},
    )
    found = ids(item, before=None)
    assert found[0] == "raise_step"
    assert not {"more_epochs", "cosine"} & set(found)


def test_a_run_longer_than_a_is_not_promised_its_figures():
    rows = [(0.70, 0.65, 0.61), (0.60, 0.62, 0.64), (0.56, 0.60, 0.66), (0.54, 0.59, 0.67)]
    expected = {
        len(part): next(entry for entry in advise(subject(part), before=None) if entry.id == "preset_a").expected
        for part in (rows[:2], rows)
    }
    assert expected[2] and not expected[4]


@pytest.mark.parametrize(("method", "factor"), [("lora", 10), ("full", 2)])
def test_stuck_at_ln2_raises_the_rate_and_says_it_is_its_own(method, factor):
    item = subject([(0.6931, 0.6931, 0.5)], config={"learning_rate": 1e-5, "method": method, "num_epochs": 1})
    found = next(entry for entry in advise(item, before=None) if entry.id == "raise_step")
    assert found.own and found.changes == {"learning_rate": pytest.approx(1e-5 * factor)}


@pytest.mark.parametrize(("rate", "longer"), [(2e-5, True), (1.9e-5, False)])
def test_a_longer_warmup_when_the_rate_is_high(rate, longer):
    config = {**AFTER, "learning_rate": rate, "warmup_ratio": 0.1}
    assert ("longer_warmup" in ids(after(None, config=config))) is longer
    assert "longer_warmup" not in ids(after(None, config={**config, "warmup_ratio": 0.2}))


def test_confirming_val_acc_outranks_even_a_loss_stuck_at_ln2():
    item = subject([(0.6931, 0.6931, None)], config={"learning_rate": 1e-5, "num_epochs": 1})
    assert ids(item, before=None)[:2] == ["confirm_val_acc", "raise_step"]


def test_cosine_is_not_advised_to_who_has_it():
    assert "cosine" in ids(after(None))
    assert "cosine" not in ids(after(None, config={**AFTER, "lr_scheduler": "cosine"}))


def test_alpha_follows_r():
    first = subject([(0.8, 0.7, 0.6)], name="a", config={"lora": {"r": 16, "alpha": 32}, "num_epochs": 1})
    second = subject([(0.8, 0.7, 0.6)], name="b", config={"lora": {"r": 32, "alpha": 32}, "num_epochs": 1})
    found = next(item for item in advise(second, before=first) if item.id == "follow_alpha")
    assert found.changes == {"lora.alpha": 64} and found.own


def test_elsewhere_the_guides_ranges_are_in_proportion_to_the_runs_own_losses():
    item = subject([(1.5, 1.21, 0.6), (1.34, 1.21, 0.7)], config={**AFTER, "model": "other"}, data="harmless")
    found = next(entry for entry in advise(item, before=None) if entry.id == "more_epochs")
    assert found.expected == {"train_loss": [1.1, 1.2], "val_loss": [1.1, 1.16]}


def test_a_fourth_epoch_is_expected_to_add_what_the_ideal_paths_does():
    rows = [(0.87, 0.59, 0.68), (0.65, 0.58, 0.72), (0.58, 0.57, 0.74)]
    item = subject(rows, config={**A, "model": "other"}, data="harmless", preset="A")
    found = next(entry for entry in advise(item, before=None) if entry.id == "more_epochs")
    assert found.changes == {"num_epochs": 4}
    for metric, point in (("train_loss", 0.52), ("val_loss", 0.55)):
        low, high = found.expected[metric]
        assert low < point < high and high - low == pytest.approx(0.06)


def test_a_run_without_figures_is_given_no_advice():
    assert advise(subject([], config=A, state=State.QUEUED), before=None) == []


def test_who_went_back_to_the_former_rate_stands_before_a():
    tried = subject([(0.8, 0.6, 0.66)] * 3, name="back", config={**A, "learning_rate": 2e-5}, created=4.0)
    steps = states(tried, [after(0.67)])
    assert (steps["after_val_acc"][0], steps["try_a"][0]) == ("done", "here")


def test_a_silenced_advice_is_not_given_and_others_are():
    assert "more_epochs" not in ids(after(None), silenced={"more_epochs"})
    assert "higher_rate" in ids(after(None), silenced={"more_epochs"})


def test_no_advice_asks_for_what_the_run_has():
    for item in (after(0.71), after(0.67), after(None), preset_a(0.70)):
        for entry in advise(item):
            assert all(row["from"] != row["to"] for row in advice.difference(entry, item)), entry


@pytest.mark.parametrize(
    ("rows", "config", "asks", "without"),
    [
        ([(0.693, 0.69, 0.5)], {"num_epochs": 1}, "rate_unknown", "raise_step"),
        (
            [(0.6, 0.6, 0.7), (0.4, 0.55, 0.71), (0.2, 0.62, 0.71)],
            {"learning_rate": 1e-5},
            "dropout_unknown",
            "more_dropout",
        ),
        ([(0.8, 0.6, 0.71), (0.7, 0.6, 0.68)], {"num_epochs": 2}, "rate_unknown", "rate_back"),
        ([(0.8, 0.6, 0.69), (0.7, 0.59, 0.71)], {"num_epochs": 2}, "rate_unknown", "higher_rate"),
    ],
)
def test_nothing_is_called_higher_or_back_of_a_value_that_is_not_known(rows, config, asks, without):
    found = {item.id: item for item in advise(subject(rows, config=config), before=None)}
    assert asks in found and without not in found and "source does not say" in text(found[asks])
    assert list(found).count(asks) == 1 and not found[asks].changes


def test_back_to_the_former_rate_is_never_down_or_nowhere():
    rows = [(0.8, 0.6, 0.71), (0.7, 0.6, 0.68)]
    rates_ = {
        rate: ids(subject(rows, config={"num_epochs": 2, "learning_rate": rate}), before=None)
        for rate in (1e-5, 2e-5, 4e-5)
    }
    assert "rate_back" in rates_[1e-5]
    assert "rate_back" not in rates_[2e-5] and "rate_back" not in rates_[4e-5]
    assert all("check_data" in found for found in rates_.values())
