"""The JSON and TOML documents of a run, each read with its types: a value of another type, or a file that is none,
makes the document unreadable, and why is said. Nobody else reads these files.

A bundle, a copy or a damaged disk may leave anything in a file's place; whoever uses a document relies on its types.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from trainer.plain_files import read_plain

LARGEST_FILE = 1 << 24
"""Bytes of a document; a longer file is unreadable."""
DEEPEST = 64
"""Levels of tables and lists in a document."""
LARGEST_NUMBER = 2**53
"""Steps, times and pids are below it; whole numbers elsewhere fit 64 bits."""

_LONG_NUMBER = re.compile(rb"[0-9_]{18}|\b0[xob]")
"""A whole number that may not fit 64 bits; hashes of hexadecimal digits are taken for one now and then."""

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class ValueKind:
    """What a value has to be, in words too."""

    words: str
    fits: Check


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and abs(value) < LARGEST_NUMBER


TEXT = ValueKind("text", lambda value: isinstance(value, str))
WHOLE = ValueKind("a whole number", _whole)
COUNT = ValueKind("a whole number from 1 to a million", lambda value: _whole(value) and 1 <= value <= 1_000_000)
NUMBER = ValueKind("a finite number", _number)
FLAG = ValueKind("true or false", lambda value: isinstance(value, bool))
TABLE = ValueKind("a table", lambda value: isinstance(value, dict))
TEXTS = ValueKind(
    "a list of texts", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value)
)
LIST = ValueKind("a list", lambda value: isinstance(value, list))

Shape = Mapping[str, ValueKind]
"""Key → what its value has to be where it is there; `table.key` looks into a table. Further keys are kept."""

LAUNCH: Shape = {
    **dict.fromkeys(
        (
            "kind",
            "host",
            "boot_id",
            "tag",
            "nonce",
            "pid_namespace",
            "place",
            "folder",
            "cgroup",
            "resumed_from",
            "precision",
        ),
        TEXT,
    ),
    **dict.fromkeys(("pid", "started", "oom_kills", "resumed_from_step", "restart", "log_from", "port"), WHOLE),
    **dict.fromkeys(("argv", "devices", "slots", "nodes"), TEXTS),
    **dict.fromkeys(("job", "address"), TEXT),
    "t": NUMBER,
    "grace": NUMBER,
    "processes": COUNT,
    "machines": COUNT,
}
EXIT: Shape = {
    "outcome": TEXT, "reason": TEXT, "exit_code": WHOLE, "ended": NUMBER, "step": WHOLE, "rank": WHOLE, "tail": TEXTS,
    "suggest": TABLE, "requeued": FLAG,
}  # fmt: skip
RESULT: Shape = {"outcome": TEXT, "reason": TEXT, "step": WHOLE, "verified": FLAG, "unverified": TEXT}
VERIFICATION: Shape = {"verified": FLAG, "unverified": TEXT}
FAILURE: Shape = {
    "type": TEXT, "text": TEXT, "traceback": TEXT, "rank": WHOLE, "t": NUMBER, "step": WHOLE, "suggest": TABLE,
    "remedy": TEXT,
}  # fmt: skip
REQUEST: Shape = {"t": NUMBER, "now": FLAG, "by": TEXT, "attempt": WHOLE}
FAILED_START: Shape = {"t": NUMBER, "attempt": WHOLE, "reason": TEXT}
SPEC: Shape = {
    **dict.fromkeys(("id", "name", "preset", "data", "workspace", "extends", "relaunch_of", "starts_from"), TEXT),
    **dict.fromkeys(("tune", "branches_from"), TEXT),
    **dict.fromkeys(("config", "trainer", "launch", "versions", "git", "fingerprints", "origin"), TABLE),
    "schema": WHOLE,
    "order": WHOLE,
    "tags": TEXTS,
    "trainer.command": TEXTS,
    "trainer.argv": TEXTS,
    "trainer.launcher": TEXT,
    "launch.kind": TEXT,
    "launch.device": TEXT,
    "launch.host": TEXT,
    "launch.processes": COUNT,
    "launch.nodes": COUNT,
    "launch.machines": COUNT,
    "launch.address": TEXT,
    **dict.fromkeys(("launch.cpus", "launch.memory_mb", "launch.gpus", "launch.warn", "launch.chain"), WHOLE),
    **dict.fromkeys(("launch.partition", "launch.account", "launch.time", "launch.gpu_option", "launch.wrap"), TEXT),
    **dict.fromkeys(("launch.sbatch", "launch.srun"), TEXTS),
    "launch.grace": NUMBER,
    "launch.devices": TEXTS,
    "launch.allowed": TEXTS,
    "launch.init_from": TEXT,
}
META: Shape = {
    "name": TEXT, "note": TEXT, "group": TEXT, "tags": TEXTS, "pinned": FLAG, "archived": FLAG, "silenced": LIST,
    "entered": LIST,
}  # fmt: skip
TICKET: Shape = {
    **dict.fromkeys(("run", "host", "boot_id", "resume", "needs.kind"), TEXT),
    "attempt": COUNT,
    "order": NUMBER,
    "t": NUMBER,
    "force": FLAG,
    "needs": TABLE,
    "needs.count": COUNT,
    "needs.names": TEXTS,
    "needs.allowed": TEXTS,
}
WORKSPACE: Shape = {"id": TEXT, "path": TEXT, "formerly": TEXTS, "runs": TEXTS, "launches": WHOLE}
JOB: Shape = {
    **dict.fromkeys(("kind", "id", "cluster", "host", "resume", "needs", "inode"), TEXT),
    "attempt": COUNT, "t": NUMBER, "force": FLAG, "warn": WHOLE, "chain": TEXTS,
}  # fmt: skip
JOB_STATE: Shape = {
    **dict.fromkeys(("job", "state", "reason", "nodes"), TEXT), "t": NUMBER, "begins": NUMBER, "restarts": WHOLE,
}  # fmt: skip
LOOK: Shape = {"t": NUMBER, "tried": NUMBER, "error": TEXT}
NODE: Shape = {
    "node": WHOLE, "name": TEXT, "exit_code": WHOLE, "rank": WHOLE, "killed": FLAG, "terminated": FLAG,
    "out_of_memory": FLAG, "ranks": LIST,
}  # fmt: skip
ORIGIN: Shape = {"bundle": TEXT, "source": TEXT}


@dataclass(frozen=True, slots=True)
class Read:
    """What a file holds: `document`, or None where it is missing or unreadable; `why` says the latter, else empty."""

    document: dict[str, Any] | None
    why: str = ""


_found: ContextVar[dict[Path, Read] | None] = ContextVar("found", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Within it each file is read once, whoever asks: several questions are asked of one run at a time."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def read(path: Path, shape: Shape, again: bool = False) -> Read:
    """A document of this shape. JSON, or TOML by its ending. `again`: as it is now, also within one look."""
    found = _found.get()
    if found is None:
        return _read(path, shape)
    if again or path not in found:
        found[path] = _read(path, shape)
    return found[path]


def _read(path: Path, shape: Shape) -> Read:
    try:
        data = read_plain(path, LARGEST_FILE)
    except FileNotFoundError:
        return Read(None)
    except OSError as error:
        return Read(None, error.strerror or str(error))
    try:
        document = tomli.loads(data.decode("utf-8")) if path.suffix == ".toml" else json.loads(data)
        document = document if _surely_clean(data) else _clean(document, DEEPEST)
    except UnicodeDecodeError:
        return Read(None, "it is not UTF-8 text")
    except ValueError as error:
        return Read(None, str(error).split("\n", 1)[0] if data else "it is empty")
    except RecursionError:
        return Read(None, "it is nested too deeply")
    if not isinstance(document, dict):
        return Read(None, f"it is {_kind_of(document)}, not a table")
    wrong = next(_problems(document, shape, ""), "")
    return Read(None, wrong) if wrong else Read(document)


def _problems(table: dict[str, Any], shape: Shape, prefix: str) -> Iterator[str]:
    """What is wrong with the values of a table and of those in it; a null is as good as no value, and taken out."""
    for key, value in list(table.items()):
        name = prefix + key
        kind = shape.get(name)
        if kind is None:
            continue
        if value is None:
            del table[key]
        elif not kind.fits(value):
            yield f"{name} is {_kind_of(value)}, not {kind.words}"
        elif kind is TABLE and not prefix:
            yield from _problems(value, shape, f"{key}.")


def _kind_of(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return str(value).lower()[:20]
    if isinstance(value, str):
        return "text"
    return {dict: "a table", list: "a list", type(None): "null"}.get(type(value), "a time")


def _surely_clean(data: bytes) -> bool:
    """Whether a document of these bytes has nothing that `_clean` takes out: no escapes, no long numbers, no depth."""
    deep = data.count(b"{") + data.count(b"[") + data.count(b".") >= DEEPEST
    return not deep and b"\\u" not in data and _LONG_NUMBER.search(data) is None


def _clean(value: Any, depth: int) -> Any:
    """The same without what no file, database or terminal takes: halves of characters, numbers of any size."""
    if depth == 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key, depth): _clean(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth - 1) for inner in value]
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a whole number does not fit 64 bits")
    return value


def number_of(name: str, prefix: str) -> int | None:
    """The number of `attempt-3`, `rank0` or `step-000120`; None for any other name."""
    rest = name.removeprefix(prefix)
    if rest == name or not rest.isascii() or not rest.isdigit() or len(rest) > 9:
        return None
    return int(rest)
