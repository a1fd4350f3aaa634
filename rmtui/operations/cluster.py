"""A training on a Slurm cluster as a person asks for it: how many nodes, cores, GPUs and how much memory, and for how
long. What is not said comes from [slurm] of workspace.toml, else from the model."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rmtui.launch import checkpoints
from rmtui.launch.slurm import allocation, calls
from rmtui.launch.slurm.allocation import MEMORY, Allocation, warning
from rmtui.operations import estimates
from rmtui.operations.launch_request import ClusterRequest
from rmtui.runs.folder import RunFolder, run_folders
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.config import Problem, TrainConfig, build
from trainer.estimate import Sizes
from trainer.precision import AUTO

CORES_A_GPU = 4
"""Asked for where nobody says: one for the rank, the others for its helpers and the tokenizer."""
PROGRAM_MB, HEADROOM = 3_000, 1.3
"""Of memory: what torch, transformers and the pairs take in each rank, and what is added to the estimate."""
MOST_CHAINED = 50
"""Jobs of a chain, beyond which the number is a slip."""
RUNS_LOOKED_AT, RUNS_ALIKE = 50, 5
"""Newest runs among which those with the same model are looked for, and as many of those count."""
ALIKE = ("model", "method")
"""Keys that must be equal for another run's checkpoints to take as long."""
OURS = {
    *("array", "comment", "output", "error", "open-mode", "signal", "wrap", "wait", "test-only", "clusters"),
    *("nodes", "ntasks", "ntasks-per-node", "cpus-per-task"),
}
"""Options of sbatch that a job of ours has to have as it has them."""
TAKEN = ("partition", "time", "account")
"""Options of sbatch that have a place of their own here, and variables that a person may have set for all jobs."""
_VARIABLES = {"partition": "SBATCH_PARTITION", "time": "SBATCH_TIMELIMIT", "account": "SBATCH_ACCOUNT"}
_LONG = re.compile(r"[a-z][a-z-]+")
_TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}|UNLIMITED|INFINITE", re.IGNORECASE)


def choose(
    ws: Workspace, request: ClusterRequest, *, procs: int | None, devices: str, grace: int
) -> tuple[Allocation, list[Problem]]:
    """What the job asks for, without what follows from the model, and what is wrong with it."""
    usual = ws.settings.slurm
    nodes = request.nodes or usual.nodes or 1
    asked, usually = _sort(request.sbatch), _sort(usual.sbatch)
    place = {
        key: getattr(request, key)
        or asked[0].get(key)
        or getattr(usual, key)
        or usually[0].get(key)
        # as sbatch itself takes it where nothing else is said
        or os.environ.get(_VARIABLES[key], "")
        for key in TAKEN
    }
    memory_mb, options = usual.memory_mb, usually[1]
    if request.memory_mb or any(map(MEMORY.match, asked[1])):  # in place of the usual one, however that is said
        memory_mb, options = request.memory_mb, [text for text in options if not MEMORY.match(text)]
    site, trouble = _ask_site(place["partition"], devices)
    on_gpu = devices != "cpu" and site.gpus
    processes = procs if procs is not None else ws.settings.processes or nodes
    wanted = Allocation(
        processes=processes,
        nodes=nodes,
        device="gpu" if on_gpu else "cpu",
        cpus=request.cpus or usual.cpus or (CORES_A_GPU if on_gpu else 1),
        grace=grace,
        warn=warning(grace),
        chain=usual.chain or 0 if request.chain is None else request.chain,
        memory_mb=memory_mb or 0,
        gpus=processes // nodes if on_gpu else 0,
        gpu_option=usual.gpu_option,
        partition=place["partition"],
        time=place["time"],
        account=place["account"],
        limit="" if place["time"] else site.limit,
        sbatch=[*options, *asked[1]],
        srun=list(usual.srun),
        wrap=usual.wrap,
        prologue=usual.prologue,
    )
    return wanted, [*trouble, *_problems(wanted, devices)]


