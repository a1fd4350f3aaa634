"""The arguments in a shell script, `--learning_rate 9e-6`: read as text, nothing is run.

Variables count where the script sets them to plain values; a command of several lines may end in backslashes or stand
in a here-document.
"""

from __future__ import annotations

import re
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.text_files import whole

_LIMIT = 1 << 20
_SET = re.compile(
    r"^\s*(?:export\s+|local\s+|readonly\s+)?(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"$`]*\"|'[^']*'|[^\s\"'$`;&|()]*)\s*(?:#.*)?$"
)
_FLAG = re.compile(
    r"""(?<![\w-])--(?P<key>[A-Za-z][\w.-]*)(?:=|[ \t]+(?=[^\s-]|-\d))?(?P<value>"[^"]*"|'[^']*'|[^\s"';&|)]+)?"""
)
_DEFAULTED = re.compile(r"\$\{(?P<name>\w+):?[-=](?P<value>[^}$`]*)\}")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")
_PROGRAMS = {"swift": re.compile(r"^\s*(?:\S+=\S+\s+)*(?:megatron\s+|\S*/)?swift\s+(?:rlhf|sft)\b", re.MULTILINE)}


def read_flags(path: Path) -> dict[str, str]:
    """Argument → value, `true` for a bare one. UserError where one argument has two values, as of two commands."""
    text = whole(path, _LIMIT).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    known: dict[str, str] = {}
    for line in lines:
        if found := _SET.match(line):
            known[found["name"]] = found["value"].strip("\"'")
    command = "\n".join(lines).replace("\\\n", " ")
    flags: dict[str, str] = {}
    for found in _FLAG.finditer(command):
        key = found["key"].replace("-", "_")
        value = _resolved((found["value"] or "true").strip("\"'"), known)
        if flags.get(key, value) != value:
            raise UserError(
                f"cannot read {path}",
                f"--{found['key']} is given twice, as {flags[key]} and as {value}: several commands are in it",
                "copy the command of the training into a file of its own",
            )
        flags[key] = value
    for name, pattern in _PROGRAMS.items():
        if pattern.search(command):
            flags[name] = "true"
    return flags


def _resolved(value: str, known: dict[str, str]) -> str:
    """A value with the variables that the script sets; one that it does not set stays as written."""
    value = _DEFAULTED.sub(lambda found: known.get(found["name"], found["value"]), value)
    return _VARIABLE.sub(lambda found: known.get(found["braced"] or found["plain"], found[0]), value)
