"""Before the first step: the model, its trained weights nudged, is saved and loaded in a fresh process by plain
transformers and peft. What would be found after a night of training is found in the first minute."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import PeftModel

from trainer.config import to_document
from trainer.loop import checkpoint, evaluate, first_layers, round_trip
from trainer.loop.optimizer_step import every_rank
from trainer.model.lora import state_of
from trainer.spec import Refused

if TYPE_CHECKING:
    from trainer.loop.session import Session
    from trainer.model.reward import RewardModel

LARGEST_BYTES = 6 << 30
"""Weights beyond this are not loaded a second time: the head and the first layers are."""
SECONDS = 120.0
"""How long the fresh process may take before the training goes on without it."""
NUDGE = 0.02
"""Standard deviation of what is added to each trained weight: LoRA starts as no change at all, which proves nothing."""
MOST_NUDGED = 1 << 24
"""Weights that are nudged at most, from the head backwards: copies of them are held meanwhile."""


def run(session: Session) -> None:
    """Rank 0 checks, the others wait. Raises Refused, on every rank, where the saved model would score otherwise."""
    if not session.config.start_check or session.resumed:
        return
    wrong = load_plainly(session) if session.rank == 0 else ""
    if any(refused for (refused,) in every_rank([bool(wrong)], session.device)):
        raise Refused(wrong or "the start check failed on rank 0")


def load_plainly(session: Session) -> str:
    """Rank 0's part. Why the launch is refused; empty where it goes on."""
    line = session.reporter.line
    if session.sharded:
        line("start check: not for a model that is split over ranks; the saved model is checked at the end")
        return ""
    size = sum(parameter.numel() * parameter.element_size() for parameter in session.model.parameters())
    if size > LARGEST_BYTES:
        return _in_parts(session, size)
    began = time.monotonic()
    try:
        found = _saved_and_loaded(session)
    except OSError as error:
        line(f"start check: not done, the model cannot be written: {error}")
        return ""
    except round_trip.NotComparable as error:
        if error.of_machine:
            line(f"start check: not done: {error}; the saved model is checked at the end")
            return ""
        return f"start check: {str(error).rstrip('.')}. Training it would end in a model that cannot be used"
    line(f"start check: saved, and loaded by plain transformers: {found.summary} ({time.monotonic() - began:.1f} s)")
    session.reporter.report("round_trip", 0, when="start", text=found.fault, **found.facts())
    return _judge(session, found)


def _in_parts(session: Session, size: int) -> str:
    """Of a model that is too large to be loaded a second time: what is saved, by its names, and the rewards of its
    first layers with its head. Why the launch is refused; empty where it goes on."""
    lost, began = unsaved(session.model), time.monotonic()
    if lost:
        return f"start check: {', '.join(lost[:5])} would be trained and not saved; train with method = full"
    later = f"the model takes {size / 2**30:.1f} GiB: the rewards of all its layers are checked at the end"
    try:
        found, layers = _first_layers(session)
    except (OSError, round_trip.NotComparable) as error:
        line = f"start check: every trained and every new weight is among those that are saved, by their names; {later}"
        session.reporter.line(f"{line} (its first layers cannot be checked: {error})")
        return ""
    session.reporter.line(
        f"start check: its head and first {layers} layers saved, and loaded by plain transformers: {found.summary} "
        f"({time.monotonic() - began:.1f} s); {later}"
    )
    session.reporter.report("round_trip", 0, when="start", layers=layers, text=found.fault, **found.facts())
    return _judge(session, found)


