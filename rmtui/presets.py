"""Presets: commented TOML files that people edit. Saving keeps their comments and the spelling of their numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from rmtui.errors import UserError
from rmtui.workspace import Workspace
from trainer import config as table
from trainer.files import replace_file
from trainer.plain_files import read_plain

LARGEST = 1 << 20
"""Bytes of a preset."""

if TYPE_CHECKING:
    from rmtui.documents.launching import PresetDocument

HEADER = ("name", "title", "purpose")
"""Keys of a preset that are not options of the trainer; the table [expect] is the other one."""


_OWN_WORDS = re.compile(r"\A(?:#[^\n]*\n)+")
"""The comment at the top of a preset's file, which speaks of that preset alone."""


_EXPECTED = re.compile(r"\n(?:#[^\n]*\n)*\[expect\]\n(?:[^\[\n][^\n]*\n?|\n)*")
"""The table of what a preset is expected to reach, with the comment above it."""
_LAST_WORDS = re.compile(r"\n+(?:#[^\n]*\n?)+\Z")
"""A comment at the end of the file."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset file as it was read. `config` is nested and holds only what the file says."""

    name: str
    title: str
    purpose: str
    path: Path
    config: Mapping[str, Any]
    expect: Mapping[str, tuple[float, float]]
    """Metric → range that the last epoch is expected to reach; empty where no metric is known."""
    text: str
    """The whole file."""
    checked: bool = True
    """False: its values were not checked when it was read (a past run's configuration)."""


def preset_files(ws: Workspace) -> list[Path]:
    """The workspace's preset files, unread."""
    return sorted(ws.presets.glob("*.toml"))


def all_presets(ws: Workspace) -> tuple[list[Preset], list[UserError]]:
    """The workspace's presets by name, and what is wrong with the files that are none."""
    found, wrong = [], []
    for path in preset_files(ws):
        try:
            found.append(load(path))
        except UserError as error:
            wrong.append(error)
    return sorted(found, key=lambda preset: preset.name.casefold()), wrong


def find(ws: Workspace, text: str) -> Preset:
    """By the name inside the file, the file's stem, or a path, whatever the case; UserError if none or several fit."""
    wanted = text.casefold()
    files = {path: _name_inside(path) for path in preset_files(ws)}
    for fits in (lambda path: files[path] == wanted, lambda path: path.stem.casefold() == wanted):
        found = [path for path in files if fits(path)]
        if len(found) > 1:
            raise UserError(f"preset {text} is ambiguous", ", ".join(map(str, found)), "name one of these files")
        if found:
            return load(found[0])
    for path in (Path(text).expanduser(), ws.root / text):
        if path.is_file():
            return load(path)
    names = ", ".join(sorted(filter(None, files.values()))) or "none"
    raise UserError(f"there is no preset {text}", f"{ws.presets} has: {names}", "name one of these, or a TOML file")


def _name_inside(path: Path) -> str:
    try:
        name = _written_name(read_plain(path, LARGEST).decode("utf-8"))
    except (tomli.TOMLDecodeError, UnicodeDecodeError, OSError):
        return ""
    return (path.stem if name is None else name).casefold()


@lru_cache(maxsize=64)
def _written_name(text: str) -> str | None:
    """`name` in a preset's text; kept, as each key in the app asks for a preset by name."""
    name = tomli.loads(text).get("name")
    return None if name is None else str(name)


def load(path: Path) -> Preset:
    """Read and check one file; UserError names file, key and remedy of every error at once."""
    try:
        text = read_plain(path, LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"preset {path} cannot be read", str(error), "name a TOML file in presets/") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Preset:
    """A preset from the text of its file."""
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise UserError(f"preset {path} is not valid TOML", str(error), "fix that line") from error
    expect = document.pop("expect", {})
    header = {key: document.pop(key, "") for key in HEADER}
    problems = [str(found) for found in table.check(document, str(path)) if found.severity == "error"]
    problems += [f"{path}: {key}: {value!r} is not text" for key, value in header.items() if not isinstance(value, str)]
    problems += [f"{path}: expect.{key}: write it like [0.55, 0.60]" for key in _bad_ranges(expect)]
    if problems:
        raise UserError(f"preset {path} is wrong", "\n  ".join(["", *problems]).rstrip(), "fix these lines")
    ranges = {key: (float(low), float(high)) for key, (low, high) in expect.items()}
    return Preset(header["name"] or path.stem, header["title"], header["purpose"], path, document, ranges, text)


def _bad_ranges(expect: Any) -> Iterator[str]:
    if not isinstance(expect, dict):
        yield "*"
        return
    for key, value in expect.items():
        numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
        if not numbers or value[0] > value[1]:
            yield key


def spellings(preset: Preset) -> dict[str, str]:
    """Dotted key → the value as the file spells it (`1.5e-5`), for forms; text without its quotes."""
    import tomlkit

    flat = table.flatten(tomlkit.parse(preset.text))
    return {key: _spelling(item) for key, item in flat.items() if key in table.OPTIONS}


def _spelling(item: Any) -> str:
    if isinstance(item, list):
        return ", ".join(map(str, item))
    if isinstance(item, dict):
        return ", ".join(f"{name}={path}" for name, path in item.items())
    if isinstance(item, bool):  # tomlkit unwraps it
        return str(item).lower()
    return str(item) if isinstance(item, str) else str(item.as_string())


