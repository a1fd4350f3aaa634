"""Micro batches made ahead: while a GPU computes one, a thread lays out the next in memory that is copied without a
wait. Where the CPU computes, each is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from trainer.data.batches import Batch

AHEAD_ON = frozenset({"cuda"})
"""Kinds of device that compute beside the CPU."""
Places = Sequence[int]
"""Of a micro batch's pairs in the pair set."""


class Ahead:
    """Hands out the batches of a device, in whatever order they are asked for."""

    def __init__(self, make: Callable[[Places], Batch], device: torch.device) -> None:
        """`make` lays out a batch on the CPU; it may be called in another thread."""
        self._make = make
        self._device = device
        self._thread = ThreadPoolExecutor(1, "collate") if device.type in AHEAD_ON else None
        self._coming: tuple[Places, Future[Batch]] | None = None

    def take(self, places: Places) -> Batch:
        """The batch of these pairs, on the device."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == places:
            made = coming[1].result()
        else:
            made = self._made(places)
        return made.to(self._device)

    def prepare(self, places: Places) -> None:
        """These will be asked for next; an error of theirs is raised then."""
        if self._thread is not None:
            self._coming = places, self._thread.submit(self._made, places)

    def _made(self, places: Places) -> Batch:
        made = self._make(places)
        return made.pinned() if self._device.type == "cuda" else made
