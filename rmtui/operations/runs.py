"""What a person does with runs that are there: list, show, name, tag, file away, delete; and making a workspace."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.errors import UserError
from rmtui.guide import published_figures
from rmtui.i18n import translate
from rmtui.index import ingest, settings
from rmtui.index.add_imported import add_imported
from rmtui.index.index import Index
from rmtui.index.sqlite import Damaged, DatabaseError, set_aside
from rmtui.index.sync import Progress
from rmtui.operations import declare
from rmtui.operations.announce import announce_ends
from rmtui.runs import identity, state
from rmtui.runs.folder import RunFolder, checked_name, run_folders
from rmtui.runs.model import NOTHING, Attempt, Best, Epoch, EvaluatedStep, Run, State
from rmtui.workspace import Workspace, create

if TYPE_CHECKING:
    from rmtui.documents.runs import (
        AttemptDocument,
        BestDocument,
        EpochDocument,
        EvaluationAt,
        EvaluationDocument,
        LinkDocument,
        RunDocument,
        ShowDocument,
        SourceDocument,
    )

LINKS = ("starts_from", "extends", "relaunch_of")
_YEAR_9999 = 253_370_764_800


def init(path: Path, bare: bool = False, settings: Mapping[str, str] = NOTHING) -> Workspace:
    """Make a workspace, or complete one; without `bare` the guide's two runs are there to compare with.

    `settings`: what a new workspace.toml sets.
    """
    ws = create(path, settings)
    if not bare:
        for run in (published_figures.BEFORE, published_figures.AFTER):
            last = Epoch(run.epochs, run.train_loss, run.val_loss, run.val_acc)
            spec = {"name": run.name, "data": "helpful", "config": run.config, "tags": ["guide"]}
            add_imported(ws, spec, [last], {}, {"source": "the tuning guide", "digest": f"guide:{run.name}"})
    with reading(ws):
        return ws


@contextmanager
def reading(ws: Workspace, progress: Progress | None = None) -> Iterator[Index]:
    """An index that is up to date, or a temporary one in place of a faulty one (`index.trouble` says why)."""
    with suppress(OSError):  # a workspace that cannot be written
        identity.ensure(ws.root)
    announce_ends(ws)
    with Index.open_reading(ws) as index:
        index.sync(progress)
        yield index


def show(index: Index, ref: str, lang: str = "en", chosen: bool = True) -> ShowDocument:
    """The document of `show --json`; without `chosen` it is null, which saves resampling."""
    from rmtui.operations.candidates import choice_of
    from rmtui.operations.load_subjects import margins
    from rmtui.operations.sealed_looks import tests_of

    run = index.run(index.resolve(ref))
    return {
        **as_document(run),
        "evaluations": [_evaluation(evaluation) for evaluation in index.evaluations(run.id)],
        "origin": origin_of(RunFolder(run.folder)),
        "links": links_of(run),
        "attempts": [_attempt(attempt) for attempt in index.attempts(run.id)],
        "verified": RunFolder(run.folder).verified(),
        "evaluation": last_evaluation(index, run.id),
        "margins": margins(run),
        "chosen": choice_of(index.workspace, index, run, lang) if chosen else None,
        "tests": tests_of(index.workspace, run, lang),
    }


def last_evaluation(index: Index, run_id: str) -> dict[str, EvaluationDocument]:
    """By our own trainer, whose `val_ties` tells it from imported ones: the
    newest metrics of each validation set, `val` first; a set does not define all (one pair has no spread)."""
    known = set(index.metrics(run_id))
    prefixes = sorted(name.removesuffix("val_ties") for name in known if name.endswith("val_ties"))

    def newest(name: str) -> float | None:
        return index.series_full(run_id, name)[-1][1] if name in known else None

    return {
        prefix.removesuffix("/") or "val": {
            "val_loss": newest(f"{prefix}val_loss"),
            "val_acc": newest(f"{prefix}val_acc"),
            "val_pairs": newest(f"{prefix}val_pairs"),
            "val_ties": newest(f"{prefix}val_ties"),
            "reward_margin": newest(f"{prefix}reward_margin"),
            "reward_mean": newest(f"{prefix}reward_mean"),
            "reward_std": newest(f"{prefix}reward_std"),
            "calibration_error": newest(f"{prefix}calibration_error"),
            "val_acc_chosen_shorter": newest(f"{prefix}val_acc_chosen_shorter"),
            "pairs_chosen_shorter": newest(f"{prefix}pairs_chosen_shorter"),
            "length_correlation": newest(f"{prefix}length_correlation"),
        }
        for prefix in prefixes
    }


def as_document(run: Run) -> RunDocument:
    """A run as `ls --json` gives it: times in UTC, accuracies 0–1, null where a metric is not known."""
    best = run.best
    return {
        "id": run.id,
        "name": run.name,
        "state": str(run.state),
        "reason": run.reason,
        "resumable": run.resumable,
        "preset": run.preset,
        "data": run.data,
        "created": moment(run.created or None),
        "started": moment(run.started),
        "ended": moment(run.ended),
        "host": run.host,
        "processes": run.processes,
        "step": run.step,
        "total_steps": run.total_steps,
        "epochs_done": run.epochs_done,
        "config": dict(run.config),
        "epochs": [_epoch(epoch) for epoch in run.epochs],
        "best": None if best is None else _best(best),
        "tags": list(run.tags),
        "note": run.note,
        "pinned": run.pinned,
        "archived": run.archived,
        "group": run.group,
        "val_fingerprint": run.val_fingerprint,
        "folder": str(run.folder),
    }


def _best(best: Best) -> BestDocument:
    return {"epoch": _plain(best.epoch), "step": best.step, "val_acc": best.val_acc, "val_loss": best.val_loss}


def _plain(epoch: float | None) -> float | None:
    """A whole epoch as a whole number."""
    return int(epoch) if epoch is not None and epoch == int(epoch) else epoch


def _evaluation(evaluation: EvaluatedStep) -> EvaluationAt:
    return {
        "step": evaluation.step,
        "epoch": _plain(evaluation.epoch),
        "val_loss": evaluation.val_loss,
        "val_acc": evaluation.val_acc,
        "val_pairs": evaluation.val_pairs,
        "reward_margin": evaluation.reward_margin,
        "val_clusters": evaluation.val_clusters,
        "val_effective": evaluation.val_effective,
    }


def origin_of(folder: RunFolder) -> SourceDocument | None:
    """Where an imported run was read, and what its metrics are called there; None of a run that was trained here."""
    origin = settings.table(folder.spec(), "origin")
    if not isinstance(origin.get("source"), str):
        return None
    return {
        "path": str(origin["source"]),
        "kind": str(origin.get("kind", "")),
        "recognised": str(origin.get("recognised", "")),
        "metrics": {str(name): str(written) for name, written in settings.table(origin, "metrics").items()},
        "unused": _texts(origin.get("unused")),
        "notes": _texts(origin.get("notes")),
    }


def origin_lines(origin: SourceDocument | None, lang: str = "en") -> list[tuple[str, str]]:
    """For people: where an imported run was read, what its metrics are called there, and what was not read."""
    if origin is None:
        return []
    metrics = ", ".join(f"{name} ← {written}" for name, written in origin["metrics"].items())
    by = origin["recognised"] or origin["kind"]
    lines = [
        ("read_from", f"{origin['path']} ({by})" if by else origin["path"]),
        ("metrics", metrics),
        ("unused", ", ".join(origin["unused"])),
        ("settings", "; ".join(origin["notes"])),
    ]
    return [(translate(f"source.{label}", lang), text) for label, text in lines if text]


def links_of(run: Run) -> list[LinkDocument]:
    """The runs that a run came from."""
    spec = RunFolder(run.folder).spec()
    named = [(how, str(spec[how])) for how in LINKS if spec.get(how)]
    return [{"how": how, "id": one, "name": RunFolder(run.folder.parent / one).name()} for how, one in named]


def _texts(found: object) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _attempt(attempt: Attempt) -> AttemptDocument:
    return {
        "n": attempt.n,
        "state": str(attempt.state),
        "reason": attempt.reason,
        "exit_code": attempt.exit_code,
        "started": moment(attempt.started),
        "ended": moment(attempt.ended),
        "resumed_from_step": attempt.resumed_from_step,
    }


def _epoch(epoch: Epoch) -> EpochDocument:
    found: EpochDocument = {
        "epoch": epoch.epoch,
        "train_loss": epoch.train_loss,
        "val_loss": epoch.val_loss,
        "val_acc": epoch.val_acc,
        "val_pairs": epoch.val_pairs,
        "reward_margin": epoch.reward_margin,
        "val_clusters": epoch.val_clusters,
        "val_effective": epoch.val_effective,
    }
    if epoch.entered:
        found["entered"] = epoch.entered
    return found


def moment(t: float | None) -> str | None:
    """Unix seconds → UTC in ISO form."""
    if t is None or not 0 <= t < _YEAR_9999:
        return None
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_note(ws: Workspace, ref: str, text: str) -> None:
    """A note of any length; empty removes it."""
    _change(ws, ref, note=text.strip() or None)


def set_tags(ws: Workspace, ref: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[str]:
    """Add and remove tags; returns those the run has now."""
    wanted = [_tag(text) for text in add]
    folder = folder_of(ws, ref)
    tags = set(settings.tags_of(folder.spec(), folder.meta())) | set(wanted)
    kept = sorted(tags - {text.strip() for text in remove})
    _change(ws, folder.id, tags=kept)
    return kept


def _tag(text: str) -> str:
    tag = checked_name(text)
    if " " in tag or tag.startswith("-"):
        raise UserError(
            f"{text!r} is not a tag", "a tag has no spaces and does not begin with -", "write it like lr-sweep"
        )
    return tag


def rename(ws: Workspace, ref: str, name: str) -> None:
    """Another name; the id and the folder stay."""
    _change(ws, ref, name=checked_name(name))


def pin(ws: Workspace, ref: str, on: bool = True) -> None:
    """Keep a run at the top of every list."""
    _change(ws, ref, pinned=on or None)


def archive(ws: Workspace, ref: str, on: bool = True) -> None:
    """Leave a run out of lists; nothing is deleted."""
    _change(ws, ref, archived=on or None)


def set_group(ws: Workspace, ref: str, name: str) -> None:
    """Put a run under a heading; empty takes it out."""
    _change(ws, ref, group=checked_name(name) if name.strip() else None)


def _change(ws: Workspace, ref: str, **changes: Any) -> None:
    folder = folder_of(ws, ref)
    try:
        folder.set_meta(**changes)
    except OSError as error:
        raise UserError(
            f"{folder.path / 'meta.toml'} was not written",
            error.strerror or str(error),
            "it is unchanged; check that the disk has room and that you may write there",
            exit_code=1,
        ) from error
    _index_again(ws, folder)


def _index_again(ws: Workspace, folder: RunFolder) -> None:
    with suppress(DatabaseError):  # the folder has the truth; the next sync reads it
        ingest.catch_up(ws, folder)


def folder_of(ws: Workspace, ref: str) -> RunFolder:
    """The folder of the run that is meant; UserError if none fits or several do."""
    if ref and Path(ref).name == ref and not ref.startswith(".") and (ws.runs / ref).is_dir():
        return RunFolder(ws.runs / ref)
    with reading(ws) as index:
        return RunFolder(ws.runs / index.resolve(ref))


def deletion_notes(ws: Workspace, ids: Collection[str]) -> str:
    """What a person should know before these runs are deleted, a line each; empty where there is nothing."""
    folders = [ws.runs / one for one in sorted(ids)]
    links = [f"{path.name} is a link: {path.resolve()} is deleted" for path in folders if path.is_symlink()]
    return "\n".join(filter(None, [*links, started_from(ws, ids)]))


def started_from(ws: Workspace, ids: Collection[str]) -> str:
    """A sentence about the other runs that began with weights of these ones (`init_from`); empty where none did. The
    adapter or model that a run starts from is in its own checkpoints; a base is not."""
    others = [folder for folder in run_folders(ws.runs) if folder.id not in ids and _names_a_start(folder)]
    linked = [(folder, spec) for folder in others if (spec := folder.spec()).get("starts_from") in ids]
    if not linked:
        return ""
    needed = [folder.name() for folder, spec in linked if _lies_in(ws, settings.table(spec, "config"), ids)]
    names = ", ".join(folder.name() for folder, _ in linked)
    text = f"{names} started from {'it' if len(ids) == 1 else 'them'}: the link is lost"
    if needed:
        text += f"; {', '.join(needed)} cannot be resumed, scored or merged without the base model in it"
    return text


def _names_a_start(folder: RunFolder) -> bool:
    """Before its spec.toml is parsed: among thousands of runs few have one."""
    try:
        return b"starts_from" in (folder.path / "spec.toml").read_bytes()
    except OSError:
        return False


def _lies_in(ws: Workspace, config: Mapping[str, object], ids: Collection[str]) -> bool:
    """Whether a run's base model is in the folder of one of these runs."""
    base = Path(str(config.get("model") or "")).resolve()
    return any(base.is_relative_to((ws.runs / one).resolve()) for one in ids)


