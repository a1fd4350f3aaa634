"""A pair in the usual form read in one go: three texts, or message lists of a system prompt, turns and one answer each.

What is unusual in any way, a key twice, a margin below 0, a role too many, is not read here: the caller takes the long
way, which knows what to say of it. Most lines are usual, and this decides how fast a file is checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from json.scanner import make_scanner
from typing import Any

from rmtui.datacheck import text_checks
from trainer.house import ASSISTANT
from trainer.layouts.named_pairs import SCORE_NAMES, is_tie, score_margin


@dataclass(slots=True)
class Pair:
    """A pair as text, for comparing and counting."""

    line: int
    prompt: str
    chosen: str
    rejected: str
    id: Any = None
    source: str = ""


class _Odd(Exception):
    """The short way does not fit this line."""


def _constant(name: str) -> float:
    raise _Odd(name)


_scan_object = make_scanner(json.JSONDecoder(parse_constant=_constant))  # type: ignore[arg-type]
_ENDS = ("\n", "", "\r\n", "\r")
_MORE = SCORE_NAMES | {"margin", "chosen_model", "system", "status", "rating"}
"""Fields by which a pair of three sides is more than these."""


def read(raw: bytes, line: int) -> Pair | None:
    """The pair of a line; None where it takes the long way to be sure."""
    try:
        text = raw.decode()
        row, end = _scan_object(text, 0)
        chosen, rejected = row["chosen"], row["rejected"]
        prompt = row.get("prompt")
    except (_Odd, StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if text[end:] not in _ENDS:
        return None
    if b"\\" in raw and (b"\\ud" in raw or b"\\uD" in raw):  # perhaps half a character
        return None
    if not _MORE.isdisjoint(row) and not _has_plain_margin(row):
        return None
    if type(chosen) is type(rejected) is str:
        sides = (prompt, chosen, rejected) if type(prompt) is str else _transcripts(row, chosen, rejected)
        if sides is None:
            return None
        keys, texts = len(row), sides
    elif type(chosen) is type(rejected) is list:
        sides = _single_turns(prompt, chosen, rejected) or _sides(row, prompt, chosen, rejected)
        if sides is None:
            return None
        keys, texts = len(row) + 2 * (len(chosen) + len(rejected) + (len(prompt) if type(prompt) is list else 0)), sides
    else:
        return None
    if raw.count(b'":') != keys:  # perhaps a key twice
        return None
    return Pair(line, *texts, row.get("id"), source_of(row.get("source")))


def source_of(value: object) -> str:
    """A row's source, where it is a text."""
    return value if isinstance(value, str) else ""


def _has_plain_margin(row: Mapping[str, object]) -> bool:
    """Whether a margin or scores are all that the row has more, and prefer the chosen answer."""
    if "chosen_model" in row or "system" in row or is_tie(row):
        return False
    if (margin := row.get("margin")) is not None:
        return isinstance(margin, (int, float)) and not isinstance(margin, bool) and 0 <= margin <= sys.float_info.max
    if SCORE_NAMES.isdisjoint(row):
        return True
    found = score_margin(row)
    return found is None or found > 0


def _transcripts(row: Mapping[str, object], chosen: str, rejected: str) -> tuple[str, str, str] | None:
    """Two whole dialogues in the HH manner that differ in their last answer only."""
    start = chosen.rfind(ASSISTANT) + len(ASSISTANT)
    same = rejected.rfind(ASSISTANT) + len(ASSISTANT) == start and rejected.startswith(chosen[:start])
    if "prompt" in row or start < len(ASSISTANT) or not same or not chosen[start:].strip():
        return None
    return (chosen[:start], chosen[start:], rejected[start:]) if rejected[start:].strip() else None


def _single_turns(prompt: object, chosen: list[Any], rejected: list[Any]) -> tuple[str, str, str] | None:
    """A question and two answers, each a message of its own: the form in which most of other layouts come."""
    if type(prompt) is not list or not len(prompt) == len(chosen) == len(rejected) == 1:
        return None
    asked, better, worse = prompt[0], chosen[0], rejected[0]
    if not type(asked) is type(better) is type(worse) is dict or not len(asked) == len(better) == len(worse) == 2:
        return None
    if asked.get("role") != "user" or not better.get("role") == worse.get("role") == "assistant":
        return None
    question, good, bad = asked.get("content"), better.get("content"), worse.get("content")
    if not type(question) is type(good) is type(bad) is str:
        return None
    return (question, good, bad) if _is_visible(question) and _is_visible(good) and _is_visible(bad) else None


def _sides(
    row: Mapping[str, object], prompt: object, chosen: list[object], rejected: list[object]
) -> tuple[str, str, str] | None:
    """Prompt and answers as text: one answer each after turns that both lists begin with, or that are the prompt."""
    if not chosen or len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        return None
    asked = chosen[:-1]
    if type(prompt) is str:
        if not asked or asked[-1] != {"role": "user", "content": prompt}:
            return None
    elif isinstance(prompt, list):
        if asked and asked[-len(prompt) :] != prompt:
            return None
        asked = asked or prompt
    elif "prompt" in row:
        return None
    turns = _turns(asked)
    last = _turns([chosen[-1]], "assistant"), _turns([rejected[-1]], "assistant")
    return None if turns is None or None in last else (turns, str(last[0]), str(last[1]))


def _turns(messages: list[object], expected: str = "") -> str | None:
    """What messages of user and assistant in turn say, the user last, perhaps after a system prompt; of one message of
    the `expected` role, what that says."""
    texts: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, dict) or len(message) != 2:
            return None
        role, content = message.get("role"), message.get("content")
        if not isinstance(content, str) or not _is_visible(content):
            return None
        if role != (expected or "user") and not (role == "system" and texts and len(texts) == len(messages) - 1):
            return None
        expected = "assistant" if role == "user" else "user"
        texts.append(content)
    return "\n\n".join(reversed(texts)) if texts else None


def _is_visible(text: str) -> bool:
    return not text.isspace() and text != "" if text.isascii() else text_checks.visible(text)
