"""Where a planned training would run: how many processes on which devices, and what is wrong with the choice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.launch import accelerate_config as own_config
from rmtui.launch import gpus as machine
from rmtui.launch.accelerate_config import AccelerateConfig
from rmtui.launch.gpus import Gpu
from rmtui.workspace import Workspace
from trainer.config import Problem
from trainer.values import ErrorOrWarning


def choose(
    ws: Workspace,
    cwd: Path,
    source: str,
    *,
    procs: int | None = None,
    devices: str = "",
    accelerate_config: str = "",
    mixed_precision: str = "no",
) -> tuple[dict[str, Any], list[Problem]]:
    """[launch] of spec.toml: processes, device, named devices; and every problem with it.

    `--procs`, else the named devices, else the workspace's number, else the visible GPUs, else 1. With a configuration
    of accelerate for several machines `--procs` is in all, and the others are taken for machines like this one.
    """
    problems = []
    visible = [] if devices == "cpu" else machine.visible(machine.gpus())
    named: list[Gpu] = []
    if devices and devices != "cpu":
        try:
            named = machine.chosen(visible, [word.strip() for word in devices.split(",") if word.strip()])
        except UserError as error:
            problems.append(_wrong("devices", f"{error.what} ({error.why})", error.remedy, "--devices"))
    usable = named or visible
    whole = [gpu for gpu in usable if not gpu.mig]
    file, trouble = accelerate_file(ws, cwd, source, accelerate_config)
    problems += trouble
    several = own_config.read(file)
    problems += _check_machines(several, file, source, procs)
    here = len(named) or ws.settings.processes or len(whole) or 1 if procs is None else -(-procs // several.machines)
    if here > 1 and whole:
        usable = whole
    problems += _check_processes(here, usable, named)
    if not visible and mixed_precision == "fp16":
        problems.append(_wrong("mixed_precision", "fp16 needs a GPU", "use bf16 or no", source))
    joined = {"machines": several.machines, "address": f"{several.host}:{several.port}"} if several.machines > 1 else {}
    return {
        "kind": "local",
        "processes": here * several.machines,
        **joined,
        "device": "gpu" if visible else "cpu",
        "devices": [gpu.uuid for gpu in named],
        "allowed": [gpu.uuid for gpu in usable],
        "accelerate_config": file,
        "grace": ws.settings.stop_grace,
    }, problems


def accelerate_file(ws: Workspace, cwd: Path, source: str, given: str) -> tuple[str, list[Problem]]:
    """The configuration of accelerate that was given, else the workspace's, as a whole path; empty where there is
    none."""
    file = given or ws.settings.accelerate_config
    if not file:
        return "", []
    path = (cwd if given else ws.root) / Path(file).expanduser()
    remedy = "name a file that `accelerate config` wrote"
    what = f"{path} does not exist" if not path.is_file() else ""
    if not what and not own_config.read(str(path)).kind:
        what = f"{path} names no distributed_type, and accelerate refuses it"
    return str(path.resolve()), [_wrong("accelerate_config", what, remedy, source)] if what else []


def _check_machines(several: AccelerateConfig, file: str, source: str, procs: int | None) -> Iterator[Problem]:
    if several.machines < 2:
        return
    if several.machine:
        what = f"{file} is that of machine {several.machine}; a run begins on machine 0"
        remedy = "launch it there; while it waits, its row has the line for this machine"
        yield _wrong("accelerate_config", what, remedy, source)
    if not several.host:
        what = f"{file} is for {several.machines} machines and does not say where they meet"
        yield _wrong("accelerate_config", what, "set main_process_ip to an address of machine 0 in it", source)
    if procs is not None and procs % several.machines:
        what = f"{procs} processes cannot be shared evenly by {several.machines} machines"
        yield _wrong("processes", what, f"use a multiple of {several.machines}", "--procs")


def _wrong(
    key: str, what: str, remedy: str, source: str, severity: ErrorOrWarning = "error", form_remedy: str = ""
) -> Problem:
    return Problem(key, what, remedy, source, severity, form_remedy)


def _check_processes(processes: int, usable: Sequence[Gpu], named: Sequence[Gpu]) -> Iterator[Problem]:
    cores = len(os.sched_getaffinity(0))
    if processes < 1:
        yield _wrong("processes", f"{processes} is not a number of processes", "use 1 or more", "--procs")
    elif processes > 1 and any(gpu.mig for gpu in usable):
        what = (
            f"{processes} processes cannot share a training over MIG devices: CUDA shows each process one of them only"
        )
        remedy = "use --procs 1, or name whole GPUs with --devices"
        yield _wrong("processes", what, remedy, "--procs", form_remedy="fill in 1")
    elif usable and processes > len(usable):
        has = f"{len(named)} named" if named else f"{len(usable)} visible"
        yield _wrong("processes", f"{processes} processes need as many GPUs; {has}", "use fewer", "--procs")
    elif named and processes < len(named):
        what = f"{processes} processes, but {len(named)} devices named"
        yield _wrong("processes", what, "name as many", "--devices")
    elif not usable and processes > cores:
        yield _wrong(
            "processes",
            f"{processes} processes share {cores} core{'s' * (cores > 1)}",
            "use fewer",
            "--procs",
            "warning",
        )
