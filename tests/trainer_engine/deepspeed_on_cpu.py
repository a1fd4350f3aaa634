"""`accelerate launch --config_file deepspeed.yaml -m deepspeed_on_cpu`: the trainer, on an accelerate that takes up
DeepSpeed on CPU ranks too, which DeepSpeed itself can do (DS_ACCELERATOR=cpu)."""

import sys
from typing import Any

from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DeepSpeedPlugin, DistributedType

import trainer.loop.setup
from trainer.__main__ import main


def accelerator_with_deepspeed(**given: Any) -> Accelerator:
    """What accelerate does by itself where the ranks have GPUs."""
    made = Accelerator(**given)
    PartialState._shared_state["distributed_type"] = DistributedType.DEEPSPEED
    made.state.distributed_type = DistributedType.DEEPSPEED
    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision("no")
    plugin._selected = True
    made.state.deepspeed_plugins = {"default": plugin}
    return made


if __name__ == "__main__":
    import deepspeed.comm.torch

    deepspeed.comm.torch.build_shm_op = lambda: None  # compiles an extension for minutes; gloo does
    vars(trainer.loop.setup)["Accelerator"] = accelerator_with_deepspeed
    sys.exit(main())
