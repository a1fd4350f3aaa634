"""One answer to which evaluation is the best: list, curve, comparison, `show`, pairs and merge name the same epoch."""

from __future__ import annotations

import json

import pytest
from support import START, make_run_folder

from rmtui.app.jobs.curves import Shown, Wanted, load_curves
from rmtui.app.widgets.chart.curve import Axis, View
from rmtui.cli import main
from rmtui.index.index import Index
from rmtui.operations import load_subjects
from trainer.events import Event
from trainer.loop.progress import Progress

TIED = [(0.70, 0.60), (0.75, 0.58), (0.75, 0.55), (0.75, 0.55), (0.72, 0.50)]
"""(val_acc, val_loss) an epoch: three of one accuracy, two of these of one loss."""


def make(ws, name, evaluations, created=START, **more):
    events = [Event("start", created), Event("derived", created, data={"total_steps": 50, "steps_per_epoch": 10})]
    for epoch, (acc, loss) in enumerate(evaluations, 1):
        metrics = {"train_loss": 0.6, "val_acc": acc, "val_loss": loss, "val_pairs": 200.0}
        events.append(Event("epoch", created + epoch, 10 * epoch, float(epoch), metrics))
    folder = make_run_folder(ws, name, events=events, created=created, **more)
    (folder.path / "validation").mkdir()
    for epoch in range(1, len(evaluations) + 1):
        (folder.path / "validation" / f"epoch-{epoch}.jsonl").write_text('{"id": "a", "chosen": 1, "rejected": 0}\n')
    return folder


def trainers(evaluations, metric):
    """The epoch whose checkpoint the trainer calls the best, which merge and score take."""
    progress = Progress()
    for epoch, (acc, loss) in enumerate(evaluations, 1):
        progress.step = 10 * epoch
        progress.judge({"val_acc": acc, "val_loss": loss}, metric, 0)
    return progress.best_step // 10


@pytest.mark.parametrize(("metric", "epoch"), [("val_acc", 3), ("val_loss", 5)])
def test_every_face_names_the_same_epoch(ws, capsys, metric, epoch):
    config = {"best_metric": metric, "num_epochs": 5}
    folder = make(ws, "one", TIED, config=config)
    make(ws, "other", [(0.6, 0.7)], START + 100, config=config)
    assert trainers(TIED, metric) == epoch
    assert main(["-C", str(ws.root), "show", "one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"]["epoch"] == epoch
    assert main(["-C", str(ws.root), "compare", "one", "other", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert {name: row["best_epoch"][0] for name, row in compared["summary"].items()} == dict.fromkeys(
        ("train_loss", "val_loss", "val_acc"), epoch
    )
    with Index.open_reading(ws) as index:
        index.sync()
        run = index.run(folder.id)
        assert run.best and run.best.epoch == epoch
        found = load_subjects.evaluation(run, "best")
        assert found is not None and found.stem == f"epoch-{epoch}"
        for axis, place in ((Axis.STEP, 10 * epoch), (Axis.EPOCH, epoch)):
            wanted = Wanted((Shown(folder.id, "one", 0),), View(axis), 80)
            (curve,) = load_curves(index, wanted).accuracies
            assert curve.best and curve.best[0] == place, axis


def test_of_several_runs_the_best_evaluation_counts_and_of_equal_ones_the_lower_loss_then_the_older(ws, capsys):
    runs = {
        "fell": [(0.78, 0.55), (0.60, 0.70)],
        "steady": [(0.74, 0.56), (0.76, 0.54)],
        "same": [(0.78, 0.53), (0.50, 0.90)],
        "later": [(0.78, 0.53), (0.77, 0.52)],
    }
    for number, (name, evaluations) in enumerate(runs.items()):
        make(ws, name, evaluations, START + 100 * number)
    with Index.open_reading(ws) as index:
        index.sync()
        (starred,) = index.landmarks().best
        assert index.best_of(index.run(starred).val_fingerprint or "") == starred
        assert index.run(starred).name == index.run(index.resolve("@best")).name == "same"
    assert main(["-C", str(ws.root), "compare", "fell", "steady", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"]["name"] == "fell"
