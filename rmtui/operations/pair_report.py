"""The validation pairs behind the metrics of runs, with their texts; accuracy by any field; export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide import pair_changes as guide
from rmtui.guide.pair_kinds import IN_JSON, KINDS, kind_of
from rmtui.guide.paired_test import Clusters, Rewards
from rmtui.i18n import translate
from rmtui.index.index import Index
from rmtui.operations import load_subjects
from rmtui.runs.files import atomic_write
from rmtui.runs.model import Run, State
from rmtui.workspace import Workspace
from trainer.clusters import find_clusters
from trainer.pairs import Row, Unreadable, distinct_ids, fingerprint, is_data, plain_text, read_rows

if TYPE_CHECKING:
    from rmtui.documents.data import GroupDocument, GroupsDocument, PairDocument, PairsDocument, RewardsDocument
    from rmtui.documents.scalars import Config
    from rmtui.guide.pair_kinds import Kind


@dataclass(frozen=True, slots=True)
class Loaded:
    """Runs with the rewards of one evaluation each, and the rows of their validation file."""

    runs: Sequence[Run]
    evaluations: Sequence[str]
    rewards: Sequence[Rewards]
    rows: Mapping[str, Row]
    file: Path | None
    note: str
    """Why texts are missing or may be others; empty when all is well."""


def pairs(
    ws: Workspace,
    refs: Sequence[str],
    kind: str | None = None,
    at: str = "last",
    limit: int | None = 10,
    lang: str = "en",
) -> PairsDocument:
    """The document of `pairs --json`: the pairs of a kind, worst first, with texts, rewards and differing words.

    close and tied look at one run, wrong at the last of one or two, fixed and regressed at two, suspect at two or more.
    """
    asked = _kind(kind or ("wrong" if len(refs) == 1 else "regressed" if len(refs) == 2 else "suspect"), len(refs))
    loaded = _load(ws, refs, at, lang)
    found = _choose(asked, loaded, ws)
    shown = found if limit is None else found[:limit]
    return {
        "kind": IN_JSON[asked],
        "runs": [
            {"id": run.id, "name": run.name, "evaluation": name, "margins": load_subjects.margins_document(spread)}
            for run, name, spread in zip(loaded.runs, loaded.evaluations, guide.spreads(loaded.rewards), strict=True)
        ],
        "data": str(loaded.file) if loaded.file else None,
        "note": loaded.note,
        "pairs_scored": len(loaded.rewards[0]),
        "count": len(found),
        "counts": {
            IN_JSON[kind]: len(found if kind == asked else _choose(kind, loaded, ws))
            for kind in KINDS
            if _fits(kind, len(refs))
        },
        "pairs": [_pair(key, loaded) for key in shown],
    }


def _kind(name: str, count: int) -> Kind:
    """The kind of this name, which can be asked for of so many runs."""
    kind = next((known for known in KINDS if known == kind_of(name)), None)
    if kind is None:
        raise UserError(f"{name} is not a kind of pairs", remedy=f"one of {', '.join(KINDS)}")
    wanted = _wanted(kind)
    if not _fits(kind, count):
        many = str(wanted[0]) if wanted[0] == wanted[1] else f"{wanted[0]} or {'two' if wanted[1] == 2 else 'more'}"
        raise UserError(f"{kind} takes {many} run{'s' * (many != '1')}, not {count}", remedy="rmtui pairs --help")
    return kind


def _wanted(kind: Kind) -> tuple[int, int]:
    """How many runs it looks at, at least and at most."""
    return {"fixed": (2, 2), "regressed": (2, 2), "suspect": (2, 99), "wrong": (1, 2)}.get(kind, (1, 1))


def _fits(kind: Kind, count: int) -> bool:
    least, most = _wanted(kind)
    return least <= count <= most


def _choose(kind: Kind, loaded: Loaded, ws: Workspace) -> list[str]:
    limits, first, last = load_subjects.limits(ws), loaded.rewards[0], loaded.rewards[-1]
    choose: dict[Kind, Callable[[], list[str]]] = {
        "wrong": lambda: guide.most_wrong(last),
        "close": lambda: guide.closest(first, limits),
        "tied": lambda: guide.tied(first),
        "fixed": lambda: guide.fixed(first, last),
        "regressed": lambda: guide.regressed(first, last),
        "suspect": lambda: list(guide.suspects(loaded.rewards, limits)),
    }
    return choose[kind]()


def _load(ws: Workspace, refs: Sequence[str], at: str, lang: str) -> Loaded:
    index = Index.open_reading(ws)
    try:
        index.sync()
        runs = [index.run(index.resolve(ref)) for ref in refs]
    finally:
        index.close()
    paths = [_evaluation(run, at) for run in runs]
    prints = {run.val_fingerprint for run in runs}
    if len(prints) > 1:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{names} were not validated on the same pairs", remedy="choose runs with one validation set")
    rows, file, note = _rows(ws, runs, lang)
    rewards = [load_subjects.read_rewards(path) for path in paths]
    if not rewards[0]:
        raise UserError(f"{paths[0]} holds no readable pair", remedy="choose another evaluation with --at")
    return Loaded(runs, [path.stem for path in paths], rewards, rows, file, note)


def _evaluation(run: Run, at: str) -> Path:
    path = load_subjects.evaluation(run, at)
    if path is None:
        raise UserError(f"{run.name} has no rewards of individual pairs", *_why_none(run))
    return path


def _why_none(run: Run) -> tuple[str, str]:
    """Why there are no rewards, and what helps: it depends on whether any will come."""
    if run.state is State.IMPORTED:
        return "imported runs bring metrics only", "choose a run that was trained here"
    if between := [path.stem for path in load_subjects.evaluations(run)]:
        return "no evaluation of that epoch was kept", f"name one of its evaluations: --at {between[-1]}"
    if run.state.final:
        return "it ended before its first evaluation", f"resume it first: rmtui resume {run.id}"
    steps = run.total_steps // run.num_epochs if run.total_steps and run.num_epochs else None
    when = f", after step {steps}; it is at step {run.step}" if steps else ""
    return f"it has not been evaluated yet; that comes at the end of epoch 1{when}", "ask again then"


def _rows(ws: Workspace, runs: Sequence[Run], lang: str) -> tuple[dict[str, Row], Path | None, str]:
    """The rows of the first validation file that is there, with a note when it is not what was trained on."""
    for run in runs:
        data = run.config.get("data")
        name, fields = (data.get("val"), data.get("fields")) if isinstance(data, Mapping) else (None, None)
        path = ws.path(name) if isinstance(name, str) and name else None
        if path is not None and is_data(path):
            try:
                rows = distinct_ids(row for row in read_rows(path, fields) if isinstance(row, Row))
                changed = run.val_fingerprint is not None and fingerprint(path, fields) != run.val_fingerprint
            except Unreadable:
                continue
            note = translate("pairs.changed", lang, path=path) if changed else ""
            return {row.id: row for row in rows}, path, note
    return {}, None, translate("pairs.gone", lang)


def _pair(key: str, loaded: Loaded) -> PairDocument:
    row, rewards = loaded.rows.get(key), [_rewards(found, key) for found in loaded.rewards]
    if row is None:
        gone: PairDocument = {
            "id": key,
            "rewards": rewards,
            "prompt": None,
            "chosen": None,
            "rejected": None,
            "fields": {},
            "words": None,
        }
        return gone
    chosen, rejected = plain_text(row.chosen), plain_text(row.rejected)
    words = guide.differing(chosen, rejected)
    return {
        "id": key,
        "rewards": rewards,
        "prompt": plain_text(row.prompt),
        "chosen": chosen,
        "rejected": rejected,
        "fields": dict(row.fields),
        "line": row.line,
        "words": {"chosen": words[0], "rejected": words[1]},
    }


def _rewards(rewards: Rewards, key: str) -> RewardsDocument | None:
    if key not in rewards:
        return None
    chosen, rejected = rewards[key]
    return {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}


def accuracy_by(ws: Workspace, refs: Sequence[str], field: str, at: str = "last", lang: str = "en") -> GroupsDocument:
    """Accuracy of each run by a field of the data, by `length` (characters of the longer answer), or by `longer`."""
    loaded = _load(ws, refs, at, lang)
    labels = _labels(loaded.rows, field, lang)
    if not labels:
        known = sorted({name for row in loaded.rows.values() for name in row.fields})
        raise UserError(
            f"no pair has a field {field}", f"known: length, longer, {', '.join(known)}".rstrip(", "), "name one"
        )
    level = load_subjects.limits(ws).level
    clusters = find_clusters(list(loaded.rows.values())).of
    order = list(dict.fromkeys(labels.values())) if field == "length" else []
    return {
        "by": field,
        "note": loaded.note,
        "runs": [
            {
                "id": run.id,
                "name": run.name,
                "groups": _groups(rewards, labels, order, level, clusters),
            }
            for run, rewards in zip(loaded.runs, loaded.rewards, strict=True)
        ],
    }


def _groups(
    rewards: Rewards, labels: Mapping[str, str], order: Sequence[str], level: float, clusters: Clusters
) -> list[GroupDocument]:
    """Largest group first, or in an order of their own."""
    found = guide.accuracy_by(rewards, labels.get, level, clusters)
    if order:
        found = sorted(found, key=lambda group: order.index(group.label))
    return [_group(group) for group in found]


def _group(found: guide.Group) -> GroupDocument:
    return {
        "label": found.label,
        "pairs": found.n,
        "right": found.right,
        "accuracy": found.accuracy.value,
        "interval": [found.accuracy.low, found.accuracy.high],
    }


def _labels(rows: Mapping[str, Row], field: str, lang: str) -> dict[str, str]:
    """Pair id → its group; pairs of the shortest group first where groups are lengths."""
    sizes = {key: (len(plain_text(row.chosen)), len(plain_text(row.rejected))) for key, row in rows.items()}
    if field == "length":
        longest = {key: max(pair) for key, pair in sizes.items()}
        labels = guide.length_labels(longest)
        return {key: labels[key] for key in sorted(labels, key=lambda key: longest[key])}
    if field == "longer":
        names = {-1: "rejected", 0: "none", 1: "chosen"}
        words = {sign: translate(f"pairs.longer_{name}", lang) for sign, name in names.items()}
        return {key: words[(chosen > rejected) - (chosen < rejected)] for key, (chosen, rejected) in sizes.items()}
    return {key: str(row.fields[field]) for key, row in rows.items() if field in row.fields}


def export(document: PairsDocument, path: Path) -> int:
    """Write the document's pairs as JSON lines that can be read as data again; returns how many.

    UserError when the file is there already: nothing is overwritten.
    """
    if path.exists():
        raise UserError(f"{path} is there already", remedy="name a new file, or remove that one")
    if any(pair["chosen"] is None for pair in document["pairs"]):
        raise UserError("the texts of these pairs are gone", document["note"], "put the file back first")
    names = [run["name"] for run in document["runs"]]
    lines = [json.dumps(_exported(pair, names), ensure_ascii=False) + "\n" for pair in document["pairs"]]
    try:
        atomic_write(path, "".join(lines).encode("utf-8", "replace"))
    except OSError as error:
        raise UserError(f"{path} was not written", str(error), "choose a folder you may write to") from error
    return len(lines)


def _exported(pair: PairDocument, names: Sequence[str]) -> Config:
    margins = {name: sides["margin"] for name, sides in zip(names, pair["rewards"], strict=True) if sides}
    sides = {"prompt": pair["prompt"], "chosen": pair["chosen"], "rejected": pair["rejected"]}
    return {**pair["fields"], "id": pair["id"], **sides, "margins": margins}
