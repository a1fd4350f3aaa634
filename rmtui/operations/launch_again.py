"""A past run's settings, to be launched again."""

from __future__ import annotations

from rmtui.operations.launch_request import ClusterRequest
from rmtui.presets import Preset
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run
from rmtui.workspace import Workspace


def as_preset(run: Run) -> Preset:
    """A past run's configuration, to be launched again."""
    return Preset(run.preset or "", run.name, "", run.folder / "spec.toml", run.config, {}, "", checked=False)


def asked_of_cluster(ws: Workspace, run: Run) -> tuple[ClusterRequest, str] | None:
    """What a past run asked its cluster for, and its devices; None for runs of this machine."""
    if RunFolder(run.folder).spec().get("launch", {}).get("kind") != "slurm":
        return None
    from rmtui.operations.cluster import asked_again

    try:
        return asked_again(ws, run)
    except (KeyError, TypeError):  # written by hand, or by another version: the dialog asks
        return None
