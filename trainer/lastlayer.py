"""The last layer, computed for the scored tokens only: nobody reads the others' last hidden states.

Keys and values still come from every token; the parts after attention work token by token, so they take the scored rows
and leave zeros elsewhere. The gradients are the same, since those of unread tokens are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

TOKEN_WISE = ("self_attn.o_proj", "mlp", "attention.output.dense", "intermediate", "output.dense")
"""Parts of a layer, as transformers names them, whose output at a token depends on their input at that token only."""

STACKS = ("layers", "encoder.layer")


@dataclass(slots=True)
class Rows:
    """Which rows of the flattened tokens the current forward pass reads; None: all."""

    scored: Tensor | None = None

    @contextmanager
    def only(self, scored: Tensor) -> Iterator[None]:
        """A forward pass of which these rows are read. What runs later (a checkpoint's second forward) sees all."""
        self.scored = scored
        try:
            yield
        finally:
            self.scored = None


def trim(backbone: nn.Module, rows: Rows) -> Callable[[], None]:
    """Let the last layer's parts look at `rows`; returns what takes the change back."""
    layer = last_layer(backbone)
    present = {name for name, _ in layer.named_modules()} if layer is not None else set()
    changed = [layer.get_submodule(name) for name in TOKEN_WISE if layer is not None and name in present]
    before = [vars(module).get("forward") for module in changed]
    for module in changed:
        vars(module)["forward"] = scored_rows(module.forward, rows)

    def undo() -> None:
        for module, forward in zip(changed, before, strict=True):
            vars(module).pop("forward") if forward is None else vars(module).update(forward=forward)

    return undo


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
