"""Floors: what simple rivals of a reward model score on a validation file, for its val_acc to be held against."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rmtui.errors import UserError
from rmtui.guide.bag_of_words import fit_words, prefers_chosen
from rmtui.guide.cross_fit import MOST
from rmtui.index import settings
from rmtui.operations.frozen_base import BaseAsked, base_knows
from rmtui.runs.files import atomic_write
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.clusters import find_clusters
from trainer.intervals import accuracy_interval, effective_pairs
from trainer.pairs import Row, Unreadable, distinct_ids, fingerprint, plain_text, read_rows

if TYPE_CHECKING:
    from rmtui.documents.data import FloorDocument, FloorsDocument, SourceFloors

FILE = "floors.json"
"""In the workspace's local state: (training, validation) fingerprints → floor → accuracy; what a base knows lies below
`bases` and the base."""
BASES = "bases"
Name = Literal["longer", "shorter", "words", "probe", "log_probability"]
TITLES: dict[Name, str] = {
    "longer": "always the longer answer",
    "shorter": "always the shorter answer",
    "words": "bag of words",
    "probe": "linear probe on the frozen base",
    "log_probability": "the base's log-probability",
}
OF_BASE: tuple[Name, ...] = ("probe", "log_probability")
_SOURCES = ("source", "subset")

Verdict = Callable[[Row], bool]


def floors(
    ws: Workspace | None,
    train: Path,
    val: Path,
    fields: Mapping[str, str] | None = None,
    base: BaseAsked | None = None,
) -> FloorsDocument:
    """The document of `floors --json`: length in characters, ties wrong; UserError for a file without pairs. A
    workspace remembers it for the readings of its runs. `base`: ask a frozen model, too."""
    training, validation = rows_of(train, fields), rows_of(val, fields)
    if len(training) > MOST:
        training = random.Random(0).sample(training, MOST)
    weights = fit_words([answers_of(row) for row in training])
    rivals: dict[Name, Verdict] = {
        "longer": lambda row: len(answers_of(row)[0]) > len(answers_of(row)[1]),
        "shorter": lambda row: len(answers_of(row)[0]) < len(answers_of(row)[1]),
        "words": lambda row: prefers_chosen(weights, *answers_of(row)),
    }
    clusters = find_clusters(validation).of
    right: dict[Name, list[bool]] = {name: [rival(row) for row in validation] for name, rival in rivals.items()}
    prints = fingerprint(train, fields), fingerprint(val, fields)
    knows = None
    if base is not None:
        if fields:
            raise UserError(
                "--base reads no mapping of fields", remedy="write plain pairs first: rmtui convert FILE OUT"
            )
        knows = base_knows(ws, train, val, prints, [row.id for row in validation], base)
        right["probe"] = [margin > 0 for margin in knows.found["probe"]]
        if (logs := knows.found["log_probability"]) is not None:
            right["log_probability"] = [margin > 0 for margin in logs]
    found = list(_scored(right, validation, clusters, range(len(validation))))
    best = max(found, key=lambda one: one["accuracy"])
    if ws is not None:
        measured = {one["floor"]: one["accuracy"] for one in found}
        _remember(ws, _key(*prints), measured, _identity(base.model, Path(base.model).expanduser()) if base else None)
    document: FloorsDocument = {
        "train": str(train),
        "val": str(val),
        "train_pairs": len(training),
        "pairs": len(validation),
        "clusters": len(set(clusters.values())),
        "floors": found,
        "best": best["floor"],
        "sources": list(_by_source(right, validation, clusters)),
    }
    if knows is not None:
        document["base"] = {
            "model": knows.found["model"],
            "max_length": knows.found["max_length"],
            "penalty": knows.found["penalty"],
            "why_none": knows.found["why_none"],
            "kept": knows.kept,
        }
    return document


def rows_of(path: Path, fields: Mapping[str, str] | None) -> list[Row]:
    """The pairs of a file, with distinct ids; UserError where it cannot be read, or holds none."""
    try:
        rows = distinct_ids(row for row in read_rows(path, fields) if isinstance(row, Row))
    except (Unreadable, OSError) as error:
        raise UserError(f"{path} cannot be read", str(error), f"rmtui check {path}") from error
    if not rows:
        raise UserError(f"{path} holds no pair", remedy=f"rmtui check {path}")
    return rows


def answers_of(row: Row) -> tuple[str, str]:
    """Chosen and rejected as text."""
    return plain_text(row.chosen), plain_text(row.rejected)


def _scored(
    right: Mapping[Name, Sequence[bool]], rows: Sequence[Row], clusters: Mapping[str, str], places: Sequence[int]
) -> Iterator[FloorDocument]:
    for name, hits in right.items():
        mine = [hits[place] for place in places]
        known = effective_pairs(mine, [clusters[rows[place].id] for place in places])
        accuracy = sum(mine) / len(mine)
        around = accuracy_interval(accuracy, len(mine), known.clusters, known.effective)
        yield {"floor": name, "accuracy": accuracy, "interval": [around.low, around.high]}


def _by_source(
    right: Mapping[Name, Sequence[bool]], rows: Sequence[Row], clusters: Mapping[str, str]
) -> Iterator[SourceFloors]:
    """By the first of `source`, `subset` that any row has; nothing where none has, or all have one."""
    field = next((name for name in _SOURCES if any(isinstance(row.fields.get(name), str) for row in rows)), None)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows if field else ()):
        places.setdefault(str(row.fields.get(str(field), "–")), []).append(place)
    for name in sorted(places) if len(places) > 1 else ():
        found = list(_scored(right, rows, clusters, places[name]))
        yield {"source": name, "pairs": len(places[name]), "floors": found}


def _key(train: str, val: str) -> str:
    return f"{train[:32]} {val[:32]}"


def _remember(ws: Workspace, key: str, found: Mapping[Name, float], base: str | None) -> None:
    known = _known(ws)
    before = settings.table(known, key)
    fresh: dict[str, object] = {**before}
    fresh.update((name, value) for name, value in found.items() if name not in OF_BASE)
    if base is not None:
        fresh[BASES] = {**settings.table(before, BASES), base: {name: found[name] for name in OF_BASE if name in found}}
    with suppress(OSError):
        atomic_write(ws.state_dir / FILE, json.dumps({**known, key: fresh}).encode())


def _identity(named: str, folder: Path) -> str:
    """A base by its folder, whatever the way to it; one of the hub by its name."""
    return str(folder.resolve()) if folder.exists() else named


def _known(ws: Workspace) -> Mapping[str, object]:
    try:
        found = json.loads((ws.state_folder() / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def best_floor(ws: Workspace, run: Run) -> tuple[str, float] | None:
    """(floor, accuracy) of the best rival on a run's pairs, if `floors` measured them: of bases, its own alone."""
    known = _known(ws)
    if not known or not run.val_fingerprint:
        return None
    train = settings.table(RunFolder(run.folder).spec(), "fingerprints").get("train")
    found = settings.table(known, _key(train, run.val_fingerprint)) if isinstance(train, str) else {}
    model = run.config.get("model")
    base = _identity(model, ws.path(model)) if isinstance(model, str) and model else ""
    rivals = {name: found.get(name) for name in TITLES if name not in OF_BASE}
    rivals |= {name: settings.table(settings.table(found, BASES), base).get(name) for name in OF_BASE}
    measured = [(str(name), value) for name, value in rivals.items() if isinstance(value, float)]
    return max(measured, key=lambda rival: rival[1], default=None)
