"""What is suspicious inside a text: control characters, special tokens, role markers, garbled encodings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from rmtui.guide.datacheck.facts import Finding
from rmtui.guide.datacheck.kinds import found

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"
"""Characters without width."""
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters and symbols by their category that show nothing all the same."""

_BRACKETS = re.compile(rb"INST\]|\[(?:CLS|SEP|PAD|MASK)\]")
_ESCAPE = re.compile(rb"\\[ubf]|\\\\n")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing. Tab, line ends and NEL are none."""
_TURNING = re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
_MIXED = re.compile("[A-Za-z][\u0400-\u0481]|[\u0400-\u0481][A-Za-z]")
_WORD = re.compile("[A-Za-z\u0400-\u0481]+")
LOOK_ALIKES = str.maketrans("аеорсһіјԁԛѕхуԝАВЕКМНОРСТХІЈЅοαετιχρνυ", "aeopchijdqsxywABEKMHOPCTXIJSoaetixpvu")
"""Cyrillic and Greek letters that look like Latin ones."""
_ENTITY = re.compile(r"&(?:quot|amp|lt|gt|nbsp|apos|#\d{2,5}|#x[0-9a-fA-F]{2,4});")
_LITERAL_BREAK = re.compile(r"(?<!\\)\\n(?![a-z])")
_SPECIAL = re.compile(
    r"<\|[A-Za-z0-9_ ]{1,40}\|>|</?s>|\[/?INST\]|\[(?:CLS|SEP|PAD|MASK)\]|<</?SYS>>"
    r"|<(?:pad|unk|bos|eos|mask|start_of_turn|end_of_turn)>"
    r"|<｜[^｜<>]{1,40}｜>"
)
TURNS = (
    *("Human:", "Assistant:", "User:", "System:", "### Human", "### Assistant", "### Instruction", "### Response"),
    *("用户：", "用户:", "助手：", "助手:", "人类：", "人类:"),
)
_TURN = re.compile(
    r"\n(?:Human:|\n(?:Assistant|User|System|用户|助手|人类)[:：]|### ?(?:Human|Assistant|Instruction|Response)\b)"
)
_GARBLED = re.compile(
    "[\u00c2-\u00f4]"
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]{1,3}"
)


def suspicious(raw: bytes) -> bool:
    """Whether a line needs `inspect`: a few searches of bytes instead of patterns. False: `inspect` finds nothing.

    Single bytes first: they are looked for with memchr.
    """
    if b"<" in raw or b"\xc3" in raw or b"\xc2" in raw or b"\x7f" in raw:
        return True
    if b"\xd0" in raw or b"\xd1" in raw or (b"\xef" in raw and b"\xef\xbf\xbd" in raw):
        return True
    if (b"\xe2" in raw and _TURNING.search(raw)) or (b"&" in raw and b";" in raw):
        return True
    return (b"\\" in raw and _ESCAPE.search(raw) is not None) or (b"[" in raw and _BRACKETS.search(raw) is not None)


def inspect(line: int, name: str, text: str, answer: bool) -> Iterator[Finding]:
    """Findings in one text of a row; `name` is prompt, chosen or rejected."""
    if "\0" in text:
        yield found(line, "nul_character", name=name)
    elif control := _CONTROL.search(text):
        yield found(line, "control_character", name=name, code=f"U+{ord(control[0]):04X}")
    if (word := mixed_word(text)) is not None:
        yield found(line, "look_alike_letters", name=name, text=repr(word))
    if key := escaped(text):
        entity = _ENTITY.search(text)
        yield found(line, "escaped_text", key, name=name, text=entity[0] if entity else "")
    if "\ufffd" in text:
        yield found(line, "replacement_character", name=name)
    if garbled := mojibake(text):
        was, meant = garbled
        yield found(line, "mojibake", name=name, was=repr(was), meant=repr(meant))
    if answer and (special := _SPECIAL.search(text)):
        yield found(line, "special_token", name=name, text=repr(special[0]))


def mixed_word(text: str) -> str | None:
    """A word of Latin and Cyrillic letters that would be wholly Latin but for look-alikes; None if there is none."""
    if text.isascii() or not _MIXED.search(text):
        return None
    for word in _WORD.findall(text):
        if not word.isascii() and _MIXED.search(word) and word.translate(LOOK_ALIKES).isascii():
            return str(word)
    return None


def escaped(text: str) -> str:
    """The sentence about a text that was escaped once too often; "" for others, code and talk of HTML among them."""
    if "&" in text and "<" not in text and "`" not in text and len(_ENTITY.findall(text)) > 1:
        return "escaped_text_html"
    lines = "\\n" in text and "\n" not in text and not {'"', "'", "`", "$"} & set(text)
    return "escaped_text_lines" if lines and len(_LITERAL_BREAK.findall(text)) > 1 else ""


def role_marker(line: int, name: str, text: str) -> Finding | None:
    """An answer in which the dialogue goes on."""
    start = next((turn for turn in TURNS if text.lstrip().startswith(turn)), "")
    if marker := start or turn_inside(text):
        return found(line, "role_marker", name=name, text=repr(marker))
    return None


def turn_inside(text: str) -> str:
    """The mark of another turn inside a text; "" if there is none."""
    marker = _TURN.search(text)
    return marker[0].strip() if marker else ""


def mojibake(text: str) -> tuple[str, str] | None:
    """(what stands there, what was meant) for UTF-8 that was read as Windows-1252 or Latin-1; else None."""
    if text.isascii():
        return None
    for match in _GARBLED.finditer(text):
        for end in range(len(match[0]), 1, -1):
            piece = match[0][:end]
            meant = _redecode(piece)
            if meant is not None and len(meant) == 1:
                return piece, meant
    return None


def _redecode(piece: str) -> str | None:
    try:
        raw = b"".join(_byte(letter) for letter in piece)
        return raw.decode("utf-8")
    except UnicodeError:
        return None


def _byte(letter: str) -> bytes:
    """Windows-1252 where it has the character, Latin-1 for the five bytes it leaves undefined."""
    try:
        return letter.encode("cp1252")
    except UnicodeEncodeError:
        return letter.encode("latin-1")


def visible(text: str) -> bool:
    """Whether anything of the text can be seen."""
    if text[:1].isalnum() and text[0] not in _BLANK:
        return True
    return any(unicodedata.category(letter)[0] not in "CZ" and letter not in _BLANK for letter in text)
