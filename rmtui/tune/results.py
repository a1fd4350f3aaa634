"""How a trial's run came out, read from its folder: the score that decisions rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from rmtui.guide.divergence import broken
from rmtui.index.index import Index
from rmtui.operations import load_subjects, pair_clusters
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run, State
from rmtui.tune.decide import added_epochs
from rmtui.tune.model import Score, Trial
from rmtui.workspace import Workspace
from trainer import manifest
from trainer.calibrate import cross_fitted


def score(ws: Workspace, index: Index, trial: Trial, trials: tuple[Trial, ...]) -> Score | None:
    """Of a run that ended by itself: finished, or broken by its steps. None where it ended otherwise."""
    index.refresh(trial.run)
    run = index.run(trial.run)
    seconds = max(0.0, (run.ended or 0.0) - (run.started or 0.0)) if run.ended and run.started else 0.0
    if run.state is not State.FINISHED:
        why = _not_finite(RunFolder(run.folder)) if run.state is State.FAILED else ""
        epochs = added_epochs(trial, trials)
        return Score(math.inf, 0.0, {}, epochs, seconds, broken=why) if why else None
    last = next((row for row in reversed(run.epochs) if row.val_loss is not None), None)
    if last is None or last.val_loss is None:
        return None
    item, found = load_subjects.subject(index, run), losses(ws, run)
    return Score(
        last.val_loss,
        last.val_acc or 0.0,
        found,
        added_epochs(trial, trials),
        seconds,
        fmean(found.values()) if found else last.val_loss,
        item.start_loss,
        branch_epochs(run),
        "its losses ended above those of an untrained model" if broken(item, load_subjects.limits(ws)) else "",
        last.train_loss,
        (last.val_effective or float(len(found))) if found else 0.0,
    )


def losses(ws: Workspace, run: Run) -> dict[str, float]:
    """Pair id → its loss at the run's last evaluation, at a cross-fitted temperature."""
    path = load_subjects.evaluation(run)
    rewards = load_subjects.read_rewards(path) if path else {}
    margins = {pair: chosen - rejected for pair, (chosen, rejected) in rewards.items()}
    return cross_fitted(margins, clusters(ws, run))


def _not_finite(run: RunFolder) -> str:
    """Why a training broke on a loss or gradient that is no number; empty where it failed for another reason."""
    last = run.last_attempt()
    found = last.failures() if last else []
    return str(found[0].get("text", "")).split(";")[0] if found and found[0].get("type") == "NotFinite" else ""


def branch(run: Run) -> manifest.Checkpoint | None:
    """The newest whole checkpoint from before the decay of a warmup-stable-decay run: a longer run goes on from it
    exactly. None where there is none."""
    if not run.total_steps or run.config.get("lr_scheduler") != "wsd":
        return None
    decay = int(float(run.config.get("lr_decay_ratio", 0.0)) * run.total_steps)
    warm = int(float(run.config.get("warmup_ratio", 0.0)) * run.total_steps)
    for found in reversed(manifest.checkpoints(run.folder)):
        if warm <= found.step <= run.total_steps - decay and not manifest.verify(found.folder):
            return found
    return None


def branch_epochs(run: Run) -> float:
    found = branch(run)
    if found is None or not run.total_steps or not run.num_epochs:
        return 0.0
    return found.step * run.num_epochs / run.total_steps


def clusters(ws: Workspace, run: Run) -> Mapping[str, str]:
    """Pair id → what it shares a prompt with, of the run's validation pairs; empty where that is not known."""
    path = load_subjects.evaluation(run)
    return pair_clusters.clusters_of(ws, run, path) if path else {}
