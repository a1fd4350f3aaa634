"""Resumable checkpoints: what is saved at an optimizer step, how it comes back, and when a resume is not exact."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

from trainer import config as options
from trainer import init_from, manifest, ranks
from trainer.data.pairset import TokenPair
from trainer.documents import ProbePair
from trainer.loop import environment, evaluate, optimizers, progress, schedule, sharded
from trainer.model import pretrained
from trainer.model import reward as model
from trainer.model.load_errors import refusing
from trainer.model.lora import refuse_incomplete, saves_embedding
from trainer.spec import Refused

if TYPE_CHECKING:
    from trainer.loop.session import Session

STATE = "trainer_state"
SAVING = "saving a checkpoint"
PROBE_PAIRS = 8
HARMLESS = frozenset(
    {
        "keep_checkpoints",
        "trackers",
        "token_cache",
        "save_steps",
        "save_minutes",
        "eval_at_start",
        "eval_train",
        "eval_batch_size",
        "eval_tokens",
        "deterministic",
        "start_check",
    }
)
"""Options that change no loss of a step that follows."""
SCHEDULE = frozenset({"num_epochs", "warmup_ratio", "lr_scheduler", "lr_floor", "lr_decay_ratio"})
"""Options that say how the rate goes: they change nothing where all steps so far had the rates that they ask for."""
ELSEWHERE = ("data", "model", "init_from")
"""Options that name files: their content is compared, not their paths; what a run began with is in its checkpoints."""


class NotSaved(RuntimeError):
    """A checkpoint could not be written."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What a checkpoint and the present training do not share."""

    changed: tuple[str, ...] = ()
    """The losses that follow would not be those of the uninterrupted run."""
    noted: tuple[str, ...] = ()
    """They may differ in the last bits."""

    def exact(self, session: Session) -> bool:
        """Whether the resumed losses equal the uninterrupted run's bit by bit."""
        config = session.config
        same = not self.changed and not self.noted and config.optimizer not in optimizers.INEXACT
        return same and (session.device.type == "cpu" or config.deterministic)


def save(session: Session, reason: str) -> Path:
    """Write a checkpoint of this step: temporary folder, manifest, fsync, rename. Every rank calls it."""
    folder = session.request.run / "checkpoints" / manifest.folder_name(session.progress.step)
    temporary = folder.with_name(f"{manifest.TEMPORARY}{folder.name}")
    try:
        _save(session, temporary, reason)
        if session.rank == 0:
            session.beat(SAVING)
            refuse_superseded(session, folder)
            manifest.publish(temporary, folder)
    except OSError as error:
        raise NotSaved(f"checkpoint {folder} cannot be written: {error}; free some space there and resume") from error
    return folder


def refuse_superseded(session: Session, folder: Path) -> None:
    """NotSaved once a newer attempt of the run has begun."""
    if ranks.superseded(session.request.attempt):
        raise NotSaved(f"{folder} is not written: a newer attempt of this run has begun")


def _save(session: Session, temporary: Path, reason: str) -> None:
    state, stepper = temporary / STATE, session.stepper
    if session.rank == 0:
        session.beat(SAVING)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.parent.mkdir(exist_ok=True)  # not the run: where that was moved or removed, the save fails
        temporary.mkdir()
        state.mkdir()
    probe = probe_rewards(session) if session.rank == 0 or session.sharded else []
    if session.sharded:
        weights = sharded.weights(session.accelerator, stepper.model)
        optimizer = sharded.save_optimizer(session.accelerator, stepper.model, stepper.optimizer, state)
    else:
        weights, optimizer = None, stepper.optimizer.state_dict()
    if session.rank == 0:
        session.beat(SAVING)
        save_model(session, temporary, weights)
        session.beat(SAVING)
        torch.save({"optimizer": optimizer, "scaler": stepper.scaler.state_dict()}, state / "optimizer.pt")
        (state / "progress.json").write_text(json.dumps(progress.to_row(session.progress)))
        (state / "probe.json").write_text(json.dumps(probe))
        session.beat(SAVING)
        manifest.seal(temporary, description(session, reason))


def description(session: Session, reason: str) -> dict[str, object]:
    """The manifest's head."""
    return {
        "step": session.progress.step,
        "epoch": session.progress.epochs(session.derived.steps_per_epoch),
        "reason": reason,
        "created": time.time(),
        "world_size": session.world_size,
        "facts": {**session.facts, "steps_per_epoch": session.derived.steps_per_epoch},
    }


