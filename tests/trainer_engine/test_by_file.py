"""Validation of several files: evaluated as one set, and by file."""

import json

import numpy as np
import pytest
from engine_worlds import make_bench, train, write_rows

from trainer import pairs
from trainer.joined import join, names


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return make_bench(tmp_path_factory.mktemp("bench"), val_pairs=12)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("ranks", [1, 2])
def test_metrics_by_file_are_those_of_the_files_own_pairs(bench, tmp_path, ranks):
    rows = rows_of(bench.val)
    rows[0]["id"] = rows[-1]["id"] = "twice"
    files = {"long/held": rows[:5], "short/held": rows[5:]}
    for name, part in files.items():
        (tmp_path / name).parent.mkdir()
        write_rows(tmp_path / f"{name}.jsonl", part)
    paths = [str(tmp_path / f"{name}.jsonl") for name in files]
    world = train(tmp_path / "run", bench.options(data__val=join(paths), num_epochs=1), ranks)
    assert world.codes == [0] * ranks, world.log()
    scored = rows_of(tmp_path / "run" / "validation" / "epoch-1.jsonl")
    assert len(scored) == 12
    told = {event.data["set"]: event.metrics for event in world.of("eval") if event.data.get("set")}
    assert list(told) == ["val/long-held", "val/short-held"]
    written = pairs.distinct_ids(row for path in paths for row in pairs.read_rows(path))
    for metrics, own in zip(told.values(), (written[:5], written[5:]), strict=True):
        margins = np.array([one["chosen"] - one["rejected"] for one in scored if one["id"] in {row.id for row in own}])
        assert metrics["val_pairs"] == len(own) == len(margins)
        assert metrics["val_acc"] == pytest.approx((margins > 0).mean())
        assert metrics["val_loss"] == pytest.approx(np.log1p(np.exp(-margins)).mean())
    (whole,) = [event.metrics for event in world.of("eval") if not event.data.get("set")]
    assert whole["val_pairs"] == 12
    assert "validation by file: long-held 5 pairs, short-held 7 pairs" in world.log()
    assert "evaluation of val/long-held at step" in world.log()


def test_a_file_is_named_by_as_much_of_its_path_as_it_needs():
    assert names(["/d/helpful_pairs.jsonl.gz", "/d/harmless.parquet"]) == ["helpful_pairs", "harmless"]
    assert names(["/d/a/val.jsonl", "/d/b/val.jsonl"]) == ["a-val", "b-val"]
    parts = [f"/d/{name}.jsonl#split=0.1,seed=42,part=val" for name in ("x", "y")]
    assert names([*parts, "hf:org/z@test#revision=ab"]) == ["x", "y", "z"]
