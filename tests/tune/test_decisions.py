"""What a search does next, by made-up results: rates are bracketed, losers go, budgets hold, searches end."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from rmtui.errors import UserError
from rmtui.statistics import LN2
from rmtui.tune.decide import added_epochs, decide
from rmtui.tune.losers import deficit, losers
from rmtui.tune.model import Budget, Proposal, Score, Search, Trial, best, parse_budget, parse_space

BASE = {"learning_rate": 1e-4, "lora.r": 16, "lora.alpha": 32.0, "lora.dropout": 0.1, "batch_size": 8}


def search(amount: float = 16, unit: str = "epochs", **more) -> Search:
    return Search(**{"budget": Budget(amount, unit), "settings": BASE, "base_epochs": 3, **more})


def score(loss: float, epochs: float = 1, branch: float = 0.0, broken: str = "", **losses: float) -> Score:
    return Score(loss, 0.6, losses, epochs, 60.0 * epochs, loss, LN2, branch, broken)


def play(rules: Search, world: Callable[[Proposal], float], most: int = 60) -> tuple[list[Trial], str]:
    """A whole search in which `world` gives each trial's val_loss; infinity: it broke."""
    trials: list[Trial] = []
    while not (found := decide(rules, trials, {})).done:
        assert found.proposals, "neither the end nor anything to do"
        for each in found.proposals:
            loss = world(each)
            broken = "" if math.isfinite(loss) else "NaN"
            cost = added_epochs(each, trials)
            trials.append(Trial(len(trials) + 1, *each, score=score(loss, cost, 0.8 * each.epochs, broken)))
            assert len(trials) < most
    return trials, found.done


def valley(right: float, gain: float = 0.01) -> Callable[[Proposal], float]:
    """val_loss is lowest at a rate, ten times higher it breaks, far below it nothing is learned; epochs help."""

    def world(each: Proposal) -> float:
        away = math.log10(each.settings["learning_rate"] / right)
        return math.inf if away > 0.99 else min(LN2, 0.6 + 0.05 * away * away) - gain * math.log2(each.epochs)

    return world


@pytest.mark.parametrize("right", [3e-6, 1e-5, 1e-4, 7e-4, 5e-3, 2e-2])
def test_the_right_rate_is_found_from_afar(right):
    trials, _ = play(search(24, repeats=0), valley(right))
    found = best(trials, "val_loss")
    assert right / 2 < found.rate < right * 2 and found.epochs >= 4


@pytest.mark.parametrize("amount", [1, 2, 3, 5, 8, 12, 40])
@pytest.mark.parametrize("unit", ["runs", "epochs", "hours"])
def test_a_budget_is_never_overdrawn_by_more_than_what_it_cannot_know(amount, unit):
    hours = unit == "hours"
    trials, done = play(search(amount / 60 if hours else amount, unit), valley(1e-3))
    spent = {"runs": len(trials), "epochs": sum(t.score.epochs for t in trials)}
    spent["hours"] = sum(t.score.seconds for t in trials) / 3600 * 60
    assert spent[unit] <= amount + 1e-6 and trials and done


def test_the_best_is_repeated_with_other_seeds_out_of_what_was_kept_for_it():
    trials, done = play(search(12, "runs", repeats=2), valley(3e-4))
    found, again = best(trials, "val_loss"), [t for t in trials if t.role == "repeat"]
    assert [t.seed for t in again] == [43, 44]
    assert all(t.settings == found.settings and t.epochs == found.epochs for t in again)
    assert "repeated with 2 other seeds" in done


def test_a_broken_start_goes_down_and_never_up_again():
    trials, _ = play(search(20, repeats=0), valley(1e-6))
    rates = [t.rate for t in trials]
    broken = min(t.rate for t in trials if t.score.broken)
    lowered = rates.index(1e-5)
    assert rates[:2] == [1e-4, 1e-5] and all(rate < 1e-4 for rate in rates[lowered:]) and broken == 1e-5


def noisy_labels(right: float, luck: float) -> Callable[[Proposal], Score]:
    """340 pairs with noisy labels: far below the right rate nothing is learned, and by luck the loss there is a little
    below ln 2; near it the plain val_loss is above the untrained model's, that at its temperature below ln 2."""

    def world(each: Proposal) -> Score:
        away = math.log10(each.settings["learning_rate"] / right)
        learned = max(0.0, 1 - abs(away)) * (0.03 + 0.005 * math.log2(each.epochs))
        loss = LN2 - learned if learned else LN2 - luck
        train = LN2 * 1.5 if away > 1 else LN2 - 2 * learned - 0.01 * max(0.0, 3 + away)
        return Score(LN2 + 0.1 * (learned > 0), 0.6, {}, 1, 60, loss, LN2, 0.0, "", train, 340.0)

    return world


