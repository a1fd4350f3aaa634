"""What a search does next: a pure function of its rules and of the trials that have ended.

The order: find the rate by short runs, vary what else is in the space, train the best on and drop losers at each rung,
look beside the winner's rate, repeat the winner with other seeds, end. Each step has to fit what is left of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rmtui.guide.divergence import rate_of_method
from rmtui.guide.policy import HARDLY
from rmtui.guide.rates import tidy
from rmtui.statistics import LN2
from rmtui.tune.losers import losers
from rmtui.tune.model import RATE, Budget, Decision, Proposal, Role, Search, Trial, best

DECAY = 0.2
"""Share of a run's steps in which its rate decays: a longer run branches off before them."""
HARM = 0.03
"""A loss this much above the untrained model's shows that the steps were too large."""
WIDE = 5.0
"""Neighbouring rates further apart than this factor leave room for one between them."""
KEPT = (3, 2, 2, 1)
"""Trials that are trained on at most, by rung."""
FOR_RATE = 0.6
"""Share of the budget that the search for the rate may take."""
FOR_REPEATS = 1 / 3
"""Share of the budget that is kept for other seeds at most."""
LOWEST, HIGHEST = 1e-8, 1.0


class Costs(NamedTuple):
    """What trials cost in the budget's unit."""

    budget: Budget
    seconds_per_epoch: float | None = None
    """By past runs, until this search has runs of its own; None: not known."""

    def of(self, trials: Sequence[Trial], epochs: float) -> float:
        """Of one more trial that computes so many epochs."""
        if self.budget.unit == "runs":
            return 1.0
        if self.budget.unit == "epochs":
            return epochs
        return epochs * (self.pace(trials) or 0.0) / 3600

    def pace(self, trials: Sequence[Trial]) -> float | None:
        """Seconds an epoch, starts and evaluations included."""
        known = [trial.score for trial in trials if trial.score is not None and trial.score.epochs > 0]
        if known:
            return sum(score.seconds for score in known) / sum(score.epochs for score in known)
        return self.seconds_per_epoch

    def spent(self, trials: Sequence[Trial]) -> float:
        """Of all trials so far, in the budget's unit."""
        if self.budget.unit == "runs":
            return float(len(trials))
        if self.budget.unit == "hours":
            return sum(trial.score.seconds for trial in trials if trial.score) / 3600
        return sum(trial.score.epochs if trial.score else trial.epochs for trial in trials)


def decide(
    search: Search,
    trials: Sequence[Trial],
    groups: Mapping[str, str],
    *,
    width: int = 1,
    seconds_per_epoch: float | None = None,
) -> Decision:
    """The next trials, or the end. All trials have ended. `width`: how many runs the devices can hold at once;
    `groups`: pair id → prompt, where it is known."""
    state = _State(search, trials, groups, width, Costs(search.budget, seconds_per_epoch))
    for step in (_rate, _variations, _race, _beside, _repeats):
        for found in step(state):
            return found
    return Decision(done=_end(state))


class _State(NamedTuple):
    search: Search
    trials: Sequence[Trial]
    groups: Mapping[str, str]
    width: int
    costs: Costs

    @property
    def left(self) -> float:
        return self.search.budget.amount - self.costs.spent(self.trials)

    @property
    def reserve(self) -> float:
        """Kept for repeats of the best: of whole runs as long as it is, a third of the budget at most."""
        found = best(self.trials, self.search.goal)
        one = self.costs.of(self.trials, found.epochs if found else self.search.rungs[0])
        wanted = one * max(0, self.search.repeats - (len(repeats_of(found, self.trials)) if found else 0))
        limit = self.search.budget.amount * FOR_REPEATS
        return wanted if wanted <= limit else max(0.0, one * math.floor(limit / one)) if one else 0.0

    def affordable(self, proposals: Sequence[Proposal], room: float) -> tuple[Proposal, ...]:
        """The first of them that fit into `room` together."""
        kept: list[Proposal] = []
        for each in proposals:
            room -= self.cost(each)
            if room < -1e-9:
                break
            kept.append(each)
        return tuple(kept)

    def cost(self, proposal: Proposal) -> float:
        return self.costs.of(self.trials, added_epochs(proposal, self.trials))

    def any(self, *roles: Role) -> bool:
        return any(trial.role in roles for trial in self.trials)

    def short(self, rate: float, why: str) -> Proposal:
        """A short run at another rate; everything else as in the base configuration."""
        settings = {**self.search.settings, RATE: tidy(rate)}
        return Proposal("bracket", settings, self.search.rungs[0], self.search.seed, why)


def added_epochs(wanted: Proposal | Trial, trials: Sequence[Trial]) -> float:
    """Epochs that a trial computes: an extension without the part that it shares with the one that it goes on from."""
    shared = (
        trial.score.branch
        for trial in trials
        if wanted.role == "extension" and trial.n == wanted.parent and trial.score is not None
    )
    return wanted.epochs - next(shared, 0.0)


