"""What lies at a path: finds every file that an importer reads, and has it read. Links are not followed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from rmtui.errors import UserError
from rmtui.importers import (
    json_files,
    log_files,
    mlflow,
    result_files,
    sqlite_files,
    table_files,
    tensorboard,
    trainer_state,
    wandb,
    yaml_config,
)
from rmtui.importers.log_settings import read_settings
from rmtui.importers.model import Foreign
from rmtui.importers.text_files import harmless_document, one_line
from trainer.config import flatten, nest
from trainer.values import format_number

_MOST_FILES = 100_000
_T = TypeVar("_T")
_Read = Callable[[], Iterable[tuple[Foreign, Mapping[str, object] | None]]]


class Source(NamedTuple):
    """One reading of one or more files, so that a damaged file takes nothing else along."""

    read: _Read
    path: Path
    training: Path | None = None
    """Folder of the one training that this is an account of, among others perhaps."""
    rank: int = 0
    """Of equally complete accounts of one training the highest counts: state over log over summary."""


@dataclass(slots=True)
class FoundFiles:
    """Files by the importer that reads them."""

    sources: list[Source] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    events: list[Path] = field(default_factory=list)
    states: list[Path] = field(default_factory=list)
    stores: dict[Path, None] = field(default_factory=dict)
    yamls: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Kind of file, with the reason → how many."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """Runs that were read, and in words what could not be, or was not."""

    runs: tuple[Foreign, ...]
    documents: Mapping[str, Mapping[str, object]]
    """identity → the document of an own export, for a way back without loss."""
    unread: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    """Files that nobody asked for by name and no importer reads, by kind with the reason."""


def gather(paths: Sequence[Path]) -> Harvest:
    """Read everything below these files and folders. UserError where a path does not exist."""
    found = FoundFiles()
    for path in paths:
        if not path.exists():
            raise UserError(f"cannot import {path}", "it does not exist", "check the path")
        for file in _files(path):
            _sort(found, file, named=file == path)
    runs, documents, unread = _read(found)
    harmless_documents = {identity: harmless_document(document) for identity, document in documents.items()}
    skipped = tuple(f"{number} × {kind}" for kind, number in found.skipped.most_common(12))
    return Harvest(
        tuple(map(_neutral, _with_settings(runs, found.logs, found.yamls))), harmless_documents, tuple(unread), skipped
    )


def _neutral(run: Foreign) -> Foreign:
    """The run without anything that a terminal would obey in its words; names are one line."""
    return replace(
        run,
        name=one_line(run.name),
        data=harmless_document(run.data),
        config=harmless_document(run.config),
        series={one_line(name): points for name, points in run.series.items()},
        notes=tuple(harmless_document(run.notes)),
        sources={one_line(name): one_line(written) for name, written in run.sources.items()},
        unused=tuple(map(one_line, run.unused)),
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


def _sort(found: FoundFiles, file: Path, named: bool) -> None:
    if tensorboard.is_event_file(file):
        found.events.append(file)
    elif wandb.is_wandb_file(file):
        found.sources.append(Source(partial(_one, wandb.read_run, file), file, file.parent, 3))
    elif file.name == trainer_state.NAME:
        found.states.append(file)
    elif (store := mlflow.run_of(file)) is not None:
        found.stores[store] = None
    elif yaml_config.is_yaml(file):
        found.yamls.append(file)
    elif file.suffix in (".csv", ".tsv"):
        found.sources.append(Source(partial(_several, table_files.read_table, file), file))
    elif sqlite_files.is_sqlite(file):
        found.sources.append(Source(partial(_several, sqlite_files.read_tracker, file), file))
    elif file.suffix == ".json":
        _sort_json(found, file, named)
    elif named or (log_files.is_log(file) and log_files.may_be_log(file)):
        found.logs.append(file)
    else:
        found.skipped[_kind(file)] += 1


def _sort_json(found: FoundFiles, file: Path, named: bool) -> None:
    if file.name in result_files.RESULTS:
        found.sources.append(Source(partial(_one, result_files.read_results, file), file, file.parent))
    elif file.name == result_files.SUMMARY:
        found.sources.append(Source(partial(_one, result_files.read_summary, file), file, _wandb_folder(file), 1))
    elif named:
        found.sources.append(Source(partial(json_files.read_json_file, file), file))
    else:
        found.skipped[_kind(file)] += 1


_REASONS = {
    ".json": "name the file to have it read",
    ".jsonl": "no steps or epochs in its first lines",
    **dict.fromkeys((".safetensors", ".gguf", ".index"), "model files"),
    **dict.fromkeys((".bin", ".pt", ".pth", ".pkl", ".ckpt"), "weights or pickles, which are never opened"),
    **dict.fromkeys((".py", ".sh", ".md", ".model", ".jinja"), "no metrics"),
}


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return f"{one_line(suffix) or 'file without an ending'} ({_REASONS.get(suffix, 'no importer reads it')})"


def _wandb_folder(file: Path) -> Path:
    return file.parent.parent if file.parent.name == "files" else file.parent


def _root(folder: Path) -> Path:
    """The output folder that a checkpoint, or a Trainer's TensorBoard folder, lies in."""
    if folder.name.startswith("checkpoint-"):
        return folder.parent
    return folder.parent.parent if folder.parent.name == "runs" else folder


