"""The demo for real: two processes, three epochs, a val_acc that climbs and that a count by hand confirms."""

import json
import re
import subprocess
import sys

import pytest

EPOCH = re.compile(r"epoch (\d)   train ([\d.]+)   val ([\d.]+)   val_acc ([\d.]+)% of (\d+) pairs")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run_demo(folder):
    command = [sys.executable, "-m", "rmtui", "demo", str(folder), "--no-app"]
    return subprocess.run(command, capture_output=True, text=True, timeout=560)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "rm"
    return folder, run_demo(folder)


def test_it_finishes_and_val_acc_climbs(done):
    folder, result = done
    assert result.returncode == 0, result.stdout + result.stderr
    epochs = EPOCH.findall(result.stdout)
    assert [int(epoch[0]) for epoch in epochs] == [1, 2, 3]
    evaluated = [event["metrics"]["val_acc"] for event in events(folder) if event["kind"] == "eval"]
    assert evaluated[0] < 0.75 < 0.8 < evaluated[-1]
    assert evaluated[-1] - evaluated[0] > 0.1
    train_losses = [float(epoch[1]) for epoch in epochs]
    assert train_losses == sorted(train_losses, reverse=True)


def test_val_acc_is_a_count_of_pairs(done):
    folder, result = done
    for epoch, _, _, shown, pairs in EPOCH.findall(result.stdout):
        scored = rows(only(folder.glob(f"runs/*/validation/epoch-{epoch}.jsonl")))
        right = sum(row["chosen"] > row["rejected"] for row in scored)
        assert len(scored) == int(pairs) == len(rows(folder / "data/val/demo_pairs.jsonl"))
        assert shown == f"{100 * right / len(scored):.1f}"
        ours = [event for event in events(folder) if event["kind"] == "epoch" and round(event["epoch"]) == int(epoch)]
        product = only(ours)["metrics"]["val_acc"] * len(scored)
        assert abs(product - round(product)) < 1e-9
        assert round(product) == right


def test_two_ranks_trained(done):
    folder, _ = done
    assert sorted(path.name for path in folder.glob("runs/*/attempt-1/ranks/*")) == ["rank0", "rank1"]
    start = next(event for event in events(folder) if event["kind"] == "start")
    assert start["data"]["world_size"] == 2


def test_a_second_call_takes_the_run_that_is_there(done):
    folder, first = done
    before = sorted(path.name for path in (folder / "runs").iterdir())
    again = run_demo(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert EPOCH.findall(again.stdout) == EPOCH.findall(first.stdout)
    assert sorted(path.name for path in (folder / "runs").iterdir()) == before


def events(folder):
    return rows(only(folder.glob("runs/*/attempt-1/events.jsonl")))


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def only(found):
    (one,) = found
    return one
