"""Turns of a dialogue, in the spellings people have, as {role, content}; no files.

Read are OpenAI's {role, content} (content as text or as parts, tool calls), ShareGPT's {from, value}, {role, text},
{messages: [...]}, and histories of [question, answer].
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.rows import Message

ROLES = {
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
"""Other names of a role; one that is not here stays as it is."""
_PLAIN = ("user", "assistant", "system", "tool")
_WRITTEN = ("[{", "[ {", "{'role'", '{"role"')
_LITERAL = 1 << 20
"""Characters of a list that a table may hold as text."""


def read_messages(value: Any) -> list[Message] | None:
    """A message list in any spelling, a single message among them; None where the value is not a dialogue."""
    if isinstance(value, Mapping):
        value = value.get("messages", [value])
    if not isinstance(value, list) or not value:
        return None
    found = [_message(item) for item in value]
    return None if None in found else [item for item in found if item is not None]


def _message(item: Any) -> Message | None:
    if type(item) is dict and len(item) == 2 and item.get("role") in _PLAIN and type(item.get("content")) is str:
        return item
    if not isinstance(item, Mapping):
        return None
    role = item.get("role", item.get("from"))
    said = next((item[name] for name in ("content", "value", "text") if name in item), None)
    content = text_of(said)
    calls = item.get("tool_calls") or None
    if not isinstance(role, str) or (content is None and not calls):
        return None
    rest = {key: value for key, value in item.items() if key in _KEPT and value is not None}
    return {**rest, "role": ROLES.get(role.lower(), role), "content": content or ""}


_KEPT = ("tool_calls", "tool_call_id", "name")
"""Keys of a message that chat templates know, beside role and content."""


def text_of(content: Any) -> str | None:
    """Content as text: parts are joined; None for what is not text (pictures among it)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part if isinstance(part, str) else _part(part) for part in content]
    return None if None in parts else "".join(part for part in parts if part is not None)


def _part(part: Any) -> str | None:
    if not isinstance(part, Mapping) or part.get("type", "text") != "text":
        return None
    found = part.get("text") or part.get("value")
    return found if isinstance(found, str) else None


def read_tools(value: Any) -> list[Any]:
    """Descriptions of functions as chat templates take them, of a list of them or of that list as JSON text; functions
    without the wrapping {type, function} get it. Empty for anything else."""
    found = read_literal(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    if not isinstance(found, list) or not all(isinstance(tool, Mapping) for tool in found):
        return []
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in found]


def read_history(value: Any) -> list[Message]:
    """[[question, answer], …] → turns; empty for anything else."""
    turns: list[Message] = []
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
            return []
        if not all(isinstance(text, str) for text in item):
            return []
        turns += [{"role": "user", "content": item[0]}, {"role": "assistant", "content": item[1]}]
    return turns


def read_side(value: Any) -> Any:
    """Text or turns; a list of one text is that text, a dialogue that a table holds as text is read. Anything else is
    returned as it is."""
    if isinstance(value, str):
        return (_written_list(value) or value) if value.startswith(_WRITTEN) else value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return read_messages(value) or value


def _written_list(text: str) -> list[Message] | None:
    """A message list in JSON or as Python writes it: what tables hold in place of lists."""
    return read_messages(read_literal(text)) if len(text) <= _LITERAL else None


def read_literal(text: str) -> Any:
    """A value written in JSON or as a Python literal; None where it is neither. Nothing is evaluated but literals."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def as_turns(value: Any, role: str) -> Any:
    """A side as turns: text becomes one of `role`; what is neither text nor turns is returned as it is."""
    side = read_side(value)
    if isinstance(side, str):
        return [{"role": role, "content": side}] if side.strip() else []
    return side