def _read(found: FoundFiles) -> tuple[list[Foreign], dict[str, Mapping[str, object]], list[str]]:
    documents: dict[str, Mapping[str, object]] = {}
    unread: list[str] = []
    accounts: list[tuple[Source, list[Foreign]]] = []
    for source in _sources(found):
        runs: list[Foreign] = []
        try:
            for run, document in source.read():
                if run.epochs or run.series:
                    runs.append(run)
                    documents |= {run.identity: document} if document else {}
                else:
                    unread.append(f"{run.origin}: no metrics in it")
        except UserError as error:
            unread.append(f"{error.what}: {error.why}" + (f"; {error.remedy}" if error.remedy else ""))
        except OSError as error:
            unread.append(f"{error.filename}: {error.strerror}")
        accounts.append((source, runs))
    return list(_most_complete(accounts, found.skipped)), documents, unread


def _sources(found: FoundFiles) -> Iterator[Source]:
    yield from found.sources
    newest = _newest_states(found.states)
    if older := len(found.states) - len(newest):
        found.skipped["trainer_state.json (an older checkpoint of the same training)"] += older
    for path in newest:
        yield Source(partial(_one, trainer_state.read_state, path), path, _root(path.parent), 3)
    for store in found.stores:
        yield Source(partial(_one, mlflow.read_run, store), store)
    for folder in tensorboard.folders(found.events):
        yield Source(partial(_one, tensorboard.read_events, folder), folder.files[0][0], _root(folder.path), -1)
    for parts in log_files.families(found.logs):
        training = _wandb_folder(parts[-1]) if parts[-1].name in log_files.OF_A_TRAINING else None
        yield Source(partial(_log, parts), parts[-1], training, 1 if parts[-1].name == log_files.PRINTED else 2)


def _newest_states(states: Sequence[Path]) -> list[Path]:
    """A Trainer writes its whole history into every checkpoint: of one output folder the newest is enough."""
    roots = {_root(path.parent): None for path in states}
    newest = [one for root in roots for one in trainer_state.newest(root)]
    return [path for path in states if path in newest]


def _most_complete(accounts: Sequence[tuple[Source, list[Foreign]]], skipped: Counter[str]) -> Iterator[Foreign]:
    """Of several accounts of one training the one that reaches furthest; TensorBoard's alone are trainings each."""
    kept: dict[Path, tuple[Source, list[Foreign]]] = {}
    for source, runs in accounts:
        if source.training is not None and source.rank >= 0 and runs:
            best = kept.get(source.training)
            if best is None or _says_more((source, runs), best):
                kept[source.training] = source, runs
    for source, runs in accounts:
        best = kept.get(source.training) if source.training is not None else None
        if best is None or best[0] is source:
            yield from runs
        elif runs:
            skipped[f"{_short(source.path)} (the same training as {_short(best[0].path)}, which says more)"] += 1


def _short(path: Path) -> str:
    """The file and its folder."""
    return one_line("/".join(path.parts[-2:]))


_Account = tuple[Source, list[Foreign]]


