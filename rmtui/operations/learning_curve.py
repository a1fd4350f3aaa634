"""How val_acc grows with the training pairs: a run beside runs of its settings on fewer of its pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rmtui.errors import UserError
from rmtui.guide.comparison import PLACES
from rmtui.guide.paired_test import AccuracyTest, accuracy_test, counted_pairs
from rmtui.i18n import metric_text, translate
from rmtui.index.index import Index
from rmtui.operations import launch, load_subjects, pair_clusters, pair_counts
from rmtui.operations.launch_again import as_preset, asked_of_cluster
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run, State
from rmtui.text import clean, width
from rmtui.workspace import Workspace
from trainer import hub
from trainer.config import TrainConfig, build, flatten, nest, sources_of
from trainer.house import object_of
from trainer.mixture import DataSource
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from rmtui.documents.guide import CurveSize, CurveStep, LearningCurveDocument

PARTS = (4, 2)
"""A quarter and a half of the pairs."""
APART = 1.25
"""Sizes nearer to each other than by this factor are one."""
NEWEST = 1000
"""Runs that are looked through, the newest."""
FIRST_EVENTS = 20
"""Of a run, among which is what its trainer derived."""
FEWEST = 16
"""Pairs below which a part teaches nothing."""


GONE = "is not there"


class _Size(NamedTuple):
    run: Run
    pairs: int


def learning_curve(ws: Workspace, ref: str, lang: str = "en") -> LearningCurveDocument:
    """The document of `learning-curve --json`. UserError where the run's training pairs cannot be counted."""
    with Index.open_reading(ws) as index:
        index.sync()
        return document(ws, index, index.run(index.resolve(ref)), lang)


def document(ws: Workspace, index: Index, run: Run, lang: str) -> LearningCurveDocument:
    """The same out of an index that is up to date."""
    whole = _size(ws, run)
    if isinstance(whole, str):
        raise UserError(
            f"the training pairs of {run.name} cannot be counted", whole, "put the file back, and try again"
        )
    sizes = [*_smaller(ws, index, whole), whole]
    steps = [_step(ws, *two, lang) for two in pairwise(sizes)]
    missing = _missing(sizes)
    none = translate("curve.none", lang, run=run.name, parts=[f"{count:,}" for count in missing])
    return {
        "run": {"id": run.id, "name": run.name},
        "sizes": [_row(size) for size in sizes],
        "steps": steps,
        "missing": missing,
        "text": _text(steps[-1], lang) if steps else none if missing else "",
    }


def page(found: LearningCurveDocument, lang: str) -> str:
    """For a person: a line a size, then a sentence a step."""
    rows = [
        (translate("word.pairs", lang, n=size["pairs"]), _shown(size), clean(size["name"])) for size in found["sizes"]
    ]
    widths = [max(width(row[place]) for row in rows) for place in (0, 1)]
    lines = [
        f"{' ' * (widths[0] - width(pairs))}{pairs}  {accuracy.rjust(widths[1])}  {name}"
        for pairs, accuracy, name in rows
    ]
    steps = [step["text"] for step in found["steps"][:-1]]
    return "\n".join(filter(None, [*lines, *steps, found["text"]]))


def _shown(size: CurveSize) -> str:
    return "–" if size["val_acc"] is None else metric_text("val_acc", size["val_acc"])


def start(ws: Workspace, ref: str) -> list[str]:
    """Launch what the curve lacks; the ids of the runs. UserError before any starts."""
    plans = [plan(ws, request) for request in requests(ws, ref)]
    return [launch.start(ws, one) for one in plans]


def sentence(ws: Workspace, index: Index, run: Run, lang: str) -> str:
    """What more pairs would bring, for an advice that ends the tuning; how to find out, where no run tells."""
    if not _recorded(run):  # files are not counted beside a list
        return ""
    found = document(ws, index, run, lang)
    if found["steps"]:
        return found["text"]
    return translate("curve.ask", lang, run=run.name) if found["missing"] else ""


