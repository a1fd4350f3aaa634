"""The doctor's job: one rank a node sums up over all of them through a process of the training stack, and says so, and
whether the lock that the doctor holds is seen on its node. Arguments: port, lock, and [slurm] wrap."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rmtui.runs.files import lock_held

_PROGRAM = """
import os, torch, torch.distributed as dist
gpu = torch.cuda.is_available()
print("nccl" if gpu else "gloo", flush=True)
dist.init_process_group("nccl" if gpu else "gloo")
value = torch.ones(1, device="cuda" if gpu else "cpu")
dist.all_reduce(value)
assert value.item() == dist.get_world_size(), value
dist.barrier()
dist.destroy_process_group()
"""


def main(arguments: list[str]) -> int:
    env = os.environ | {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": "0",
        "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        "MASTER_ADDR": os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "localhost"),
        "MASTER_PORT": arguments[0],
    }
    line = [*shlex.split(arguments[2]), sys.executable, "-c", _PROGRAM]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=150)
    name = os.environ.get("SLURMD_NODENAME", "?")
    last = (done.stderr.strip().splitlines() or [""])[-1]
    lock = "locked" if lock_held(Path(arguments[1])) else "free"
    way = (done.stdout.split() or ["?"])[-1]
    print(f"met {name} {time.time():.1f} {lock} {way}" if done.returncode == 0 else f"{name}: {last}", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
