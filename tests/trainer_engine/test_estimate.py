"""Estimates against the models themselves."""

import json
import math

import pytest
from engine_worlds import Bench, make_rows

from trainer import config as options
from trainer import estimate
from trainer.config import TrainConfig
from trainer.model import reward, toy


def built(bench: Bench, folder, **changes) -> TrainConfig:
    return options.build(bench.options(model=str(folder), **changes))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    texts = [row["prompt"] + row["chosen"] for row in make_rows(20)]
    return {
        "decoder": toy.make_decoder(place / "decoder", texts, vocabulary=400, hidden=32, heads=4, key_value_heads=2),
        "encoder": toy.make_encoder(place / "encoder", texts, vocabulary=400, hidden=32),
    }


@pytest.mark.parametrize("family", ["decoder", "encoder"])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"lora__r": 4},
        {"lora__r": 3, "lora__target_modules": ["all-linear"]},
        {"method": "full"},
    ],
)
def test_parameters_are_those_of_the_model(bench, folders, tmp_path, family, stored, changes):
    """With the weights' headers, and from config.json alone."""
    config = built(bench, folders[family], **changes)
    trained, parameters = reward.trainable_parameters(reward.load(config)[0])
    folder = folders[family]
    if not stored:
        folder = tmp_path
        (folder / "config.json").write_text((folders[family] / "config.json").read_text())
    found = estimate.sizes(config, estimate.model_shape(folder))
    assert (found.trainable, found.parameters) == (trained, parameters)


def test_named_target_modules(bench, folders):
    config = built(bench, folders["decoder"], lora__target_modules=["q_proj", "v_proj"])
    found = estimate.sizes(config, estimate.model_shape(folders["decoder"]))
    assert found.trainable == reward.trainable_parameters(reward.load(config)[0])[0]


def test_less_memory_for_smaller_batches_and_with_checkpointing(bench, folders):
    shape = estimate.model_shape(folders["decoder"])
    large = estimate.sizes(built(bench, folders["decoder"], batch_size=8), shape)
    small = estimate.sizes(built(bench, folders["decoder"], batch_size=4), shape)
    saving = estimate.sizes(built(bench, folders["decoder"], batch_size=8, gradient_checkpointing=True), shape)
    assert small.activations_bytes * 2 == large.activations_bytes
    assert saving.total_bytes < large.total_bytes
    full = estimate.sizes(built(bench, folders["decoder"], batch_size=8, method="full"), shape)
    assert full.optimizer_bytes == 8 * full.parameters


def test_a_folder_that_tells_nothing(tmp_path):
    assert estimate.model_shape("some/hub-name") is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "other"}))
    assert estimate.model_shape(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert estimate.model_shape(tmp_path) is None


@pytest.mark.parametrize("pairs", [1, 7, 27, 32])
@pytest.mark.parametrize("every", [0, 1, 3, 5])
def test_derived_counts_are_what_a_loop_would_do(bench, pairs, every):
    config = built(bench, bench.model, num_epochs=3, eval_steps=every, save_steps=every, warmup_ratio=0.29)
    found = estimate.derive(config, pairs, 2)
    per_epoch = math.ceil(pairs / 8)
    steps = range(1, 3 * per_epoch + 1)
    assert found.total_steps == len(steps)
    assert found.warmup_steps == int(0.29 * len(steps))
    assert found.evaluations == sum(step % per_epoch == 0 or (bool(every) and step % every == 0) for step in steps)
    assert (found.last_step_pairs - pairs) % 8 == 0
    assert 1 <= found.last_step_pairs <= 8
