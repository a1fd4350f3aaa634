"""A search on disk: `tunes/<id>/` of the workspace, documents that are replaced whole, so that it outlives any end.

order.json    what was asked for: base configuration, space, budget, rules
trials.json   every trial: decided first, then its run, then how it came out; what was decided and why
stop.json     a person wants it to stop
driver.lock   held by the process that drives it
report.md, report.html
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.runs import typed_files
from rmtui.runs.files import lock_held, write_json
from rmtui.runs.typed_files import FLAG, LIST, NUMBER, TABLE, TEXT, TEXTS, WHOLE, Shape
from rmtui.tune.model import Budget, Score, Search, Trial
from rmtui.workspace import Workspace

SCHEMA = 1
ORDER: Shape = {
    **dict.fromkeys(("id", "identity", "goal"), TEXT),
    **dict.fromkeys(("schema", "base_epochs", "repeats", "seed", "shortest", "most_epochs", "train_pairs"), WHOLE),
    **dict.fromkeys(("created", "margin", "level"), NUMBER),
    **dict.fromkeys(("budget", "settings", "spec"), TABLE),
    "budget.amount": NUMBER,
    "budget.unit": TEXT,
    "space": TEXTS,
    "lora": FLAG,
}
TRIALS: Shape = {"trials": LIST, "notes": TEXTS, "done": TEXT, "trouble": TEXT}
STOP: Shape = {"t": NUMBER, "by": TEXT}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    id: str
    created: float
    spec: Mapping[str, Any]
    """spec.toml of the base configuration, as a launch would write it: name, preset, data, [config], [launch]."""
    train_pairs: int
    search: Search

    @property
    def data(self) -> str:
        return str(self.spec.get("data") or "")


@dataclass(frozen=True, slots=True)
class Course:
    """How far a search is."""

    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided beside the trials' own reasons, oldest first: what is out, what was not trained on."""
    done: str = ""
    """Why nothing follows; empty while something does."""
    trouble: str = ""
    """Why it could not go on; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Folder:
    """`tunes/<id>`."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def lock(self) -> Path:
        return self.path / "driver.lock"

    @property
    def driven(self) -> bool:
        """Whether a process drives it now."""
        return lock_held(self.lock) is True

    def order(self) -> Order | None:
        """What was asked for; None where that is not readable."""
        found = typed_files.read(self.path / "order.json", ORDER).document
        if not found:
            return None
        try:
            budget = Budget(float(found["budget"]["amount"]), found["budget"]["unit"])
            rules = {name: found[name] for name in Search._fields if name in found and name not in ("budget", "space")}
            search = Search(budget=budget, space=tuple(found["space"]), **rules)
            return Order(str(found["id"]), float(found["created"]), found["spec"], int(found["train_pairs"]), search)
        except (KeyError, TypeError, ValueError):
            return None

    def course(self) -> Course:
        """Raises UserError where it is damaged: a search that forgot its trials would spend its budget again."""
        path = self.path / "trials.json"
        found = typed_files.read(path, TRIALS)
        try:
            if found.why:
                raise ValueError(found.why)
            document, trials = found.document or {}, []
            for row in document.get("trials", ()):  # losses of single pairs are in the runs' folders
                values = {name: row[name] for name in Trial._fields}
                values["score"] = None if row["score"] is None else Score(losses={}, **row["score"])
                trials.append(Trial(**values))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{path} cannot be read"
            raise UserError(what, str(error), "repair it, or begin anew: rmtui tune --new …", exit_code=1) from error
        return Course(
            tuple(trials), tuple(document.get("notes", ())), document.get("done", ""), document.get("trouble", "")
        )

    def write_course(self, course: Course) -> None:
        trials = [_trial_row(trial) for trial in course.trials]
        document = {"trials": trials, "notes": list(course.notes), "done": course.done, "trouble": course.trouble}
        write_json(self.path / "trials.json", document)

    def write_order(self, order: Order) -> None:
        search = order.search
        document = {
            "schema": SCHEMA,
            "id": order.id,
            "created": order.created,
            "identity": identity(order.spec, search),
            **search._asdict(),
            "budget": search.budget._asdict(),
            "settings": dict(search.settings),
            "space": list(search.space),
            "train_pairs": order.train_pairs,
            "spec": dict(order.spec),
        }
        write_json(self.path / "order.json", document)

    def ask_stop(self, by: str) -> None:
        write_json(self.path / "stop.json", {"t": time.time(), "by": by})

    def stop_asked(self) -> bool:
        return typed_files.read(self.path / "stop.json", STOP).document is not None

    def ask_pause(self, by: str) -> None:
        write_json(self.path / "pause.json", {"t": time.time(), "by": by})

    def pause_asked(self) -> bool:
        return typed_files.read(self.path / "pause.json", STOP).document is not None

    def forget_requests(self) -> None:
        for name in ("stop.json", "pause.json"):
            (self.path / name).unlink(missing_ok=True)


def folders(ws: Workspace) -> list[Folder]:
    """Every search of the workspace, newest first."""
    try:
        names = sorted((entry.name for entry in os.scandir(ws.root / "tunes") if entry.is_dir()), reverse=True)
    except OSError:
        return []
    return [Folder(ws.root / "tunes" / name) for name in names if not name.startswith(".")]


def create(ws: Workspace, spec: Mapping[str, object], train_pairs: int, search: Search) -> Folder:
    """A new search, complete on disk, with no trial yet."""
    now = time.time()
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{os.urandom(2).hex()}"
    temp = ws.root / "tunes" / f".new-{name}"
    temp.mkdir(mode=0o700, parents=True)
    folder = Folder(temp)
    folder.write_order(Order(name, now, spec, train_pairs, search))
    final = temp.with_name(name)
    temp.rename(final)
    return Folder(final)


def same(ws: Workspace, spec: Mapping[str, object], search: Search) -> Folder | None:
    """The newest search of the same base configuration under the same rules, whatever its budget."""
    wanted = identity(spec, search)
    for folder in folders(ws):
        found = typed_files.read(folder.path / "order.json", ORDER).document
        if found is not None and found.get("identity") == wanted:
            return folder
    return None


def identity(spec: Mapping[str, object], search: Search) -> str:
    """By what a search is known again: everything but its budget."""
    facts = {
        "config": spec.get("config"),
        "launch": spec.get("launch"),
        "rules": {**search._replace(budget=Budget(1, "runs"))._asdict()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _trial_row(trial: Trial) -> dict[str, object]:
    row = trial._asdict()
    score = trial.score
    if score is not None:
        row["score"] = {key: value for key, value in score._asdict().items() if key != "losses"}
    return row


def with_trial(trials: Sequence[Trial], changed: Trial) -> tuple[Trial, ...]:
    """The same trials with one of them as it is now."""
    return tuple(changed if trial.n == changed.n else trial for trial in trials)


def tree(trials: Sequence[Trial]) -> Iterator[tuple[int, Trial]]:
    """(depth, trial): each extension and repeat below the trial that it came from."""

    def below(number: int, depth: int) -> Iterator[tuple[int, Trial]]:
        for trial in trials:
            if trial.parent == number:
                yield depth, trial
                yield from below(trial.n, depth + 1)

    return below(0, 0)
