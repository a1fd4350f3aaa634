"""In: other programs' runs into the workspace, and what became of their sources since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rmtui.errors import UserError
from rmtui.exporters import bundle
from rmtui.i18n import translate
from rmtui.importers import trainer_state
from rmtui.importers.model import Foreign
from rmtui.importers.sources import Harvest, gather
from rmtui.importers.text_files import identity, reporting_to
from rmtui.index.add_imported import Placing, add_imported, bring_up_to_date, went_on
from rmtui.index.read_events import EPOCH_FIGURES
from rmtui.operations.runs import folder_of, reading, show
from rmtui.runs import proc, queue_tickets
from rmtui.runs.files import write_json
from rmtui.runs.folder import RunFolder, run_folders
from rmtui.runs.identity import refuse_copy
from rmtui.workspace import Workspace
from trainer.config import flatten
from trainer.events import Event, read_all


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """One run that an import found."""

    id: str
    name: str
    source: Path
    new: bool
    """False: this source was imported before, and nothing was added."""
    notes: tuple[str, ...]
    recognised: str = ""
    """What the source was taken for."""
    unused: tuple[str, ...] = ()
    """Keys of the source that were not read."""

    def description(self, lang: str = "en") -> str:
        """`LLaMA-Factory log of a training on pairs, 2 evaluations; 3 keys not used: …`."""
        if not self.unused:
            return self.recognised
        shown = ", ".join(self.unused[:6]) + (", …" if len(self.unused) > 6 else "")
        key = "source.keys" if len(self.unused) > 1 else "source.key"
        return f"{self.recognised}; {translate(key, lang, count=len(self.unused), shown=shown)}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; `unread` is what it could not read, `skipped` what nobody named, in words."""

    runs: tuple[ImportedRun, ...]
    unread: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def import_paths(
    ws: Workspace,
    paths: Sequence[Path],
    said: Callable[[ImportedRun], None] | None = None,
    progress: Callable[[Path, float], object] | None = None,
) -> ImportReport:
    """Every run below these paths; importing the same again adds nothing. UserError where a path does not exist, and in
    a copy of a workspace.

    `progress` is called with a large file and the share of it that is read; what it raises ends the import.
    """
    refuse_copy(ws.root)
    archives = [path for path in paths if bundle.is_bundle(path) and path.is_file()]
    with reporting_to(progress) if progress else nullcontext():
        harvest = gather([path for path in paths if path not in archives])
    done: list[ImportedRun] = []
    for imported in _imports(ws, archives, harvest):
        done.append(imported)
        if said:
            said(imported)
    return ImportReport(tuple(done), harvest.unread, harvest.skipped)


def _imports(ws: Workspace, archives: Sequence[Path], harvest: Harvest) -> Iterator[ImportedRun]:
    for path in archives:
        yield _import_bundle(ws, path)
    before = imported_before(ws)
    taken: set[str] = set()
    for run in harvest.runs:
        imported = _import_run(ws, run, harvest.documents.get(run.identity), before, taken)
        taken.add(imported.id)
        yield imported


def _import_run(
    ws: Workspace, run: Foreign, document: Mapping[str, object] | None, sources: Sources, taken: set[str]
) -> ImportedRun:
    before = {path.name for path in ws.runs.iterdir()}
    if document is None and (grown := _grown(sources, run, taken)):
        more = len(keep_up(ws, grown.id, run))
        notes = (f"continued since it was imported: {more} events added",) if more else ()
        return _imported(grown.id, run, new=False, notes=(*run.notes, *notes))
    run_id = place(ws, run, run.identity, document or {})
    folder = RunFolder(ws.runs / run_id)
    if document is not None and not folder.origin.exists():  # written last: an interrupted import is taken up again
        _carry_notes(folder, document)
        write_json(folder.origin, document)
    return _imported(run_id, run, new=run_id not in before, notes=run.notes)


def _imported(run_id: str, run: Foreign, new: bool, notes: tuple[str, ...]) -> ImportedRun:
    return ImportedRun(run_id, run.name, run.origin, new, notes, run.recognised, run.unused)


