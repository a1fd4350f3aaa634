"""A run that an earlier version of the trainer made, when all its modules lay in one folder: killed after step 4 of 7,
with a checkpoint at step 3 and, beside it, the losses of the same run uninterrupted (`losses.json`)."""

import json
from pathlib import Path

import pytest
import support
import tomli
from engine_worlds import quick_end, train

from trainer import manifest

OLD = Path(__file__).with_name("run_of_one_flat_folder.tar.gz")


def test_a_run_of_an_earlier_version_goes_on_and_says_that_the_source_changed(tmp_path, monkeypatch):
    support.unpack(OLD, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    config = tomli.loads((run / "spec.toml").read_text())["config"]
    resumed = train(run, config, 1, quick_end, ("--resume", manifest.newest(run).folder))
    assert resumed.codes == [0], resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is False
    assert "trainer was" in resumed.log()
    expected = json.loads((tmp_path / "losses.json").read_text())
    found = {event.step: event.metrics["loss"] for event in resumed.of("step")}
    assert list(found) == [4, 5, 6, 7]
    for step, loss in found.items():
        assert loss == pytest.approx(expected[str(step)], abs=1e-4)