def requests(ws: Workspace, ref: str) -> list[LaunchRequest]:
    """The trainings that the curve lacks: the run's own settings on a quarter and on half of its pairs. UserError where
    there are too few, or where it lacks none."""
    with Index.open_reading(ws) as index:
        index.sync()
        run = index.run(index.resolve(ref))
        found = document(ws, index, run, "en")
    if not found["missing"]:
        total = found["sizes"][-1]["pairs"]
        why = "runs on fewer of its pairs are there" if found["steps"] else f"{total} pairs are too few to be parted"
        raise UserError(f"{run.name} needs no further run", why, f"see: rmtui learning-curve {run.name}")
    total = found["sizes"][-1]["pairs"]
    return [_request(ws, run, part) for part in PARTS if total // part in found["missing"]]


def _request(ws: Workspace, run: Run, part: int) -> LaunchRequest:
    config, (built, held) = flatten(run.config), _held(ws, run)
    parts = [replace(one, limit=max(1, count // part)) for one, count in held]
    config |= {"data.train": "", "data.source": list(map(str, parts)), "seed": built.seed}
    cluster, devices = asked_of_cluster(ws, run) or (None, _devices(run))
    return LaunchRequest(
        replace(as_preset(run), config=nest(config)),
        procs=run.processes,
        devices=devices,
        cluster=cluster,
        name=f"{run.name}-1of{part}",
        tags=("learning-curve",),
    )


def _devices(run: Run) -> str:
    """`cpu` of a run that trained on it; else what this machine has."""
    return "cpu" if RunFolder(run.folder).spec().get("launch", {}).get("device") == "cpu" else ""


def _held(ws: Workspace, run: Run) -> tuple[TrainConfig, list[tuple[DataSource, int]]]:
    """Its configuration, and each file with the pairs of it that take part. ValueError for a configuration of another
    version, OSError for a file that is gone."""
    built = build(run.config)
    found = [replace(one, path=_whole(ws, one.path)) for one in sources_of(built.data)]
    found = found or [DataSource(_whole(ws, built.data.train))]
    return built, [
        (one, one.held(pair_counts.count_pairs(Path(one.path), built.data.fields))) for one in found if one.path
    ]


def _whole(ws: Workspace, path: str) -> str:
    return path if not path or hub.is_hub(path) else str(ws.path(path))


def _size(ws: Workspace, run: Run) -> _Size | str:
    """The run with the pairs of an epoch, or why they are not known."""
    if pairs := _recorded(run):
        return _Size(run, pairs)
    try:
        _, held = _held(ws, run)
    except FileNotFoundError as error:
        return f"{error.filename} {GONE}"
    except (OSError, ValueError) as error:
        return str(error)
    if not held:
        return "no training file is recorded"
    return _Size(run, sum(one.drawn(count) for one, count in held))


def _recorded(run: Run) -> int:
    """What its trainer noted before the first step, pairs left out not counted; 0 where it did not."""
    for start in RunFolder(run.folder).attempts()[:1]:
        with suppress(OSError), open_plain(start.events) as file:
            for line in islice(file, FIRST_EVENTS):
                event = object_of(line) or {}
                data = event.get("data")
                if event.get("kind") == "derived" and isinstance(data, dict):
                    found = data.get("train_pairs")
                    return found if isinstance(found, int) and found > 0 else 0
    return 0


def _smaller(ws: Workspace, index: Index, whole: _Size) -> list[_Size]:
    """Finished runs of the same settings on fewer pairs of the same files, from few to many; of one size the one with
    the run's seed, else the newest."""
    run, own = whole.run, _settings(ws, whole.run)
    if run.val_fingerprint is None:
        return []
    alike = [
        other
        for other in index.newest_runs("", NEWEST)
        if other.val_fingerprint == run.val_fingerprint
        and other.state is State.FINISHED
        and _limited(other)
        and _settings(ws, other) == own
    ]
    alike.sort(key=lambda other: (other.config.get("seed") == run.config.get("seed"), other.created), reverse=True)
    found: list[_Size] = []
    for size in (_size(ws, other) for other in alike):
        if not isinstance(size, str) and all(_apart(size, other) for other in (*found, whole)):
            found.append(size)
    return sorted((size for size in found if size.pairs < whole.pairs), key=lambda size: size.pairs)


def _apart(one: _Size, other: _Size) -> bool:
    few, many = sorted((one.pairs, other.pairs))
    return many > few * APART


def _limited(run: Run) -> bool:
    data = run.config.get("data")
    return isinstance(data, Mapping) and any("limit=" in str(line) for line in data.get("source") or ())


def _settings(ws: Workspace, run: Run) -> str:
    """What has to be equal but for the number of pairs: all options, and files with their weights."""
    flat = flatten(run.config)
    lines = flat.pop("data.source", None) or [flat.get("data.train")]
    parts = [[part for part in str(line).split(";") if not part.startswith("limit=")] for line in lines]
    files = sorted(";".join([_whole(ws, path), *rest]) for path, *rest in parts)
    kept = {key: value for key, value in flat.items() if key not in PLACES and key != "seed"}
    return json.dumps([files, kept], sort_keys=True, default=str)


def _missing(sizes: Sequence[_Size]) -> list[int]:
    """Pairs of the parts that no run has."""
    whole = sizes[-1]
    wanted = [_Size(whole.run, whole.pairs // part) for part in PARTS]
    return [one.pairs for one in wanted if one.pairs >= FEWEST and all(_apart(one, size) for size in sizes)]


def _step(ws: Workspace, few: _Size, many: _Size, lang: str) -> CurveStep:
    """From one size to the next, tested on the pairs that both scored."""
    test = _test(ws, few.run, many.run)
    before, after = (_accuracy(size.run) for size in (few, many))
    plain = None if before is None or after is None else after - before
    values: dict[str, Any] = {"few": few.pairs, "many": many.pairs, "delta": plain}
    made: CurveStep = {
        "few": few.pairs,
        "many": many.pairs,
        "gain": plain,
        "interval": None,
        "p": None,
        "verdict": None,
        "text": translate("curve.untested", lang, **values),
    }
    if test is None:
        return made
    gain, low, high = test.difference.value, test.difference.low, test.difference.high
    values |= {"delta": gain, "gain": abs(gain), "low": low, "high": high, "p": test.p}
    values["n"] = counted_pairs(test.n, test.clusters, lang)
    text = translate(f"curve.{test.word}", lang, **values)
    return {**made, "gain": gain, "interval": [low, high], "p": test.p, "verdict": test.word, "text": text}


def _text(last: CurveStep, lang: str) -> str:
    """The last step, and what the next doubling would hardly exceed."""
    if last["interval"] is None or last["verdict"] == "worse":
        return last["text"]
    bound = max(0.0, last["interval"][1]) / math.log2(last["many"] / last["few"])
    return ("" if lang == "zh" else " ").join([last["text"], translate("curve.next", lang, bound=bound)])


def _test(ws: Workspace, few: Run, many: Run) -> AccuracyTest | None:
    paths = [load_subjects.evaluation(run, "best") for run in (few, many)]
    if paths[0] is None or paths[1] is None:
        return None
    before, after = (load_subjects.read_rewards(path) for path in paths if path)
    clusters = pair_clusters.clusters_of(ws, many, paths[1])
    return accuracy_test(before, after, load_subjects.limits(ws), clusters)


def _row(size: _Size) -> CurveSize:
    return {"run": size.run.id, "name": size.run.name, "pairs": size.pairs, "val_acc": _accuracy(size.run)}


def _accuracy(run: Run) -> float | None:
    return run.best.val_acc if run.best else run.val_acc
