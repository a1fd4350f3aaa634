"""What lies at a path: finds every file that an importer reads, and has it read. Links are not followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rmtui.errors import UserError
from rmtui.importers import logs, own, tensorboard, trainer_state, wandb, yaml_config
from rmtui.importers import table_files as tables
from rmtui.importers.model import Foreign
from rmtui.importers.text_files import harmless_document, one_line

_MOST_FILES = 100_000
_T = TypeVar("_T")


@dataclass(slots=True)
class FoundSource:
    """Files by the importer that reads them."""

    logs: list[Path]
    events: list[Path]
    wandb: list[Path]
    states: list[Path]
    tables: list[Path]
    exports: list[Path]
    yamls: list[Path]


@dataclass(frozen=True, slots=True)
class Harvest:
    """Runs that were read, and in words what could not be."""

    runs: tuple[Foreign, ...]
    documents: Mapping[str, Mapping[str, object]]
    """identity → the document of an own export, for a way back without loss."""
    unread: tuple[str, ...]


def gather(paths: Sequence[Path]) -> Harvest:
    """Read everything below these files and folders. UserError where a path does not exist."""
    found = FoundSource([], [], [], [], [], [], [])
    for path in paths:
        if not path.exists():
            raise UserError(f"cannot import {path}", "it does not exist", "check the path")
        for file in _files(path):
            _sort(found, file, named=file == path)
    _newest_states_only(found)
    runs, documents, unread = _read(found)
    harmless_documents = {identity: harmless_document(document) for identity, document in documents.items()}
    return Harvest(tuple(map(_neutral, _with_yaml(runs, found.yamls))), harmless_documents, tuple(unread))


def _neutral(run: Foreign) -> Foreign:
    """The run without anything that a terminal would obey in its words; names are one line."""
    return replace(
        run,
        name=one_line(run.name),
        data=harmless_document(run.data),
        config=harmless_document(run.config),
        series={one_line(name): points for name, points in run.series.items()},
        notes=tuple(harmless_document(run.notes)),
    )


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    count = 0
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and not file.is_symlink():
                count += 1
                if count > _MOST_FILES:
                    raise UserError(f"cannot import {path}", f"it holds more than {_MOST_FILES:,} files", "name a part")
                yield file


def _sort(found: FoundSource, file: Path, named: bool) -> None:
    if tensorboard.is_event_file(file):
        found.events.append(file)
    elif wandb.is_wandb_file(file):
        found.wandb.append(file)
    elif file.name == trainer_state.NAME:
        found.states.append(file)
    elif yaml_config.is_yaml(file):
        found.yamls.append(file)
    elif file.suffix == ".csv":
        found.tables.append(file)
    elif file.suffix == ".json":
        found.exports += [file] if named else []
    elif logs.is_log(file) or named:
        found.logs.append(file)


def _newest_states_only(found: FoundSource) -> None:
    """A Trainer writes its whole history into every checkpoint: of one output folder the newest is enough."""
    roots = {path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent for path in found.states}
    newest = {trainer_state.find(root) for root in roots}
    found.states = [path for path in found.states if path in newest]


def _read(found: FoundSource) -> tuple[list[Foreign], dict[str, Mapping[str, object]], list[str]]:
    runs: list[Foreign] = []
    documents: dict[str, Mapping[str, object]] = {}
    unread: list[str] = []
    for read in _jobs(found):
        try:
            for run, document in read():
                runs.append(run)
                documents |= {run.identity: document} if document else {}
        except UserError as error:
            unread.append(f"{error.what}: {error.why}")
        except OSError as error:
            unread.append(f"{error.filename}: {error.strerror}")
    empty = [run for run in runs if not run.epochs and not run.series]
    unread += [f"{run.origin}: no figures in it" for run in empty]
    return [run for run in runs if run not in empty], documents, unread


_Read = Callable[[], Iterable[tuple[Foreign, Mapping[str, object] | None]]]


def _jobs(found: FoundSource) -> Iterator[_Read]:
    """One reading each, so that a damaged file takes nothing else along."""
    for path in found.wandb:
        yield partial(_one, wandb.read_run, path)
    for path in found.states:
        yield partial(_one, trainer_state.read_state, path)
    for path in found.tables:
        yield partial(_several, tables.read_table, path)
    for path in found.exports:
        yield partial(own.read_export, path)
    for parts in tensorboard.folders(found.events):
        yield partial(_one, tensorboard.read_events, parts)
    for parts in logs.families(found.logs):
        yield partial(_several, logs.read_logs, parts)


def _one(read: Callable[[_T], Foreign], source: _T) -> list[tuple[Foreign, None]]:
    return [(read(source), None)]


def _several(read: Callable[[_T], list[Foreign]], source: _T) -> list[tuple[Foreign, None]]:
    return [(run, None) for run in read(source)]


def _with_yaml(runs: list[Foreign], yamls: Sequence[Path]) -> Iterator[Foreign]:
    """The newest log gets the configuration that lies beside it: older runs may have had another."""
    guide_logs = [run for run in runs if run.kind == "guide-log"]
    newest = max(guide_logs, key=lambda run: run.created or 0.0, default=None)
    for run in runs:
        path = _yaml_beside(run.origin, yamls) if run is newest else None
        if path is None:
            yield run
            continue
        read = yaml_config.read_yaml(path)
        notes = (*run.notes, f"configuration taken from {path.name} as it is now")
        yield replace(run, config={**read.config, **run.config}, notes=notes)


def _yaml_beside(log: Path, yamls: Sequence[Path]) -> Path | None:
    if yamls:
        return yamls[0]
    folders = log.resolve().parents[:5]
    beside = [folder / "configs" / "rm_config.yaml" for folder in folders]
    return next((path for path in (folders[0] / "rm_config.yaml", *beside) if path.is_file()), None)
