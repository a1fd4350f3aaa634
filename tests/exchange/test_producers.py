"""Logs of other programs: read whole, broken in the middle, and growing while a watch follows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from producer_logs import LOGS, LOSSES, TRAINED, ProducerLog
from support import make_workspace

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather
from rmtui.operations import follow, imports
from rmtui.operations.runs import reading, show
from rmtui.workspace import Workspace

each_producer = pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "ws")


def read(tmp_path: Path, text: str, name: str) -> list[Foreign]:
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return list(gather([folder]).runs)


def evaluations(run: Foreign) -> list[tuple[float | None, float | None]]:
    """val_loss and val_acc by step, those before the training left out."""
    steps = sorted({step for name in ("val_loss", "val_acc") for step, _, _ in run.series.get(name, ()) if step})
    return [
        (_at(run, "val_loss", step), _at(run, "val_acc", step)) for step in steps if run.places.get(int(step), 1.0) > 0
    ]


def _at(run: Foreign, name: str, step: float) -> float | None:
    return {at: value for at, value, _ in run.series.get(name, ())}.get(step)


def values(run: Foreign, name: str) -> list[float]:
    return [round(value, 6) for _, value, _ in run.series.get(name, ())]


@each_producer
def test_a_log_comes_in_whole(log: ProducerLog, tmp_path: Path) -> None:
    (run,) = read(tmp_path, log.text, log.name)
    assert run.kind == log.kind
    assert evaluations(run) == list(log.evaluations)
    assert [epoch.epoch for epoch in run.epochs if epoch.val_loss or epoch.val_acc or epoch.train_loss] == list(
        range(1, log.epochs + 1)
    ) or (log.evaluations == () and not run.epochs)
    if log.evaluations and log.epochs:
        assert [(epoch.val_loss, epoch.val_acc) for epoch in run.epochs] == list(log.evaluations)
    assert bool(run.last_word) is log.over
    if log.kind != "deepspeed-chat":
        assert values(run, "loss") == list(LOSSES)
    assert values(run, "train_acc") == (list(TRAINED) if log.trained else [])


@each_producer
def test_a_log_that_is_broken_in_the_middle_says_nothing_false(log: ProducerLog, tmp_path: Path) -> None:
    third = len(log.text) // 3
    for lost in (log.text[third : 2 * third], log.text[third + 7 : third + 60], log.text[-third:]):
        broken = log.text.replace(lost, "\x00\ufffd" * 3, 1)
        for run in read(tmp_path, broken, log.name):
            known = [set(column) for column in zip(*log.evaluations, strict=True)] or [set(), set()]
            for pair in evaluations(run):
                assert all(value is None or value in which for value, which in zip(pair, known, strict=True)), pair
            assert set(values(run, "loss")) <= {*LOSSES, 0.9}


@each_producer
def test_a_growing_log_is_one_run_while_a_watch_follows_it(log: ProducerLog, ws: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / log.name
    path.parent.mkdir()
    path.touch()
    pieces = re.findall(r"[^\r\n]*[\r\n]+", log.text)
    for at in range(0, len(pieces), max(1, len(pieces) // 10)):
        with path.open("a", newline="") as file:
            file.write("".join(pieces[at : at + max(1, len(pieces) // 10)]))
        list(follow.follow(ws, path, follow.Until(once=True)))
    shown = one_run(ws)
    (whole,) = imports.import_paths(ws, [path]).runs
    assert (whole.id, whole.new) == (shown["id"], False)
    found = [(one["val_loss"], one["val_acc"]) for one in shown["evaluations"] if one["epoch"] != 0]
    assert found == list(log.evaluations)


def one_run(ws: Workspace) -> Any:
    """What `show --json` says of the only run."""
    with reading(ws) as index:
        (run,) = index.runs()
        return show(index, run.id)
