"""A line in the house's own layout → the pair in it; no torch, no files.

{prompt, chosen, rejected} as text or as message lists (which may hold the prompt once more), {chosen, rejected} as
message lists or as HH transcripts, RewardBench rows; optional: id, margin, system, scores of both answers. Every other
layout is turned into such rows first (`trainer.layouts`). What cannot be read is a `BadLine` with its number, never an
exception and never passed over in silence.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainer.layouts.named_pairs import SCORE_NAMES, is_tie, score_margin
from trainer.rows import LEFT_OUT, BadLine, Message, Response, Row, Side, content_hash, plain_text
from trainer.turns import read_messages, read_tools

ASSISTANT = "\n\nAssistant:"
BOM = b"\xef\xbb\xbf"
_HALF = re.compile("[\ud800-\udfff]")
_SIDES = ("chosen", "rejected")


class _Bad(Exception):
    def __init__(self, kind: str, message: str, **about: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.about = about


def read_line(raw: bytes, number: int) -> Row | BadLine:
    """One line, with or without its line ending → the pair in it."""
    try:
        return _row(read_object(raw), number)
    except _Bad as bad:
        return BadLine(number, bad.kind, str(bad), bad.about)


def object_of(raw: bytes) -> dict[str, object] | None:
    """The JSON object of one line; None where it holds none."""
    try:
        return read_object(raw)
    except _Bad:
        return None


def read_object(raw: bytes) -> dict[str, object]:
    """The JSON object of one line; raises `_Bad` (a kind and words)."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"0x{raw[error.start]:02x}"
        what = f"byte {byte} at {error.start} is not UTF-8"
        raise _Bad("encoding", what, byte=byte, place=error.start) from None
    if not text.strip():
        raise _Bad("blank", "the line is blank")
    try:
        found = _DECODER.decode(text)
    except RecursionError:
        raise _Bad("json", "not JSON: nested too deeply", case="deep") from None
    except ValueError as error:
        raise _Bad("json", f"not JSON: {error}", error=str(error)) from None
    if not isinstance(found, dict):
        raise _Bad("object", f"the line is {_kind(found)}, not an object", found=_type(found))
    if b"\\ud" in raw or b"\\uD" in raw:
        _check_halves(found)
    return found


def _check_halves(found: Mapping[str, object]) -> None:
    """No half of a surrogate pair anywhere: ids and fields are written and shown too."""
    for name, value in found.items():
        if _HALF.search(json.dumps([name, value], ensure_ascii=False)):
            raise _Bad("surrogate", f"{name!r} holds half of a surrogate pair, which is not a character", name=name)


def read_scorable_line(raw: bytes, number: int) -> Row | Response | BadLine:
    """A line with a pair or with a single response, whichever it is."""
    try:
        found = read_object(raw)
        name = next((key for key in ("response", "completion") if key in found), None)
        alone = name is not None and "chosen" not in found
        return _response(found, str(name), number) if alone else _row(found, number)
    except _Bad as bad:
        return BadLine(number, bad.kind, str(bad), bad.about)


def read_made(made: dict[str, object], number: int) -> Row | BadLine:
    """A row that a layout made → the pair in it, by the rules of a line."""
    try:
        _check_halves(made)
        return _row(made, number)
    except _Bad as bad:
        return BadLine(number, bad.kind, str(bad), bad.about)


def _response(found: dict[str, Any], name: str, number: int) -> Response:
    prompt, answer = found.get("prompt", ""), found[name]
    for key, side in (("prompt", prompt), (name, answer)):
        if side != "":
            _check_side(key, side)
    if isinstance(prompt, list) and isinstance(answer, str):
        answer = _reply(answer)
    return Response(str(found.get("id", number)), prompt, answer, number)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise _Bad("duplicate_key", f"the key {twice!r} appears twice", name=twice)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates)


