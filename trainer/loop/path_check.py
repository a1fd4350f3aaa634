"""Before the first step: what is computed fast is tried against plain transformers and peft, each row by itself, on
real pairs, this device and this precision, gradients included. What computes something else is given up."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer import manifest, ranks
from trainer.data.batches import collate
from trainer.data.pairset import TokenPair
from trainer.loop.loss import pair_loss
from trainer.loop.optimizer_step import every_rank
from trainer.loop.start_check import nudged
from trainer.model import base_facts, fast_paths, plain
from trainer.model.fast_paths import ALL, EQUAL, NEED_UNPADDED, PADDED, UNPADDED
from trainer.model.independence import CANNOT
from trainer.model.longest_text import too_long
from trainer.model.reward import rewards
from trainer.remedies import first_line
from trainer.spec import Refused

if TYPE_CHECKING:
    from trainer.loop.session import Session

PAIRS = 4
LOOKED_AT = 256
"""Training pairs among which those to try are chosen."""
TOKENS_ON_CPU = 1024
TOKENS_ON_GPU = 8192
"""Tokens of the pairs that are tried, at most; never more than a micro batch of the training may hold."""
WEIGHTS = 1 << 24
"""Weights whose gradients are compared, at most: the smallest tensors, which lie in every layer."""
GRADIENT = {"no": 1e-3, "tf32": 0.05, "bf16": 0.2, "fp16": 0.1}
"""Share of the gradient's norm by which two paths of the same sum may differ."""
FP16_SCALE = 1024.0
"""Small gradients are lost in fp16 otherwise."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one way of computing makes of the pairs."""

    rewards: list[float]
    gradient: Tensor


@dataclass(frozen=True, slots=True)
class Gap:
    """How far a way of computing lies from the plain one."""

    reward: float = 0.0
    """Largest difference of a reward."""
    gradient: float = 0.0
    """Norm of the difference, as a share of the plain gradient's."""
    fault: str = ""
    """Why it is not the same; empty where it is."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a rank found."""

    kept: list[str]
    gap: Gap
    given_up: dict[str, str]
    """Name → why."""
    pairs: int
    refused: str = ""
    not_done: str = ""


def run(session: Session) -> None:
    """Every rank tries the same pairs; what one of them gives up, all do. A resume computes as its run did. Raises
    Refused where the pairs cannot be computed at all."""
    if session.resumed:
        _as_before(session)
    elif session.config.start_check and session.sharded:
        session.reporter.line("start check: fast paths are not compared on a model that is split over ranks")
    elif session.config.start_check:
        _checked(session, fast_paths.used(session.model))
        _refuse_too_long(session)


def _as_before(session: Session) -> None:
    assert session.request.resume is not None
    found = manifest.read(session.request.resume)
    kept = found.facts.get(fast_paths.FACT) if found is not None else None
    fast_paths.use_again(session.model, kept)
    if kept is not None:  # None: of before this check
        session.facts[fast_paths.FACT] = kept


def _checked(session: Session, there: Sequence[str]) -> None:
    began, line = time.monotonic(), session.reporter.line
    found = _tried(session, there)
    mine = [bool(found.refused), *(name in found.kept for name in ALL)]
    refused, *kept_by = zip(*every_rank(mine, session.device), strict=True)
    if any(refused):
        raise Refused(found.refused or "the start check failed on another rank")
    kept = [name for name, everywhere in zip(ALL, kept_by, strict=True) if all(everywhere)]
    fast_paths.use(session.model, kept)
    session.facts[fast_paths.FACT] = kept
    if found.not_done:
        line(f"start check: fast paths are not compared: {found.not_done}")
        return
    given_up = "".join(f"; given up: {name} ({why})" for name, why in found.given_up.items())
    line(
        f"start check: fast path = plain path: reward {found.gap.reward:.0e}, gradient {found.gap.gradient:.0e}; "
        f"{fast_paths.shown(kept)}{given_up} ({found.pairs} pairs, {time.monotonic() - began:.1f} s)"
    )
    session.reporter.report(
        "fast_paths",
        reward=found.gap.reward,
        gradient=found.gap.gradient,
        used=kept,
        given_up=found.given_up,
        pairs=found.pairs,
    )


