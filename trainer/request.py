"""What one start of a training is asked for, where it is, and how it ended. No torch: even a failing import of torch
is recorded with these."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for. Without `attempt` the trainer runs alone and numbers its attempts itself."""

    run: Path
    attempt: Path | None
    resume: Path | None
    force: bool
    rank: int
    world_size: int

    @classmethod
    def of(cls, args: argparse.Namespace) -> Request:
        """From parsed arguments and the launcher's environment."""
        run = (args.run_dir or args.config.parent).resolve()
        return cls(
            run=run,
            attempt=args.attempt_dir.resolve() if args.attempt_dir else None,
            resume=args.resume.resolve() if args.resume else None,
            force=args.force,
            rank=int(os.environ.get("RANK", "0")),
            world_size=int(os.environ.get("WORLD_SIZE", "1")),
        )


@dataclass(slots=True)
class Moment:
    """Where the training is, for whoever has to report its failure."""

    step: int = 0
    epoch: float = 0.0
    pair_ids: tuple[str, ...] = ()
    grad_norm: float | None = None
    began: float = field(default_factory=time.monotonic)
    """When this start began, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `facts` go into result.json."""

    outcome: str
    reason: str
    facts: Mapping[str, Any]