def _row(found: dict[str, Any], number: int) -> Row:
    if found.keys() == {"left_out"}:
        raise _left_out(str(found["left_out"]))
    if found.keys() == {"lacks"}:
        raise _Bad("missing_field", f"the field {found['lacks']!r} is missing", name=str(found["lacks"]))
    if found.keys() == {"cells", "names"}:
        what = f"the row has {found['cells']} cells, the table {found['names']} columns"
        raise _Bad("json", what, case="cells", cells=found["cells"], names=found["names"])
    found = _plain_turns(found)
    for name in _SIDES:
        if name not in found:
            raise _Bad("missing_field", f"the field {name!r} is missing{_misspelt(found, name)}", name=name)
        _check_side(name, found[name])
    if isinstance(found["chosen"], str) is not isinstance(found["rejected"], str):
        what = "'chosen' and 'rejected' are not of one kind: one is text, one a message list"
        raise _Bad("type", what, case="mixed")
    prompt, chosen, rejected = _parts(found)
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not plain_text(answer).strip():
            raise _Bad("empty", f"{name!r} is empty", name=name)
    margin = _margin(found)
    if margin is None and not SCORE_NAMES.isdisjoint(found):
        margin = score_margin(found)
        if margin == 0:
            raise _left_out("tie")
    if is_tie(found):
        raise _left_out("tie")
    rest = {key: value for key, value in found.items() if key not in ("id", "prompt", "tools", *_SIDES)}
    tools = tuple(read_tools(found["tools"])) if found.get("tools") else ()
    own = found.get("id")
    has_id = isinstance(own, (str, int)) and not isinstance(own, bool) and own != ""
    row = Row(str(own) if has_id else "", prompt, chosen, rejected, margin, rest, number, tools)
    return row if has_id else replace(row, id=content_hash(row))


_WHY = {
    "tie": "both answers are rated the same",
    "no_preference": "it does not say which answer is better",
    "one_answer": "it holds only one answer to its prompt",
    "several_turns": "the two dialogues go apart before their last question",
}
"""Why a row is left out: ties and what holds no preference are counted, and no fault of the file."""


def _left_out(case: str) -> _Bad:
    return _Bad(LEFT_OUT, f"left out: {_WHY.get(case, case)}", case=case)


def _plain_turns(found: dict[str, object]) -> dict[str, object]:
    """Message lists in other spellings (parts, {from, value}, tool calls) as {role, content}; a system prompt of its
    own field as the first turn of the prompt."""
    lists = {name: side for name in ("prompt", *_SIDES) if isinstance(side := found.get(name), list)}
    odd = {name: read_messages(side) or side for name, side in lists.items() if not all(map(_is_plain, side))}
    if odd:
        found = {**found, **odd}
    system = found.get("system")
    return {**found, **_with_system(found, system)} if isinstance(system, str) and system.strip() else found


def _with_system(found: Mapping[str, object], system: str) -> dict[str, object]:
    """The sides that a system prompt changes; none where they are no turns and there is no prompt to put it before."""
    first = {"role": "system", "content": system}
    prompt, chosen, rejected = found.get("prompt"), found.get("chosen"), found.get("rejected")
    if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str):
        asked = [{"role": "user", "content": prompt}] if prompt.strip() else []
        sides = {"chosen": chosen, "rejected": rejected}
        return {
            "prompt": [first, *asked],
            **{name: _reply(text) if text.strip() else text for name, text in sides.items()},
        }
    if isinstance(prompt, list):
        return {} if _opens(prompt) else {"prompt": [first, *prompt]}
    if isinstance(chosen, list) and isinstance(rejected, list):
        dialogues = {"chosen": chosen, "rejected": rejected}
        return {name: side if _opens(side) else [first, *side] for name, side in dialogues.items()}
    return {}


def _opens(turns: list[Any]) -> bool:
    """Whether the turns begin with a system prompt already."""
    return bool(turns) and isinstance(turns[0], dict) and turns[0].get("role") == "system"


def _is_plain(item: Any) -> bool:
    return _is_message(item) and None not in item.values()


