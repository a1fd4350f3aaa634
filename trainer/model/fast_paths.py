"""The ways in which this trainer computes faster than plain transformers and peft, as switches of one model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from trainer.model import independence
from trainer.model.fused_lora import FUSED
from trainer.model.reward import RewardModel

EQUAL = "rows of one length together"
PADDED = "padded batches"
UNPADDED = "unpadded"
SHARED = "shared prefix"
ONE_CALL = "one attention call"
TRIMMED = "trimmed last layer"
ADAPTER = "fused adapter"
NORM = "fused norm"
ALL = (EQUAL, PADDED, UNPADDED, SHARED, ONE_CALL, TRIMMED, ADAPTER, NORM)
"""In this order each can be added to those before it."""
FACT = "paths"
"""What a training kept, among the facts of its checkpoints: a resume and scoring compute as it did."""
NEED_UNPADDED = (SHARED, ONE_CALL, TRIMMED)


def used(model: RewardModel) -> list[str]:
    """What the model was loaded with."""
    layout = model.layout
    there = {
        EQUAL: layout.apart != independence.ROWS,
        PADDED: not layout.apart,
        UNPADDED: layout.unpadded,
        SHARED: layout.unpadded and layout.share_prefix,
        ONE_CALL: layout.one_call,
        TRIMMED: model.trimmed,
        ADAPTER: bool(_fused(model, adapters=True)),
        NORM: bool(_fused(model, adapters=False)),
    }
    return [name for name in ALL if there[name]]


def use(model: RewardModel, names: Collection[str]) -> None:
    """Compute with these, and plainly beside; none at all is each row by itself, as plain transformers and peft do."""
    unpadded = UNPADDED in names
    model.layout = replace(
        model.layout,
        unpadded=unpadded,
        share_prefix=unpadded and SHARED in names,
        one_call=unpadded and ONE_CALL in names,
        apart="" if PADDED in names else independence.LENGTHS if EQUAL in names else independence.ROWS,
    )
    model.trimmed = TRIMMED in names
    for adapters, name in ((True, ADAPTER), (False, NORM)):
        for module in _fused(model, adapters):
            vars(module)[FUSED] = name in names


def use_again(model: RewardModel, kept: Collection[str] | None) -> None:
    """Of what the model was loaded with, only what a training `kept`, which ran on real pairs; None: not known."""
    if kept is not None:
        use(model, [name for name in kept if name in used(model) or name in (EQUAL, PADDED)])


def _fused(model: RewardModel, adapters: bool) -> list[nn.Module]:
    """Adapted layers, or norms, that may compute as one function."""
    return [one for one in model.modules() if FUSED in vars(one) and isinstance(one, LoraLinear) is adapters]


def shown(names: Collection[str]) -> str:
    """Those that a person cares about: how rows are padded says nothing where there is no padding."""
    hidden = {EQUAL, PADDED} if UNPADDED in names else {EQUAL} if PADDED in names else set()
    return ", ".join(name for name in ALL if name in names and name not in hidden) or "each row by itself"
