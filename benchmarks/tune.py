"""Does a search by `rmtui tune` find better models than blind searches do, at equal epochs?

    python benchmarks/tune.py [--seeds 3] [--tasks 12]

Tasks, oracle, starts and regret are those of `advice.py`. `tune` decides by `rmtui.tune.decide`; a survivor is trained
on from before its decay, as the trainer does it, so that only what is added counts. The other searches begin with the
start as it is and then know the range of rates (1e-5 to 0.3); optuna (TPE with Hyperband) takes part where it is
installed.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable
from statistics import mean

import advice
import torch
from advice import BUDGETS, Search, Trainer

from rmtui.tune import decide as tuning
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
            broken = "" if max(train, loss) < max(found.start, 0.69) + 0.2 else "its losses are those of no model"
            losses = calibrate.cross_fitted({str(pair): value for pair, value in enumerate(found.margins[-1])}, {})
            ranked = mean(losses.values())
            search.count(found, cost, math.inf if broken else ranked)
            branch = each.epochs - decay / steps
            score = Score(loss, accuracy, losses, cost, 0.0, ranked, found.start, branch, broken)
            trials.append(Trial(len(trials) + 1, *each, score=score))


def optuna_tpe(search: Search, rate: float, epochs: int) -> None:
    """Optuna's TPE sampler with its Hyperband pruner over rates and eight epochs, told of each epoch's val_loss."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=8, reduction_factor=3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=4), pruner=pruner)
    search.run(rate, epochs)
    while search.spent < max(BUDGETS):
        trial = study.ask()
        found = search.trainer.train(
            float(f"{trial.suggest_float('rate', 1e-5, 0.3, log=True):.2e}"), 8, 0.1, search.seed + trial.number + 1
        )
        done, loss = 0, 0.0
        for done, (_, loss, _) in enumerate(found.rows, 1):
            trial.report(loss, done)
            if trial.should_prune():
                break
        rows = advice.Trained(found.start, found.rows[:done], found.tests[:done], [])
        search.count(rows, done)
        study.tell(trial, min(loss for _, loss, _ in rows.rows))


BOTS: dict[str, Callable[[Search, float, int], None]] = {
    "tune": tune,
    "ladder": advice.ladder,
    "random": advice.blind,
    "halving": advice.halving,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=99)
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        import optuna  # noqa: F401

        BOTS["optuna"] = optuna_tpe
    except ImportError:
        print("optuna is not installed: it takes no part", flush=True)
    report(list(advice.tasks([]))[: args.tasks], args.seeds, BOTS)
    return 0


def report(tasks: list[advice.Task], seeds: int, bots: dict[str, Callable[[Search, float, int], None]]) -> None:
    """Run every bot from every start on every task, and print mean regrets, with how often tune is ahead of each."""
    began = time.monotonic()
    regrets: dict[tuple[str, str, int], list[float]] = {}
    for task in tasks:
        trainer = Trainer(task)
        top, rate, epochs = advice.oracle(trainer, seeds)
        here = []
        for start, first, length in advice.starts(rate):
            for seed in range(seeds):
                for name, bot in bots.items():
                    random.seed(seed)
                    search = Search(trainer, 1000 * seed)
                    bot(search, first, length)
                    for budget in BUDGETS:
                        regrets.setdefault((name, start, budget), []).append(100 * (top - search.result(budget)))
                        here.append((name, budget, 100 * (top - search.result(budget))))
        means = {
            name: " / ".join(f"{mean(r for n, b, r in here if (n, b) == (name, budget)):.1f}" for budget in BUDGETS)
            for name in bots
        }
        took = time.monotonic() - began
        print(f"{task.name}: oracle {top:.1%} at {rate:.1e}, {epochs} epochs; {means} ({took:.0f} s)", flush=True)
    names = [start for start, *_ in advice.starts(1.0)]
    print(f"\nmean regret in points after {BUDGETS} epochs' worth of training")
    print(f"{'':10}" + "".join(f"{name:>16}" for name in [*names, "all"]))
    for name in bots:
        cells = [" / ".join(f"{mean(regrets[name, start, budget]):.1f}" for budget in BUDGETS) for start in names]
        every = " / ".join(
            f"{mean(value for start in names for value in regrets[name, start, budget]):.1f}" for budget in BUDGETS
        )
        print(f"{name:10}" + "".join(f"{cell:>16}" for cell in [*cells, every]))


if __name__ == "__main__":
    sys.exit(main())
