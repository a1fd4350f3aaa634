"""What the user is notified of: a run has ended; how many devices are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from textual.message import Message

from rmtui import text
from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.runs.model import Run, State, state_text
from rmtui.translation import tr

BAD = (State.FAILED, State.KILLED, State.INTERRUPTED, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class News:
    """A toast, and whether it is worth the bell."""

    words: str
    severity: Literal["information", "error"]


def endings(index: Index, before: Mapping[str, Run], now: Mapping[str, Run]) -> list[News]:
    """Runs that were alive before and are no more."""
    found = []
    for run_id in before.keys() - now.keys():
        try:
            run = index.run(run_id)
        except UserError:  # deleted meanwhile
            continue
        if run.state.final:
            found.append(_ending(run))
    return found


def _ending(run: Run) -> News:
    words = f"{run.name} {tr(state_text(run.state, text.clean(run.reason)))}"
    if not run.reason and run.best is not None and run.best.val_acc is not None:
        words += tr(f": best val_acc {text.percent(run.best.val_acc)}")
    return News(words, "error" if run.state in BAD else "information")


@dataclass
class Devices(Message):
    """What the top line says of this machine's GPUs."""

    words: str


def devices() -> Devices:
    from rmtui.launch.gpus import gpus

    found = gpus()
    taken = sum(bool(gpu.pids) for gpu in found)
    return Devices(f"GPUs {taken} of {len(found)}" if found else "")
