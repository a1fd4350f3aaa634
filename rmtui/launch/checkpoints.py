"""Which checkpoint a start goes on from, and what is known of one by its name and manifest."""

from __future__ import annotations

from pathlib import Path

from trainer import manifest


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


def step_of(checkpoint: str) -> int | None:
    """The optimizer step that a checkpoint folder is named after."""
    number = Path(checkpoint).name.removeprefix("step-")
    return int(number) if number.isdigit() else None
