"""Everything before the first step: processes, model, pairs, what follows from them, and where a resume goes on."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator

from trainer import estimate, init_from, manifest, precision
from trainer.config import TrainConfig, to_document, with_recorded
from trainer.data import pairset
from trainer.data.pairset import PairSet
from trainer.heartbeat import Heartbeat, Phase
from trainer.loop import checkpoint, environment, memory_trial, optimizers, path_check, recorded, sharded, start_check
from trainer.loop import startup_report as derived
from trainer.loop.milestones import TRAINED, UNTRAINED
from trainer.loop.optimizer_step import Stepper
from trainer.loop.progress import Progress
from trainer.loop.reporter import Reporter
from trainer.loop.session import Session
from trainer.loop.trackers import TRACKERS
from trainer.model import base_facts
from trainer.model import reward as model
from trainer.request import Moment, Request
from trainer.signals import StopRequest
from trainer.spec import Refused, Spec


def prepare(spec: Spec, request: Request, stop: StopRequest, moment: Moment, phase: Phase) -> Session:
    """Load and derive everything, and tell `phase` what is being done. Raises Refused for mistakes that a person can
    fix."""
    assert request.attempt is not None
    phase("starting processes", 0, 0)
    config = as_resumed(spec.config, request.resume)
    environment.set_up(config)
    accelerator = make_accelerator(config, request)
    optimizers.refuse_impossible(config, accelerator)
    if config.lora.target_parameters and config.method == "lora" and sharded.is_sharded(accelerator):
        raise Refused("lora.target_parameters was not tried on a model that is split over ranks, and is refused")
    if config.resize_embeddings and sharded.is_sharded(accelerator):
        raise Refused("resize_embeddings was not tried on a model that is split over ranks, and is refused")
    if config.lora.dora and config.method == "lora" and sharded.is_sharded(accelerator):
        raise Refused(
            "lora.dora was not tried on a model that is split over ranks, and is refused; set lora.dora = false"
        )
    phase("loading the model", 0, 0)
    reward_model, tokenizer = load_model(config, request.resume)
    train, validation = load_data(config, tokenizer, reward_model, accelerator, phase)
    phase("preparing training", 0, 0)
    attends = model.choose_attention(reward_model, accelerator.device, config.mixed_precision)
    reporter = Reporter(request.attempt, request.rank == 0)
    reporter.line(f"layout: {attends}")
    if config.lora.dora and config.method == "lora" and config.fused_adapter:
        reporter.line("fused_adapter: given up; DoRA's layers are computed by peft, one operation after the other")
    if reward_model.layout.apart and sharded.is_sharded(accelerator):
        raise Refused(
            f"model: {attends}; that was not tried on a model that is split over ranks, and is refused: train it "
            "without FSDP and DeepSpeed"
        )
    counts = model.trainable_parameters(reward_model)
    share_weights(reward_model, accelerator.device)
    session = Session(
        spec=spec,
        request=request,
        config=config,
        accelerator=accelerator,
        model=reward_model,
        tokenizer=tokenizer,
        train=train,
        validation=validation,
        derived=estimate.derive(config, train.drawn, request.world_size),
        stepper=Stepper(accelerator, reward_model, config),
        progress=Progress(),
        reporter=reporter,
        heartbeat=Heartbeat(request.attempt, request.rank),
        stop=stop,
        moment=moment,
        facts=facts(config, train, validation, accelerator),
        resumed=False,
    )
    (request.run / "validation").mkdir(parents=True, exist_ok=True)
    if config.trackers and reporter.main:
        reporter.mirrors.start(config, request.run, request.attempt.name, spec.name)
    begin(session, counts)
    path_check.run(session)
    recorded.refuse_other_rewards(session)
    start_check.run(session)
    memory_trial.run(session)
    return session


def as_resumed(config: TrainConfig, resume: Path | None) -> TrainConfig:
    """The configuration with `auto` resolved, which is what checkpoints hold; a checkpoint from before an option goes
    on as it did."""
    found = manifest.read(resume) if resume is not None else None
    held = found.facts["config"] if found is not None else {}
    before = str(held.get("mixed_precision", ""))
    resolved = precision.resolve(config.mixed_precision, environment.gpu_capabilities(), before)
    return replace(with_recorded(config, held) if found is not None else config, mixed_precision=resolved)


def share_weights(trained: torch.nn.Module, device: torch.device) -> None:
    """Every rank starts from rank 0's trained weights, even where its files or libraries differ."""
    if dist.is_initialized() and dist.get_world_size() > 1:
        for parameter in trained.parameters():
            if parameter.requires_grad:
                shared = parameter.data.to(device)
                dist.broadcast(shared, 0)
                parameter.data.copy_(shared)


