"""What a frozen base knows of a validation file: measured by the trainer in a process of its own, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui import text
from rmtui.errors import UserError
from rmtui.guide.cross_fit import MOST
from rmtui.operations.score import run_trainer
from rmtui.runs.files import atomic_write
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from trainer.documents import BaseFloorsDocument

FOLDER = "base-floors"
"""In the workspace's local state: a file for each training file, validation file, base and length."""


@dataclass(frozen=True, slots=True)
class BaseAsked:
    """Which base is asked, and how long a text it reads."""

    model: str
    """A folder, or a hub name."""
    max_length: int = 512
    progress: Callable[[str], object] = lambda share: None
    """Hears `38 %`."""


@dataclass(frozen=True, slots=True)
class BaseKnows:
    """Its document, and whether it was kept from an earlier time."""

    found: BaseFloorsDocument
    kept: bool


def base_of(ws: Workspace | None, named: str) -> str:
    """The base that is named, else the workspace's; UserError without either."""
    if named:
        return named
    if ws is None or not ws.settings.model:
        raise UserError("no base model is named", remedy="name one: --base MODEL")
    own = ws.path(ws.settings.model)
    return str(own) if own.exists() else ws.settings.model


def base_knows(
    ws: Workspace | None, train: Path, val: Path, prints: tuple[str, str], ids: Sequence[str], asked: BaseAsked
) -> BaseKnows:
    """Margins of the validation pairs `ids`; `prints` are the fingerprints of both files.

    Without a workspace nothing is kept. UserError with the trainer's last line.
    """
    place = ws.state_folder() / FOLDER / f"{_key(prints, asked)}.json" if ws else None
    if place is not None and (old := _kept(place, ids)) is not None:
        return BaseKnows(old, kept=True)
    command = ["base-floors", asked.model, str(train), str(val), "--max-length", str(asked.max_length)]
    options = ["--most", str(MOST), "--progress", "events", "--json"]
    code, out, errors = run_trainer([*command, *options], asked.progress, lambda: False)
    if code:
        last = errors[-1:] or [f"exit code {code}"]
        why = text.clean(last[0].removeprefix("rmtui: "))
        raise UserError(f"{asked.model} was not asked what it knows", why, "rmtui doctor", 1)
    found: BaseFloorsDocument = json.loads(out)
    if found["ids"] != list(ids):
        raise UserError(f"{val} has changed meanwhile", remedy="measure again")
    if place is not None:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(place, out.encode())
    return BaseKnows(found, kept=False)


def _kept(place: Path, ids: Sequence[str]) -> BaseFloorsDocument | None:
    try:
        found: BaseFloorsDocument = json.loads(place.read_bytes())
        return found if found["ids"] == list(ids) and len(found["probe"]) == len(ids) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(prints: tuple[str, str], asked: BaseAsked) -> str:
    """By content of both files; of the base by names, sizes and times of its files."""
    folder = Path(asked.model).expanduser()
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    facts = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files if one.is_file()]
    whole = [*prints, str(folder.resolve()) if files else asked.model, asked.max_length, facts]
    return hashlib.sha256(json.dumps(whole).encode("utf-8", "replace")).hexdigest()[:32]
