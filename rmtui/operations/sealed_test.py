"""Testing one named finalist on sealed pairs, that no training and no choice has looked at. It never chooses."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide.paired_test import Rewards, count_turns, right
from rmtui.index import settings
from rmtui.operations import sealed_looks
from rmtui.operations.runs import reading
from rmtui.operations.score import finished_score
from rmtui.operations.sealed_looks import SealedLook, Tested
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer import manifest, mixture, pairs
from trainer.calibrate import pair_loss
from trainer.clusters import find_clusters
from trainer.held_out import family
from trainer.intervals import effective_pairs

if TYPE_CHECKING:
    from rmtui.documents.runs import TestDocument


@dataclass(frozen=True, slots=True)
class SealedSet:
    """A sealed test set and the models that are to be tested on it."""

    path: Path
    fields: Mapping[str, str] | None
    mark: str
    models: tuple[tuple[Run, Path], ...]
    """A run and its best checkpoint: the finalist, then perhaps the comparator."""
    known: tuple[SealedLook, ...]
    """Looks so far, oldest first."""

    @property
    def seen(self) -> int:
        """The number of the look that had these models, counted from 1; 0: none had."""
        wanted = [(run.id, place.name) for run, place in self.models]
        for number, look in enumerate(self.known, 1):
            if [(one.run, one.checkpoint) for one in (look.finalist, look.comparator) if one] == wanted:
                return number
        return 0


def sealed_set(ws: Workspace, finalist: str, against: str = "", file: Path | None = None) -> SealedSet:
    """What a look would look at: the finalist's `data.test`, or `file`.

    UserError where the set chose or trained one of the models, and where there is no set or checkpoint.
    """
    with reading(ws) as index:
        runs = [index.run(index.resolve(name)) for name in (finalist, against) if name]
    if len({run.id for run in runs}) < len(runs):
        raise UserError("the finalist and its comparator are the same run", remedy="name two runs")
    models = tuple((run, _checkpoint(run)) for run in runs)
    path = file or _sealed_file(ws, runs[0])
    fields = _fields(runs[0])
    mark = _fingerprint(path, fields)
    _refuse_used(path, mark, runs, named=file is not None)
    return SealedSet(path, fields, mark, models, tuple(sealed_looks.looks(ws, mark)))


def take_look(
    ws: Workspace,
    at: SealedSet,
    *,
    again: bool = False,
    options: tuple[str, ...] = (),
    lang: str = "en",
    progress: Callable[[str], object] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TestDocument:
    """Score the models on the set.

    A look that was taken already is shown again and costs nothing. UserError where the set has been looked at and not
    `again`, and where there is no training stack.
    """
    if at.seen:
        return sealed_looks.document(ws, at.known[at.seen - 1], at.seen, len(at.known), at.mark, lang)
    if at.known and not again:
        raise UserError(
            f"{at.path} has been looked at already",
            f"a further look is number {len(at.known) + 1}: it widens every interval, and choosing by it unseals the"
            " set",
            "to look all the same: --again",
        )
    found = _scored(ws, at, options, progress, cancelled)
    count = sealed_looks.note(ws, at.mark, found)
    return sealed_looks.document(ws, found, count, count, at.mark, lang)


def _checkpoint(run: Run) -> Path:
    found = manifest.chosen(run.folder)
    if found is None:
        raise UserError(f"run {run.name} has no checkpoint", "none was saved, or it was imported", "choose another run")
    return found


def _sealed_file(ws: Workspace, run: Run) -> Path:
    written = str(settings.table(run.config, "data").get("test") or "")
    if not written:
        raise UserError(
            f"{run.name} names no sealed test set",
            remedy="set data.test in its preset before the launch, or name the file: --file FILE",
        )
    return ws.path(written)


def _fingerprint(path: Path, fields: Mapping[str, str] | None) -> str:
    try:
        return pairs.fingerprint(path, fields)
    except (pairs.Unreadable, OSError) as error:
        raise UserError(f"{path} cannot be read", str(error), f"rmtui check {path}") from error


def _refuse_used(path: Path, mark: str, runs: list[Run], named: bool) -> None:
    """Pairs that trained a model, or chose it, test nothing; nor is a file sealed that changed since the launch."""
    for run in runs:
        marks = settings.table(RunFolder(run.folder).spec(), "fingerprints")
        extra = settings.table(marks, "extra_val")
        used = {"training": marks.get("train"), "validation": marks.get("val"), **{name: extra[name] for name in extra}}
        for what, its in used.items():
            if its == mark:
                raise UserError(f"{path} is no test of {run.name}", f"these are its {what} pairs", "name other pairs")
    launched = settings.table(RunFolder(runs[0].folder).spec(), "fingerprints").get("test")
    if not named and launched and launched != mark:
        raise UserError(
            f"{path} has changed since {runs[0].name} was launched",
            "a sealed test set stays as it is",
            f"to test on the file as it is now: --file {path}",
        )


def _scored(
    ws: Workspace,
    at: SealedSet,
    options: tuple[str, ...],
    progress: Callable[[str], object],
    cancelled: Callable[[], bool],
) -> SealedLook:
    rows = pairs.distinct_ids(row for row in pairs.read_rows(at.path, at.fields) if isinstance(row, pairs.Row))
    clusters = find_clusters(rows).of
    rewards = [_rewards(run, place, at.path, options, progress, cancelled) for run, place in at.models]
    tested = [_tested(run, place, found, clusters) for (run, place), found in zip(at.models, rewards, strict=True)]
    return SealedLook(
        str(at.path),
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        len(rewards[0]),
        len({clusters.get(key, f"={key}") for key in rewards[0]}),
        _shared(ws, rows, [run for run, _ in at.models]),
        tested[0],
        tested[1] if len(tested) > 1 else None,
        count_turns(rewards[1], rewards[0], clusters) if len(rewards) > 1 else None,
    )


def _rewards(
    run: Run,
    place: Path,
    path: Path,
    options: tuple[str, ...],
    progress: Callable[[str], object],
    cancelled: Callable[[], bool],
) -> Rewards:
    with tempfile.TemporaryDirectory() as folder:  # no rewards of single pairs are kept
        out = Path(folder) / "rewards.jsonl"
        finished_score(run.name, place, path, ["--out", str(out), *options], progress, cancelled)
        lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {str(line["id"]): (float(line["chosen"]), float(line["rejected"])) for line in lines}


def _tested(run: Run, place: Path, rewards: Rewards, clusters: Mapping[str, str]) -> Tested:
    hits = {key: right(both) for key, both in rewards.items()}
    found = effective_pairs(list(hits.values()), [clusters.get(key, f"={key}") for key in hits])
    losses = [pair_loss(chosen - rejected) for chosen, rejected in rewards.values()]
    share = sum(hits.values()) / len(hits)
    return Tested(run.id, run.name, place.name, share, sum(losses) / len(losses), found.effective)


def _fields(run: Run) -> dict[str, str] | None:
    """What the files call their fields, where the run names them."""
    named = settings.table(settings.table(run.config, "data"), "fields")
    return {ours: str(theirs) for ours, theirs in named.items()} or None


def _shared(ws: Workspace, rows: list[pairs.Row], runs: list[Run]) -> int | None:
    """Test pairs whose first question opens a training or validation pair of one of the runs, too."""
    own = [family(row) for row in rows]
    seen: set[str] = set()
    for run in runs:
        data = settings.table(run.config, "data")
        lines = data.get("source")
        files = [mixture.parse(str(line)).path for line in lines] if isinstance(lines, list) else []
        for file in (*(files or [str(data.get("train") or "")]), str(data.get("val") or "")):
            try:
                held = pairs.read_rows(ws.path(file), _fields(run)) if file else iter(())
                seen |= {family(row) for row in held if isinstance(row, pairs.Row)} & set(own)
            except (pairs.Unreadable, OSError):
                return None
    return sum(one in seen for one in own)
