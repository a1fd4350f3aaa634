"""Runs that start from the weights of an earlier one: their first metrics, their resume, and what they hand on."""

import json

import pytest
import torch
from engine_worlds import quick_end, train
from test_resume import dying_after

from trainer import manifest
from trainer.model import plain
from trainer.release import merge

STILL = {"num_epochs": 1, "learning_rate": 1e-12, "lora__dropout": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_begins_with_the_rewards_resumes_exactly_and_merges_right(bench, tmp_path, method):
    first = train(tmp_path / "first", bench.options(method=method, num_epochs=1), 1, quick_end)
    assert first.codes == [0], first.log()
    start = manifest.newest(first.run).folder
    linked = bench.options(method=method, init_from=str(start), seed=5)

    still = train(
        tmp_path / "still", bench.options(method=method, init_from=str(start), start_check=True, **STILL), 1, quick_end
    )
    assert still.codes == [0], still.log()
    assert "start check: saved, and loaded by plain transformers" in still.log()
    reference = plain.load(start, torch.device("cpu"))
    probe = json.loads((manifest.newest(still.run).folder / "trainer_state/probe.json").read_text())
    found = [pair[side] for pair in probe for side in ("chosen", "rejected")]
    sides = [pair[f"{side}_tokens"] for pair in probe for side in ("chosen", "rejected")]
    assert plain.largest_difference(found, reference.alone(sides)) <= plain.tolerance(found, "no")

    whole = train(tmp_path / "whole", linked | {"save_steps": 3}, 1, quick_end)
    killed = train(tmp_path / "killed", linked | {"save_steps": 3}, 1, dying_after(4))
    checkpoint = manifest.newest(killed.run)
    start.rename(tmp_path / "gone")  # a resume needs nothing of what the run began with
    resumed = train(killed.run, linked | {"save_steps": 3}, 1, quick_end, ("--resume", checkpoint.folder))
    assert resumed.codes == [0], resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is True
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > checkpoint.step}

    merged = merge.merge(resumed.run / "model", tmp_path / "merged")
    assert merged.difference < 1e-5
    card = (tmp_path / "merged/README.md").read_text()
    assert "Its training started from the weights of" in card


@pytest.mark.slow
def test_a_checkpoint_that_was_changed_is_no_start(bench, tmp_path):
    first = train(tmp_path / "first", bench.options(num_epochs=1), 1, quick_end)
    start = manifest.newest(first.run).folder
    weights = bytearray((start / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (start / "adapter_model.safetensors").write_bytes(weights)
    refused = train(tmp_path / "linked", bench.options(init_from=str(start)), 1, quick_end)
    assert refused.codes == [2]
    assert "was changed" in refused.log() and "Traceback" not in refused.log()
