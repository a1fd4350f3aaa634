"""The filter language of lists, compiled to SQL with parameters.

Words, `state:failed`, `preset:a`, `tag:x -tag:y`, `lr>=1e-5`, `lora.r=32`, `val_acc>0.7`, `since:2d`; `|` is or, a
blank is and, a leading `-` is not. Quotes keep blanks together.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from rmtui.errors import UserError
from rmtui.runs.model import State
from trainer.aliases import ALIASES

HELP = "words · state:failed · preset:a · tag:x -tag:y · lr>=1e-5 · lora.r=32 · val_acc>0.7 · since:2d · | for or"

_TERM = re.compile(r'(?P<minus>-?)(?P<name>[^\W\d][\w./-]*)(?P<sign>>=|<=|!=|=|>|<|:)(?P<value>"[^"]*"|\S*)$')
_TOKEN = re.compile(r'(?:[^\s"|]|"[^"]*")+|\||"')
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?(?P<percent>%?)$")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

TEXT_COLUMNS = {
    **{name: name for name in ("id", "name", "state", "preset", "data", "note", "host", "reason")},
    "group": "group_name",
}
NUMBER_COLUMNS = {
    **{name: name for name in ("val_acc", "val_loss", "train_loss", "val_pairs", "gap", "step", "processes")},
    **{name: name for name in ("duration", "total_steps", "num_epochs")},
    "acc": "val_acc",
    "epoch": "epochs_done",
    "epochs": "num_epochs",
    "best": "best_val_acc",
    "best_val_acc": "best_val_acc",
    "best_val_loss": "best_val_loss",
    "pinned": "pinned",
    "archived": "archived",
    "resumable": "resumable",
}
_COLUMN = "~"
"""A mark before a column while SQL is being built; `+` in its place keeps SQLite from using that column's index."""
_PERCENT = {"val_acc", "best_val_acc"}


class Condition(NamedTuple):
    """A WHERE clause over `runs` with its parameters; empty text: every run."""

    sql: str
    """May use the indexes of the columns that it compares: right where few runs fit."""
    ordered: str
    """The same without them: right where many runs fit, and the index of the order finds a window's worth at once."""
    parameters: tuple[Any, ...] = ()
    archived: bool = False
    """The query itself speaks of archived runs, so a list does not hide them."""


def compile_query(text: str, now: float | None = None) -> Condition:
    """The condition of a query; UserError names the part that cannot be read."""
    now = time.time() if now is None else now
    branches = [[_term(word, now) for word in branch] for branch in _branches(text)]
    branches = [branch for branch in branches if branch]
    if not branches:
        return Condition("", "")
    sql = " OR ".join("(" + " AND ".join(term for term, _ in branch) + ")" for branch in branches)
    parameters = tuple(value for branch in branches for _, values in branch for value in values)
    return Condition(sql.replace(_COLUMN, ""), sql.replace(_COLUMN, "+"), parameters, archived="archived" in sql)


def _branches(text: str) -> Iterator[list[str]]:
    branch: list[str] = []
    for token in _TOKEN.findall(text):
        if token == '"':
            raise _unreadable(text, "a quotation mark is not closed")
        if token == "|":
            yield branch
            branch = []
        else:
            branch.append(token)
    yield branch


def _unreadable(part: str, why: str) -> UserError:
    return UserError(f"the filter {part!r} cannot be read", why, f"it takes: {HELP}")


Term = tuple[str, tuple[Any, ...]]


def _term(word: str, now: float) -> Term:
    found = _TERM.match(word)
    if found is None:
        minus, bare = word.startswith("-") and len(word) > 1, word.removeprefix("-") if len(word) > 1 else word
        return _negated(minus, (r"coalesce(words, '') LIKE ? ESCAPE '\'", (_like(bare.replace('"', "")),)))
    name, sign, value = found["name"].casefold(), found["sign"], found["value"].strip('"')
    if value == "":
        raise _unreadable(word, f"nothing follows {sign}")
    return _negated(bool(found["minus"]), _compared(word, name, sign, value, now))


def _negated(minus: bool, term: Term) -> Term:
    sql, values = term
    return (f"NOT coalesce({sql}, 0)", values) if minus else (sql, values)