def _says_more(one: _Account, other: _Account) -> bool:
    """Whether an account of a training goes further than another, in epochs or steps if both have them; or by rank."""
    for mine, theirs in zip(_reach(one[1]), _reach(other[1]), strict=True):
        if mine and theirs and mine != theirs:
            return mine > theirs
    return one[0].rank > other[0].rank


def _reach(runs: Sequence[Foreign]) -> tuple[float, float]:
    """The last epoch and the last step that an account speaks of; 0 where it speaks of none."""
    epoch = max((max(run.places.values(), default=0.0) for run in runs), default=0.0)
    steps = (point[0] for run in runs if not run.numbered for points in run.series.values() for point in points)
    return round(epoch, 2), max(steps, default=0.0)


def _log(parts: Sequence[Path]) -> list[tuple[Foreign, None]]:
    runs = log_files.read_log(parts)
    if not any(run.epochs or run.series for run in runs):
        raise log_files.nothing_in(parts)
    return [(run, None) for run in runs]


def _one(read: Callable[[_T], Foreign], source: _T) -> list[tuple[Foreign, None]]:
    return [(read(source), None)]


def _several(read: Callable[[_T], list[Foreign]], source: _T) -> list[tuple[Foreign, None]]:
    return [(run, None) for run in read(source)]


def _with_settings(runs: list[Foreign], logs: Sequence[Path], yamls: Sequence[Path]) -> Iterator[Foreign]:
    """Logs with the settings that they state themselves, then those of the YAML beside them, if it is older than the
    run; where nobody knows when a log was written, only the newest one gets them."""
    of_logs = {path.resolve() for path in logs}
    counts = Counter(run.origin for run in runs)
    written = [run for run in runs if run.origin.resolve() in of_logs]
    newest = max(written, key=lambda run: run.created or 0.0, default=None)
    for run in runs:
        if run.origin.resolve() not in of_logs or counts[run.origin] > 1:
            yield _from_yaml(run, {}, None, yamls) if run is newest else run
            continue
        own = read_settings(run.origin)
        run = _with_pairs(run, own.val_pairs)
        stated = {**own.flat, **flatten(dict(run.config))}
        if own.started is not None or run is newest:
            yield _from_yaml(run, stated, own.started, yamls)
        else:
            yield replace(run, config=nest(stated))


def _with_pairs(run: Foreign, pairs: int | None) -> Foreign:
    """The number of validation pairs that the log states, at the epochs whose own lines do not."""
    if pairs is None:
        return run
    rows = (row if row.val_pairs else row._replace(val_pairs=pairs) for row in run.epochs)
    return replace(run, epochs=tuple(rows))


def _from_yaml(run: Foreign, stated: Mapping[str, object], started: float | None, yamls: Sequence[Path]) -> Foreign:
    """`stated`: what the log says; `started`: when its training began, None where that is not known."""
    stated = stated or flatten(dict(run.config))
    path = _yaml_beside(run.origin, yamls)
    if path is None:
        return replace(run, config=nest(stated))
    read = flatten(dict(yaml_config.read_yaml(path).config))
    notes = [
        f"{key}: the log says {_plain(stated[key])}, {path.name} {_plain(read[key])}; the log's value is used"
        for key in read
        if key in stated and _plain(stated[key]) != _plain(read[key])
    ]
    if started is not None and path.stat().st_mtime > started:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        missing = ", ".join(key for key in read if key not in stated)
        notes.append(
            f"{path.name} was changed after this run began ({changed}): not taken from it: {missing or 'nothing'}"
        )
        return replace(run, config=nest(stated), notes=(*run.notes, *notes))
    how = " as it is now" if started is None else ", which is older than the run"
    notes.append(f"configuration taken from {path.name}{how}")
    return replace(run, config=nest({**read, **stated}), notes=(*run.notes, *notes))


def _plain(value: object) -> str:
    return format_number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _yaml_beside(log: Path, yamls: Sequence[Path]) -> Path | None:
    if yamls:
        return yamls[0]
    folders = log.resolve().parents[:5]
    beside = [folder / "configs" / "rm_config.yaml" for folder in folders]
    return next((path for path in (folders[0] / "rm_config.yaml", *beside) if path.is_file()), None)
