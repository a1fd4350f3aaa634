"""Does a search by `rmtui tune` find better models than blind searches do, at equal epochs? Does it stop by mistake?

    python benchmarks/tune.py [--seeds 3] [--tasks 12] [--held-out] [--keep FOLDER] [--bots tune …]
    python benchmarks/tune.py --false-stops 1000       # simulated races between trials that are equally good

Tasks, oracle, starts and regret are those of `advice.py`. `tune` decides by `rmtui.tune.decide`; a survivor is trained
on from before its decay, as the trainer does it, so that only what is added counts. The other searches begin with the
start as it is and then know the range of rates (1e-5 to 0.3); every one hands over the epoch that the policy ranks
first. Optuna (TPE with Hyperband) is told of each epoch's loss at a cross-fitted temperature, by which tune ranks; it
takes part where it is installed.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import advice
import numpy as np
import torch
from advice import BUDGETS, Search, Trainer
from regrets import Regrets
from scipy.stats import binomtest

from rmtui.guide import divergence, thresholds
from rmtui.tune import decide as tuning
from rmtui.tune.losers import losers
from rmtui.tune.model import RATE, Budget, Score, Trial
from rmtui.tune.model import Search as Rules
from trainer import calibrate


def tune(search: Search, rate: float, epochs: int) -> None:
    """The search, with nothing kept for other seeds: what is handed over is one model."""
    total = max(BUDGETS)
    steps = -(-len(search.trainer.task.train) // 8)
    rules = Rules(Budget(total, "epochs"), {RATE: rate}, epochs, repeats=0, seed=search.seed)
    trials: list[Trial] = []
    while not (decision := tuning.decide(rules, trials, {})).done:
        for each in decision.proposals:
            length = each.epochs * steps
            warm, decay = max(1, steps // 10), max(1, int(tuning.DECAY * length))
            found = search.trainer.train(float(f"{each.settings[RATE]:.2e}"), each.epochs, 0.1, each.seed, warm, decay)
            cost = tuning.added_epochs(each, trials)
            train, loss, accuracy = found.rows[-1]
            run = search.subject(found, f"trial-{len(trials) + 1}", each.settings[RATE], each.epochs, 0.1)
            broken = "its steps were too large" if divergence.broken(run, thresholds.DEFAULT) else ""
            losses = calibrate.cross_fitted({str(pair): value for pair, value in enumerate(found.margins[-1])}, {})
            ranked = mean(losses.values())
            branch = each.epochs - decay / steps
            score = Score(
                loss, accuracy, losses, cost, 0.0, ranked, found.start, branch, broken, train, float(len(losses))
            )
            search.count(found, cost, () if broken else (len(found.rows),))
            trials.append(Trial(len(trials) + 1, *each, score=score))


def optuna_tpe(search: Search, rate: float, epochs: int) -> None:
    """Optuna's TPE sampler with its Hyperband pruner over rates and eight epochs."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=3)
    sampler = optuna.samplers.TPESampler(seed=zlib.crc32(search.name.encode()), n_startup_trials=4)
    # the pruner deals trials to brackets by a hash of the study's name
    study = optuna.create_study(study_name=search.name, sampler=sampler, pruner=pruner)
    search.run(rate, epochs)
    while search.spent < max(BUDGETS):
        trial = study.ask()
        found = search.trainer.train(
            float(f"{trial.suggest_float('rate', 1e-5, 0.3, log=True):.2e}"), 8, 0.1, search.seed + trial.number + 1
        )
        done = 0
        for done, loss in enumerate(found.fitted, 1):
            trial.report(loss, done)
            if trial.should_prune():
                break
        search.count(advice.Trained(found.start, found.rows[:done], found.tests[:done], found.margins[:done]), done)
        study.tell(trial, min(found.fitted[:done]))