@pytest.mark.parametrize("luck", [-0.004, 0.004])
@pytest.mark.parametrize("right", [3e-3, 1e-5])
def test_a_loss_that_is_below_ln_2_by_luck_is_not_what_the_search_is_anchored_on(right, luck):
    rules, world, trials = search(16, repeats=0), noisy_labels(right, luck), []
    while not (found := decide(rules, trials, {})).done:
        for each in found.proposals:
            cost = added_epochs(each, trials)
            trials.append(Trial(len(trials) + 1, *each, score=world(each)._replace(epochs=cost)))
    assert right / 3 < best(trials, "val_loss").rate < right * 3


def test_where_nothing_was_learned_far_below_the_methods_usual_rate_that_one_is_next():
    rates = [
        each.settings["learning_rate"]
        for each in decide(search(settings={**BASE, "learning_rate": 1e-8}), [], {}).proposals
    ]
    assert rates == [1e-8]
    begun = [Trial(1, "bracket", {**BASE, "learning_rate": 1e-8}, 1, 42, "", score=score(LN2))]
    for lora, usual in ((True, 1e-4), (False, 1e-5)):
        (each,) = decide(search(settings={**BASE, "learning_rate": 1e-8}, lora=lora), begun, {}).proposals
        assert each.settings["learning_rate"] == usual


def test_an_extension_costs_what_it_adds_alone():
    trials, _ = play(search(40, repeats=0), valley(1e-4))
    extended = [t for t in trials if t.role == "extension"]
    parents = {t.n: t for t in trials}
    assert extended and all(t.settings == parents[t.parent].settings for t in extended)
    assert all(t.score.epochs == pytest.approx(t.epochs - 0.8 * parents[t.parent].epochs) for t in extended)


def test_where_longer_training_does_not_help_it_ends_short():
    trials, _ = play(search(60, repeats=1), valley(1e-4, gain=-0.01))
    assert best(trials, "val_loss").epochs == 1 and max(t.epochs for t in trials) == 2


def test_a_fixed_length_is_kept_and_a_fixed_rate_too():
    trials, _ = play(search(30, space=("lr",)), valley(1e-4))
    assert {t.epochs for t in trials} == {3}
    trials, _ = play(search(30, space=("epochs",)), valley(1e-4))
    assert {t.rate for t in trials} == {1e-4} and max(t.epochs for t in trials) > 1


def test_the_space_says_what_else_is_varied_one_at_a_time():
    trials, _ = play(search(40, "runs", space=("lr", "r", "batch", "dropout")), valley(1e-4))
    varied = [{k for k in BASE if t.settings[k] != BASE[k]} for t in trials if t.role == "variation"]
    assert {"lora.r", "lora.alpha"} in varied and {"batch_size", "learning_rate"} in varied
    assert {"lora.dropout"} in varied and all(t.settings["lora.alpha"] / t.settings["lora.r"] == 2 for t in trials)


def test_a_larger_budget_goes_on_where_the_search_ended():
    short, _ = play(search(5, "runs", repeats=1), valley(1e-3))
    more = decide(search(14, "runs", repeats=1), short, {})
    assert more.proposals and not more.done


def test_several_devices_bracket_the_rate_at_once():
    found = decide(search(), [], {}, width=3)
    assert sorted(each.settings["learning_rate"] for each in found.proposals) == [3.3e-5, 1e-4, 3e-4]


def test_all_broken_is_said_in_words():
    trials, done = play(search(4, "runs"), lambda each: math.inf)
    assert best(trials, "val_loss") is None and done.startswith("no trial came out sound")


