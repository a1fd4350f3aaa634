"""What a launch means where nobody says: the data set, its files, the model. Form, T and the verb's remedy use it.

The verb takes the workspace's own defaults only, since scripts rely on it; a form shows these values as its own, so
that what is launched is what is on the screen.
"""

from __future__ import annotations

import shlex

from rmtui.operations.launch_request import LaunchRequest, usual_cluster
from rmtui.operations.plan import FILES, Plan
from rmtui.presets import Preset
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer import pairs


def data_set(ws: Workspace, newest: Run | None) -> str:
    """The workspace's data set, else the newest run's, else the first there is; empty where there is none."""
    names = pairs.data_sets(ws.root)
    wanted = ws.settings.data or (newest.data if newest and newest.data else "")
    return wanted if wanted in names else names[0] if names else wanted


def data_files(ws: Workspace, name: str) -> dict[str, tuple[str, str]]:
    """The options that a data set fills while they are empty: (file below the workspace, where that is said)."""
    try:
        found = pairs.find_data(ws.root, name)
    except FileNotFoundError:
        return {}
    source = "workspace.toml" if name == ws.settings.data else f"data set {name}"
    return {key: (str(path.relative_to(ws.root)), source) for key, path in zip(FILES, found, strict=True)}


def model(ws: Workspace, preset: Preset, newest: Run | None) -> str:
    """The newest run's model, where neither the preset nor the workspace names one; else empty."""
    if preset.config.get("model") or ws.settings.model or newest is None:
        return ""
    return str(newest.config.get("model") or "")


def request(ws: Workspace, preset: Preset, newest: Run | None) -> LaunchRequest:
    """What a form launches that was opened on a preset and left as it is."""
    base = model(ws, preset, newest)
    overrides = {"model": base} if base else {}
    return LaunchRequest(preset, overrides, usual_data=data_set(ws, newest), cluster=usual_cluster(ws))


def options(ws: Workspace, plan: Plan, newest: Run | None) -> str:
    """The options that would fill what a refused launch lacks: `--model models/base --data helpful`; or empty."""
    missing = {problem.key for problem in plan.errors}
    base = str(newest.config.get("model") or "") if newest and not plan.spec["config"]["model"] else ""
    data = data_set(ws, newest) if missing & {"data", *FILES} else ""
    known = {"--model": ws.as_written(base), "--data": data if data in pairs.data_sets(ws.root) else ""}
    return " ".join(f"{option} {shlex.quote(value)}" for option, value in known.items() if value)
