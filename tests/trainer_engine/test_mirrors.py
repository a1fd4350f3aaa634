"""Live mirrors: what TensorBoard, W&B and trackio hold afterwards is what events.jsonl says, number by number."""

import importlib.util
import json
import sqlite3

import pytest
from engine_worlds import quick_end, train, write_rows

import trainer.loop.trackers
from rmtui.importers import wandb as own_reader
from rmtui.importers.sources import gather
from trainer.events import read_all


@pytest.fixture
def mirrored(bench, tmp_path, monkeypatch):
    """Train on two ranks, with a further validation set, and mirror to `tracker`; returns the run's world."""

    def run(*trackers, ranks=2, **environment):
        for name, value in {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio"), **environment}.items():
            monkeypatch.setenv(name, value)
        write_rows(bench.folder / "more.jsonl", [json.loads(line) for line in bench.val.open()][:4])
        options = bench.options(trackers=list(trackers), data__extra_val={"more": str(bench.folder / "more.jsonl")})
        return train(tmp_path / "run", options, ranks, quick_end)

    return run


def said(world):
    """{figure: {step: value}} of events.jsonl; a further set's figures as NAME/figure."""
    figures = {}
    for event in read_all(world.attempt / "events.jsonl"):
        before = f"{event.data['set']}/" if "set" in event.data else ""
        for name, value in event.metrics.items():
            figures.setdefault(before + name, {})[event.step] = value
    assert {"loss", "val_loss", "more/val_loss", "train_loss"} <= set(figures)
    return figures


def test_tensorboards_own_reader_finds_what_the_events_say(mirrored):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    world = mirrored("tensorboard")
    assert world.codes == [0, 0], world.log()
    accumulator = reader.EventAccumulator(str(world.run / "trackers" / world.run.name), size_guidance={"scalars": 0})
    accumulator.Reload()
    for name, points in said(world).items():
        found = [(scalar.step, scalar.value) for scalar in accumulator.Scalars(name)]
        assert found == [(step, pytest.approx(value, rel=1e-6, abs=1e-30)) for step, value in sorted(points.items())]


def test_an_offline_wandb_run_holds_what_the_events_say(mirrored):
    pytest.importorskip("wandb")
    world = mirrored("wandb")
    assert world.codes == [0, 0], world.log()
    (path,) = world.run.glob("trackers/wandb/offline-run-*/*.wandb")
    run, figures = own_reader.read_run(path), said(world)
    for name, points in figures.items():
        assert {step: value for step, value, _ in run.series[name]} == points
    assert (run.name, run.config["lora.r"]) == (world.run.name, 4)
    last = figures["val_loss"]
    assert [epoch.val_loss for epoch in run.epochs] == [last[step] for step in sorted(last)]
    assert [epoch.train_loss for epoch in run.epochs] == list(figures["train_loss"].values())


def test_trackio_holds_what_the_events_say(mirrored, tmp_path):
    if importlib.util.find_spec("trackio") is None:  # it reads TRACKIO_DIR when it is imported
        pytest.skip("trackio is not installed")
    world = mirrored("trackio")
    assert world.codes == [0, 0], world.log()
    found = {}
    with sqlite3.connect(tmp_path / "trackio" / "rmtui.db") as rows:
        for name, step, text in rows.execute("SELECT run_name, step, metrics FROM metrics"):
            assert name == world.run.name
            for figure, value in json.loads(text).items():
                found.setdefault(figure, {})[step] = value
    for name, points in said(world).items():
        assert found[name] == pytest.approx(points, rel=1e-12)


def test_a_tracker_that_cannot_start_is_told_and_the_training_goes_on(mirrored):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    world = mirrored("wandb", "tensorboard", ranks=1, WANDB_MODE="online", WANDB_API_KEY="", HOME="/nonexistent")
    assert world.codes == [0] and world.result["outcome"] == "finished"
    (warning,) = [event for event in world.of("warning") if event.data["id"] == "tracker"]
    assert "wandb" in warning.data["text"] and "training goes on" in world.log()
    (run,) = gather([world.run / "trackers" / world.run.name]).runs
    found = {step: value for step, value, _ in run.series["loss"]}
    assert found == pytest.approx(said(world)["loss"], rel=1e-6)  # TensorBoard keeps float32


def test_a_tracker_that_fails_on_the_way_is_told_once(bench, tmp_path):
    pytest.importorskip("tensorboard")

    def break_it(rank):
        quick_end(rank)

        def refuse(tracker, values, step=None, **more):
            raise OSError("no space left on device")

        trainer.loop.trackers.LOGGER_TYPE_TO_CLASS["tensorboard"].log = refuse

    world = train(tmp_path, bench.options(num_epochs=1, trackers=["tensorboard"]), 1, break_it)
    assert world.codes == [0], world.log()
    assert [event.data["id"] for event in world.of("warning")].count("tracker") == 1
    assert "no space left on device" in world.log()
