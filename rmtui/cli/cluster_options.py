"""Options of `launch` that say what a job of a cluster asks for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmtui.operations.launch_request import ClusterRequest
    from rmtui.workspace import Workspace


def build(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("on a cluster").add_argument
    help_on = "slurm: submit a job, by [slurm] of workspace.toml; default: launcher of workspace.toml, else here"
    add("--on", choices=("slurm", "here"), default="", help=help_on)
    add("--nodes", type=int, metavar="N", help="nodes, which share the processes evenly (default 1)")
    add("--partition", default="", metavar="P", help="of nodes, as sinfo lists them")
    add("--time", default="", metavar="8:00:00", help="limit of the job; it saves and is requeued before")
    add("--account", default="", metavar="X", help="that the time is charged to")
    add("--cpus", type=int, metavar="N", help="cores a process")
    add("--memory", type=float, metavar="GB", help="memory a node (default: from the model)")
    help_chain = "N further jobs, each to go on after the one before; where requeue is forbidden"
    add("--chain", type=int, metavar="N", help=help_chain)
    add("--sbatch", action="append", default=[], metavar="KEY=VALUE", help="any further option of sbatch")


def read(args: argparse.Namespace, ws: Workspace) -> ClusterRequest | None:
    from rmtui.errors import UserError
    from rmtui.operations.launch_request import ClusterRequest

    given = ("nodes", "partition", "time", "account", "cpus", "memory", "chain", "sbatch")
    if (args.on or ws.settings.launcher) != "slurm":
        if named := [f"--{name}" for name in given if getattr(args, name)]:
            raise UserError(f"{named[0]} is of a job", "this launch is on this machine", "add --on slurm")
        return None
    if any(number is not None and number <= 0 for number in (args.nodes, args.cpus, args.memory)):
        raise UserError("--nodes, --cpus and --memory are above 0", remedy="write them like --nodes 2")
    if args.chain is not None and args.chain < 0:
        raise UserError(f"--chain {args.chain} is below 0", remedy="write it like --chain 3")
    return ClusterRequest(
        nodes=args.nodes,
        partition=args.partition,
        time=args.time,
        account=args.account,
        cpus=args.cpus,
        memory_mb=round(args.memory * 1000) if args.memory else None,
        chain=args.chain,
        sbatch=tuple(text.removeprefix("--") for text in args.sbatch),
    )