def _refuse_too_long(session: Session) -> None:
    """The longest text is computed once: a bound that no table of positions shows would end the training otherwise."""
    wrong = _too_long(session, [pair for one in (session.train, *session.validation.values()) for pair in one.pairs])
    if any(refused for (refused,) in every_rank([bool(wrong)], session.device)):
        raise Refused(wrong or "start check: a text is too long for the model on another rank")


def _too_long(session: Session, pairs: Sequence[TokenPair]) -> str:
    """Why the longest text of the pairs cannot be computed; empty where it can, and where memory runs out."""
    longest = max((side for pair in pairs for side in (pair.chosen, pair.rejected)), key=len)
    try:
        with session.accelerator.autocast():
            wrong = too_long(session.model, longest)
    except (RuntimeError, MemoryError):
        return ""
    return wrong and f"start check: {session.config.model} {wrong}"


def _tried(session: Session, there: Sequence[str]) -> Tried:
    pairs = some_pairs(session)
    try:
        with _as_trained(session):
            try:
                wanted = compute(session, pairs, ())
            except CANNOT as error:
                if ranks.of_memory(error):
                    raise
                what = f"start check: the model cannot compute pairs of the data: {first_line(error)}"
                half = "" if session.config.mixed_precision == "no" else ", or set mixed_precision = no"
                what = f"{what}; choose another base model{half}"
                return Tried([], Gap(), {}, len(pairs), refused=_too_long(session, pairs) or what)
            _warn_of_training_mode(session, pairs, wanted)
            gap = compare(session, wanted, pairs, there)
            if not gap.fault:
                return Tried(list(there), gap, {}, len(pairs))
            kept, given_up = choose(session, wanted, pairs, there)
            return Tried(kept, compare(session, wanted, pairs, kept), given_up, len(pairs))
    except (RuntimeError, MemoryError) as error:
        if not ranks.of_memory(error):
            raise
        return Tried(list(there), Gap(), {}, len(pairs), not_done="out of memory")


def choose(
    session: Session, wanted: Found, pairs: Sequence[TokenPair], there: Collection[str]
) -> tuple[list[str], dict[str, str]]:
    """(what can be kept together, what cannot and why), found by adding one way after the other to the plain one."""
    kept: list[str] = []
    given_up: dict[str, str] = {}
    for name in ALL:
        if name not in there and name not in (EQUAL, PADDED):
            continue
        if (name in NEED_UNPADDED and UNPADDED not in kept) or (name == PADDED and EQUAL not in kept):
            continue
        gap = compare(session, wanted, pairs, [*kept, name])
        if gap.fault:
            given_up[name] = gap.fault
        else:
            kept.append(name)
    if UNPADDED in kept:
        given_up.pop(PADDED, None)
        given_up.pop(EQUAL, None)
    return kept, given_up


def compute(session: Session, pairs: Sequence[TokenPair], names: Collection[str]) -> Found:
    """Rewards of the pairs, and the gradient of their mean loss, computed with these fast paths."""
    model, config = session.model, session.config
    fast_paths.use(model, names)
    batch = collate(pairs, model.layout).to(session.device)
    with session.accelerator.autocast():
        chosen, rejected = rewards(model, batch)
    scale = FP16_SCALE if config.mixed_precision == "fp16" else 1.0
    loss = pair_loss(chosen, rejected, batch.margin, config).mean() * scale
    weights = _weights(model)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    parts = [
        torch.zeros(one.numel(), device=one.device) if grad is None else grad.float().flatten()
        for one, grad in zip(weights, found, strict=True)
    ]
    return Found(torch.cat([chosen, rejected]).tolist(), torch.cat(parts) / scale)


