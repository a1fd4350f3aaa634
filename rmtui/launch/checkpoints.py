"""Which checkpoint a start goes on from, and what is known of one by its name and manifest."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import median

from rmtui.runs import event_tail
from rmtui.runs.folder import RunFolder
from trainer import manifest

EVENTS_LOOKED_AT = 4 << 20
"""Bytes at the end of an attempt's events among which those of its checkpoints are looked for."""


def newest_whole(run: Path) -> tuple[manifest.Checkpoint | None, list[str]]:
    """The newest checkpoint whose files are whole, and words on newer ones that are not."""
    passed_over: list[str] = []
    for checkpoint in reversed(manifest.checkpoints(run)):
        problems = manifest.verify(checkpoint.folder)
        if not problems:
            return checkpoint, passed_over
        passed_over.append(f"skipped a broken checkpoint: {problems[0]}")
    return None, passed_over


def precision_of(checkpoint: str) -> str:
    """The number format that a checkpoint was trained in."""
    found = manifest.read(Path(checkpoint)) if checkpoint else None
    config = found.facts.get("config", {}) if found is not None else {}
    return str(config.get("mixed_precision", ""))


def stop_seconds(run: RunFolder) -> float | None:
    """Seconds that a stop of this run takes, as its latest attempt with a checkpoint shows: to the end of a usual step,
    and the longest checkpoint. None where none was measured."""
    for attempt in reversed(run.attempts()):
        saves = event_tail.read(attempt, "checkpoint", most=EVENTS_LOOKED_AT)
        took = [event.data["seconds"] for event in saves if isinstance(event.data.get("seconds"), int | float)]
        if took:
            steps = [event.t for event in event_tail.read(attempt, "step")]
            gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]
            return float(max(took)) + (median(gaps) if gaps else 0.0)
    return None


def step_of(checkpoint: str) -> int | None:
    """The optimizer step that a checkpoint folder is named after."""
    number = Path(checkpoint).name.removeprefix("step-")
    return int(number) if number.isdigit() else None