def remove(ws: Workspace, ref: str, not_running: bool = False) -> str:
    """Delete a run's folder with all that is in it; returns its id. UserError while it is queued or alive.

    `not_running`: the caller knows that a run whose state cannot be known here does not run anywhere.
    """
    identity.refuse_copy(ws.root)
    folder = folder_of(ws, ref)
    now = state.status(folder)
    last = folder.last_attempt()
    started = last.launch().get("host") if last and not folder.origin.exists() else None
    elsewhere = now.state == State.UNKNOWN and bool(started)
    if elsewhere and not_running:
        declare.not_running(folder)
        elsewhere = False
    if now.state.alive or now.state == State.QUEUED or elsewhere:
        raise UserError(
            f"{folder.name()} was not deleted",
            f"it is {now.state}{f' ({now.reason})' if now.reason else ''}",
            f"if you know that it is not running anywhere: rmtui rm {folder.id} --not-running"
            if elsewhere
            else f"stop it first with: rmtui stop {folder.id}",
        )
    _refuse_strange_link(folder)
    _note(ws, folder, now.state)
    _delete(folder)
    with suppress(DatabaseError), Index.open(ws) as index:
        index.refresh(folder.id)
    return folder.id


def _note(ws: Workspace, folder: RunFolder, now: State) -> None:
    """A deleted run was a candidate for the best one all the same."""
    from rmtui.operations.candidates import note

    fingerprint = settings.table(folder.spec(), "fingerprints").get("val")
    if isinstance(fingerprint, str) and fingerprint:
        note(ws, [Run(folder.id, folder.name(), folder.path, now)], fingerprint)


