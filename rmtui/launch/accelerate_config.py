"""The user's own configuration of accelerate: its kind, and the machines that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trainer.plain_files import read_plain

LARGEST_CONFIG = 1 << 20
SINGLE = ("NO", "MULTI_CPU")
"""Kinds that `accelerate launch` starts as one process (on CPUs it wants mpirun), whatever --num_processes says."""
PORT = "29500"
"""Accelerate's own, where the configuration names none."""


class AccelerateConfig(NamedTuple):
    """What the launch has to know of it; `accelerate launch` reads the rest."""

    machines: int = 1
    machine: int = 0
    """Whose configuration it is."""
    host: str = ""
    port: str = PORT
    kind: str = ""
    """Its `distributed_type`; accelerate takes no file without one."""


def read(file: str) -> AccelerateConfig:
    """From YAML or JSON, as `accelerate config` writes them; one machine where the file is gone, or says nothing that
    accelerate could read."""
    import yaml  # a plan without a configuration needs none

    try:
        found = yaml.safe_load(read_plain(Path(file), LARGEST_CONFIG).decode("utf-8", "replace")) if file else {}
    except (OSError, yaml.YAMLError):
        return AccelerateConfig()
    said = found if isinstance(found, dict) else {}
    size, number = (_whole(said.get(key)) for key in ("num_machines", "machine_rank"))
    host, port = (said.get(key) for key in ("main_process_ip", "main_process_port"))
    kind = said.get("distributed_type")
    named = "NO" if kind is False else str(kind or "")  # YAML takes an unquoted NO for false
    return AccelerateConfig(size or 1, number or 0, str(host or ""), str(_whole(port) or PORT), named)


def _whole(value: object) -> int | None:
    return int(str(value)) if str(value).isdigit() else None