def compare(session: Session, wanted: Found, pairs: Sequence[TokenPair], names: Collection[str]) -> Gap:
    """What these fast paths compute, held against the plain result."""
    try:
        found = compute(session, pairs, names)
    except CANNOT as error:
        if ranks.of_memory(error):
            raise
        return Gap(fault=first_line(error))
    precision = session.config.mixed_precision
    reward = plain.largest_difference(wanted.rewards, found.rewards)
    norm = float(wanted.gradient.norm())
    gradient = float((found.gradient - wanted.gradient).norm()) / norm if norm else 0.0
    spread = max(wanted.rewards) - min(wanted.rewards)
    tf32 = session.config.tf32 and session.device.type == "cuda" and precision == "no"
    allowed = plain.tolerance(wanted.rewards, precision, tf32)
    if reward is None or not reward <= allowed:
        gap = "are not finite" if reward is None else f"differ by {reward:.2g} at a spread of {spread:.2g}"
        return Gap(reward or 0.0, gradient, f"its rewards {gap}")
    if not gradient <= GRADIENT["tf32" if tf32 else precision]:
        return Gap(reward, gradient, f"its gradient differs by {gradient:.2g} of its norm")
    return Gap(reward, gradient)


def some_pairs(session: Session) -> list[TokenPair]:
    """A few training pairs of different lengths: the longest that takes half of the room, and shorter ones."""
    config = session.config
    most = TOKENS_ON_CPU if session.device.type == "cpu" else TOKENS_ON_GPU
    room = min(most, 2 * config.batch_size * config.max_length)
    ordered = sorted(session.train.pairs[:LOOKED_AT], key=_tokens)
    fitting = [pair for pair in ordered if _tokens(pair) <= room // 2] or ordered[:1]
    found, held = [fitting[-1]], _tokens(fitting[-1])
    for place in range(PAIRS - 1):
        pair = fitting[place * (len(fitting) - 1) // PAIRS]
        if held + _tokens(pair) <= room and all(pair is not one for one in found):
            found.append(pair)
            held += _tokens(pair)
    return found


def _tokens(pair: TokenPair) -> int:
    return len(pair.chosen) + len(pair.rejected)


def _weights(model: nn.Module) -> list[nn.Parameter]:
    """Trained weights, the smallest tensors first, up to WEIGHTS numbers."""
    trained = sorted((one for one in model.parameters() if one.requires_grad), key=lambda one: one.numel())
    found: list[nn.Parameter] = []
    held = 0
    for one in trained:
        if found and held + one.numel() > WEIGHTS:
            break
        found.append(one)
        held += one.numel()
    return found


def _warn_of_training_mode(session: Session, pairs: Sequence[TokenPair], wanted: Found) -> None:
    """Long texts, real ones and batches are not seen when the model is loaded."""
    model = session.model
    if model.noise:
        return
    training = model.training
    with torch.no_grad(), session.accelerator.autocast():
        evaluated = model.eval()(collate(pairs, model.layout).to(session.device)).tolist()
    model.train(training)
    gap = plain.largest_difference(wanted.rewards, evaluated)
    if gap is None or gap > plain.tolerance(evaluated, session.config.mixed_precision):
        model.noise = base_facts.OTHERWISE
        session.reporter.warn("own_noise", model.noise)


@contextmanager
def _as_trained(session: Session) -> Iterator[None]:
    """In training mode, the trained weights nudged, without the adapter's dropout; everything comes back."""
    model = session.model
    dropouts = [(one, one.p) for one in model.modules() if isinstance(one, nn.Dropout)]
    training = model.training
    cards = [session.device] if session.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards), nudged(model, session.config.seed):
        try:
            model.train(not model.noise)
            for one, _ in dropouts:
                one.p = 0.0
            yield
        finally:
            for one, p in dropouts:
                one.p = p
            model.train(training)