Sources = Mapping[str, Sequence[RunFolder]]
"""Source → the runs that an import or a watching made of it."""


def imported_before(ws: Workspace) -> Sources:
    """What the workspace has from elsewhere."""
    found: dict[str, list[RunFolder]] = {}
    for folder in run_folders(ws.runs):
        if (folder.path / "events.jsonl").is_file():
            source = folder.spec().get("origin", {}).get("source", "")
            found.setdefault(_source(Path(source)) if isinstance(source, str) and source else "", []).append(folder)
    return found


def source_of(run: Foreign) -> str:
    """What a run was read from, and will be again: of a Trainer's states the folder of all checkpoints."""
    return _source(run.origin.resolve())


def _source(path: Path) -> str:
    return str(trainer_state.output_folder(path) if path.name == trainer_state.NAME else path)


def number_of(folder: RunFolder) -> int:
    """Which training of its source an imported run is."""
    number = folder.spec().get("origin", {}).get("number", 1)
    return number if isinstance(number, int) else 1


def _grown(sources: Sources, run: Foreign, taken: set[str]) -> RunFolder | None:
    """The run that was imported from the same source when that was shorter."""
    found = [folder for folder in sources.get(source_of(run), ()) if folder.id not in taken]
    found.sort(key=lambda folder: number_of(folder) != run.number)
    return next((folder for folder in found if went_on(folder, run.epochs, run.series)), None)


def place(ws: Workspace, run: Foreign, digest: str, document: Mapping[str, object]) -> str:
    """The run folder of a foreign run, made unless one with this digest is there; returns its id."""
    spec = _spec(run)
    spec |= {key: document[key] for key in ("preset", "data") if document.get(key)}
    return add_imported(ws, spec, run.epochs, run.series, _origin(run, digest), _placing(run))


def keep_up(ws: Workspace, run_id: str, run: Foreign, config: bool = False) -> list[Event]:
    """Make a run that was read from a source say what the source says by now; returns the new events.

    Its name and what a person set stay; with `config` the configuration is that of the source, too.
    """
    spec = {key: value for key, value in _spec(run).items() if config and key == "config"}
    return bring_up_to_date(ws, run_id, spec, run.epochs, run.series, _origin(run, run.identity), _placing(run))


def _spec(run: Foreign) -> dict[str, object]:
    config = dict(run.config)
    preset = config.pop("preset", None)
    preset = preset if isinstance(preset, str) and len(preset) <= 40 else None
    return {"name": run.name, "preset": preset, "data": run.data, "config": config}


def _origin(run: Foreign, digest: str) -> dict[str, object]:
    return {
        "kind": run.kind,
        "source": source_of(run),
        "number": run.number,
        "digest": digest,
        "created": run.created,
        "ended": run.ended,
        "notes": list(run.notes),
        "recognised": run.recognised or None,
        "metrics": dict(run.sources) or None,
        "unused": list(run.unused) or None,
        "reason": _reason(run) or None,
    }


def _reason(run: Foreign) -> str:
    """How far the source goes, in words; empty where it does not say."""
    if run.recognised and run.last_word:
        return f"training over ({run.last_word})"
    step = run.reached[0]
    return f"step {step} of {run.total_steps} when it was read" if step is not None and run.total_steps else ""


def _placing(run: Foreign) -> Placing:
    return Placing(run.places, run.total_steps, run.numbered, run.reached)


def _carry_notes(folder: RunFolder, document: Mapping[str, object]) -> None:
    """What a person had said of the run there."""
    words = {key: document[key] for key in ("tags", "note") if document.get(key)}
    if words:
        folder.set_meta(**words)


def _import_bundle(ws: Workspace, path: Path) -> ImportedRun:
    digest = identity(path)
    for folder in run_folders(ws.runs):
        if folder.origin_facts().get("bundle") == digest:
            return ImportedRun(folder.id, folder.name(), path, False, ())
    placed = RunFolder(bundle.unpack(path, ws.runs, _known(ws), {"bundle": digest, "source": str(path)}))
    with reading(ws):
        pass
    return ImportedRun(placed.id, placed.name(), path, True, ())