def changed_on_disk(preset: Preset) -> bool:
    """Whether the file is no longer what was read: edited elsewhere, or gone."""
    try:
        return preset.path.read_text("utf-8") != preset.text
    except (OSError, UnicodeDecodeError):
        return True


def save(preset: Preset, changes: Mapping[str, str]) -> Preset:
    """Write `changes` (dotted key → text as typed) into the file; comments and other lines stay byte for byte.

    UserError if a value is wrong (all of them at once), or if the file was changed by someone else since it was read.
    """
    if changed_on_disk(preset):
        raise UserError(
            f"{preset.path} was changed outside rmtui",
            "saving would overwrite those changes",
            "open the preset again and repeat yours, or save under another name",
        )
    return _write(preset.path, edited(preset, changes))


def save_as(
    ws: Workspace, preset: Preset, name: str, changes: Mapping[str, str], title: str = "", purpose: str = ""
) -> Preset:
    """A new preset file from this one and `changes`; UserError if the name or its file is taken.

    Where a value differs, the words of the preset that it was made from, and what that is expected to reach, are left
    out: they were said of other values.
    """
    name = name.strip()
    stem = re.sub(r"[^\w]+", "-", name.casefold()).strip("-_")
    if not stem or len(stem) > 80:
        raise UserError(
            f"{name!r} is not a name for a preset", "it has no letters, or is too long", "use letters and digits"
        )
    path = ws.presets / f"{stem}.toml"
    if path.exists() or name.casefold() in map(_name_inside, preset_files(ws)):
        raise UserError(f"a preset {name} exists already", str(path), "choose another name")
    header = {"name": name, "title": title, "purpose": purpose}
    text = edited(preset, changes)
    if table.flatten(parse(text, preset.path).config) == table.flatten(preset.config):
        header = {"name": name, "title": title or preset.title, "purpose": purpose or preset.purpose}
    else:
        text = _without_remarks(_LAST_WORDS.sub("\n", without_expectations(text)), preset)
    text = edited(replace(preset, text=text), {}, header)
    return _write(path, _OWN_WORDS.sub(f"# Preset {name}, from preset {preset.name}.\n", text))


def edited(preset: Preset, changes: Mapping[str, str], header: Mapping[str, str] | None = None) -> str:
    """The file's text with `changes` in it, not yet written; UserError if a value is wrong."""
    import tomlkit

    document = tomlkit.parse(preset.text)
    problems = []
    for key, text in changes.items():
        try:
            _set(document, key, _item(key, text))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"no preset was saved from {preset.path}", "; ".join(problems), "fix these values")
    for key, text in (header or {}).items():
        if text:
            document[key] = text
        else:
            document.pop(key, None)
    return tomlkit.dumps(document)


def without_expectations(text: str) -> str:
    """A preset's text without [expect] and the comments above it: what was expected of other values."""
    return _EXPECTED.sub("", text)


def _without_remarks(text: str, preset: Preset) -> str:
    """Without what was said behind values of `preset` that are others here: it gave the reason for those."""
    import tomlkit

    document, was = tomlkit.parse(text), table.flatten(preset.config)
    for key, value in table.flatten(parse(text, preset.path).config).items():
        if key in was and was[key] != value:
            holder, name = document, key
            if "." in key and key not in document:
                section, name = key.split(".", 1)
                holder = document[section]
            if name in holder:
                trivia = holder[name].trivia
                trivia.comment_ws = trivia.comment = ""
    return tomlkit.dumps(document)


def _item(key: str, text: str) -> Any:
    """The TOML value of what was typed, in its own spelling where TOML allows it. Raises ValueError."""
    from tomlkit.items import Float, Integer, Trivia

    option = table.OPTIONS.get(key)
    if option is None:
        raise ValueError(str(table.check({key: text})[0]))
    value = table.parse_text(option, text)
    for problem in table.check_value(option, value):
        if problem.severity == "error":
            raise ValueError(str(problem))
    if option.type not in ("int", "float"):
        return value
    raw = text.strip() if _is_toml(text, value) else repr(value)
    return Float(value, Trivia(), raw) if any(sign in raw for sign in ".eE") else Integer(int(raw), Trivia(), raw)


def _is_toml(text: str, value: float) -> bool:
    try:
        return bool(tomli.loads(f"x = {text.strip()}") == {"x": value})
    except tomli.TOMLDecodeError:
        return False


def _set(document: Any, key: str, item: Any) -> None:
    *tables, name = key.split(".")
    for inner in tables:
        if inner not in document:
            document[inner] = {}
        document = document[inner]
    document[name] = item


def _write(path: Path, text: str) -> Preset:
    """Check, then replace the file in one step."""
    preset = parse(text, path)
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise UserError(
            f"{path} was not saved", str(error), "the old file is unchanged; free some space, or check the permissions"
        ) from error
    return preset


def as_document(preset: Preset) -> PresetDocument:
    """What `rmtui presets NAME --json` prints."""
    return {
        "name": preset.name,
        "title": preset.title,
        "purpose": preset.purpose,
        "path": preset.path,
        "config": json.loads(json.dumps(preset.config)),
        "expect": {key: list(ends) for key, ends in preset.expect.items()},
    }
