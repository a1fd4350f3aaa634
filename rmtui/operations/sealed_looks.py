"""The ledger of looks at sealed test sets: a line a look, `tests/<fingerprint>.jsonl` in the workspace.

It holds sums over pairs and not the pairs: who sees which of them a model gets wrong soon chooses by them. Intervals
and p are those of all looks so far together (Bonferroni).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui import text
from rmtui.errors import UserError
from rmtui.guide.paired_test import Turns, counted_pairs
from rmtui.i18n import translate
from rmtui.index import settings
from rmtui.operations import load_subjects
from rmtui.runs.files import locked
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.intervals import accuracy_interval
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from rmtui.documents.runs import TestDifference, TestDocument, TestedModel

PATIENCE = 10.0
"""Seconds that the ledger is waited for."""
FOLDER = "tests"


@dataclass(frozen=True, slots=True)
class Tested:
    """A model's sums over the test pairs."""

    run: str
    name: str
    checkpoint: str
    accuracy: float
    loss: float
    effective: float
    """As many independent pairs would measure its accuracy as finely."""


@dataclass(frozen=True, slots=True)
class SealedLook:
    """A line of the ledger."""

    file: str
    time: str
    pairs: int
    clusters: int
    shared: int | None
    finalist: Tested
    comparator: Tested | None
    turns: Turns | None
    """From the comparator to the finalist."""


def _ledger(ws: Workspace, mark: str) -> Path:
    return ws.root / FOLDER / f"{mark[:32]}.jsonl"


def note(ws: Workspace, mark: str, look: SealedLook) -> int:
    """Write a look down; the number of looks at this set by now."""
    path = _ledger(ws, mark)
    path.parent.mkdir(exist_ok=True)
    line = json.dumps(asdict(look), ensure_ascii=False)
    with locked(path.with_suffix(".lock"), PATIENCE, f"the ledger {path}"):
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        return len(looks(ws, mark))


def any_looks(ws: Workspace) -> bool:
    """Whether any sealed set of this workspace was looked at."""
    return any((ws.root / FOLDER).glob("*.jsonl"))


def looks(ws: Workspace, mark: str) -> list[SealedLook]:
    """Looks at the set of this fingerprint so far, oldest first; torn lines are left out."""
    return list(_read(_ledger(ws, mark)))


def _read(path: Path) -> Iterator[SealedLook]:
    with suppress(OSError), open_plain(path) as lines:
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                row = json.loads(line)
                other, turns = row["comparator"], row["turns"]
                yield SealedLook(
                    str(row["file"]),
                    str(row["time"]),
                    int(row["pairs"]),
                    int(row["clusters"]),
                    row["shared"],
                    Tested(**row["finalist"]),
                    Tested(**other) if other else None,
                    Turns(**turns) if turns else None,
                )


def refuse_spent(ws: Workspace, fingerprints: Mapping[str, object]) -> None:
    """UserError where a launch would train on, or choose by, a sealed test set: its own, or one looked at here."""
    extra = settings.table(fingerprints, "extra_val")
    for what, mark in {**fingerprints, **extra}.items():
        if what in ("extra_val", "test") or not isinstance(mark, str):
            continue
        if mark == fingerprints.get("test") or looks(ws, mark):
            raise UserError(
                f"the {what} pairs are those of a sealed test set",
                "a training would look at them",
                "name other pairs, or leave data.test out",
            )


def tests_of(ws: Workspace, run: Run, lang: str = "en") -> list[TestDocument]:
    """Every look in which the run was the finalist, oldest first."""
    found = []
    for path in sorted((ws.root / FOLDER).glob("*.jsonl")):
        known = list(_read(path))
        found += [
            document(ws, look, number, len(known), path.stem, lang)
            for number, look in enumerate(known, 1)
            if look.finalist.run == run.id
        ]
    return sorted(found, key=lambda one: one["time"])


def document(ws: Workspace, look: SealedLook, number: int, count: int, mark: str, lang: str = "en") -> TestDocument:
    """A look as `test --json` prints it, its intervals those of all `count` looks together."""
    limits = load_subjects.limits(ws)
    level = 1 - (1 - limits.level) / count
    verdict = look.turns.verdict(replace(limits, level=level)) if look.turns else None
    difference: TestDifference | None = None
    if verdict is not None:
        difference = {
            "delta": verdict.difference.value,
            "low": verdict.difference.low,
            "high": verdict.difference.high,
            "p": min(1.0, verdict.p * count),
            "gained": verdict.gained,
            "lost": verdict.lost,
            "verdict": verdict.word,
        }
    found: TestDocument = {
        "look": number,
        "looks": count,
        "file": look.file,
        "fingerprint": mark[:32],
        "time": look.time,
        "pairs": look.pairs,
        "clusters": look.clusters,
        "shared": look.shared,
        "finalist": _model(look.finalist, look, level),
        "comparator": _model(look.comparator, look, level) if look.comparator else None,
        "difference": difference,
        "text": "",
    }
    return {**found, "text": " ".join(_sentences(found, lang))}


def _model(one: Tested, look: SealedLook, level: float) -> TestedModel:
    around = accuracy_interval(one.accuracy, look.pairs, look.clusters, one.effective, level)
    return {
        "run": one.run,
        "name": one.name,
        "checkpoint": one.checkpoint,
        "accuracy": one.accuracy,
        "interval": [around.low, around.high],
        "loss": one.loss,
    }


def _sentences(found: TestDocument, lang: str) -> Iterator[str]:
    own, other, difference = found["finalist"], found["comparator"], found["difference"]
    values = {
        "name": text.clean(own["name"]),
        "accuracy": own["accuracy"],
        "low": own["interval"][0],
        "high": own["interval"][1],
        "n": counted_pairs(found["pairs"], found["clusters"], lang),
        "look": found["look"],
        "looks": found["looks"],
    }
    yield translate("sealed.first" if found["looks"] == 1 else "sealed.later", lang, **values)
    if other and difference:
        against = {"b": text.clean(other["name"]), "accuracy": other["accuracy"], **difference}
        yield translate(f"sealed.{difference['verdict']}", lang, **against)
    if found["shared"]:
        yield translate("sealed.shared", lang, shared=found["shared"], n=found["pairs"])
