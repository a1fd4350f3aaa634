"""Losses at a cross-fitted temperature reach the policy from the rewards that a run's evaluations left."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from support import START, config, make_run_folder, training

from rmtui.cli import main
from rmtui.index.index import Index
from rmtui.operations import load_subjects

PAIRS = 200


def evaluated(ws, name, margins, rate, clusters=None):
    """A run of one epoch whose evaluation left these margins."""
    events = training(epochs=1, accuracy=(float(np.mean(margins > 0)),), val_pairs=PAIRS)
    folder = make_run_folder(
        ws,
        name,
        events,
        created=START + len(list(ws.runs.iterdir())),
        config=config(num_epochs=1, learning_rate=rate),
    )
    (folder.path / "validation").mkdir()
    rows = [
        {"id": f"p{n}", "chosen": float(one), "rejected": 0.0, "cluster": clusters[n] if clusters else f"c{n}"}
        for n, one in enumerate(margins)
    ]
    (folder.path / "validation" / "epoch-1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def losses(ws, folder):
    with Index.open_reading(ws) as index:
        index.sync()
        return load_subjects.fitted_losses(index.run(folder.id))


def test_they_are_those_of_the_temperature_that_fits_and_do_not_depend_on_the_scale(ws):
    margins = np.random.default_rng(3).normal(0.5, 1.0, PAIRS)
    ((epoch, loss),) = losses(ws, evaluated(ws, "one", margins, 1e-4))
    ((_, wide),) = losses(ws, evaluated(ws, "wide", 30 * margins, 1e-4))
    best = minimize_scalar(lambda t: np.logaddexp(0, -t * margins).mean(), bounds=(0, 10), method="bounded").fun
    assert epoch == 1 and best < loss < best + 0.02
    assert wide == pytest.approx(loss, abs=1e-6)


def test_without_the_rewards_of_every_epoch_there_are_none(ws):
    folder = evaluated(ws, "one", np.ones(PAIRS), 1e-4)
    (folder.path / "validation" / "epoch-1.jsonl").unlink()
    assert losses(ws, folder) == ()


def test_the_advice_starts_from_the_run_that_ranks_pairs_best(ws, capsys):
    """The noise of chance has the lower plain loss: rewards near 0. The other is right more often and far too sure."""
    rng = np.random.default_rng(4)
    evaluated(ws, "sure", 20 * rng.normal(0.6, 1.0, PAIRS), 1e-4)
    evaluated(ws, "chance", 0.01 * rng.normal(0.0, 1.0, PAIRS), 1e-6)
    assert main(["-C", str(ws.root), "advise", "@latest", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["advice"][0]
    assert first["id"] == "rate_up" and math.isclose(first["changes"]["learning_rate"], 3e-4)
