"""`accelerate launch --config_file fsdp.yaml -m fsdp_on_cpu`: the trainer, on an accelerate that takes up FSDP on CPU
ranks too. What is split, and how, comes from the file, through the environment that the launcher makes of it."""

import sys
from typing import Any

from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.tensor import DTensor

import trainer.loop.optimizer_step
import trainer.loop.setup
from trainer.__main__ import main


def accelerator_with_fsdp(**given: Any) -> Accelerator:
    """What accelerate does by itself where the ranks have GPUs."""
    made = Accelerator(**given)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    made.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    made.state.distributed_type = DistributedType.FSDP
    return made


def say_what_is_split() -> None:
    """Print once how many of the trained tensors are split over the ranks."""
    init = trainer.loop.optimizer_step.Stepper.__init__

    def init_and_say(self: Any, *given: Any) -> None:
        init(self, *given)
        split = sum(isinstance(parameter, DTensor) for parameter in self.parameters)
        print(f"split: {split} of {len(self.parameters)} tensors", flush=True)

    trainer.loop.optimizer_step.Stepper.__init__ = init_and_say  # type: ignore[method-assign]


if __name__ == "__main__":
    vars(trainer.loop.setup)["Accelerator"] = accelerator_with_fsdp
    say_what_is_split()
    sys.exit(main())
