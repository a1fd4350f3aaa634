"""A file of preferences in any layout that is read, written as plain pairs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rmtui.datacheck.how_read import describe
from rmtui.errors import UserError
from rmtui.i18n import translate
from trainer import pairs
from trainer.config import check_value, parse_text
from trainer.options import OPTIONS

_NAMED = 5
"""Records that a refusal lists."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written of a file."""

    reading: pairs.PairReading
    records: int
    kept: int
    left_out: dict[str, int]
    """Why a record is not written: blank, tie, no_preference, …"""


def fields_of(text: str) -> dict[str, str]:
    """`prompt=question,chosen=good,rejected=bad` → a mapping. Raises UserError where it names no pair."""
    option = OPTIONS["data.fields"]
    found: dict[str, str] = parse_text(option, text)
    problems = check_value(option, found)
    if problems or (text.strip() and not found):
        what = problems[0].what if problems else f"{text!r} holds no name=field"
        raise UserError(f"--fields: {what}", remedy="write it like --fields prompt=question,chosen=good,rejected=bad")
    return found


def convert(
    path: Path, out: Path, *, fields: pairs.Fields | None = None, tell: Callable[[float], object] = lambda share: None
) -> Converted:
    """Write the pairs of `path`, a file or a folder of shards, to `out` as JSON lines of the house's own layout.

    Rows without a preference are left out and counted; where others hold no readable pair, nothing is written.
    Raises UserError.
    """
    if out.exists():
        raise UserError(f"{out} exists already", "a converted file never replaces another", "name a new file")
    part = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        reading = pairs.recognise(path, fields)
        out.parent.mkdir(parents=True, exist_ok=True)
        made = _write(reading, part, tell)
        part.rename(out)
    except pairs.Unreadable as error:
        why = translate(f"check.{error.case}", "en", **error.about)
        raise UserError(f"{error.filename} cannot be converted", why, f"rmtui check {path}") from error
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be converted", error.strerror or str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    return made


def _write(reading: pairs.PairReading, part: Path, tell: Callable[[float], object]) -> Converted:
    skipped: Counter[str] = Counter()
    bad: list[str] = []
    wrong = kept = records = 0

    def heard(share: float, read: int) -> None:
        nonlocal records
        records = read
        tell(share)

    with part.open("wb") as file:
        for record, line in reading.lines(heard):
            row = pairs.read_line(line, record)
            if isinstance(row, pairs.Row):
                kept += 1
                file.write(line + b"\n")
            elif row.harmless:
                skipped[str(row.about.get("case", row.kind))] += 1
            else:
                wrong += 1
                bad += [str(row)] if len(bad) < _NAMED else []
    if wrong:
        more = f"\n  … and {wrong - len(bad)} more" if wrong > len(bad) else ""
        raise UserError(
            f"{reading.path} was not converted",
            f"no readable pair in {wrong:,} of its records\n  " + "\n  ".join(bad) + more,
            f"leave them out: rmtui check {reading.path} --fix OUT",
            exit_code=1,
        )
    if not kept:
        raise UserError(f"{reading.path} was not converted", "it holds no pair", f"rmtui check {reading.path}", 1)
    return Converted(reading, records, kept, dict(skipped))


def lines(made: Converted, out: Path, lang: str) -> list[str]:
    """What was written, in sentences."""
    how = describe(made.reading, lang)
    text = [translate("report.converted", lang, path=out, kept=made.kept, records=made.records, how=how)]
    if made.left_out:
        named = ", ".join(
            f"{translate(f'kind.{_kind(case)}', lang)} {count:,}" for case, count in made.left_out.items()
        )
        text.append(translate("report.converted_skipped", lang, named=named))
    return text


def _kind(case: str) -> str:
    return "blank_line" if case == "blank" else case
