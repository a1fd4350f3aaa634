"""Configuration and tags of a run in the index: whole, and one by one for queries. The keys are opaque here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rmtui.index.sqlite import Connection


def table(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """A table inside a document; empty when it is missing or something else."""
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def tags_of(spec: Mapping[str, object], meta: Mapping[str, object]) -> list[str]:
    """What a person set last, else what the run was launched with."""
    tags = meta["tags"] if "tags" in meta else spec.get("tags", [])
    return sorted({str(tag) for tag in tags}) if isinstance(tags, list) else []


class Prepared(NamedTuple):
    """What the index holds of a run's configuration and tags, worked out without the index."""

    config: str
    tags: str
    """Both as JSON."""
    words: set[str]
    """The tags as they are looked for."""
    rows: list[tuple[str, float | None, str]]
    """(key, number, text) of each setting."""


def prepare(spec: Mapping[str, object], meta: Mapping[str, object]) -> Prepared:
    """`"lora.r"` and `r` in [lora] are one setting: the last counts."""
    config, tags = dict(table(spec, "config")), tags_of(spec, meta)
    rows = [(key, *_number_and_text(value)) for key, value in dict(_flat(config, "")).items()]
    return Prepared(json.dumps(config, default=str), json.dumps(tags), {tag.casefold() for tag in tags}, rows)


def store(connection: Connection, run: int, made: Prepared) -> None:
    """Write configuration and tags of a run, whole and one by one, where they changed."""
    old = connection.execute("SELECT config, tags FROM documents WHERE run = ?", (run,)).fetchone()
    if old == (made.config, made.tags):
        return
    connection.execute("UPDATE documents SET config = ?, tags = ? WHERE run = ?", (made.config, made.tags, run))
    connection.execute("DELETE FROM tags WHERE run = ?", (run,))
    connection.execute("DELETE FROM settings WHERE run = ?", (run,))
    _insert(connection, run, made)


def insert(connection: Connection, run: int, made: Prepared) -> None:
    """The same for a run of which nothing is written yet."""
    connection.execute("INSERT INTO documents (run, config, tags) VALUES (?, ?, ?)", (run, made.config, made.tags))
    _insert(connection, run, made)


def _insert(connection: Connection, run: int, made: Prepared) -> None:
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, run) for tag in made.words])
    known = dict(connection.execute("SELECT key, id FROM setting_keys"))
    rows = [(known.get(key) or _new_setting(connection, key), run, *values) for key, *values in made.rows]
    connection.executemany("INSERT INTO settings VALUES (?, ?, ?, ?)", rows)


def _number_and_text(value: Any) -> tuple[float | None, str]:
    """A value as a number, where it is one, and as a text."""
    number = float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return number, text.casefold()


def _flat(document: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", value


def _new_setting(connection: Connection, key: str) -> int:
    number = connection.execute("INSERT INTO setting_keys (key) VALUES (?)", (key,)).lastrowid
    assert number is not None
    return number
