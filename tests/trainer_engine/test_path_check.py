"""The start check's comparison of fast paths with plain ones, on real pairs, in trainings through the program."""

import pytest
import torch
from engine_worlds import quick_end, train

import trainer.loop.start_check
from trainer import manifest
from trainer.loop import path_check
from trainer.model import fused_lora, fused_norm, last_layer, reward
from trainer.model.reward import RewardModel
from trainer.release import scoring


def only_paths(rank):
    """Without the fresh processes, which have tests of their own."""
    quick_end(rank)
    trainer.loop.start_check.load_plainly = lambda session: ""


def scaled(method):
    """A backward pass whose last gradient is 1.3 times as large."""

    def backward(ctx, grad):
        return tuple(None if part is None else part * 1.3 for part in method(ctx, grad))

    return staticmethod(backward)


def wrong_adapter():
    fused_lora.AdaptedLinear.backward = scaled(fused_lora.AdaptedLinear.backward)


def adapter_in_place():
    def forward(ctx, *given):
        raise RuntimeError("Output 0 of AdaptedLinearBackward is a view and is being modified inplace")

    fused_lora.AdaptedLinear.forward = staticmethod(forward)


def wrong_norm():
    fused_norm.RootMeanSquare.backward = scaled(fused_norm.RootMeanSquare.backward)


def wrong_trim():
    """The rows that are read get what belongs to others, but only in a pass with gradients."""
    usual = last_layer.scored_rows

    def shifted(whole, rows):
        right = usual(whole, rows)

        def forward(x):
            found = right(x)
            wrong = rows.scored is not None and torch.is_grad_enabled()
            return found.roll(1, dims=-2) if wrong else found

        return forward

    last_layer.scored_rows = shifted


def wrong_rows():
    """Unpadded rows give other rewards, but only where it trains, which no probe at load sees."""
    usual = RewardModel.forward

    def forward(self, batch):
        found = usual(self, batch)
        return found * 1.2 if batch.blocks and self.training else found

    RewardModel.forward = forward


FAULTS = {
    "fused adapter": (wrong_adapter, "gradient differs", "fused_adapter"),
    "fused adapter, in place": (adapter_in_place, "modified inplace", "fused_adapter"),
    "fused norm": (wrong_norm, "gradient differs", "fused_norm"),
    "trimmed last layer": (wrong_trim, "rewards differ", "trim_last_layer"),
    "unpadded": (wrong_rows, "rewards differ", "unpadded"),
}


def test_equal_paths_are_kept_and_the_line_says_how_equal(bench, tmp_path):
    world = train(tmp_path, bench.options(num_epochs=1, start_check=True), 1, only_paths)
    assert world.codes == [0], world.log()
    found = world.of("fast_paths")[0].data
    assert 0 < found["reward"] < 5e-6
    assert 0 < found["gradient"] < 1e-5
    assert found["given_up"] == {}
    assert "fast path = plain path: reward" in world.log()
    assert "unpadded, shared prefix, trimmed last layer, fused adapter, fused norm" in world.log()
    plain = train(tmp_path / "plain", bench.options(num_epochs=1), 1, quick_end)
    assert world.losses == plain.losses, "the check changes no number of the training"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_path_that_computes_something_else_is_given_up_with_the_reason(bench, tmp_path, fault):
    breaks, why, option = FAULTS[fault]

    def patch(rank):
        breaks()
        only_paths(rank)

    more = {"lora__dropout": 0.0, "num_epochs": 1}
    world = train(tmp_path / "run", bench.options(start_check=True, **more), 1, patch)
    assert world.codes == [0], world.log()
    given_up = world.of("fast_paths")[0].data["given_up"]
    assert given_up.keys() == {fault.partition(",")[0]}
    assert why in str(given_up)
    assert f"given up: {fault.partition(',')[0]} (" in world.log()
    plain = train(tmp_path / "plain", bench.options(**more, **{option: False}), 1, quick_end)
    losses = [[float.fromhex(loss) for loss in one.losses.values()] for one in (world, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_resume_and_a_score_compute_as_the_run_did(bench, tmp_path, monkeypatch):
    def patch(rank):
        wrong_rows()
        only_paths(rank)

    config = bench.options(num_epochs=1, save_steps=3, start_check=True)
    whole = train(tmp_path, config, 1, patch)
    first = manifest.checkpoints(tmp_path)[0]
    resumed = train(tmp_path, config, 1, patch, ("--resume", first.folder))
    assert resumed.codes == [0], resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is True
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > first.step}
    layouts = []
    monkeypatch.setattr(scoring.model, "choose_attention", lambda model, *_: layouts.append(model.layout))
    parser = scoring.argparse.ArgumentParser()
    scoring.add_arguments(parser)
    scoring.run(parser.parse_args([str(tmp_path), str(bench.val), "--json"]))
    assert [layout.unpadded for layout in layouts] == [False]


def test_two_ranks_give_up_what_one_of_them_cannot(bench, tmp_path):
    def patch(rank):
        if rank == 1:
            wrong_norm()
        only_paths(rank)

    world = train(tmp_path, bench.options(num_epochs=1, start_check=True), 2, patch)
    assert world.codes == [0, 0], world.log()
    assert "fused norm" not in world.of("fast_paths")[0].data["used"]


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, ValueError])
def test_pairs_that_the_model_cannot_compute_refuse_the_start(bench, tmp_path, kind):
    def patch(rank):
        only_paths(rank)
        usual = reward.RewardModel.forward

        def forward(self, batch):
            if self.training:
                raise kind("All examples must have the same number of <eos> tokens.")
            return usual(self, batch)

        reward.RewardModel.forward = forward

    world = train(tmp_path, bench.options(start_check=True), 1, patch)
    assert world.codes == [2]
    assert "cannot compute pairs of the data: All examples must have" in world.result["reason"]


def test_too_little_memory_for_the_check_does_not_stop_the_training(bench, tmp_path):
    def patch(rank):
        only_paths(rank)

        def compute(*given):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

        path_check.compute = compute

    world = train(tmp_path, bench.options(num_epochs=1, start_check=True), 1, patch)
    assert world.codes == [0], world.log()
    assert "fast paths are not compared: out of memory" in world.log()