def made(shift: float, spread: float, pairs: int, seed: int, per_prompt: int = 1) -> tuple[dict, dict]:
    """Losses of pairs that are `shift` higher on average, by prompt; and the pairs' prompts."""
    draw = random.Random(seed)
    groups = {str(n): str(n // per_prompt) for n in range(pairs)}
    of_prompt = {group: draw.gauss(shift, spread) for group in groups.values()}
    return {pair: of_prompt[group] for pair, group in groups.items()}, groups


def test_the_standard_error_counts_prompts_not_pairs():
    """By hand: three pairs of ten prompts each; the error is that of the ten sums."""
    losses, groups = made(0.1, 0.2, 30, 1, per_prompt=3)
    found = deficit(score(0.7, **losses), score(0.6, **dict.fromkeys(losses, 0.0)), groups)
    values = [losses[str(3 * n)] for n in range(10)]
    mean = sum(values) / 10
    error = math.sqrt(10 / 9 * sum((3 * (v - mean)) ** 2 for v in values)) / 30
    assert found.groups == 10 and found.mean == pytest.approx(mean) and found.error == pytest.approx(error)


def racing(shifts: list[float], pairs: int = 300, seed: int = 0, per_prompt: int = 1) -> tuple[list[Trial], dict]:
    leader = dict.fromkeys(map(str, range(pairs)), 0.5)
    trials = [Trial(1, "bracket", BASE, 1, 42, "", score=score(0.5, **leader))]
    groups: dict[str, str] = {}
    for number, shift in enumerate(shifts, 2):
        losses, groups = made(shift, 0.15, pairs, 100 * seed + number, per_prompt)
        mean = 0.5 + sum(losses.values()) / len(losses)
        found = score(mean, **{pair: 0.5 + value for pair, value in losses.items()})
        trials.append(Trial(number, "bracket", BASE, 1, 42, "", score=found))
    return trials, groups


def test_a_loser_is_out_and_a_near_one_stays():
    trials, groups = racing([0.1, 0.004])
    out = losers(trials, groups, search())
    assert set(out) == {2} and "trial 2 is out" in out[2]


def test_nothing_is_out_on_fewer_than_ten_prompts():
    trials, groups = racing([0.5], pairs=36, per_prompt=4)
    assert losers(trials, groups, search()) == {}


@pytest.mark.parametrize("many", [2, 5])
def test_in_at_most_five_of_a_hundred_searches_any_of_equally_good_trials_is_out(many):
    """Prompts of four pairs, new losses at each rung: the leader is chosen by chance, and any could be it."""
    groups, mistaken = {str(n): str(n // 4) for n in range(120)}, 0
    rules = search()
    for seed in range(300):
        draw = random.Random(seed)

        def any_out(rung: int, draw: random.Random = draw) -> bool:
            trials = []
            for number in range(1, many + 1):
                of_prompt = [draw.gauss(0.5, 0.15) for _ in range(30)]
                values = {pair: of_prompt[int(group)] for pair, group in groups.items()}
                found = score(sum(of_prompt) / 30, **values)
                trials.append(Trial(number, "bracket", BASE, rung, 42, "", score=found))
            return bool(losers(trials, groups, rules))

        mistaken += any(any_out(rung) for rung in rules.rungs[:-1])
    assert mistaken <= 300 * 0.05 + 2 * math.sqrt(300 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("12runs", (12, "runs")),
        ("1 run", (1, "runs")),
        ("8h", (8, "hours")),
        ("90m", (1.5, "hours")),
        ("40epochs", (40, "epochs")),
    ],
)
def test_budgets_as_people_write_them(text, wanted):
    assert parse_budget(text) == wanted


@pytest.mark.parametrize("text", ["", "12", "0runs", "1.5runs", "-3h", "0h", "8 days", "runs", "1e9runs", "99999999h"])
def test_what_is_no_budget_is_refused_in_words(text):
    with pytest.raises(UserError, match="is not a budget"):
        parse_budget(text)


def test_a_space_is_read_in_any_order_and_refused_where_it_names_what_is_not_searched():
    assert parse_space("r, lr") == ("lr", "r")
    with pytest.raises(UserError, match="seed"):
        parse_space("lr,seed")


def test_where_an_epoch_has_few_steps_the_shortest_runs_have_more_of_them():
    assert search(shortest=1).rungs == (1, 2, 4, 8, 16) and search(shortest=2).rungs == (2, 4, 8, 16)
    trials, _ = play(search(40, repeats=0, shortest=4), valley(1e-4))
    assert min(trial.epochs for trial in trials) == 4


def test_a_rate_that_changes_nothing_is_never_the_best_for_that():
    """Labels so noisy that every trained model has a plain val_loss above the untrained one's."""
    trials: list[Trial] = []
    while not (found := decide(search(30, repeats=0), trials, {})).done:
        for each in found.proposals:
            away = math.log10(each.settings["learning_rate"] / 1e-2)
            learned, hot = -1.2 < away < 0.6, away >= 0.6
            plain, loss = (0.95, LN2) if hot else (0.72, 0.685 + 0.002 * abs(away)) if learned else (0.705, LN2)
            made_up = Score(plain, 0.55, {}, added_epochs(each, trials), 60.0, loss, 0.705, 0.8 * each.epochs)
            trials.append(Trial(len(trials) + 1, *each, score=made_up))
    assert 3e-3 < best(trials, "val_loss").rate < 4e-2
    assert sum(trial.rate < 5e-4 for trial in trials) <= 2, "not down where nothing is learned"


def test_of_trials_that_are_right_on_every_pair_the_surer_one_is_best():
    one, two = (Trial(n, "bracket", BASE, n, 42, "", score=score(0.0)._replace(val_loss=0.1 / n)) for n in (1, 2))
    assert best([one, two], "val_loss") is two


def test_of_trials_that_the_pairs_cannot_tell_apart_the_one_that_learned_more_is_best():
    """400 pairs: 0.66 and 0.67 are alike, 0.66 and 0.684 are 2.2 standard errors apart."""

    def trial(n: int, loss: float, train: float) -> Trial:
        return Trial(n, "bracket", BASE, n, 42, "", score=score(loss)._replace(train_loss=train, pairs=400.0))

    lucky, more, worse = trial(1, 0.66, 0.7), trial(2, 0.67, 0.5), trial(3, 0.684, 0.3)
    assert best([lucky, more, worse], "val_loss") is more
    assert best([lucky, worse], "val_loss") is lucky
    plain = [one._replace(score=one.score._replace(pairs=0.0)) for one in (lucky, more)]
    assert best(plain, "val_loss") is plain[0], "without margins nothing is known of chance"
