"""Where a planned training would run: how many processes on which devices, and what is wrong with the choice."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.launch import gpus as machine
from rmtui.launch.gpus import Gpu
from rmtui.workspace import Workspace
from trainer.config import Problem
from trainer.plain_files import read_plain
from trainer.values import ErrorOrWarning

LARGEST_CONFIG = 1 << 20


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

    `--procs`, else the named devices, else the workspace's number, else the visible GPUs, else 1.
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
    processes = procs if procs is not None else len(named) or ws.settings.processes or len(whole) or 1
    if processes > 1 and whole:
        usable = whole
    problems += _check_processes(processes, usable, named)
    if not visible and mixed_precision == "fp16":
        problems.append(_wrong("mixed_precision", "fp16 needs a GPU", "use bf16 or no", source))
    file, trouble = accelerate_file(ws, cwd, source, accelerate_config)
    problems += trouble
    if (machines := _machines(file)) > 1:
        what = f"{file} is for {machines} machines, and this launch is on one"
        remedy = f"use --on slurm --nodes {machines}, or set num_machines: 1 in it"
        problems.append(_wrong("accelerate_config", what, remedy, source))
    return {
        "kind": "local",
        "processes": processes,
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
    missing = [] if path.is_file() else [_wrong("accelerate_config", f"{path} does not exist", remedy, source)]
    return str(path.resolve()), missing


def _machines(file: str) -> int:
    """How many machines a configuration of accelerate is for, be it YAML or JSON."""
    try:
        text = read_plain(Path(file), LARGEST_CONFIG).decode("utf-8", "replace") if file else ""
    except OSError:
        return 1
    found = re.search(r'^[\s{]*"?num_machines"?\s*:\s*(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 1


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
