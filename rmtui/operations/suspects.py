"""Training pairs whose label is likely wrong, by words that were fitted without them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide.cross_fit import cross_fitted, likely_wrong
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.operations.floors import answers_of, rows_of
from rmtui.runs.files import atomic_write
from rmtui.translation import tr
from trainer.clusters import find_clusters
from trainer.intervals import accuracy_interval, effective_pairs
from trainer.pairs import plain_text

if TYPE_CHECKING:
    from rmtui.documents.data import SuspectsDocument

REPEATS = 2
"""Times that the folds are drawn; a suspect is confidently wrong each time."""
FEWEST_GROUPS = 10


def suspects(
    train: Path,
    fields: Mapping[str, str] | None = None,
    count: int = 5,
    seed: int = 0,
    limit: int | None = None,
    limits: Thresholds = DEFAULT,
    tell: Callable[[float], object] = lambda share: None,
) -> SuspectsDocument:
    """The document of `suspects --json`. Nobody is suspected where the words are no better than a coin.

    `count` folds, at least two; `tell` hears the share that is done. UserError for a file without pairs, or with fewer
    than ten groups.
    """
    if count < 2:
        raise UserError(f"{count} folds leave no pair to learn from", remedy="two at least; 5 is usual")
    rows = {row.id: row for row in rows_of(train, fields)}
    clusters = find_clusters(list(rows.values())).of
    groups = len(set(clusters.values()))
    if groups < FEWEST_GROUPS:
        raise UserError(
            f"{train} holds {groups} groups of pairs", "suspects need ten at least: pairs are judged by other groups"
        )
    texts = {key: answers_of(row) for key, row in rows.items()}
    done = 0

    def heard() -> None:
        nonlocal done
        done += 1
        tell(done / (REPEATS * min(count, groups)))

    margins = [cross_fitted(texts, clusters, count, seed + turn, heard) for turn in range(REPEATS)]
    right = [margins[0][key] > 0 for key in rows]
    known = effective_pairs(right, [clusters[key] for key in rows])
    accuracy = sum(right) / len(right)
    around = accuracy_interval(accuracy, len(right), known.clusters, known.effective)
    found = likely_wrong(margins, limits) if around.low > 0.5 else []
    shown = found if limit is None else found[:limit]
    return {
        "train": str(train),
        "pairs": len(rows),
        "groups": groups,
        "folds": min(count, groups),
        "repeats": REPEATS,
        "accuracy": accuracy,
        "interval": [around.low, around.high],
        "note": "" if around.low > 0.5 else "words do not predict these labels: nobody is suspected by them",
        "count": len(found),
        "suspects": [
            {
                "id": key,
                "line": rows[key].line,
                "margins": [each[key] for each in margins],
                "prompt": plain_text(rows[key].prompt),
                "chosen": texts[key][0],
                "rejected": texts[key][1],
            }
            for key in shown
        ],
    }


def export_marks(document: SuspectsDocument, path: Path) -> int:
    """Write the suspects as a list of marks for `relabel`, each `keep` until a person says otherwise; returns how many.

    UserError when the file is there already.
    """
    if path.exists():
        raise UserError(f"{path} is there already", remedy="name a new file, or remove that one")
    lines = [json.dumps({"action": "keep", **one}, ensure_ascii=False) + "\n" for one in document["suspects"]]
    try:
        atomic_write(path, "".join(lines).encode("utf-8", "replace"))
    except OSError as error:
        raise UserError(f"{path} was not written", str(error), "choose a folder you may write to") from error
    return len(lines)


def suspect_lines(document: SuspectsDocument) -> list[str]:
    """For a person: what the words know, then the suspects."""
    share, low, high = (100 * value for value in (document["accuracy"], *document["interval"]))
    head = (
        f"words of other pairs get {share:.1f} % ({low:.1f}–{high:.1f} %) of {document['pairs']:,} labels "
        f"right, and speak against {document['count']:,} pairs with confidence: read those, many may be labelled right"
    )
    return [tr(head), *([tr(document["note"])] if document["note"] else [])]
