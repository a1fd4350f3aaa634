"""The demo: a workspace with its own small model and data, and preset A training in it for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that is under way or done."""

    root: Path
    run_id: str
    fresh: bool
    """False: the folder held a demo run already, and it was taken as it is."""


def demo(root: Path, say: Callable[[str], None]) -> Demo:
    """Make the workspace, the data and the model where they are missing, and start preset A on two processes.

    Raises UserError when the training stack is not installed or the folder holds something else.
    """
    raise NotADirectoryError(root)
