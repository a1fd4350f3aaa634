"""A new version of a file of pairs, in which some are flipped, tied or dropped; the file itself is left as it is."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from rmtui.errors import UserError
from rmtui.i18n import translate
from trainer import pairs
from trainer.containers import stem_of
from trainer.house import object_of
from trainer.layouts.named_pairs import SCORE_NAMES

if TYPE_CHECKING:
    from rmtui.documents.data import RelabelDocument

Action = Literal["flip", "tie", "drop"]
ACTIONS: tuple[Action, ...] = get_args(Action)
KEEP = "keep"
_OURS = re.compile(r"-[0-9a-f]{8}$")
"""The end of a version's name."""
_NAMED = 5
LOG_SUFFIX = ".changes"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file in the house's layout; without a pair where it holds none."""

    raw: bytes
    row: pairs.Row | None


@dataclass(frozen=True, slots=True)
class _Changed:
    line: bytes | None
    """None: dropped."""
    unrated: bool = False


def log_of(version: Path) -> Path:
    """Where the log of a version is: JSON lines, the first says what of what, each further one is a pair as it was."""
    return version.with_name(f"{version.name.removesuffix('.jsonl')}{LOG_SUFFIX}")


def read_marks(path: Path) -> dict[str, Action]:
    """Pair id → action of a list that `suspects --export` wrote and a person went through; `keep` is no change.

    UserError with the line that says something else.
    """
    found: dict[str, Action] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        record = object_of(raw) or {}
        key, asked = record.get("id"), record.get("action", KEEP)
        action = next((one for one in ACTIONS if one == asked), None)
        if not isinstance(key, (str, int)) or (action is None and asked != KEEP):
            what = f"line {number} of {path} is no mark"
            raise UserError(what, remedy='a line is {"id": …, "action": "keep", "flip", "tie" or "drop"}')
        if str(key) in found and found[str(key)] != action:
            raise UserError(f"{key} is marked twice, and differently", f"{path}, line {number}")
        if action is not None:
            found[str(key)] = action
    return found


def relabel(
    path: Path, marks: Mapping[str, Action], out: Path | None = None, fields: pairs.Fields | None = None
) -> RelabelDocument:
    """Write a version of `path` in which the marked pairs are changed: `NAME-<hash of its pairs>.jsonl` beside it, or
    `out`, and the log of what they were. A tied pair stays in the file and is left out by whoever reads it.

    UserError where nothing is marked, a line holds no readable pair, an id is no pair's, no pair would be left, or the
    version is there already; then nothing is written.
    """
    return _version(path, marks, out, fields, publish=True)


def foresee(path: Path, marks: Mapping[str, Action], fields: pairs.Fields | None = None) -> RelabelDocument:
    """What `relabel` would write, with its errors; nothing is left behind."""
    return _version(path, marks, None, fields, publish=False)


def _version(
    path: Path, marks: Mapping[str, Action], out: Path | None, fields: pairs.Fields | None, publish: bool
) -> RelabelDocument:
    if not marks:
        raise UserError("no pair is marked", remedy="name some: --flip ID, --tie ID, --drop ID, or --marks FILE")
    if not path.exists():
        raise UserError(f"{path} is not there", "a version is made of a file or a folder on this machine")
    before, lines = _read(path, fields)
    known = {line.row.id for line in lines if line.row}
    if strange := [key for key in marks if key not in known]:
        more = f" … ({len(strange)})" if len(strange) > _NAMED else ""
        raise UserError(
            f"{path} holds no pair {', '.join(strange[:_NAMED])}{more}", remedy="ids are those of: rmtui suspects FILE"
        )
    made = [_change(line, marks.get(line.row.id) if line.row else None) for line in lines]
    left = sum(line.row is not None and line.row.id not in marks for line in lines)
    flipped = sum(action == "flip" for action in marks.values())
    if not left + flipped:
        raise UserError("no pair would be left", remedy="mark fewer")
    fresh, version = _write(path, out, made)
    counts = Counter(marks.values())
    document: RelabelDocument = {
        "source": str(path),
        "path": str(version),
        "log": str(log_of(version)),
        "fingerprint": fresh,
        "pairs": left + flipped,
        "flipped": counts["flip"],
        "tied": counts["tie"],
        "dropped": counts["drop"],
        "unrated": sum(one.unrated for one in made),
    }
    try:
        if publish:
            _publish(version, _log(document, before, lines, marks))
    finally:
        _part(version).unlink(missing_ok=True)
    return document


