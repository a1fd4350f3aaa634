"""Rewards that a checkpoint recorded of some of its pairs, held against what its weights give now. An adapter holds
differences to its base model: over another base at the same place its rewards are others, and nothing else shows it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trainer import manifest
from trainer.data.pairset import TokenPair
from trainer.data.truncate import shared_length
from trainer.loop import evaluate, round_trip
from trainer.loop.optimizer_step import every_rank
from trainer.loop.session import Session
from trainer.model import plain
from trainer.model.reward import RewardModel
from trainer.spec import Refused

PAIRS = 2
WEIGHTS = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")


def refuse_other_rewards(session: Session) -> None:
    """Raises Refused where what a training goes on from does not give the rewards that were recorded of it."""
    request, first = session.request, session.config.init_from
    source = request.resume if session.resumed else Path(first) if first else None
    if source is None or session.sharded:
        return
    wrong = other_rewards(session.model, source)
    if session.resumed and request.force:
        if wrong:
            session.reporter.warn("other_rewards", wrong)
        return
    if any(refused for (refused,) in every_rank([bool(wrong)], session.device)):
        wrong = wrong or "another rank finds other rewards than were recorded: its files are not those of this rank"
        raise Refused(f"{wrong}{', or resume with --force to go on all the same' if session.resumed else ''}")


def other_rewards(model: RewardModel, folder: Path) -> str:
    """Why the folder's model, which is loaded in `model`, is not the one that was trained; empty where its rewards are
    those that were recorded, and where none were."""
    source = _recorded(folder)
    sealed = manifest.read(source) if source is not None else None
    if source is None or sealed is None:
        return ""
    probe = round_trip.read_probe(source)[:PAIRS]
    wanted = [reward for one in probe for reward in (one["chosen"], one["rejected"])]
    config = sealed.facts["config"]
    precision = str(config.get("mixed_precision", "no"))
    on_cpu = model.device.type == "cpu"
    with plain.autocast(model.device, "no" if on_cpu and precision == "fp16" else precision):
        scored = evaluate.score(model, _pairs(probe), model.layout, PAIRS)
    gap = plain.largest_difference(wanted, [reward for sides in scored for reward in sides])
    tf32 = bool(config.get("tf32")) and not (on_cpu and sealed.facts.get("device") == "cpu")
    if gap is not None and gap <= _allowed(wanted, precision, tf32):
        return ""
    spread = max(wanted) - min(wanted)
    differ = "are not finite" if gap is None else f"differ by {gap:.2g} at a spread of {spread:.2g}"
    return f"{folder} gives other rewards than its training recorded of it (they {differ}): {_cause(folder)}"


def _recorded(folder: Path) -> Path | None:
    """The checkpoint that a folder is, or that it holds the files of (a run's model/)."""
    if (folder / "trainer_state" / "probe.json").is_file():
        return folder
    run = manifest.run_around(folder)
    found = manifest.checkpoints(run) if run is not None else []
    return next((one.folder for one in found if _same_files(one.folder, folder)), None)


def _same_files(one: Path, other: Path) -> bool:
    there = [(one / name, other / name) for name in WEIGHTS]
    return any(left.is_file() and right.is_file() and left.samefile(right) for left, right in there)


def _pairs(probe: round_trip.Probe) -> list[TokenPair]:
    made = []
    for one in probe:
        chosen, rejected = (np.asarray(one[side], np.int32) for side in ("chosen_tokens", "rejected_tokens"))
        made.append(TokenPair(one["id"], chosen, rejected, shared_length(chosen, rejected), 0))
    return made


def _allowed(wanted: list[float], precision: str, tf32: bool) -> float:
    """Of half precisions twice what another path on the same device may differ by: this may be another device."""
    allowed = plain.tolerance(wanted, precision, tf32)
    return allowed if precision == "no" else 2 * allowed


def _cause(folder: Path) -> str:
    settings = folder / "adapter_config.json"
    if not settings.is_file():
        return "its files have changed since; name another checkpoint, or copy it again"
    base = json.loads(settings.read_bytes()).get("base_model_name_or_path")
    return f"its base model {base} is another one now; put back the one that it was trained on"