def _known(ws: Workspace) -> dict[str, str]:
    """Ids that no bundle may bring, and where they are: of a training on this machine, whatever its workspace, or of a
    run that waits here."""
    waiting = {ticket.run: "waits in the queue" for ticket in queue_tickets.tickets(ws.queue)}
    return waiting | {process.run: "is training on this machine" for process in proc.tagged()}


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """What reading an imported run's source anew changed, in words."""

    id: str
    name: str
    source: str
    changes: tuple[str, ...]


def import_again(ws: Workspace, ref: str) -> ReadAgain:
    """Read the source of an imported run with today's readers and put the run right; name, note and tags stay.

    UserError where the run was not imported, or its source is gone or gives another training.
    """
    folder = folder_of(ws, ref)
    origin = folder.spec().get("origin", {})
    source = origin.get("source")
    if not isinstance(source, str) or not Path(source).is_absolute() or folder.attempts():
        raise UserError(f"{folder.name()} cannot be read again", "it was not imported from a file", "name another run")
    source = source if Path(source).exists() else _source(Path(source))  # a checkpoint that was replaced by later ones
    if not Path(source).exists():
        raise UserError(f"{folder.name()} cannot be read again", f"{source} is gone", "put it back, or import a copy")
    harvest = gather([Path(source)])
    found = [run for run in harvest.runs if source_of(run) == source] or list(harvest.runs)
    if not found:
        why = "; ".join(harvest.unread) or "the source no longer holds this training"
        raise UserError(f"{folder.name()} cannot be read again", why, "import the file again")
    siblings = imported_before(ws).get(_source(Path(source)), ())
    trainings = {one.id: _training_of(one, found) for one in siblings}
    before = _facts(ws, folder.id)
    keep_up(ws, folder.id, trainings[folder.id], config=True)
    after = _facts(ws, folder.id)
    changes = [
        f"{name}: {before.get(name, 'not there')} → {after.get(name, 'gone')}"
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    return ReadAgain(folder.id, folder.name(), source, (*changes, *_others(folder, siblings, trainings, found)))


def _training_of(folder: RunFolder, found: Sequence[Foreign]) -> Foreign:
    """Which of a source's trainings a run is, as today's readers part them: the one with most of its values.

    Readers of before may have counted other trainings in it, and given metrics other names.
    """
    events = read_all(folder.path / "events.jsonl")
    values = {value for event in events for value in event.metrics.values()}

    def alike(run: Foreign) -> tuple[int, bool]:
        ends = (getattr(epoch, name) for epoch in run.epochs for name in EPOCH_FIGURES)
        said = {point[1] for points in run.series.values() for point in points} | set(ends)
        return len(values & said), run.number == number_of(folder)

    return max(found, key=alike)


def _others(
    folder: RunFolder, siblings: Sequence[RunFolder], trainings: Mapping[str, Foreign], found: Sequence[Foreign]
) -> Iterator[str]:
    """What a person should know of the source beyond this run."""
    for one in siblings:
        if one.id != folder.id and trainings[one.id] is trainings[folder.id]:
            yield f"{one.name()} ({one.id}) is the same training"
    if missing := [run.name for run in found if not any(run is held for held in trainings.values())]:
        yield f"the source also holds {', '.join(missing)}: import the file again to have them too"


def _facts(ws: Workspace, run_id: str) -> dict[str, str]:
    """What people see of a run, as text that can be held against another reading."""
    with reading(ws) as index:
        document = show(index, run_id)
        counts = {name: len(index.series_full(run_id, name)) for name in index.metrics(run_id)}
    facts: dict[str, object] = {
        "end": document["reason"],
        "step": document["step"],
        "total_steps": document["total_steps"],
        "epochs_done": document["epochs_done"],
        "epochs": len(document["epochs"]),
        "evaluations": len(document["evaluations"]),
    }
    facts |= {f"best {key}": value for key, value in (document["best"] or {}).items()}
    facts |= {f"points of {name}": count for name, count in counts.items()}
    facts |= {f"config {key}": value for key, value in flatten(dict(document["config"])).items()}
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}
