"""`auto` is resolved where it trains; from then on the resolved format counts."""

import pytest
from engine_worlds import quick_end, train

from trainer import manifest
from trainer.loop import environment


def on_cards(*capabilities):
    """A CPU that passes for these GPUs where precision is chosen."""

    def patch(rank):
        quick_end(rank)
        environment.gpu_capabilities = lambda: list(capabilities)

    return patch


@pytest.fixture(scope="module")
def options(bench):
    return bench.options(mixed_precision="auto", num_epochs=1, save_steps=3, start_check=False)


@pytest.fixture(scope="module")
def in_bf16(options, tmp_path_factory):
    world = train(tmp_path_factory.mktemp("bf16"), options, 1, on_cards((9, 0)))
    assert world.codes == [0], world.log()
    return world


def first(world):
    return manifest.checkpoints(world.run)[0].folder


def test_auto_is_kept_as_what_it_became(bench, options, in_bf16, tmp_path):
    (start,) = in_bf16.of("start")
    assert start.data["precision"] == "bf16"
    assert "precision: bf16 (auto: the GPU has it)" in in_bf16.log()
    assert manifest.read(first(in_bf16)).facts["config"]["mixed_precision"] == "bf16"
    named = train(tmp_path, {**options, "mixed_precision": "bf16"}, 1, quick_end)
    assert named.losses == in_bf16.losses
    assert 'mixed_precision = "auto"' in (in_bf16.run / "spec.toml").read_text()


def test_a_resume_goes_on_in_its_checkpoints_format(options, in_bf16, tmp_path):
    plain = train(tmp_path, options, 1, on_cards())
    assert plain.of("start")[0].data["precision"] == "no"
    again = train(tmp_path, options, 1, on_cards((9, 0)), ("--resume", first(plain)))
    assert again.of("start")[0].data["precision"] == "no"
    assert again.of("start")[0].data["exact_resume"] is True
    assert again.losses == {step: loss for step, loss in plain.losses.items() if step in again.losses}


def test_a_resume_on_a_device_without_that_format_is_refused(options, in_bf16):
    refused = train(in_bf16.run, options, 1, on_cards(), ("--resume", first(in_bf16)))
    assert refused.codes == [2]
    assert "mixed_precision was bf16, now no" in refused.result["reason"]
