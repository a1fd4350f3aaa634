"""The last layer, computed for the scored tokens only: nobody reads the others' last hidden states.

Keys and values still come from every token; the parts after attention work token by token, so they take the scored rows
and leave zeros elsewhere. The gradients are the same, since those of unread tokens are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TOKEN_WISE = ("self_attn.o_proj", "mlp", "attention.output.dense", "intermediate", "output.dense")
"""Parts of a layer, as transformers names them, whose output at a token depends on their input at that token only."""

STACKS = ("layers", "encoder.layer")
SCORED = "scored_rows"
ATTENTION = ("self_attn", "attention")


@dataclass(slots=True)
class Rows:
    """Rows of the flattened tokens that the layer's pass now under way is read at; None: all of them."""

    scored: Tensor | None = None


def trim(backbone: nn.Module) -> Callable[[], None]:
    """Let the last layer's parts look at the rows named by the keyword `SCORED`; returns what takes the change back.

    The layer's attention hears the keyword first, also where gradient checkpointing runs the layer's forward once more.
    """
    layer, rows = last_layer(backbone), Rows()
    parts = {} if layer is None else dict(layer.named_modules())
    changed = {name: module for name, module in parts.items() if name in (*ATTENTION, *TOKEN_WISE)}
    before = {name: vars(module).get("forward") for name, module in changed.items()}
    for name, module in changed.items():
        vars(module)["forward"] = (hearing if name in ATTENTION else scored_rows)(module.forward, rows)

    def undo() -> None:
        for name, forward in before.items():
            vars(changed[name]).pop("forward")
            if forward is not None:
                vars(changed[name])["forward"] = forward

    return undo


def hearing(whole: Callable[..., Any], rows: Rows) -> Callable[..., Any]:
    """`whole`, after the rows of this pass are noted."""

    def forward(*args: Any, **named: Any) -> Any:
        rows.scored = named.get(SCORED)
        return whole(*args, **named)

    return forward


def last_layer(backbone: nn.Module) -> nn.Module | None:
    """The end of the stack of layers, where it has one of the usual names."""
    stacks = dict(backbone.named_modules())
    found = next((stacks[name] for name in STACKS if name in stacks), None)
    return found[-1] if isinstance(found, nn.ModuleList) and len(found) else None


def scored_rows(whole: Callable[[Tensor], Tensor], rows: Rows) -> Callable[[Tensor], Tensor]:
    """`whole` on the rows that are read; elsewhere 0."""

    def forward(x: Tensor) -> Tensor:
        if rows.scored is None:
            return whole(x)
        some = whole(x.flatten(0, -2)[rows.scored][None])[0]
        blank = torch.zeros(x.numel() // x.shape[-1], some.shape[-1], dtype=some.dtype, device=some.device)
        return blank.index_copy(0, rows.scored, some).view(*x.shape[:-1], -1)

    return forward
