"""How often intervals hold the truth and tests err, simulated with known truths: the tables of docs/statistics.md.

python benchmarks/coverage.py            about two minutes; seeded, so that it prints the same again
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rmtui.guide.chosen import correct_choice
from rmtui.guide.forecast import forecast
from rmtui.guide.model import Subject
from rmtui.guide.paired_test import accuracy_test
from rmtui.guide.settings_test import settings_test
from rmtui.runs.model import Epoch, Run, State
from rmtui.statistics import paired_bootstrap
from trainer.intervals import accuracy_interval, effective_pairs


def prompts(rng, count, each, icc, share):
    """Right or wrong of `each` pairs of `count` prompts, beta-binomial: correlation `icc` within a prompt."""
    rate = rng.beta(share * (1 / icc - 1), (1 - share) * (1 / icc - 1), count)
    return (rng.random((count, each)) < rate[:, None]).ravel()


def rewards(right):
    return {f"p{n}": (1.0, 0.0) if one else (0.0, 1.0) for n, one in enumerate(right)}


def one_run(draws=2000):
    print("val_acc of one run, truth 0.70\nprompts  pairs each  ICC   covered  as if independent")
    for count, each, icc in [
        (85, 4, 0.3),
        (85, 4, 0.0001),
        (40, 4, 0.3),
        (30, 8, 0.3),
        (20, 8, 0.3),
        (10, 8, 0.3),
        (5, 8, 0.3),
    ]:
        rng, names = np.random.default_rng(1), [str(n // each) for n in range(count * each)]
        hits, alone = 0, 0
        for _ in range(draws):
            right = prompts(rng, count, each, icc, 0.7)
            found = accuracy_interval(right.mean(), len(right), *effective_pairs(right.tolist(), names))
            hits += found.low <= 0.7 <= found.high
            found = accuracy_interval(right.mean(), len(right))
            alone += found.low <= 0.7 <= found.high
        print(f"{count:7}  {each:10}  {icc:.1f}   {hits / draws:.3f}    {alone / draws:.3f}")


def two_runs(draws=1000):
    print("\ntwo equal runs called different (nominal 0.05)\nprompts  pairs each  ICC   sign-flip  McNemar")
    for count, each, icc in [(85, 4, 0.3), (85, 4, 0.7), (40, 8, 0.3), (15, 16, 0.3), (8, 8, 0.3)]:
        rng, names = np.random.default_rng(2), {f"p{n}": str(n // each) for n in range(count * each)}
        flips, alone = 0, 0
        for _ in range(draws):
            better, turns = prompts(rng, count, each, icc, 0.5), rng.random(count * each) < 0.4
            a, b = rewards(np.where(turns, ~better, True)), rewards(np.where(turns, better, True))
            flips += accuracy_test(a, b, clusters=names).word != "same"
            alone += accuracy_test(a, b).word != "same"
        print(f"{count:7}  {each:10}  {icc:.1f}   {flips / draws:.3f}      {alone / draws:.3f}")


def losses(draws=600):
    print("\nmean difference of losses, 120 pairs\nshape        covered")
    shapes = {
        "normal": lambda rng: rng.normal(0, 1, 120),
        "Student, 3 degrees": lambda rng: rng.standard_t(3, 120),
        "3 % twelvefold": lambda rng: rng.normal(0, 1, 120) + rng.normal(0, 12, 120) * (rng.random(120) < 0.03),
        "gamma": lambda rng: rng.gamma(2, 1, 120) - 2,
        "lognormal": lambda rng: rng.lognormal(0, 1, 120) - np.exp(0.5),
    }
    for name, shape in shapes.items():
        rng = np.random.default_rng(3)
        found = [paired_bootstrap(list(shape(rng)), draws=199) for _ in range(draws)]
        print(f"{name:18} {np.mean([one.low <= 0 <= one.high for one in found]):.3f}")


def settings(draws=600):
    print("\ntwo equal settings called different, 30 prompts of 4 pairs (nominal 0.05)")
    print("seeds  spread of seeds  error  two trainings of them")
    for seeds, spread in [(4, 0.0), (4, 0.35), (6, 0.35)]:
        rng, hits, alone = np.random.default_rng(4), 0, 0
        names = {f"p{n}": str(n // 4) for n in range(120)}
        for _ in range(draws):
            ease = np.repeat(rng.normal(0.6, 0.8, 30), 4)
            right = rng.random((2 * seeds, 120)) < 1 / (1 + np.exp(-ease - rng.normal(0, spread, 2 * seeds)[:, None]))
            found = [rewards(one) for one in right]
            hits += settings_test(found[:seeds], found[seeds:], names).word != "same"
            alone += accuracy_test(found[0], found[seeds], clusters=names).word != "same"
        print(f"{seeds:5}  {spread:15}  {hits / draws:.3f}  {alone / draws:.3f}")


def choosing(draws=300):
    print("\nthe best of k equal evaluations, truth 0.70, 340 pairs, independent errors")
    print("k   covered  uncorrected  mean of corrected − truth  of measured − truth")
    for many in (1, 5, 20):
        rng, hits, alone, off, raw = np.random.default_rng(8), 0, 0, 0.0, 0.0
        for _ in range(draws):
            rows = rng.random((many, 340)) < 0.7
            candidates = [int("".join("1" if one else "0" for one in row[::-1]), 2) for row in rows]
            best = max(range(many), key=lambda one: candidates[one].bit_count())
            found = correct_choice(candidates, best, [str(n) for n in range(340)], draws=200)
            hits += found.interval.low <= 0.7 <= found.interval.high
            around = accuracy_interval(found.value, 340)
            alone += around.low <= 0.7 <= around.high
            off, raw = off + found.corrected - 0.7, raw + found.value - 0.7
        print(f"{many:2}  {hits / draws:.3f}    {alone / draws:.3f}        {off / draws:+.4f}  {raw / draws:+.4f}")


SHAPES = {
    "falls": lambda x, turn: 0.75 - 0.06 * np.log(x),
    "flattens": lambda x, turn: 0.58 + 0.15 * np.exp(-x / 2),
    "turns": lambda x, turn: 0.58 + 0.12 * np.exp(-x / 1.5) + 0.015 * np.maximum(0, x - turn) ** 1.5,
    "turns and explodes": lambda x, turn: 0.6 + 0.1 * np.exp(-x / 1.5) + 0.002 * np.exp(np.maximum(0, x - turn) / 1.2),
    "bends at once": lambda x, turn: 0.6 + 0.03 * np.abs(x - turn),
}


def forecasts(draws=300):
    print("\nforecasts of val_loss on 12 evaluations, from the fifth on, one and two ahead (nominal 0.95)")
    print("curve                 noise  made   covered")
    for name, shape in SHAPES.items():
        for noise in (0.002, 0.01):
            rng, hits, asked = np.random.default_rng(12), [], 0
            for _ in range(draws):
                x = np.arange(1, 13)
                values = shape(x, rng.uniform(2, 8)) + rng.normal(0, noise, 12)
                for at in range(5, 12):
                    rows = tuple(Epoch(n, None, float(value), None) for n, value in enumerate(values[:at], 1))
                    said = forecast(Subject(Run("r", "r", Path("r"), State.RUNNING, epochs=rows, num_epochs=12)))
                    hits += [item.low <= values[int(item.epoch) - 1] <= item.high for item in said]
                    asked += min(2, 12 - at)
            print(f"{name:20}  {noise:.3f}  {len(hits) / asked:.2f}   {np.mean(hits):.3f}")


if __name__ == "__main__":
    for part in (one_run, two_runs, losses, settings, choosing, forecasts):
        if len(sys.argv) < 2 or part.__name__ in sys.argv[1:]:
            part()