def _parts(found: dict[str, Any]) -> tuple[Side, Side, Side]:
    chosen, rejected = found["chosen"], found["rejected"]
    prompt = found.get("prompt")
    if prompt is None and "prompt" in found:
        raise _Bad("type", "'prompt' is null", name="prompt", found="null")
    if prompt is not None:
        return _with_prompt(found, prompt, chosen, rejected)
    if isinstance(chosen, list):
        return _split_messages(chosen, rejected)
    if ASSISTANT not in chosen and ASSISTANT not in rejected:
        raise _Bad("missing_field", f"the field 'prompt' is missing{_misspelt(found, 'prompt')}", name="prompt")
    return split_transcripts(chosen, rejected)


def _with_prompt(found: dict[str, Any], prompt: Any, chosen: Any, rejected: Any) -> tuple[Side, Side, Side]:
    if prompt != "":
        _check_side("prompt", prompt)
    if isinstance(chosen, list):
        return _whole_dialogues([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt, found)
    if isinstance(prompt, list) and isinstance(chosen, str):
        return prompt, _reply(chosen), _reply(rejected)
    if isinstance(prompt, str) and {"chosen_model", "rejected_model"} <= found.keys():
        return [{"role": "user", "content": prompt}], _reply(chosen), _reply(rejected)  # RewardBench
    return prompt, chosen, rejected


def _whole_dialogues(prompt: list[Message], found: dict[str, Any]) -> tuple[Side, Side, Side]:
    """The prompt is not said twice where both lists hold the dialogue up to it (UltraFeedback has both)."""
    chosen, rejected = found["chosen"], found["rejected"]
    shared = _shared(chosen, rejected)
    if chosen[:shared][-len(prompt) :] == prompt:
        return chosen[:shared], chosen[shared:], rejected[shared:]
    return prompt, chosen, rejected


def _reply(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _check_side(name: str, value: Any) -> None:
    """Text, or a list of messages with text."""
    messages = isinstance(value, list) and value and all(_is_message(item) for item in value)
    if not messages and not isinstance(value, str):
        what = f"{name!r} is {_kind(value)}, not text or a list of {{role, content}}"
        raise _Bad("type", what, name=name, found=_type(value))


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and isinstance(item.get("content"), str)


def _margin(found: Mapping[str, object]) -> float | None:
    margin = found.get("margin")
    if margin is None:
        return None
    if isinstance(margin, bool) or not isinstance(margin, (int, float)) or not abs(margin) <= sys.float_info.max:
        shown = f"{margin!r:.40}"
        raise _Bad("margin", f"'margin' is {shown}, not a finite number", margin=shown)
    return float(margin)


def _misspelt(found: Mapping[str, object], name: str) -> str:
    near = next((key for key in found if key.strip().lower() == name), None)
    return f" (there is {near!r})" if near else ""


def _type(value: Any) -> str:
    """A JSON value's type: null, bool, number, text, list or object."""
    names = {bool: "bool", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return "null" if value is None else names[type(value)]


def _kind(value: Any) -> str:
    """The same in words."""
    words = {"null": "null", "bool": "a truth value", "text": "text", "object": "an object"}
    found = _type(value)
    return words.get(found, f"a {found}")


def split_transcripts(chosen: str, rejected: str) -> tuple[str, str, str]:
    """HH layout: two whole dialogues → (prompt, chosen answer, rejected answer).

    The prompt is everything up to and including the last `Assistant:`; it must be the same in both.
    """
    prompts = [
        text[: text.rfind(ASSISTANT) + len(ASSISTANT)] if ASSISTANT in text else "" for text in (chosen, rejected)
    ]
    if prompts[0] != prompts[1]:
        raise _Bad("prompts_differ", "the two dialogues differ before their last answer")
    return prompts[0], chosen[len(prompts[0]) :], rejected[len(prompts[0]) :]


def _split_messages(chosen: list[Message], rejected: list[Message]) -> tuple[Side, Side, Side]:
    shared = _shared(chosen, rejected)
    if not shared:
        what = "the two message lists share no first message, and there is no 'prompt'"
        raise _Bad("prompts_differ", what, case="messages")
    if "user" in (chosen[shared]["role"], rejected[shared]["role"]):
        raise _Bad("prompts_differ", "the two dialogues differ before their last answer")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """Messages that both begin with; the last of each is never among them."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return shared
