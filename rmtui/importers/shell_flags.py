"""The arguments in a shell script, `--learning_rate 9e-6`: read as text, nothing is run.

Variables count where the script sets them once, to a plain value or to one with a default (`${LR:-9e-6}`, said to be
taken as not set outside). What a command prints, `$(…)`, is unknown and stays as written. A command of several lines
may end in backslashes or stand in a here-document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.text_files import whole

_LIMIT = 1 << 20
_SET = re.compile(
    r"^\s*(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)*)?(?P<name>[A-Za-z_]\w*)"
    r"=(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"';&|()]*)\s*$"
)
_CHANGED = re.compile(
    r"(?<![\w$-])(?P<name>[A-Za-z_]\w*)\+?=(?!=)|\b(?:read|for|unset)\s+(?:-\w+\s+)*(?P<read>[A-Za-z_]\w*)"
)
"""Whatever gives a variable a value somewhere, in a branch or a loop too."""
_FLAG = re.compile(
    r"""(?<![\w-])--(?P<key>[A-Za-z][\w.-]*)(?:=|[ \t]+(?=[^\s-]|-\d))?(?P<value>"[^"]*"|'[^']*'|[^\s"';&|)]+)?"""
)
_DEFAULTED = re.compile(r"\$\{(?P<name>\w+):?[-=](?P<value>[^}$`\0]*)\}")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")
_PRINTED = re.compile(r"\0(\d+)\0")
_SPEAKS = re.compile(r"\s*(?:echo|printf)\b")
_PROGRAMS = {"swift": re.compile(r"^\s*(?:\S+=\S+\s+)*(?:megatron\s+|\S*/)?swift\s+(?:rlhf|sft)\b", re.MULTILINE)}


@dataclass(slots=True)
class ShellFlags:
    """What a script passes."""

    flags: dict[str, str] = field(default_factory=dict)
    """Argument → value, `true` for a bare one; with `$` in it where nobody knows the value."""
    assumed: dict[str, str] = field(default_factory=dict)
    """Argument → the variable whose default its value is."""


class _Variables:
    """What a script's variables hold, as far as its text says."""

    def __init__(self, lines: list[str]) -> None:
        self._known: dict[str, str] = {}
        self._defaults: dict[str, str] = {}
        given: dict[str, int] = {}
        for line in lines:
            for found in _CHANGED.finditer(line):
                name = found["name"] or found["read"]
                given[name] = given.get(name, 0) + 1
        for line in _unconditional(lines):
            found_set = _SET.match(line)
            if found_set is None or given.get(found_set["name"], 0) != 1:
                continue
            quoted = found_set["value"].startswith("'")
            value, default = ("", "") if quoted else self.resolved(found_set["value"].strip('"'))
            value = found_set["value"].strip("'") if quoted else value
            if not quoted and ("$" in value or "\0" in value):
                continue
            self._known[found_set["name"]] = value
            if default:
                self._defaults[found_set["name"]] = default

    def resolved(self, value: str) -> tuple[str, str]:
        """A value with the variables that the script sets, and the variable whose default it is, if any.

        One that the script does not set stays as written.
        """
        assumed = ""
        for found in _VARIABLE.finditer(value):
            assumed = assumed or self._defaults.get(found["braced"] or found["plain"], "")

        def default(found: re.Match[str]) -> str:
            nonlocal assumed
            if found["name"] in self._known:
                return self._known[found["name"]]
            assumed = assumed or f"${found['name']}"
            return found["value"]

        before = None
        while before != value:
            before, value = value, _DEFAULTED.sub(default, value)
        return _VARIABLE.sub(lambda found: self._known.get(found["braced"] or found["plain"], found[0]), value), assumed


def read_flags(path: Path) -> ShellFlags:
    """The arguments of the one command in a script. UserError where one has two values, as of two commands."""
    text, printed = _without_commands(whole(path, _LIMIT).decode("utf-8", "replace").replace("\0", ""))
    lines = [_without_comment(line) for line in text.splitlines()]
    lines = [line for line in lines if not _SPEAKS.match(line)]
    variables = _Variables(lines)
    command = "\n".join(lines).replace("\\\n", " ")
    read = ShellFlags()
    for found in _FLAG.finditer(command):
        key = found["key"].replace("-", "_")
        written = found["value"] or "true"
        value, assumed = (written.strip("'"), "") if written[0] == "'" else variables.resolved(written.strip('"'))
        value = _PRINTED.sub(lambda one: printed[int(one[1])], value)
        if read.flags.get(key, value) != value:
            raise UserError(
                f"cannot read {path}",
                f"--{found['key']} is given twice, as {read.flags[key]} and as {value}: several commands are in it",
                "copy the command of the training into a file of its own",
            )
        read.flags[key] = value
        if assumed:
            read.assumed[key] = assumed
    for name, pattern in _PROGRAMS.items():
        if pattern.search(command):
            read.flags[name] = "true"
    return read


def _without_commands(text: str) -> tuple[str, list[str]]:
    """The text with a mark for each `$(…)` and each pair of backticks, whose own arguments are none of the training's.

    The second value holds them, by the number in the mark.
    """
    printed: list[str] = []
    parts: list[str] = []
    at = 0
    for start, end in _commands(text):
        parts += [text[at:start], f"\0{len(printed)}\0"]
        printed.append(" ".join(text[start:end].split()))
        at = end
    return "".join((*parts, text[at:])), printed


def _commands(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while found := re.compile(r"\$\(|(?<!\\)`").search(text, at):
        if found[0] == "`":
            at = text.find("`", found.end()) + 1 or len(text)
        else:
            depth, at = 1, found.end()
            while depth and at < len(text):
                depth += {"(": 1, ")": -1}.get(text[at], 0)
                at += 1
        yield found.start(), at


def _unconditional(lines: list[str]) -> Iterator[str]:
    """Lines outside branches and loops."""
    depth = 0
    for line in lines:
        words = re.findall(r"(?:^|;)\s*(if|for|while|until|case|fi|done|esac)\b", line)
        opened = sum(word not in ("fi", "done", "esac") for word in words)
        if not depth and not opened:
            yield line
        depth += 2 * opened - len(words)


def _without_comment(line: str) -> str:
    quote = ""
    for at, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "#" and (not at or line[at - 1].isspace()):
            return line[:at]
    return line