def repeats_of(trial: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """The same settings for as long, with other seeds."""
    return [
        other
        for other in trials
        if other.role == "repeat" and other.settings == trial.settings and other.epochs == trial.epochs
    ]


def _rate(state: _State) -> Iterator[Decision]:
    """Until a higher and a lower rate than the best one's were tried, by the shortest runs."""
    search, tried = state.search, [trial for trial in state.trials if trial.role == "bracket"]
    if state.any("variation", "extension", "neighbour"):
        return
    room = state.left - state.reserve
    if not tried:
        start = search.settings[RATE]
        rates = [start, start * 3, start / 3][: max(1, state.width)] if "lr" in search.space else [start]
        yield Decision(state.affordable([state.short(rate, _first(rate, start)) for rate in rates], room))
        return
    if "lr" not in search.space:
        return
    if state.costs.spent(tried) >= FOR_RATE * search.budget.amount:
        return
    wanted = [
        state.short(rate, why)
        for rate, why in _next_rates(tried, search)
        if LOWEST <= rate <= HIGHEST and not any(_near(rate, trial.rate) for trial in tried)
    ]
    proposals = state.affordable(wanted[: max(1, state.width)], room)
    if proposals:
        yield Decision(proposals)


def _first(rate: float, start: float) -> str:
    return "where the search begins: the base configuration's rate" if rate == start else "beside it, at the same time"


def _next_rates(tried: Sequence[Trial], search: Search) -> Iterator[tuple[float, str]]:
    """Rates that would bracket the best one, the most wanted first."""
    sound = [trial for trial in tried if trial.sound]
    if not sound:
        lowest = min(tried, key=lambda trial: trial.rate)
        yield lowest.rate / 10, f"trial {lowest.n} broke, and no lower rate was tried: ten times lower"
        return
    top = min((trial for trial in sound if trial.score and trial.score.learned), key=_place, default=None)
    if top is None or top.score is None:
        yield from _until_learned(tried, search)
        return
    hardly = top.score.loss > LN2 - HARDLY
    higher = [trial for trial in tried if trial.rate > top.rate * 1.01]
    above = min((trial.rate for trial in higher if _harmed(trial) or not hardly), default=None)
    below = max((trial.rate for trial in tried if trial.rate < top.rate / 1.01), default=None)
    if above is None and hardly:  # chance decides which of them looks best: only steps that are too large are a bound
        highest = max((trial.rate for trial in higher), default=top.rate)
        yield highest * 10, f"trial {top.n} is the best and has hardly begun to learn: ten times higher"
    elif above is None:
        yield top.rate * 3, f"trial {top.n} is the best, and no higher rate was tried"
    elif (nearest := min(trial.rate for trial in higher)) > top.rate * WIDE:
        yield math.sqrt(nearest * top.rate), f"between trial {top.n}, the best, and the next higher rate"
    if below is None:
        yield top.rate / 3, f"trial {top.n} is the best, and no lower rate was tried"
    elif below < top.rate / WIDE:
        yield math.sqrt(below * top.rate), f"between trial {top.n}, the best, and the next lower rate"


def _until_learned(tried: Sequence[Trial], search: Search) -> Iterator[tuple[float, str]]:
    """Nothing has learned: up from rates that changed nothing, down from those that did harm."""
    hot = min((trial for trial in tried if _harmed(trial)), key=lambda trial: trial.rate, default=None)
    cold = max((trial for trial in tried if not _harmed(trial)), key=lambda trial: trial.rate, default=None)
    usual = rate_of_method(search.lora)
    if hot is None and cold is not None and usual > cold.rate * 10:
        yield usual, f"trial {cold.n} has learned nothing, and no higher rate was tried: the method's usual rate"
    elif hot is None and cold is not None:
        yield cold.rate * 10, f"trial {cold.n} has learned nothing, and no higher rate was tried: ten times higher"
    elif cold is None and hot is not None:
        yield hot.rate / 10, f"trial {hot.n} is worse than no training, and no lower rate was tried: ten times lower"
    elif hot is not None and cold is not None and hot.rate > cold.rate * WIDE:
        why = f"between trial {cold.n}, which has learned nothing, and trial {hot.n}, which is worse than no training"
        yield math.sqrt(hot.rate * cold.rate), why


def _harmed(trial: Trial) -> bool:
    """Broken, or its train_loss is above that of an untrained model; its val_loss, where no train_loss is known: noisy
    labels leave that above it, too."""
    score = trial.score
    if score is None or score.broken:
        return score is not None
    loss = score.val_loss if score.train_loss is None else score.train_loss
    return loss > max(LN2, score.start or LN2) + HARM


def _place(trial: Trial) -> tuple[float, float]:
    return trial.score.rank if trial.score else (math.inf, math.inf)


def _variations(state: _State) -> Iterator[Decision]:
    """Other settings at the best rate, one at a time, before anything is trained on."""
    search = state.search
    if state.any("variation", "extension", "neighbour"):
        return
    top = best(state.trials, "val_loss")
    if top is None:
        return
    wanted = [
        Proposal("variation", {**top.settings, **changes}, search.rungs[0], search.seed, why, top.n)
        for changes, why in _changes(top.settings, search)
    ]
    proposals = state.affordable(wanted, (state.left - state.reserve) / 2)
    if proposals:
        yield Decision(proposals)


def _changes(settings: Mapping[str, float], search: Search) -> Iterator[tuple[dict[str, float], str]]:
    if "r" in search.space and search.lora:
        rank, scale = settings["lora.r"], settings["lora.alpha"]
        for factor in (4, 0.25):
            if 1 <= rank * factor <= 1024:
                changes = {"lora.r": int(rank * factor), "lora.alpha": scale * factor}
                yield changes, f"rank {int(rank * factor)} in place of {rank:g}, alpha / r as before"
    if "batch" in search.space:
        size, rate = settings["batch_size"], settings[RATE]
        for factor in (2, 0.5):
            if size * factor >= 1:
                changes = {"batch_size": int(size * factor), RATE: tidy(rate * math.sqrt(factor))}
                yield changes, f"batch size {int(size * factor)} in place of {size:g}, the rate with its root"
    if "dropout" in search.space and search.lora:
        now = settings["lora.dropout"]
        for value in (0.0, 0.1, 0.2):
            if abs(value - now) > 0.04:
                yield {"lora.dropout": value}, f"dropout {value:g} in place of {now:g}"


def _race(state: _State) -> Iterator[Decision]:
    """The survivors of the last rung, trained on to the next one."""
    search, rungs = state.search, state.search.rungs
    racing = [trial for trial in state.trials if trial.role != "repeat"]
    if not racing:
        return
    place = max(rungs.index(trial.epochs) for trial in racing)
    here = [trial for trial in racing if trial.epochs == rungs[place] and trial.sound]
    if not here or place + 1 >= len(rungs):
        return
    notes = losers(here, state.groups, search)
    ranked = sorted((trial for trial in here if trial.n not in notes), key=_place)
    if place and not _longer_helps(ranked, racing, rungs[place - 1]):
        return
    kept = ranked[: KEPT[min(place, len(KEPT) - 1)]]
    length = rungs[place + 1]
    wanted = [Proposal("extension", trial.settings, length, trial.seed, _on(trial, length), trial.n) for trial in kept]
    proposals = state.affordable(wanted, state.left - state.reserve)
    if proposals:
        behind = [trial.n for trial in ranked[len(proposals) :]]
        words = f"not trained on, being behind: trial {', '.join(map(str, behind))}" if behind else ""
        yield Decision(proposals, notes=tuple(filter(None, [*notes.values(), words])))


def _on(trial: Trial, length: int) -> str:
    plural = "s" * (trial.epochs > 1)
    return f"trial {trial.n} is among the best at {trial.epochs} epoch{plural}: trained on to {length}"


def _longer_helps(here: Sequence[Trial], racing: Sequence[Trial], before: int) -> bool:
    earlier = [_place(trial) for trial in racing if trial.epochs == before and trial.sound]
    return not earlier or (bool(here) and _place(here[0]) < min(earlier))


def _beside(state: _State) -> Iterator[Decision]:
    """Rates beside the winner's at its own length, where no neighbour was trained as long."""
    search = state.search
    top = best(state.trials, "val_loss")
    if top is None or "lr" not in search.space:
        return
    as_long = [trial.rate for trial in state.trials if trial.epochs == top.epochs]
    wanted = [
        Proposal("neighbour", {**top.settings, RATE: tidy(rate)}, top.epochs, search.seed, why, top.n)
        for rate, why in (
            (top.rate / 3, f"a third of the rate of trial {top.n}, as long"),
            (top.rate * 3, f"three times the rate of trial {top.n}, as long"),
            (top.rate / math.sqrt(3), f"just below the rate of trial {top.n}, as long"),
            (top.rate * math.sqrt(3), f"just above the rate of trial {top.n}, as long"),
        )
        if LOWEST <= rate <= HIGHEST and not any(other / 1.2 <= rate <= other * 1.2 for other in as_long)
    ]
    proposals = state.affordable(wanted[: max(1, state.width)], state.left - state.reserve)
    if proposals:
        yield Decision(proposals)


def _repeats(state: _State) -> Iterator[Decision]:
    """The best settings with other seeds: what a search chooses is better by chance, too."""
    search, top = state.search, best(state.trials, state.search.goal)
    if top is None:
        return
    wanted = [
        Proposal("repeat", top.settings, top.epochs, search.seed + number, f"trial {top.n} with another seed", top.n)
        for number in range(len(repeats_of(top, state.trials)) + 1, search.repeats + 1)
    ]
    proposals = state.affordable(wanted, state.left)
    if proposals:
        yield Decision(proposals)


def _end(state: _State) -> str:
    top = best(state.trials, state.search.goal)
    if top is None:
        return "no trial came out sound: see their logs, and the data"
    repeats = len(repeats_of(top, state.trials))
    again = f", and was repeated with {repeats} other seed{'s' * (repeats > 1)}" if repeats else ""
    return f"trial {top.n} is the best{again}; nothing more fits the budget of {state.search.budget}"


def _near(one: float, other: float) -> bool:
    return other / 1.1 <= one <= other * 1.1
