"""Logs of `relabel` as the edges between versions of pairs, by the hashes that they hold: which pairs differ between
two versions. Names of files connect nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rmtui.guide.relabelled import Difference
from rmtui.index import settings
from rmtui.operations.relabel import ACTIONS, LOG_SUFFIX
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer import held_out, joined
from trainer.plain_files import open_plain

MOST = 2000
"""Logs that are read at most; a data folder with more is no person's."""


@dataclass(frozen=True, slots=True)
class Log:
    """One version: of which pairs, and what was done to which of them."""

    path: str
    source: str
    """Hashes of the pairs."""
    version: str
    beside: str
    """The folder of the source: logs before this one are there."""
    actions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Logs:
    """All that were found, and those that cannot be read with the reason."""

    whole: tuple[Log, ...]
    damaged: tuple[str, ...]

    def between(self, first: str, second: str) -> Difference | None:
        """What the second version's labels are against the first's; None where no log connects them."""
        steps = self._way(first, second)
        return None if steps is None else _difference(steps)

    def _way(self, first: str, second: str) -> list[tuple[Log, bool]] | None:
        """The logs on the shortest way, each with whether it is gone forwards, from source to version."""
        edges = defaultdict[str, list[tuple[str, Log, bool]]](list)
        for log in self.whole:
            edges[log.source].append((log.version, log, True))
            edges[log.version].append((log.source, log, False))
        came: dict[str, tuple[str, Log, bool] | None] = {first: None}
        line = deque([first])
        while line and second not in came:
            at = line.popleft()
            for end, log, forwards in edges[at]:
                if end not in came:
                    came[end] = (at, log, forwards)
                    line.append(end)
        if second not in came:
            return None
        steps = []
        while (step := came[second]) is not None:
            second, log, forwards = step
            steps.append((log, forwards))
        return steps[::-1]


def _difference(steps: Sequence[tuple[Log, bool]]) -> Difference:
    """The net effect of several logs, one after another: what was turned twice is as it was."""
    order: dict[str, None] = {}
    turned: Counter[str] = Counter()
    starts: dict[str, bool] = {}
    ends: dict[str, bool] = {}
    for log, forwards in steps:
        for key, action in log.actions.items():
            order.setdefault(key)
            if action == "flip":
                turned[key] += 1
            starts.setdefault(key, action == "flip" or forwards)
            ends[key] = action == "flip" or not forwards
    return Difference(
        tuple(key for key in order if starts[key] and ends[key] and turned[key] % 2),
        tuple(key for key in order if starts[key] and not ends[key]),
        tuple(key for key in order if ends[key] and not starts[key]),
    )


def find(ws: Workspace, runs: Iterable[Run]) -> Logs:
    """Logs in the workspace's data folders, beside the files of these runs, and where their sources lie."""
    folders = deque([ws.data, *_below(ws.data), *(place.parent for run in runs for place in _files(ws, run))])
    seen: set[Path] = set()
    found: dict[str, Log] = {}
    damaged: dict[str, str] = {}
    while folders and len(found) + len(damaged) < MOST:
        folder = folders.popleft()
        if folder in seen:
            continue
        seen.add(folder)
        for path in _logs_in(folder):
            read = _read(path)
            if isinstance(read, Log):
                found[str(path)] = read
                folders.append(ws.path(read.beside))
            else:
                damaged[str(path)] = read
    return Logs(tuple(found.values()), tuple(f"{path}: {why}" for path, why in damaged.items()))


def _below(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return


def _logs_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{LOG_SUFFIX}"))
    except OSError:
        return []


def _files(ws: Workspace, run: Run) -> Iterator[Path]:
    data = settings.table(run.config, "data")
    for name in (data.get("train"), data.get("val")):
        if isinstance(name, str) and name:
            for piece in joined.pieces(name, ws.root):
                yield held_out.parse(ws.path(piece))[0]


def _read(path: Path) -> Log | str:
    try:
        seen = path.stat()
    except OSError as error:
        return str(error)
    return _parsed(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=256)
def _parsed(path: Path, _changed: int, _size: int) -> Log | str:
    """The log, or why it is none; read again once its file has changed."""
    try:
        with open_plain(path) as file:
            records = [json.loads(line) for line in file if line.strip()]
        head, *changes = records
        actions = {str(one["id"]): str(one["action"]) for one in changes}
        hashes = [head[key] for key in ("source_fingerprint", "fingerprint")]
        told = {action: head[f"{action}ped" if action != "tie" else "tied"] for action in ACTIONS}
        beside = str(Path(head["source"]).parent)
    except OSError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "it is not a log of relabel"
    if not all(isinstance(one, str) and one for one in hashes):
        return "it names no hashes"
    counts = Counter(actions.values())
    if len(actions) != len(changes) or told != {action: counts[action] for action in ACTIONS}:
        return "it does not hold the changes that its first line counts"
    return Log(str(path), hashes[0], hashes[1], beside, actions)