BOTS: dict[str, Callable[[Search, float, int], None]] = {
    "tune": tune,
    "ladder": advice.ladder,
    "random": advice.blind,
    "halving": advice.halving,
    "optuna": optuna_tpe,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=99, help="the first so many")
    parser.add_argument("--bots", nargs="*", choices=BOTS, default=list(BOTS))
    parser.add_argument("--held-out", action="store_true", help="six tasks that no policy was written on")
    parser.add_argument("--keep", type=Path, help="keep trainings in this folder, and take them from there")
    parser.add_argument("--false-stops", type=int, default=0, metavar="RACES", help="simulate so many races instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.false_stops:
        false_stops(args.false_stops)
        return 0
    try:
        import optuna  # noqa: F401
    except ImportError:
        print("optuna is not installed: it takes no part (pip install optuna)", flush=True)
        args.bots = [name for name in args.bots if name != "optuna"]
    tasks = list(advice.unseen() if args.held_out else advice.tasks([]))[: args.tasks]
    report(tasks, args.seeds, args.bots, args.keep)
    return 0


def report(tasks: list[advice.Task], seeds: int, bots: list[str], keep: Path | None) -> None:
    """Run every bot from every start on every task, and print mean regrets, and how far tune is ahead of each."""
    began = time.monotonic()
    regrets = Regrets(BUDGETS)
    for task in tasks:
        trainer = Trainer(task, keep)
        top, rate, epochs = advice.oracle(trainer, seeds)
        for start, first, length in advice.starts(rate):
            for seed in range(seeds):
                for name in bots:
                    search = Search(trainer, 1000 * seed)
                    BOTS[name](search, first, length)
                    behind = [100 * (top - search.result(budget)) for budget in BUDGETS]
                    regrets.add(name, start, task.name, seed, behind, search.spent)
        means = ", ".join(f"{name} {regrets.cell(name, task=task.name)}" for name in bots)
        took = time.monotonic() - began
        print(f"{task.name}: oracle {top:.1%} at {rate:.1e}, {epochs} epochs; {means} ({took:.0f} s)", flush=True)
        trainer.keep()
    print(regrets.table(bots, [start for start, *_ in advice.starts(1.0)]))
    if "tune" in bots:
        print(regrets.paired("tune", [name for name in bots if name != "tune"]))


def false_stops(races: int) -> None:
    """How often any trial is out that is no worse than the best by more than the margin, over all rungs of a search."""
    rules = Rules(Budget(1e9, "epochs"), {RATE: 1e-4}, 1)
    print(f"{races} races each; margin {rules.margin}; a false stop: any trial is out at any rung")
    print("trials  pairs  a prompt  behind  false stops (95 % interval, Clopper-Pearson)")
    for trials, pairs, each, behind in [
        (2, 340, 1, 0.0),
        (5, 340, 1, 0.0),
        (8, 340, 1, 0.0),
        (5, 120, 1, 0.0),
        (5, 1500, 1, 0.0),
        (5, 340, 4, 0.0),
        (5, 60, 4, 0.0),
        (5, 340, 1, rules.margin),
        (5, 1500, 1, rules.margin),
        (5, 340, 4, rules.margin),
    ]:
        rng = np.random.default_rng(9)
        names = {str(n): str(n // each) for n in range(pairs)}
        found = sum(_race(rng, rules, trials, pairs, names, each, behind) for _ in range(races))
        low, high = binomtest(found, races).proportion_ci(0.95, "exact")
        print(f"{trials:6} {pairs:6} {each:9}  {behind:6}  {found / races:.3f} ({low:.3f} … {high:.3f})", flush=True)


def _race(
    rng: np.random.Generator, rules: Rules, trials: int, pairs: int, names: dict[str, str], each: int, behind: float
) -> bool:
    """One search's race: at each rung margins of its trials on the same pairs, part of it the pair's, part its
    prompt's, part the trial's, that drift on from rung to rung. All but the first are `behind` in loss. True if any
    of them is out."""

    def shared(spread: float) -> np.ndarray:
        return np.repeat(rng.normal(0, spread, -(-pairs // each)), each)[:pairs]

    ease = 0.4 + rng.normal(0, 0.7, pairs) + shared(0.7 if each > 1 else 0.0)
    racing = {number: rng.normal(0, 0.5, pairs) + shared(0.5 if each > 1 else 0.0) for number in range(1, trials + 1)}
    for rung in range(len(rules.rungs)):
        scored = []
        for number, own in racing.items():
            margins = ease + own
            losses = np.log1p(np.exp(-margins)) + (behind if number > 1 else 0.0)
            score = Score(
                float(losses.mean()), 0.0, dict(zip(names, losses.tolist(), strict=True)), 1, 0, float(losses.mean())
            )
            scored.append(Trial(number, "bracket", {RATE: 1e-4}, rules.rungs[rung], 0, "", score=score))
        if losers(scored, names, rules):
            return True
        ranked = sorted(scored, key=lambda trial: trial.score.loss if trial.score else math.inf)
        kept = ranked[: tuning.KEPT[min(rung, len(tuning.KEPT) - 1)]]
        racing = {
            trial.n: 0.8 * racing[trial.n] + 0.6 * (rng.normal(0, 0.5, pairs) + shared(0.5 if each > 1 else 0.0))
            for trial in kept
        }
    return False


if __name__ == "__main__":
    sys.exit(main())