def _sort(options: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Further options of sbatch: those that have a place of their own, by name, and the others."""
    pairs = [text.removeprefix("--").partition("=") for text in options]
    others = ["".join(pair) for pair in pairs if pair[0] not in TAKEN]
    return {key: value for key, _, value in pairs if key in TAKEN}, others


def _problems(wanted: Allocation, devices: str) -> Iterator[Problem]:
    if not calls.installed():
        yield Problem("on", "there is no sbatch here", "launch from a login node of the cluster", "--on")
    if wanted.processes < 1 or wanted.processes % wanted.nodes:
        what = f"{wanted.processes} processes cannot be shared evenly by {wanted.nodes} nodes"
        yield Problem("processes", what, f"use a multiple of {wanted.nodes}", "--procs")
    if wanted.time and not _TIME.fullmatch(wanted.time):
        yield Problem("time", f"{wanted.time!r} is not a time", "write it like 8:00:00 or 2-00:00", "--time")
    yield from itertools.chain.from_iterable(map(_wrong_option, wanted.sbatch))
    if wanted.memory and wanted.memory_mb:
        what = f"memory is asked for twice: {wanted.memory_mb} MB a node, and {wanted.memory}"
        yield Problem("sbatch", what, "leave one of them out", "--sbatch")
    if wanted.chain > MOST_CHAINED:
        yield Problem("chain", f"{wanted.chain} further jobs are too many", f"at most {MOST_CHAINED}", "--chain")
    if devices not in ("", "cpu"):
        what = "Slurm chooses the GPUs of a job"
        yield Problem("devices", what, "leave --devices out, or say --devices cpu", "--devices")
    if wanted.gpu_option not in ("", "gres", "gpus-per-node"):
        what = f"slurm.gpu_option = {wanted.gpu_option!r} is not known"
        yield Problem("on", what, "use gres or gpus-per-node", "workspace.toml")


def _wrong_option(text: str) -> Iterator[Problem]:
    """A further option of sbatch that cannot be one. sbatch takes every beginning of a name for the whole."""
    key = re.split(r"[=\s]", text, maxsplit=1)[0]
    if not _LONG.fullmatch(key):
        yield Problem("sbatch", f"{text!r} is not a long option of sbatch", "write it like qos=high", "--sbatch")
    elif ours := next((own for own in sorted(OURS) if own.startswith(key)), ""):
        remedy = "leave it out; nodes, cores and processes have options of their own"
        yield Problem("sbatch", f"--{ours} is set by rmtui itself", remedy, "--sbatch")


@dataclass(frozen=True, slots=True)
class _Site:
    """What matters of a partition."""

    gpus: bool = False
    limit: str = ""
    """Of a job that asks for no time; empty: none, or not known."""


def _ask_site(partition: str, devices: str) -> tuple[_Site, list[Problem]]:
    """A partition (empty: the default one; `a,b`: where the job begins first) as Slurm knows it."""
    words = ["sinfo", "-h", "-o", "%P|%G|%l|%L", *(["-p", partition] if partition else [])]
    try:
        rows = [line.split("|") for line in calls.call(words).splitlines()]
    except calls.SlurmError as error:
        if devices == "cpu" or not calls.installed():
            return _Site(), []
        what = f"whether the nodes have GPUs is not known: {error}"
        here, elsewhere = "try again when Slurm answers, or say --devices cpu", "try again when Slurm answers"
        return _Site(), [Problem("on", what, here, "--on", form_remedy=elsewhere)]
    wanted = [row[1:] for row in rows if partition or row[0].endswith("*")]
    limits = [most if usual == "n/a" else usual for _, most, usual in wanted]
    known = [(seconds, text) for text in limits if (seconds := limit_seconds(text)) is not None]
    return _Site(any("gpu" in gres for gres, _, _ in wanted), min(known, default=(0, ""))[1]), []


def with_memory(wanted: Allocation, sizes: Sizes | None) -> Allocation:
    """The same with the memory of a node, from the model, where nobody said: on a GPU the weights pass through it."""
    if wanted.memory_mb or wanted.memory or sizes is None:
        return wanted
    held = sizes.total_bytes if wanted.device == "cpu" else 2 * sizes.weights_bytes
    megabytes = max(1, wanted.ranks) * (PROGRAM_MB + HEADROOM * held / 1024**2)
    return replace(wanted, memory_mb=math.ceil(megabytes / 100) * 100)


def with_warning(ws: Workspace, wanted: Allocation, config: TrainConfig) -> tuple[Allocation, list[Problem]]:
    """The same with the warning before the time limit by how long past runs with this model took to stop, and what of
    it does not fit."""
    measured = _stop_seconds(ws, config)
    if measured is not None:
        wanted = replace(wanted, warn=warning(measured))
    return wanted, list(_late(wanted, measured))


def _stop_seconds(ws: Workspace, config: TrainConfig) -> float | None:
    """The longest of the newest runs alike; None where none has measured it."""
    newest = reversed(list(run_folders(ws.runs))[-RUNS_LOOKED_AT:])
    alike = itertools.islice((run for run in newest if _is_alike(run, config)), RUNS_ALIKE)
    return max((seconds for run in alike if (seconds := checkpoints.stop_seconds(run)) is not None), default=None)


def _is_alike(run: RunFolder, config: TrainConfig) -> bool:
    past = run.spec().get("config", {})
    return all(past.get(key) == getattr(config, key) for key in ALIKE)


def _late(wanted: Allocation, measured: float | None) -> Iterator[Problem]:
    limit = limit_seconds(wanted.time or wanted.limit)
    if limit is not None and limit <= wanted.warn:
        whose = "the limit" if wanted.time else "the partition's limit"
        what = f"{whose} is {limit} s, and the job is warned {wanted.warn} s before it: there is no time to train"
        yield Problem("time", what, "give it more time, or lower stop_grace in workspace.toml", "--time")
    if measured is not None and measured > wanted.grace:
        what = f"a checkpoint takes {measured:.0f} s, and a stopping run is killed after {wanted.grace:.0f} s"
        remedy = f"set stop_grace = {math.ceil(2 * measured)} in workspace.toml"
        yield Problem("stop_grace", what, remedy, "workspace.toml", "warning")


def limit_seconds(text: str) -> int | None:
    """`8:00:00` → seconds, by the six forms of sbatch's --time; None for no limit of its own."""
    if not _TIME.fullmatch(text) or not text[0].isdigit():
        return None
    days, dash, rest = text.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def precision_on(config: TrainConfig, device: str) -> str:
    """The number format on nodes whose devices are not here to be asked."""
    auto = "bf16" if device == "gpu" else "no"
    return auto if config.mixed_precision == AUTO else config.mixed_precision


def sizes_on(config: TrainConfig, device: str) -> Sizes | None:
    """Parameters and memory there; None where the model's folder does not tell."""
    return estimates.model_sizes(replace(config, mixed_precision=precision_on(config, device)))


def asked_again(ws: Workspace, run: Run) -> tuple[ClusterRequest, str]:
    """What a past run's job asked for, and its devices, to be asked for again. What follows from the model is left to
    follow from the new one."""
    before, usual = allocation.of(RunFolder(run.folder).spec()["launch"]), ws.settings.slurm
    try:
        sizes = sizes_on(build(run.config), before.device)
    except ValueError:  # of a version whose options are no more: the form says so
        sizes = None
    derived = with_memory(replace(before, memory_mb=0), sizes)
    request = ClusterRequest(
        nodes=before.nodes,
        partition=before.partition,
        time=before.time,
        account=before.account,
        cpus=before.cpus,
        memory_mb=None if derived.memory_mb == before.memory_mb else before.memory_mb or None,
        chain=before.chain,
        sbatch=tuple(text for text in before.sbatch if text not in usual.sbatch),
    )
    return request, "cpu" if before.device == "cpu" else ""


def describe(wanted: Allocation) -> str:
    """`2 nodes, each with 4 processes, 4 GPUs, 16 cores, 64 GB; at most 8:00:00 in partition long; warned 90 s before
    it`."""
    parts = [_count(wanted.ranks, "process", "es")]
    parts += [_count(wanted.gpus, "GPU")] if wanted.gpus else []
    parts.append(_count(wanted.cores, "core"))
    usual = wanted.memory or "the site's default of memory"
    parts.append(f"{wanted.memory_mb / 1000:.1f} GB" if wanted.memory_mb else usual)
    where = f" in partition {wanted.partition}" if wanted.partition else " in the default partition"
    most = wanted.time or wanted.limit
    limit = f"at most {most}" if most else "for as long as the partition allows"
    after = f"; then {_count(wanted.chain, 'further job')} of its chain" if wanted.chain else ""
    nodes = f"{_count(wanted.nodes, 'node')}{', each' * (wanted.nodes > 1)}"
    return f"{nodes} with {', '.join(parts)}; {limit}{where}, warned {wanted.warn} s before the end{after}"


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{plural * (number != 1)}"