def _first_layers(session: Session) -> tuple[round_trip.RoundTrip, int]:
    """The comparison on the first layers, and how many these are. Raises NotComparable."""
    pairs = session.validation[""].pairs[: checkpoint.PROBE_PAIRS]
    with tempfile.TemporaryDirectory(prefix=".tmp-start-check-", dir=session.request.run) as made:
        base, saved = Path(made) / "base", Path(made) / "model"
        loaded = first_layers.load(session.model, session.tokenizer, session.config, base)
        if loaded is None:
            raise round_trip.NotComparable("this family has no shorter model")
        model, layers = loaded
        with nudged(model, session.config.seed):
            probe = checkpoint.probe_of(pairs, evaluate.score(model.eval(), pairs, model.layout, len(pairs)))
            checkpoint.write_weights(model, saved)
        session.tokenizer.save_pretrained(saved)
        session.beat(round_trip.CHECKING)
        exact = replace(session.config, mixed_precision="no")
        task: round_trip.Task = {
            "folder": str(saved),
            "device": "cpu",
            "probe": probe,
            "facts": {**session.facts, "config": to_document(exact)},
            "place": (str(session.request.attempt), 0, 0),
            "seconds": None,
        }
        found, _ = round_trip.compare(task, SECONDS)
    return found, layers


def _judge(session: Session, found: round_trip.RoundTrip) -> str:
    if found.tokens or not found.right_alone:
        half = "" if session.config.mixed_precision == "no" else "set mixed_precision = no, "
        return (
            f"start check: {found.fault}. A model saved from this base would not give the rewards that it was "
            f"trained to give; {half}choose another base, or switch this check off (start_check = false)"
        )
    if not found.right_padded(found.side):
        other = "left" if found.side == "right" else "right"
        if found.right_padded(other):
            session.tokenizer.padding_side = other
            session.reporter.line(f"the saved tokenizer pads on the {other}: {found.fault}")
        else:
            session.reporter.warn(
                "padded_batches",
                f"{found.fault}, and on the {other}, too: the saved model is right for one text at a time only",
            )
    return ""


def _saved_and_loaded(session: Session) -> round_trip.RoundTrip:
    """Save a nudged model beside the run, and compare."""
    pairs = session.validation[""].pairs[: checkpoint.PROBE_PAIRS]
    place = (str(session.request.attempt), 0, 0)
    with tempfile.TemporaryDirectory(prefix=".tmp-start-check-", dir=session.request.run) as made:
        folder = Path(made)
        with nudged(session.model, session.config.seed):
            probe = checkpoint.probe_of(pairs, checkpoint.score_probe(session, pairs))
            checkpoint.save_model(session, folder, None)
        session.beat(round_trip.CHECKING)
        task: round_trip.Task = {
            "folder": str(folder),
            "device": str(session.device),
            "probe": probe,
            "facts": session.facts,
            "place": place,
            "seconds": None,
        }
        found, _ = round_trip.compare(task, SECONDS)
    return found


@contextmanager
def nudged(model: RewardModel, seed: int) -> Iterator[None]:
    """The model with noise on its trained weights; they come back bit by bit."""
    kept: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
    held = 0
    for parameter in reversed([one for one in model.parameters() if one.requires_grad]):
        if kept and held + parameter.numel() > MOST_NUDGED:
            break
        kept.append((parameter, parameter.detach().clone()))
        held += parameter.numel()
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for parameter, _ in kept:
                noise = torch.randn(parameter.shape, generator=generator) * NUDGE
                parameter.add_(noise.to(parameter.device, parameter.dtype))
        yield
    finally:
        with torch.no_grad():
            for parameter, before in kept:
                parameter.copy_(before)


def unsaved(model: RewardModel) -> list[str]:
    """Trained weights, and new ones, that an adapter's file would not hold."""
    inner = model.inner
    if not isinstance(inner, PeftModel):
        return []
    saved = state_of(inner)
    trained = [name for name, parameter in inner.named_parameters() if parameter.requires_grad]
    plain = [name.replace(".modules_to_save.default", "").replace(".default", "") for name in trained]
    plain = [name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector") for name in plain]
    lost = [name for name in plain if name not in saved]
    prefix = "base_model.model."
    return lost + [part for part in model.new_parts if not any(name.startswith(f"{prefix}{part}.") for name in saved)]
