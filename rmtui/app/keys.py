"""The user's own keys: keys.toml of the workspace, else of ~/.config/rmtui, laid over the actions table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmtui.app.actions import BY_ID, of_pane
from trainer.plain_files import read_plain

FILE = "keys.toml"


class UserKeys(NamedTuple):
    """Action id → keys, and what could not be used, in words."""

    keymap: Mapping[str, str]
    troubles: tuple[str, ...] = ()


def key_files(root: Path) -> tuple[Path, Path]:
    """Where key maps are looked for; the first one that exists counts."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return root / FILE, config / "rmtui" / FILE


def read(root: Path, known: Mapping[str, object] = BY_ID) -> UserKeys:
    """The key map; a wrong line is reported and left out, so that a typing error never locks anybody out."""
    path = next((path for path in key_files(root) if path.is_file()), None)
    if path is None:
        return UserKeys({})
    import tomli

    try:
        document = tomli.loads(read_plain(path, 1 << 20).decode("utf-8"))
    except (OSError, ValueError) as error:
        return UserKeys({}, (f"{path} cannot be read: {error}",))
    keymap, troubles = {}, []
    for name, keys in _flat(document):
        if name not in known:
            troubles.append(f"{path}: {name} is not an action")
        elif not isinstance(keys, str) or not keys.strip():
            troubles.append(f'{path}: {name}: write keys as text, like "x" or "ctrl+x,f2"')
        elif strange := [key for key in keys.split(",") if not is_key(key.strip())]:
            troubles.append(f"{path}: {name}: no key is called {strange[0].strip()!r}; write x, ctrl+x, f2, space, ...")
        else:
            keymap[name] = ",".join(key.strip() for key in keys.split(","))
    troubles += [f"{path}: {text}" for text in clashes(keymap)]
    return UserKeys(keymap, tuple(troubles))


def is_key(name: str) -> bool:
    """Whether a terminal can send a key of this name: `x`, `?`, `ctrl+x`, `pagedown`, `question_mark`."""
    from textual.keys import KEY_ALIASES, Keys, _character_to_key

    *modifiers, last = name.split("+") if len(name) > 1 else [name]
    known = {key.value for key in Keys} | set(KEY_ALIASES)
    known |= {_character_to_key(chr(code)) for code in range(0x20, 0x7F)}
    return {*modifiers} <= {"ctrl", "shift", "alt", "super", "meta"} and (
        len(last) == 1 or last in known or name in known
    )


def clashes(keymap: Mapping[str, str]) -> Iterator[str]:
    """Own keys that another action of the same pane has, too; the other one loses them."""
    for name, keys in keymap.items():
        action = BY_ID.get(name)
        for other in of_pane(action.pane) if action else ():
            taken = set(keymap.get(other.id, other.keys).split(",")) & set(keys.split(","))
            if taken and other.id != name and not (other.id in keymap and other.id < name):
                yield f"{name} and {other.id} share the key {min(taken)}; {name} has it"


def _flat(document: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
