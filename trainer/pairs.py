"""Reading preference pairs from JSON lines, in every layout people have; no torch.

Layouts of a line: {prompt, chosen, rejected} as strings or as message lists (which may hold the prompt once more),
{chosen, rejected} as message lists or as HH transcripts, RewardBench rows. What cannot be read is a `BadLine` with its
number, never an exception and never passed over in silence.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from trainer.rows import (
    BadLine,
    Message,
    Response,
    Row,
    Side,
    content_hash,
    digest,
    distinct_ids,
    plain_text,
    prompt_hash,
)

__all__ = [
    "BadLine",
    "Message",
    "Response",
    "Row",
    "Side",
    "content_hash",
    "data_files",
    "data_sets",
    "distinct_ids",
    "find_data",
    "fingerprint",
    "plain_text",
    "prompt_hash",
    "read_line",
    "read_object",
    "read_rows",
    "read_scorable",
    "read_stream",
    "split_transcripts",
]

ASSISTANT = "\n\nAssistant:"
_BOM = b"\xef\xbb\xbf"
_HALF = re.compile("[\ud800-\udfff]")
_SIDES = ("chosen", "rejected")


class _Bad(Exception):
    def __init__(self, kind: str, message: str, **about: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.about = about


def read_rows(path: Path | str) -> Iterator[Row | BadLine]:
    """Every line of the file in order, one in memory at a time. Raises OSError when it cannot be opened."""
    with Path(path).open("rb") as file:
        yield from read_stream(file)


def read_stream(file: BinaryIO) -> Iterator[Row | BadLine]:
    """`read_rows` on an open binary file (standard input, say)."""
    for number, raw in enumerate(file, start=1):
        if number == 1:
            raw = raw.removeprefix(_BOM)
        yield read_line(raw, number)


def read_line(raw: bytes, number: int) -> Row | BadLine:
    """One line, with or without its line ending → the pair in it."""
    try:
        return _row(read_object(raw), number)
    except _Bad as bad:
        return BadLine(number, bad.kind, str(bad), bad.about)


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
        found = json.loads(text, object_pairs_hook=_no_duplicates)
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
            raise _Bad("surrogate", f"{name!r} holds half of a surrogate pair, which is no character", name=name)


def read_scorable(file: BinaryIO) -> Iterator[Row | Response | BadLine]:
    """Lines of pairs or of single responses, whichever each line is."""
    for number, raw in enumerate(file, start=1):
        clean = raw.removeprefix(_BOM) if number == 1 else raw
        try:
            found = read_object(clean)
            name = next((key for key in ("response", "completion") if key in found), None)
            alone = name is not None and "chosen" not in found
            yield _response(found, str(name), number) if alone else _row(found, number)
        except _Bad as bad:
            yield BadLine(number, bad.kind, str(bad), bad.about)


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
        raise _Bad("duplicate_key", f"the key {twice!r} stands twice", name=twice)
    return found


def _row(found: dict[str, Any], number: int) -> Row:
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
    rest = {key: value for key, value in found.items() if key not in ("id", "prompt", *_SIDES)}
    own = found.get("id")
    has_id = isinstance(own, (str, int)) and not isinstance(own, bool) and own != ""
    row = Row(str(own) if has_id else "", prompt, chosen, rejected, _margin(found), rest, number)
    return row if has_id else replace(row, id=content_hash(row))


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


def fingerprint(path: Path | str) -> str:
    """SHA-256 over the pairs' content in file order; line endings, blank lines, BOM and further fields do not count."""
    total = hashlib.sha256()
    for row in read_rows(path):
        if isinstance(row, Row):
            total.update(digest(row))
        elif row.kind != "blank":
            total.update(f"bad {row.kind} {row.message}".encode("utf-8", "replace"))
    return total.hexdigest()


def find_data(root: Path | str, name: str) -> tuple[Path, Path]:
    """`--data NAME` → (training file, validation file) below `root`/data, or FileNotFoundError with places tried."""
    layouts = _layouts(Path(root) / "data", name)
    for train, val in layouts:
        if train.is_file() and val.is_file():
            return train, val
    looked = " nor ".join(f"{train} with {val}" for train, val in layouts)
    raise FileNotFoundError(f"no data set {name!r}: found neither {looked}")


def _layouts(data: Path, name: str) -> list[tuple[Path, Path]]:
    """Where the files of a data set may be: (training, validation)."""
    return [
        (data / "train" / f"{name}_pairs.jsonl", data / "val" / f"{name}_pairs.jsonl"),
        (data / name / "train.jsonl", data / name / "val.jsonl"),
    ]


def data_sets(root: Path | str) -> list[str]:
    """Names that `find_data` takes below `root`, sorted."""
    data = Path(root) / "data"
    flat, nested = _layouts(data, "*")
    names = {path.name.removesuffix("_pairs.jsonl") for path in data.glob(str(flat[0].relative_to(data)))}
    names |= {path.parent.name for path in data.glob(str(nested[0].relative_to(data)))}
    return sorted(name for name in names if any(all(map(Path.is_file, files)) for files in _layouts(data, name)))


def data_files(root: Path | str) -> list[tuple[Path, ...]]:
    """Everything below `root`/data that may be checked: training files with validation files, then single ones."""
    data = Path(root) / "data"
    sets: list[tuple[Path, ...]] = []
    for train in sorted(data.glob("train/*.jsonl")) + sorted(data.glob("*/train.jsonl")):
        val = data / "val" / train.name if train.parent.name == "train" else train.parent / "val.jsonl"
        sets.append((train, val) if val.is_file() else (train,))
    paired = {path for paths in sets for path in paths}
    return sets + [(path,) for path in sorted(data.rglob("*.jsonl")) if path not in paired]