def _read(path: Path, fields: pairs.Fields | None) -> tuple[str, list[_Line]]:
    """The fingerprint and the lines, with the ids by which runs and suspects name their pairs."""
    try:
        reading = pairs.recognise(path, fields)
        found = [(raw, pairs.read_line(raw, place)) for place, raw in reading.lines()]
        before = pairs.fingerprint(path, fields)
    except pairs.Unreadable as error:
        why = translate(f"check.{error.case}", "en", **error.about)
        raise UserError(f"{path} cannot be read", why, f"rmtui check {path}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error), f"rmtui check {path}") from error
    _refuse_broken(path, [row for _, row in found if isinstance(row, pairs.BadLine) and not row.harmless])
    named = iter(pairs.distinct_ids(row for _, row in found if isinstance(row, pairs.Row)))
    return before, [_Line(raw, next(named) if isinstance(row, pairs.Row) else None) for raw, row in found]


def _refuse_broken(path: Path, broken: Sequence[pairs.BadLine]) -> None:
    """No training takes a version with such a line, and one mended by hand is not what its log names."""
    if not broken:
        return
    more = f" (the first of {len(broken)} such lines)" if len(broken) > 1 else ""
    raise UserError(
        f"{path} cannot be relabelled",
        f"line {broken[0].line} holds no pair: {broken[0].message}{more}",
        f"mend what this lists first: rmtui check {path}",
    )


def _change(line: _Line, action: Action | None) -> _Changed:
    if action is None or line.row is None:
        return _Changed(line.raw)
    if action == "drop":
        return _Changed(None)
    record = {**(object_of(line.raw) or {}), "id": line.row.id}  # a content's hash would be another one
    if action == "tie":
        return _Changed(_encoded({**record, "status": "tie"}))
    swapped = {_other_side(name, record): value for name, value in record.items()}
    rated = [name for name in swapped if name == "margin" or name in SCORE_NAMES]
    return _Changed(_encoded({name: value for name, value in swapped.items() if name not in rated}), bool(rated))


def _other_side(name: str, record: Mapping[str, object]) -> str:
    """`rejected_model` for `chosen_model`, where both are there."""
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if side in name and (counterpart := name.replace(side, other)) in record:
            return counterpart
    return name


def _encoded(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _part(version: Path) -> Path:
    return version.with_name(f".{version.name.removesuffix('.jsonl')}.{os.getpid()}.partial.jsonl")


def _write(path: Path, out: Path | None, made: Sequence[_Changed]) -> tuple[str, Path]:
    """The version under a name for the time being, and the name that it will have. Returns (fingerprint, name)."""
    stem = _OURS.sub("", stem_of(path) or path.name)
    draft = _part(out or path.with_name(f"{stem}.jsonl"))
    kept = False
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.writelines(one.line + b"\n" for one in made if one.line is not None)
            file.flush()
            os.fsync(file.fileno())
        fresh = pairs.fingerprint(draft)
        version = out or path.with_name(f"{stem}-{fresh[:8]}.jsonl")
        if version.exists() or log_of(version).exists():
            why = "a version never replaces a file" if out else "it holds the pairs that these changes leave"
            raise UserError(f"{version} is there already", why, "use it, or name another file with --out")
        draft.rename(_part(version))
        kept = True
    except OSError as error:
        raise UserError(f"no version of {path} was written", str(error), "name a file that you may write") from error
    finally:
        if not kept:
            draft.unlink(missing_ok=True)
    return fresh, version


def _log(document: RelabelDocument, before: str, lines: Sequence[_Line], marks: Mapping[str, Action]) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"v": 1, "made": now, "source_fingerprint": before, **document}
    changes = (_entry(line, marks[line.row.id]) for line in lines if line.row and line.row.id in marks)
    return b"".join(_encoded(record) + b"\n" for record in (head, *changes))


def _entry(line: _Line, action: Action) -> dict[str, object]:
    assert line.row is not None
    return {"id": line.row.id, "line": line.row.line, "action": action, "was": object_of(line.raw)}


def _publish(version: Path, log: bytes) -> None:
    """Both or neither; whoever makes the log has the name."""
    try:
        with log_of(version).open("xb") as file:
            file.write(log)
        try:
            _part(version).rename(version)
        except OSError:
            log_of(version).unlink()
            raise
    except OSError as error:
        raise UserError(f"{version} was not written", str(error), "name another file with --out") from error


def relabelled_lines(document: RelabelDocument) -> Iterator[str]:
    """For a person: what was written, and what to do with it."""
    yield (
        f"{document['path']}: {document['pairs']:,} pairs; {document['flipped']} flipped, {document['tied']} tied, "
        f"{document['dropped']} dropped"
    )
    if document["unrated"]:
        yield f"{document['unrated']} flipped pairs lost their margin, which spoke for the other answer"
    yield f"what they were: {document['log']}"
    yield f"train on it: rmtui launch PRESET --train {document['path']}"
