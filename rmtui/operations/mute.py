"""Silencing a reading or an advice, for one run or always; each silence is recorded with its time and its person."""

from __future__ import annotations

import difflib
import getpass
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from rmtui import i18n
from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.runs.files import read_toml, write_toml
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import Silence

FILE = "silenced.toml"
"""The workspace's own silences, in its root; a run's are in its meta.toml."""

KEY = "silenced"


class SilenceRecord(NamedTuple):
    """A silence as its file holds it."""

    id: str
    t: float | None = None
    """Unix time; None where a person typed the bare id into the file."""
    by: str = ""


def silence(ws: Workspace, ref: str, item: str, always: bool = False) -> None:
    """Say `item` no more, for this run or for any. UserError for an id that is never said."""
    known = {key.partition(".")[2] for key in i18n.entries() if key.startswith(("reading.", "advice."))}
    if item not in known:
        near = difflib.get_close_matches(item, known, n=1)
        raise UserError(
            f"{item} is neither a reading nor an advice",
            remedy=f"did you mean {near[0]}?" if near else "see rmtui advise RUN",
        )
    record = SilenceRecord(item, time.time(), _person())
    _change(ws, ref, always, lambda rows: [*(row for row in rows if row.id != item), record])


def unsilence(ws: Workspace, ref: str, item: str) -> None:
    """Take a silence back, wherever it was recorded; UserError if there is none."""
    if item not in {row["id"] for row in silenced(ws, _run_id(ws, ref))}:
        raise UserError(f"{item} is not silenced", remedy="see rmtui advise RUN for what is")
    for always in (False, True):
        _change(ws, ref, always, lambda rows: [row for row in rows if row.id != item])


def silenced(ws: Workspace, run_id: str) -> list[Silence]:
    """What is silenced for a run, with its scope: run or always."""
    own = _rows(RunFolder(ws.runs / run_id).meta().get(KEY, ()))
    everywhere = _rows((read_toml(ws.root / FILE) or {}).get(KEY, ()))
    return [_document(row, "run") for row in own] + [_document(row, "always") for row in everywhere]


def _document(row: SilenceRecord, scope: Literal["run", "always"]) -> Silence:
    return {"id": row.id, "t": row.t, "by": row.by, "scope": scope}


def _change(ws: Workspace, ref: str, always: bool, edit: Callable[[list[SilenceRecord]], list[SilenceRecord]]) -> None:
    if always:
        before = _rows((read_toml(ws.root / FILE) or {}).get(KEY, ()))
        if (after := edit(before)) != before:
            write_toml(ws.root / FILE, {KEY: [row._asdict() for row in after]})
        return
    folder = RunFolder(ws.runs / _run_id(ws, ref))
    before = _rows(folder.meta().get(KEY, ()))
    if (after := edit(before)) != before:
        folder.set_meta(**{KEY: [row._asdict() for row in after] or None})


def _rows(found: object) -> list[SilenceRecord]:
    """Records as written; a bare id, as a person may have typed it into the file, counts too."""
    return [_row(row) for row in found] if isinstance(found, (list, tuple)) else []


def _row(found: object) -> SilenceRecord:
    if not isinstance(found, Mapping):
        return SilenceRecord(str(found))
    t = found.get("t")
    return SilenceRecord(str(found.get("id")), t if isinstance(t, (int, float)) else None, str(found.get("by") or ""))


def _run_id(ws: Workspace, ref: str) -> str:
    index = Index.open_reading(ws)
    try:
        index.sync()
        return index.resolve(ref)
    finally:
        index.close()


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
