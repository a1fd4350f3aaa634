"""`configs/rm_config.yaml` of the shell-script days → a nested configuration.

YAML reads `2e-5` as text; that is accepted. Aliases are refused: a few lines of them unfold without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rmtui.errors import UserError
from rmtui.importers.text_files import whole
from trainer.aliases import ALIASES
from trainer.config import OPTIONS, flatten, nest, parse_text

_LIMIT = 1 << 20
_SECTIONS = ("training.", "train.", "model.", "optimizer.", "data.", "rm.", "reward_model.")


@dataclass(frozen=True, slots=True)
class YamlConfig:
    """What the file says in rmtui's words, and the keys that have no place here."""

    config: Mapping[str, Any]
    unknown: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here; write the value out")
        return super().compose_node(parent, index)


def is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def read_yaml(path: Path) -> YamlConfig:
    """Read with the safe loader; raises UserError where the file is no YAML mapping."""
    try:
        document = yaml.load(whole(path, _LIMIT), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"cannot read {path}", _first_line(error), "fix the YAML") from None
    if not isinstance(document, Mapping):
        raise UserError(f"cannot read {path}", "it holds no keys", "name a file of key: value lines")
    flat: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in flatten({str(key): value for key, value in document.items()}).items():
        known = _known(str(key))
        if known is None:
            unknown.append(str(key))
        else:
            flat[known] = _typed(known, value)
    return YamlConfig(nest(flat), tuple(unknown))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _known(key: str) -> str | None:
    for name in (key, *(key.removeprefix(section) for section in _SECTIONS)):
        if name in OPTIONS:
            return name
        if name in ALIASES:
            return ALIASES[name]
    return None


def _typed(key: str, value: Any) -> Any:
    """Numbers that YAML took for text become numbers; anything else is left for the check of the configuration."""
    option = OPTIONS[key]
    if isinstance(value, str) and option.type in ("int", "float", "bool"):
        try:
            return parse_text(option, value)
        except ValueError:
            return value
    if option.type == "names" and isinstance(value, str):
        return parse_text(option, value)
    return value