def save_model(session: Session, folder: Path, weights: dict[str, torch.Tensor] | None) -> None:
    """Adapter with head, or the whole model, and the tokenizer, as transformers and peft load them. `weights` are
    those of a sharded model."""
    write_weights(session.model, folder, weights)
    session.tokenizer.save_pretrained(folder)


def write_weights(
    reward_model: model.RewardModel, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """`save_model` without the tokenizer."""
    inner: Any = reward_model.inner
    more = {} if weights is None else {"state_dict": weights}
    if isinstance(inner, PeftModel):
        more["save_embedding_layers"] = saves_embedding(inner)
    inner.save_pretrained(folder, **more)


def probe_rewards(session: Session) -> list[ProbePair]:
    """The first validation pairs with their rewards: what a fresh process has to find again."""
    pairs = session.validation[""].pairs[:PROBE_PAIRS]
    return probe_of(pairs, score_probe(session, pairs))


def probe_of(pairs: Sequence[TokenPair], scored: Sequence[tuple[float, float]]) -> list[ProbePair]:
    """Pairs with their rewards, as probe.json holds them."""
    return [
        {
            "id": pair.id,
            "chosen": chosen,
            "rejected": rejected,
            "chosen_tokens": pair.chosen.tolist(),
            "rejected_tokens": pair.rejected.tolist(),
        }
        for pair, (chosen, rejected) in zip(pairs, scored, strict=True)
    ]


def score_probe(session: Session, pairs: Sequence[TokenPair]) -> list[tuple[float, float]]:
    """Rewards of the probe's pairs by the model as it is now."""
    with session.accelerator.autocast():
        return evaluate.score(session.stepper.model, pairs, session.model.layout, PROBE_PAIRS)


def mark_best(session: Session, folder: Path) -> None:
    """Point `best` at a checkpoint, and say so."""
    progress, metric = session.progress, session.config.best_metric
    assert progress.best_value is not None
    if session.rank == 0:
        manifest.point_best(
            session.request.run, manifest.BestCheckpoint(folder, metric, progress.best_value, progress.step)
        )
    session.reporter.report("best", progress.step, folder=folder.name, metric=metric, value=progress.best_value)


def prune(session: Session) -> None:
    """Keep the newest checkpoints and the best."""
    if session.rank == 0:
        manifest.prune(session.request.run, session.config.keep_checkpoints, session.progress.step)


def write_model(session: Session) -> Path:
    """`model/`: the best checkpoint's model files, as hard links where possible. Rank 0 alone does it."""
    run = session.request.run
    source, target, temporary = manifest.chosen(run), run / "model", run / f"{manifest.TEMPORARY}model"
    assert source is not None, "the last step's checkpoint was just written"
    refuse_superseded(session, target)
    shutil.rmtree(temporary, ignore_errors=True)
    ignored = shutil.ignore_patterns(STATE, manifest.MANIFEST)
    shutil.copytree(source, temporary, copy_function=link, ignore=ignored)
    manifest.publish(temporary, target)
    return target


def link(source: str, target: str) -> None:
    """A hard link, or a copy where links are not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def resume(session: Session) -> Differences:
    """Restore optimizer and progress; the weights are loaded already. Raises Refused where it would not be exact."""
    folder = session.request.resume
    assert folder is not None
    found = manifest.read(folder)
    assert found is not None, "the folder was found whole before its weights were loaded"
    differences = compare(found.facts, session.facts, found.step)
    if differences.changed and not session.request.force:
        changed = "\n".join(f"  {one}" for one in differences.changed)
        raise Refused(f"resuming {folder} would not be exact:\n{changed}\nresume with --force to go on all the same")
    for one in (*differences.changed, *differences.noted):
        session.reporter.warn("resume_not_exact", f"the resume is not exact: {one}", found.step)
    load_optimizer(session, folder)
    session.progress = progress.from_row(json.loads((folder / STATE / "progress.json").read_bytes()))
    steps = found.facts["steps_per_epoch"]
    if steps != session.derived.steps_per_epoch:
        session.progress = progress.rescaled(session.progress, steps, session.derived.steps_per_epoch)
    longer = found.facts["config"].get("num_epochs") != session.config.num_epochs
    if (differences.changed or longer) and session.progress.epoch < session.config.num_epochs:
        session.progress.done = ""
    if manifest.run_around(folder) != session.request.run:
        session.progress.forget_best()  # its checkpoint is the other run's
    if session.rank == 0:
        manifest.forget_best_after(session.request.run, found.step)
    session.resumed = True
    return differences


def whole(folder: Path) -> manifest.Checkpoint:
    """The checkpoint's manifest, its files checked. Raises Refused."""
    problems = manifest.verify(folder)
    found = manifest.read(folder)
    if problems or found is None:
        why = "; ".join(problems) or "its manifest cannot be read"
        raise Refused(f"{folder} is damaged: {why}; name another checkpoint")
    return found


def load_weights(reward_model: model.RewardModel, folder: Path) -> None:
    """Put the weights of a checkpoint, an adapter or a reward model into a model of the same shape, bit by bit. An
    adapter that is to be trained over a whole reward model begins as no change to it. Raises Refused."""
    inner = reward_model.inner
    if isinstance(inner, PeftModel):
        if (folder / init_from.ADAPTER).is_file():
            refuse_incomplete(inner, folder)
            set_peft_model_state_dict(inner, load_peft_weights(str(folder), device="cpu"))
        elif reward_model.new_parts:
            raise Refused(f"{folder} has no whole head: {pretrained.first_names(reward_model.new_parts)} would be new")
        return
    with refusing(str(folder), trusted=False):
        saved, report = pretrained.load_classifier(str(folder), pretrained.load_tokenizer(str(folder)))
    pretrained.refuse_new(report, str(folder))
    there, wanted = saved.state_dict(), inner.state_dict()
    other = [
        name
        for name in {*there, *wanted}
        if name not in there or name not in wanted or there[name].shape != wanted[name].shape
    ]
    if other:
        raise Refused(f"{folder} does not fit the model: {pretrained.first_names(sorted(other))} differ in shape")
    inner.load_state_dict(there)


def load_optimizer(session: Session, folder: Path) -> None:
    """The optimizer's and the loss scaler's state."""
    saved = torch.load(folder / STATE / "optimizer.pt", map_location="cpu", weights_only=True)
    stepper = session.stepper
    if session.sharded:
        sharded.load_optimizer(
            session.accelerator, stepper.model, stepper.optimizer, folder / STATE, saved["optimizer"]
        )
    else:
        stepper.optimizer.load_state_dict(saved["optimizer"])
    stepper.scaler.load_state_dict(saved["scaler"])


def compare(saved: Mapping[str, Any], present: Mapping[str, Any], done: int = 0) -> Differences:
    """What differs between the facts of a checkpoint after `done` steps and this training's, in words.

    A longer or another schedule is no difference where it asks for the rates that these steps had: wsd, say, branched
    off before its decay.
    """
    changed = [f"it ran on {saved['world_size']} processes, now on {present['world_size']}"]
    if saved["world_size"] == present["world_size"]:
        changed = []
    for name, digest in present["fingerprints"].items():
        if saved["fingerprints"].get(name) != digest:
            changed.append(f"the {name} pairs have changed")
    defaults = options.flatten(options.to_document(options.TrainConfig()))  # of options that came after the checkpoint
    then, now = defaults | options.flatten(options.recorded(saved["config"])), options.flatten(present["config"])
    known = [
        options.make({key: value for key, value in flat.items() if key in options.OPTIONS}) for flat in (then, now)
    ]
    had, wanted = (_rates(config, int(saved["steps_per_epoch"]), done) if done else [] for config in known)
    same_rates = bool(done) and had == wanted
    for key, value in now.items():
        if key in SCHEDULE and same_rates:
            continue
        before = then.get(key, options.OPTIONS[key].default)  # an option that is newer than the checkpoint
        if key not in HARMLESS and key.split(".")[0] not in ELSEWHERE and before != value:
            changed.append(f"{key} was {before}, now {value}")
    return Differences(tuple(changed), tuple(environment.differences(saved, present)))


def _rates(config: options.TrainConfig, steps_per_epoch: int, done: int) -> list[float]:
    """The learning rates that a configuration gives the first `done` steps."""
    total = steps_per_epoch * config.num_epochs
    warmup, shape, peak = int(config.warmup_ratio * total), config.lr_scheduler, config.learning_rate
    floor, decay = config.lr_floor, config.lr_decay_ratio
    return [schedule.learning_rate(step, total, warmup, shape, peak, floor, decay) for step in range(1, done + 1)]