def _like(text: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", text.casefold())
    return f"%{escaped}%"


def _compared(word: str, name: str, sign: str, value: str, now: float) -> Term:
    special: Callable[[str, str, str, float], Term] | None = _SPECIAL.get(name)
    if special is not None:
        return special(word, sign, value, now)
    if name == "state" and sign in (":", "="):
        return _state_term(word, value)
    if name in TEXT_COLUMNS:
        return _text_term(word, TEXT_COLUMNS[name], sign, value)
    if name in NUMBER_COLUMNS:
        column = NUMBER_COLUMNS[name]
        number = _number(word, value, percent=column in _PERCENT)
        return f"{_COLUMN}{column} {'=' if sign == ':' else sign} ?", (number,)
    return _setting_term(word, ALIASES.get(name, name), sign, value)


def _text_term(word: str, column: str, sign: str, value: str) -> Term:
    if sign == ":" and column != "preset":
        return rf"{column} LIKE ? ESCAPE '\'", (_like(value),)
    if sign in (":", "=", "!="):
        if sign == "!=":
            return f"coalesce({column}, '') != ? COLLATE NOCASE", (value,)
        return f"{_COLUMN}{column} = ? COLLATE NOCASE", (value,)
    raise _unreadable(word, "text is compared with : or =")


def _state_term(word: str, value: str) -> Term:
    """A state, or how one begins while it is still typed."""
    wanted = [state.value for state in State if state.startswith(value.casefold())]
    if not wanted:
        raise _unreadable(word, f"a run is {', '.join(State)}")
    return f"{_COLUMN}state COLLATE NOCASE IN ({', '.join('?' * len(wanted))})", tuple(wanted)


def _setting_term(word: str, key: str, sign: str, value: str) -> Term:
    """A value of the configuration: by its whole dotted key, or by its last part."""
    sign = "=" if sign == ":" else sign
    keys = r"SELECT id FROM setting_keys WHERE key = ? OR key LIKE ? ESCAPE '\'"
    names = (key, "%." + re.sub(r"([\\%_])", r"\\\1", key))
    wanted: float | str
    if _NUMBER.match(value):
        compared, wanted = f"number {sign} ?", _number(word, value, percent=False)
    elif sign in ("=", "!="):
        compared, wanted = f"text {sign} ?", value.casefold()
    else:
        raise _unreadable(word, f"{value} is not a number")
    return f"n IN (SELECT run FROM settings WHERE setting IN ({keys}) AND {compared})", (*names, wanted)


def _number(word: str, value: str, percent: bool) -> float:
    found = _NUMBER.match(value)
    if found is None:
        if value.casefold() in ("true", "yes", "false", "no"):
            return float(value.casefold() in ("true", "yes"))
        raise _unreadable(word, f"{value} is not a number")
    number = float(value.rstrip("%"))
    return number / 100 if found["percent"] or (percent and number > 1) else number


def _tag(word: str, sign: str, value: str, now: float) -> Term:
    if sign not in (":", "="):
        raise _unreadable(word, "a tag is written tag:name")
    return "n IN (SELECT run FROM tags WHERE tag = ?)", (value.casefold(),)


def _since(word: str, sign: str, value: str, now: float) -> Term:
    return f"{_COLUMN}created >= ?", (_moment(word, value, now),)


def _before(word: str, sign: str, value: str, now: float) -> Term:
    return f"{_COLUMN}created < ?", (_moment(word, value, now),)


def _created(word: str, sign: str, value: str, now: float) -> Term:
    if sign not in (">", "<", ">=", "<="):
        raise _unreadable(word, "a time is compared with < or >")
    return f"{_COLUMN}created {sign} ?", (_moment(word, value, now),)


def _age(word: str, sign: str, value: str, now: float) -> Term:
    turned = {">": "<", "<": ">", ">=": "<=", "<=": ">="}.get(sign)
    if turned is None:
        raise _unreadable(word, "an age is compared with < or >")
    return f"{_COLUMN}created {turned} ?", (_moment(word, value, now),)


def _is(word: str, sign: str, value: str, now: float) -> Term:
    flags = {
        "pinned": "pinned = 1",
        "archived": "archived = 1",
        "resumable": "resumable = 1",
        "imported": "state = 'imported'",
        "alive": f"{_COLUMN}state COLLATE NOCASE IN ('starting', 'running', 'stopping')",
    }
    if value.casefold() not in flags:
        raise _unreadable(word, f"is: takes {', '.join(flags)}")
    return flags[value.casefold()], ()


_SPECIAL = {
    "tag": _tag,
    "since": _since,
    "before": _before,
    "created": _created,
    "age": _age,
    "is": _is,
}


def _moment(word: str, value: str, now: float) -> float:
    """`2d`, `90m`: so long ago; `2026-11-01`: that day's start, or a moment in ISO form, in local time."""
    if span := _SPAN.match(value):
        return now - float(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        raise _unreadable(word, "a time is written 2d, 3h, 30m or 2026-11-01") from None
