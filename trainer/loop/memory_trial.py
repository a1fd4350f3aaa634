"""Before the first step: forward and backward pass of the longest batch to come, so that running out of memory shows in
the first minute and not in the fifth hour. No weight, gradient or random state is left changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from trainer import ranks
from trainer.data.batches import collate, computed_tokens
from trainer.estimate import STATE_BYTES
from trainer.loop.loss import pair_loss
from trainer.loop.milestones import peak_bytes
from trainer.loop.session import Session
from trainer.model.reward import rewards

TRIED_ON = frozenset({"cuda"})
"""Kinds of device. On a CPU the system hands out memory that it does not have, so a trial would prove nothing."""
DOING = "trying the longest batch"
EPOCHS = 20
"""Epochs whose batches are looked at, at most: each draws its own."""


class DoesNotFit(MemoryError):
    """The longest batch takes more memory than there is."""


@dataclass(frozen=True, slots=True)
class LongestBatch:
    """The micro batch of this rank that takes the most memory."""

    places: Sequence[int]
    """Of its pairs in the training set."""
    tokens: int
    """That are computed, padding included."""


def run(session: Session) -> None:
    """Each rank tries its own longest batch. Raises DoesNotFit."""
    if session.device.type not in TRIED_ON or session.progress.done:
        return
    if session.sharded:
        session.reporter.line("memory: the longest batch is not tried on a model that is split over ranks")
        return
    found, began = longest(session), time.monotonic()
    what = f"the longest batch, {len(found.places)} pairs with {found.tokens:,} tokens"
    session.beat(DOING)
    session.moment.step = session.progress.step + 1
    session.moment.pair_ids = tuple(session.train.pairs[place].id for place in found.places)
    try:
        with _as_before(session):
            forward_backward(session, found)
    except (RuntimeError, MemoryError) as error:
        if not ranks.of_memory(error):
            raise
        raise DoesNotFit(f"{what}, tried before the first step: {str(error).splitlines()[0]}") from error
    peak, seconds = peak_bytes(session.device), time.monotonic() - began
    session.reporter.line(f"memory: {what}, fits; peak {peak / 2**30:.1f} GiB ({seconds:.1f} s)")
    session.reporter.report(
        "memory_trial", session.progress.step, pairs=len(found.places), tokens=found.tokens, peak_bytes=peak
    )


def longest(session: Session) -> LongestBatch:
    """Over the epochs that are left."""
    first = session.progress.epoch
    pairs, layout = session.train.pairs, session.model.layout
    micros = (
        micro
        for epoch in range(first, min(session.config.num_epochs, first + EPOCHS))
        for step in session.batches(epoch)
        for micro in step.micro_batches
        if micro
    )
    found = max(micros, key=lambda micro: computed_tokens([pairs[place] for place in micro], layout))
    return LongestBatch(found, computed_tokens([pairs[place] for place in found], layout))


def forward_backward(session: Session, found: LongestBatch) -> None:
    """As a step does it, beside what the optimizer will keep and the gradients of the step's other micro batches."""
    config, stepper = session.config, session.stepper
    trained = sum(one.numel() for one in stepper.parameters)
    states = 0 if stepper.optimizer.state else STATE_BYTES[config.optimizer] * trained
    held = torch.empty(states, dtype=torch.uint8, device=session.device)
    if config.gradient_accumulation_steps > 1 or config.batch_tokens:
        for parameter in stepper.parameters:
            parameter.grad = torch.zeros_like(parameter)
    batch = collate([session.train.pairs[place] for place in found.places], session.model.layout).to(session.device)
    with session.accelerator.autocast():
        chosen, rejected = rewards(stepper.model, batch)
    loss: torch.Tensor = pair_loss(chosen, rejected, batch.margin, config).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    if session.device.type == "cuda":
        torch.cuda.synchronize(session.device)
    del held


@contextmanager
def _as_before(session: Session) -> Iterator[None]:
    """In training mode; random state, gradients and buffers come back."""
    model, cards = session.stepper.model, [session.device] if session.device.type == "cuda" else []
    gradients = [(parameter, parameter.grad) for parameter in session.stepper.parameters]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    training = model.training
    with torch.random.fork_rng(devices=cards):
        try:
            model.train()
            yield
        finally:
            model.train(training)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