def make_accelerator(config: TrainConfig, request: Request) -> Accelerator:
    """The accelerate state of this rank; the launcher's environment decides on devices and sharding."""
    for name in config.trackers:
        if name not in TRACKERS:
            raise Refused(f"trackers: {name!r} is not known; choose from {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise Refused(f"trackers: {name} is not installed; run pip install {name}, or take it out of trackers")
    sharded.load_whole()
    try:
        accelerator = Accelerator(mixed_precision=config.mixed_precision)
    except ImportError as error:  # DeepSpeed is asked for and not installed
        raise Refused(f"the accelerate configuration asks for what is not installed: {error}") from error
    sharded.refuse_unless_sharded(accelerator)
    if accelerator.num_processes != request.world_size:
        raise Refused(
            f"accelerate runs {accelerator.num_processes} processes, but the launcher started {request.world_size}; "
            "on CPUs launch with ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N"
        )
    return accelerator


def load_model(config: TrainConfig, resume: Path | None = None) -> tuple[model.RewardModel, Any]:
    """Model and tokenizer with the weights that the training begins with: a checkpoint's to `resume`, those of
    `init_from`, or the pretrained model's. What a person can fix becomes Refused."""
    first = resume or (Path(config.init_from) if config.init_from else None)
    if first is not None and (resume or (first / manifest.MANIFEST).is_file()):
        checkpoint.whole(first)
    try:
        loaded, tokenizer = model.load(config, first)
        if first is not None:
            checkpoint.load_weights(loaded, first)
    except Refused:
        raise
    except (OSError, ValueError) as error:
        raise Refused(f"model: {config.model} cannot be loaded: {error}") from error
    return loaded, tokenizer


def load_data(
    config: TrainConfig, tokenizer: Any, reward_model: model.RewardModel, accelerator: Accelerator, phase: Phase
) -> tuple[PairSet, dict[str, PairSet]]:
    """Training pairs and every validation set; rank 0 tokenizes first, so that the others find its cache."""
    limit = model.position_limit(reward_model)
    named = {"": config.data.val, **config.data.extra_val}
    if config.eval_at_start and UNTRAINED in config.data.extra_val:
        raise Refused(f"data.extra_val: {UNTRAINED} is the name of eval_at_start's evaluation; name that set otherwise")
    if config.eval_train and TRAINED in config.data.extra_val:
        raise Refused(f"data.extra_val: {TRAINED} is the name of eval_train's evaluation; name that set otherwise")
    wrong = ""
    with accelerator.main_process_first():  # an error raised inside would leave the other ranks at the barrier
        try:
            train = pairset.load_training(tokenizer, config, limit, phase)
            validation = {
                name: pairset.load_pairs(path, tokenizer, config, limit, phase=phase, clustered=True)
                for name, path in named.items()
            }
        except pairset.DataError as error:
            wrong = str(error)
    if wrong:
        raise Refused(wrong)
    rows = base_facts.embedding_rows(reward_model.classifier)
    steady = base_facts.steady_length(reward_model.classifier)
    for pairs in (train, *validation.values()):
        sides = [side for pair in pairs.pairs for side in (pair.chosen, pair.rejected)]
        base_facts.refuse_unknown_ids(sides, rows, tokenizer, pairs.report.path)
        base_facts.refuse_unsteady(sides, steady, config.model)
    return train, validation


def facts(
    config: TrainConfig, train: PairSet, validation: Mapping[str, PairSet], accelerator: Accelerator
) -> dict[str, Any]:
    """What has to be equal for a resume to be exact."""
    return {
        "config": to_document(config),
        "world_size": accelerator.num_processes,
        "fingerprints": {"train": train.report.fingerprint, "val": validation[""].report.fingerprint},
        **environment.facts(accelerator.device),
    }


def begin(session: Session, counts: tuple[int, int]) -> None:
    """Say what was derived, then restore a checkpoint if asked to."""
    differences = checkpoint.resume(session) if session.request.resume else checkpoint.Differences()
    first = session.config.init_from
    if first and not session.resumed:
        session.reporter.line(
            f"weights from {init_from.describe(first)}; the schedule starts anew: {session.derived.total_steps} steps, "
            f"{session.derived.warmup_steps} of warm-up, a fresh optimizer"
        )
    session.reporter.report(
        "start",
        session.progress.step,
        world_size=session.world_size,
        versions=session.facts["versions"],
        device=session.facts["device"],
        distributed=str(session.accelerator.distributed_type.value),
        threads=session.facts["threads"],
        precision=session.config.mixed_precision,
        tf32=session.config.tf32,
        resumed_from_step=session.progress.step if session.resumed else None,
        exact_resume=differences.exact(session) if session.resumed else None,
        init_from=first or None,
        host=platform.node(),
        pid=os.getpid(),
    )
    derived.report(session, counts)
