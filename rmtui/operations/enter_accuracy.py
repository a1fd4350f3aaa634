"""val_acc of a run whose source has none: typed by a person who read it elsewhere, or taken from a log of the run."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

from rmtui.errors import UserError
from rmtui.i18n import interval_text
from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather
from rmtui.index import ingest
from rmtui.operations.declare import person
from rmtui.operations.runs import folder_of, reading
from rmtui.runs.entered import KEY, Entered, read_entered
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Epoch, Run
from rmtui.workspace import Workspace
from trainer.intervals import accuracy_interval

_VALUE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([%％]?)(?:\s+of\s+(\d[\d,]*)(?:\s+pairs)?)?")
_FRACTION = re.compile(r"(\d[\d,]*)\s*/\s*(\d[\d,]*)(?:\s+pairs)?")
SAME_LOSS = 0.0051
"""By how much the val_loss of a log may differ from the run's: logs and guides round to two digits."""


class Accuracy(NamedTuple):
    """A share, 0–1, and of how many pairs, where that is said."""

    share: float
    pairs: int | None


def read_accuracy(text: str) -> Accuracy | None:
    """`71.2 %`, `71.2`, `0.712`, `71.2% of 2,354`, `1676/2354`; None for what is none.

    A number above 1 is in per cent; one up to 1 is a share unless it has the sign.
    """
    if found := _FRACTION.fullmatch(text.strip()):
        right, whole = (int(part.replace(",", "")) for part in found.groups())
        return Accuracy(right / whole, whole) if whole > 0 and right <= whole else None
    found = _VALUE.fullmatch(text.strip())
    if found is None:
        return None
    value = float(found[1])
    share = round(value / 100, 12) if found[2] or value > 1 else value
    pairs = int(found[3].replace(",", "")) if found[3] else None
    return Accuracy(share, pairs) if share <= 1 and pairs != 0 else None


def enter(
    ws: Workspace, ref: str, text: str, epoch: int | None = None, pairs: int | None = None, cwd: Path | None = None
) -> str:
    """Keep a val_acc, typed or in a log (`text` is then its path, below `cwd`); returns what is known now, in words.

    `epoch` None: the run's last. An empty text takes away what was entered. UserError for what is not a val_acc, for an
    epoch that the run does not have, and where a val_acc was measured.
    """
    folder = folder_of(ws, ref)
    with reading(ws) as index:
        run = index.run(folder.id)
    number = _epoch(run, epoch)
    others = [item for item in read_entered(folder.meta()) if item.epoch != number]
    if not text.strip():
        _keep(ws, folder, others)
        return f"{run.name}, epoch {number}: val_acc is not known"
    row = next((row for row in run.epochs if row.epoch == number), None)
    if row is not None and row.val_acc is not None and not row.entered:
        raise UserError(
            f"val_acc of {run.name} at epoch {number} was not changed",
            f"it was measured: {100 * row.val_acc:.1f} %",
            "what was measured is not replaced; write a note with: rmtui note",
        )
    item = _typed(number, text, pairs) or _from_log(run, number, row, (cwd or Path()) / Path(text).expanduser(), pairs)
    if item is None:
        raise UserError(
            f"{text!r} is not a val_acc",
            "it is neither a share from 0 to 1, nor per cent up to 100, nor a log that is there",
            "write it like 0.712, 71.2%, 71.2% of 2354, or 1676/2354",
        )
    _keep(ws, folder, [*others, item])
    return f"{run.name}, epoch {number}: {_words(item)}"


def _epoch(run: Run, epoch: int | None) -> int:
    known = [row.epoch for row in run.epochs]
    if not known:
        return epoch or run.num_epochs or 1
    if epoch is not None and epoch not in known:
        raise UserError(
            f"{run.name} has no epoch {epoch}", f"its epochs: {', '.join(map(str, known))}", "name one with --epoch"
        )
    return epoch or known[-1]


def _typed(epoch: int, text: str, pairs: int | None) -> Entered | None:
    found = read_accuracy(text)
    return None if found is None else Entered(epoch, found.share, pairs or found.pairs)


def _from_log(run: Run, epoch: int, row: Epoch | None, path: Path, pairs: int | None) -> Entered | None:
    """The val_acc that a log of the same training has for an epoch."""
    if not path.is_file():
        return None
    found = [item for item in gather([path]).runs if any(each.val_acc is not None for each in item.epochs)]
    if len(found) != 1:
        what = f"it holds {len(found)} trainings with a val_acc" if found else "no val_acc of an epoch was found in it"
        raise UserError(f"{path} was not read", what, f"type the value: rmtui set {run.id} val_acc=71.2%")
    there = next((each for each in found[0].epochs if each.epoch == epoch), None)
    if there is None or there.val_acc is None:
        raise UserError(f"{path} was not read", f"it has no val_acc for epoch {epoch}", _others(found[0]))
    own, its = row.val_loss if row is not None else None, there.val_loss
    if own is not None and its is not None and abs(own - its) > SAME_LOSS:
        what = f"at epoch {epoch} its val_loss is {its:.4f}, that of {run.name} {own:.4f}"
        raise UserError(f"{path} is the log of another training", what, "name the log of this run")
    return Entered(epoch, there.val_acc, pairs or there.val_pairs, str(path.resolve()))


def _others(found: Foreign) -> str:
    known = ", ".join(str(each.epoch) for each in found.epochs if each.val_acc is not None)
    return f"it has one for epoch {known}: name it with --epoch"


def _keep(ws: Workspace, folder: RunFolder, items: list[Entered]) -> None:
    by, now = person(), time.time()
    before = folder.meta().get(KEY)
    known = {row.get("epoch"): row for row in before if isinstance(row, dict)} if isinstance(before, list) else {}
    rows = []
    for item in sorted(items):
        row = {name: value for name, value in item._asdict().items() if value not in (None, "")}
        old = known.get(item.epoch, {})
        same = all(old.get(name) == value for name, value in row.items())
        rows.append(old if same and old else {**row, "t": now, "by": by})
    folder.set_meta(**{KEY: rows or None})
    ingest.catch_up(ws, folder)


def _words(item: Entered) -> str:
    """`val_acc 71.2 % ±1.8 (95 %, 2,354 pairs), entered by hand`."""
    half = ""
    if item.val_pairs:
        around = accuracy_interval(item.val_acc, item.val_pairs)
        half = f" {interval_text(item.val_acc, around.low, around.high)} (95 %, {item.val_pairs:,} pairs)"
    source = f"read from {item.source}" if item.source else "entered by hand"
    return f"val_acc {100 * item.val_acc:.1f} %{half}, {source}"
