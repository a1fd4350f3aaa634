"""Configuration and tags of a run in the index: whole, and one by one for queries. The keys are opaque here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rmtui.index.sqlite import Connection


def table(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """A table inside a document; empty when it is missing or something else."""
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def tags_of(spec: Mapping[str, object], meta: Mapping[str, object]) -> list[str]:
    """What a person set last, else what the run was launched with."""
    tags = meta["tags"] if "tags" in meta else spec.get("tags", [])
    return sorted({str(tag) for tag in tags}) if isinstance(tags, list) else []


def store(connection: Connection, run: int, spec: Mapping[str, object], meta: Mapping[str, object]) -> None:
    """Write configuration and tags of a run, whole and one by one, where they changed."""
    config, text, tags = _texts(spec, meta)
    old = connection.execute("SELECT config, tags FROM documents WHERE run = ?", (run,)).fetchone()
    if old == (text, json.dumps(tags)):
        return
    connection.execute("UPDATE documents SET config = ?, tags = ? WHERE run = ?", (text, json.dumps(tags), run))
    connection.execute("DELETE FROM tags WHERE run = ?", (run,))
    connection.execute("DELETE FROM settings WHERE run = ?", (run,))
    _insert(connection, run, config, tags)


def insert(connection: Connection, run: int, spec: Mapping[str, object], meta: Mapping[str, object]) -> None:
    """The same for a run of which nothing is written yet."""
    config, text, tags = _texts(spec, meta)
    connection.execute("INSERT INTO documents (run, config, tags) VALUES (?, ?, ?)", (run, text, json.dumps(tags)))
    _insert(connection, run, config, tags)


def _texts(spec: Mapping[str, object], meta: Mapping[str, object]) -> tuple[Mapping[str, object], str, list[str]]:
    config = dict(table(spec, "config"))
    return config, json.dumps(config, default=str), tags_of(spec, meta)


def _insert(connection: Connection, run: int, config: Mapping[str, object], tags: list[str]) -> None:
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, run) for tag in {tag.casefold() for tag in tags}])
    known = dict(connection.execute("SELECT key, id FROM setting_keys"))
    rows = [
        (known.get(key) or _new_setting(connection, key), run, *_number_and_text(value))
        for key, value in dict(
            _flat(config, "")
        ).items()  # `"lora.r"` and `r` in [lora] are one setting: the last counts
    ]
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