def _refuse_strange_link(folder: RunFolder) -> None:
    """A link may lead to a run that was moved to another disk, which goes with it, or to anything else, which stays."""
    if not folder.path.is_symlink():
        return
    there, why = folder.path.resolve(), ""
    if not folder.spec():
        why = "which is not a run"
    elif there.parent.name == "runs" and identity.read(there.parent.parent) is not None:
        why = "a run of that workspace"
    if why:
        what = f"it is a link to {there}, {why}"
        raise UserError(
            f"{folder.id} was not deleted", what, f"to remove the link alone: rm {shlex.quote(str(folder.path))}"
        )


def _delete(folder: RunFolder) -> None:
    """Where the folder is a link to another disk, what it leads to goes, and the link with it."""
    there = folder.path.resolve()
    aside = there.with_name(f".deleted-{folder.id}-{time.time_ns():x}")
    try:
        there.rename(aside)  # gone from lists at once, also where deleting takes long or is cut off
        if folder.path.is_symlink():
            folder.path.unlink()
        shutil.rmtree(aside)
    except OSError as error:
        what = "was deleted in part" if aside.exists() else "was not deleted"
        place = aside if aside.exists() else folder.path
        raise UserError(
            f"{folder.id} {what}", str(error), f"check that you may delete in {place}, then remove it", exit_code=1
        ) from error


def rebuild(ws: Workspace, progress: Progress | None = None) -> tuple[int, Path | None]:
    """Make the index anew from the run folders: (runs, where a damaged one was put aside)."""
    aside: Path | None = None
    try:
        return _rebuild(ws, progress), None
    except Damaged:
        aside = set_aside(ws.database)
    return _rebuild(ws, progress), aside


def _rebuild(ws: Workspace, progress: Progress | None) -> int:
    with Index.open(ws) as index:
        index.rebuild(progress)
        return index.count(archived=True)
