"""The ledger of candidates: what each evaluation on a validation set got right, kept with the workspace.

The best of many is chosen among all that were ever looked at, so a deleted run stays in the ledger. A file a validation
set, `candidates/<fingerprint>.jsonl`: a line a set of pair ids, and a line an evaluation that names its set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rmtui.guide.chosen import Chosen, correct_choice
from rmtui.guide.paired_test import Rewards, right
from rmtui.i18n import translate
from rmtui.index.index import Index
from rmtui.operations import load_subjects, pair_clusters
from rmtui.runs.files import locked
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from rmtui.documents.runs import ChosenDocument

FOLDER = "candidates"
LEDGER_PATIENCE = 1.0
"""Seconds that the ledger is waited for: what it lacks is written by the next look."""
MOST = 500
"""Evaluations, the best, that a correction resamples: the others are counted and never win."""


class Candidate(NamedTuple):
    """One evaluation: `right` has a bit for each pair of its set, in the order of sorted ids."""

    run: str
    name: str
    evaluation: str
    pairs: str
    """Digest of the ids."""
    right: int
    stamp: tuple[int, int]
    """By what its file is known to have changed."""


def note(ws: Workspace, runs: Iterable[Run], fingerprint: str) -> list[Candidate]:
    """Write down what the ledger lacks of these runs; everything in it. A workspace that cannot be written stays
    as it is, and its runs count all the same."""
    path = ws.root / FOLDER / f"{fingerprint[:32]}.jsonl"
    known, sets = _read(path)
    lines: list[str] = []
    for run in runs:
        for file in load_subjects.evaluations(run):
            try:
                seen = file.stat()
            except OSError:  # deleted a moment ago
                continue
            stamp = (seen.st_mtime_ns, seen.st_size)
            held = known.get((run.id, file.stem))
            rewards = load_subjects.read_rewards(file) if held is None or held.stamp != stamp else {}
            if not rewards:
                continue
            ids = sorted(rewards)
            digest = _digest(ids)
            if digest not in sets:
                sets.add(digest)
                lines.append(json.dumps({"pairs": digest, "ids": ids}, ensure_ascii=False))
            one = Candidate(run.id, run.name, file.stem, digest, _bits(rewards, ids), stamp)
            known[run.id, file.stem] = one
            lines.append(json.dumps({**one._asdict(), "right": f"{one.right:x}"}, ensure_ascii=False))
    if lines:
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            with (
                locked(path.with_suffix(".lock"), LEDGER_PATIENCE),
                path.open("a", encoding="utf-8", errors="replace") as file_,
            ):
                file_.write("".join(f"{line}\n" for line in lines))
    return list(known.values())


def _read(path: Path) -> tuple[dict[tuple[str, str], Candidate], set[str]]:
    """Evaluations by run and name, of one written twice the later; and the digests of sets. Torn lines are left out."""
    found: dict[tuple[str, str], Candidate] = {}
    sets: set[str] = set()
    with suppress(OSError), open_plain(path) as lines:
        for line in lines:
            try:
                row = json.loads(line)
                if "ids" in row:
                    sets.add(str(row["pairs"]))
                    continue
                stamp = (int(row["stamp"][0]), int(row["stamp"][1]))
                run, name, evaluation, pairs = (str(row[key]) for key in ("run", "name", "evaluation", "pairs"))
                one = Candidate(run, name, evaluation, pairs, int(row["right"], 16), stamp)
            except (ValueError, KeyError, TypeError, IndexError, RecursionError):
                continue
            found[one.run, one.evaluation] = one
    return found, sets


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def _bits(rewards: Rewards, ids: Sequence[str]) -> int:
    return int("".join("1" if right(rewards[key]) else "0" for key in reversed(ids)), 2)


def choice_of(ws: Workspace, index: Index, run: Run, lang: str = "en", which: str = "best") -> ChosenDocument | None:
    """The run's best evaluation, or its last (`which`), as one chosen among all on the same pairs. None where it was
    the only one, where rewards of single pairs are not known, and where the pairs are of fewer than five prompts."""
    path = load_subjects.evaluation(run, which) if run.val_fingerprint else None
    if path is None or run.val_fingerprint is None:
        return None
    family = [other for other in load_subjects.siblings(index, run) if other.val_fingerprint == run.val_fingerprint]
    known = note(ws, family, run.val_fingerprint)
    mine = next((one for one in known if (one.run, one.evaluation) == (run.id, path.stem)), None)
    if mine is None:
        return None
    rivals = [one for one in known if one.pairs == mine.pairs]
    if len(rivals) < 2:
        return None
    ids = sorted(load_subjects.read_rewards(path))
    of = pair_clusters.clusters_of(ws, run, path)
    clusters = [of.get(key, f"={key}") for key in ids]
    level = load_subjects.limits(ws).level
    strongest = sorted(rivals, key=lambda one: -one.right.bit_count())[:MOST]
    drawn = (mine.right, *(one.right for one in strongest if one is not mine))
    found = _correct(drawn, tuple(clusters), level)
    return None if found is None else _document(found, mine, rivals, lang)


@lru_cache(maxsize=16)
def _correct(drawn: tuple[int, ...], clusters: tuple[str, ...], level: float) -> Chosen | None:
    """Of the first; kept, since the app looks at the best run again and again."""
    return correct_choice(drawn, 0, clusters, level)


def _document(found: Chosen, mine: Candidate, rivals: Sequence[Candidate], lang: str) -> ChosenDocument:
    runs = len({one.run for one in rivals})
    values = {
        "candidates": len(rivals),
        "runs": runs,
        "value": found.value,
        "corrected": found.corrected,
        "low": found.interval.low,
        "high": found.interval.high,
    }
    best = all(one.right.bit_count() <= mine.right.bit_count() for one in rivals)
    return {
        "run": mine.run,
        "evaluation": mine.evaluation,
        "candidates": len(rivals),
        "runs": runs,
        "best": best,
        "value": found.value,
        "corrected": found.corrected,
        "interval": [found.interval.low, found.interval.high],
        "text": translate("verdict.chosen" if best else "verdict.chosen_among", lang, **values),
    }
