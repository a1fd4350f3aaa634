"""FSDP on two CPU ranks. accelerate wraps for FSDP on GPUs only, so the test tells its state that this is FSDP too."""

import pytest
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from engine_worlds import quick_end, train
from torch.distributed.tensor import DTensor

import trainer.loop.optimizer_step
import trainer.loop.setup
from trainer import manifest


def fsdp(rank):
    quick_end(rank)
    make = trainer.loop.setup.make_accelerator

    def sharded(config, request) -> Accelerator:
        accelerator = make(config, request)
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", state_dict_type="FULL_STATE_DICT"
        )
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
        accelerator.state.distributed_type = DistributedType.FSDP
        return accelerator

    trainer.loop.setup.make_accelerator = sharded
    begin = trainer.loop.optimizer_step.Stepper.begin

    def begin_split(self, rate):
        assert all(isinstance(parameter, DTensor) for parameter in self.parameters), "not sharded"
        begin(self, rate)

    trainer.loop.optimizer_step.Stepper.begin = begin_split


@pytest.mark.parametrize("method", ["lora", "full"])
def test_fsdp_trains_as_two_plain_ranks_do(bench, tmp_path, method):
    config = bench.options(method=method, save_steps=2, num_epochs=1, lora__dropout=0.0)
    plain = train(tmp_path / "plain", config, 2, quick_end)
    split = train(tmp_path / "split", config, 2, fsdp)
    assert split.codes == [0, 0], split.log() + split.log(1)
    for left, right in zip(plain.of("step"), split.of("step"), strict=True):
        assert left.metrics["loss"] == pytest.approx(right.metrics["loss"], abs=1e-5)
        assert left.metrics["grad_norm"] == pytest.approx(right.metrics["grad_norm"], rel=1e-4)
    assert plain.of("eval")[0].metrics["val_loss"] == pytest.approx(split.of("eval")[0].metrics["val_loss"], abs=1e-5)
    resumed = train(
        tmp_path / "split", config, 2, fsdp, ("--resume", manifest.checkpoints(tmp_path / "split")[0].folder)
    )
    assert resumed.codes == [0, 0], resumed.log()
    assert resumed.losses == {step: loss for step, loss in split.losses.items() if step in resumed.losses}
    assert resumed.losses
