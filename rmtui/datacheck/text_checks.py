"""What is suspicious inside a text: control characters, special tokens, role markers, garbled encodings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from rmtui.datacheck.kinds import found
from rmtui.datacheck.model import Finding

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"
"""Characters without width."""
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters and symbols by their category that show nothing all the same."""

_BRACKETS = (b"INST]", b"[CLS]", b"[SEP]", b"[PAD]", b"[MASK]")
_ESCAPE = re.compile(rb"\\[ubf]|\\\\[nu]")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing. Tab, line ends and NEL are none."""
_HIDDEN = re.compile("[\ufeff\ufffe\uffff]|(?<=[A-Za-z])[\u200b\u2060](?=[A-Za-z])")
"""A byte order mark, no characters at all, and breaks without width inside a Latin word; Thai and others need those."""
_OF_E2 = re.compile(rb"\xe2\x80[\x8b\xaa-\xae]|\xe2\x81[\xa0\xa6-\xa9]")
_OF_EF = re.compile(rb"\xef(?:\xbf[\xbd-\xbf]|\xbb\xbf)")
_LOST = re.compile(r"(?<![?\w])\?{2,}(?: \?{2,})+(?![?\w])")
"""Words of question marks alone."""
_MIXED = re.compile("[A-Za-z][\u0400-\u0481]|[\u0400-\u0481][A-Za-z]")
_WORD = re.compile("[A-Za-z\u0400-\u0481]+")
LOOK_ALIKES = str.maketrans("аеорсһіјԁԛѕхуԝАВЕКМНОРСТХІЈЅοαετιχρνυ", "aeopchijdqsxywABEKMHOPCTXIJSoaetixpvu")
"""Cyrillic and Greek letters that look like Latin ones."""
_ENTITY = re.compile(r"&(?:quot|amp|lt|gt|nbsp|apos|#\d{2,5}|#x[0-9a-fA-F]{2,4});")
_LITERAL_BREAK = re.compile(r"(?<!\\)\\n(?![a-z])")
_CODE_POINT = re.compile(r"(?<!\\)\\u[0-9a-fA-F]{4}")
_SPECIAL = re.compile(
    r"<\|[A-Za-z0-9_ ]{1,40}\|>|</?s>|\[/?INST\]|\[(?:CLS|SEP|PAD|MASK)\]|<</?SYS>>"
    r"|<(?:pad|unk|bos|eos|mask|start_of_turn|end_of_turn)>"
    r"|<｜[^｜<>]{1,40}｜>"
)
_QUOTED = re.compile(r"```[\s\S]*?```|`[^`\n]+`|(?<=[\s\S])<s>[^<>]*</s>")
"""Code, and HTML's way of striking words out."""
TURNS = ("Human", "Assistant", "User", "System", "HUMAN", "ASSISTANT", "USER", "###", "**", "用户", "助手", "人类")
"""How an answer may begin in which another turn is the first thing."""
_TURN = re.compile(
    r"\n(?:Human:|HUMAN:|USER:|ASSISTANT:"
    r"|\n(?:\*\*)?(?:Human|Assistant|User|System|human|assistant|用户|助手|人类)(?:\*\*)?[:：]"
    r"|### ?(?:Human|Assistant|Instruction|Response)(?=[ \t]*(?:[:：\n]|$)))"
)
_DIALOGUE = ("\nUser:", "\nAssistant:")
"""Turns on lines that follow each other; one of them alone may be a list's."""
_OF_GBK = re.compile("[锛銆鈥鐨]")
"""What commas, full stops, quotes and the commonest word of Chinese become; rare otherwise."""
_GBK = re.compile("|".join("锛銆鈥鐨").encode())
_CHINESE = re.compile("[\u4e00-\u9fff]{3,}")
LOST = 6
"""Question marks from which on they are taken for lost letters."""
_GARBLED = re.compile(
    "[\u00c2-\u00f4]"
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]{1,3}"
)


_GARBLED_CYRILLIC = re.compile(
    "(?:[\u0420\u0421][\u0401-\u040f\u0451-\u045f\u0490\u0491\u2013-\u203a\u20ac\u2116\u2122\xa0-\xbb]){3,}"
)


def suspicious(raw: bytes) -> bool:
    """Whether a line needs `inspect`: a few searches of bytes instead of patterns. False: `inspect` finds nothing.

    Single bytes first: they are looked for with memchr; most lines are ASCII.
    """
    if b"<" in raw or b"\x7f" in raw or (b"&" in raw and b";" in raw):
        return True
    if (raw.count(b"?") > 3 and b"?? ?" in raw) or (b"\\" in raw and _ESCAPE.search(raw)):
        return True
    if raw.count(b"[") != raw.count(b"[{") and any(marker in raw for marker in _BRACKETS):  # "[{": lists of messages
        return True
    return not raw.isascii() and _suspicious_letters(raw)


def _suspicious_letters(raw: bytes) -> bool:
    if b"\xc3" in raw or b"\xc2" in raw or b"\xd0" in raw or b"\xd1" in raw:
        return True
    if (b"\xef" in raw and _OF_EF.search(raw)) or (b"\xe2" in raw and _OF_E2.search(raw)):
        return True
    return b"\xe9" in raw and _GBK.search(raw) is not None


def inspect(line: int, name: str, text: str, answer: bool) -> Iterator[Finding]:
    """Findings in one text of a row; `name` is prompt, chosen or rejected."""
    if "\0" in text:
        yield found(line, "nul_character", name=name)
    elif control := _CONTROL.search(text):
        yield found(line, "control_character", name=name, code=f"U+{ord(control[0]):04X}")
    if hidden := _HIDDEN.search(text):
        yield found(line, "control_character", "control_character_hidden", name=name, code=f"U+{ord(hidden[0]):04X}")
    if (word := mixed_word(text)) is not None:
        yield found(line, "look_alike_letters", name=name, text=repr(word))
    if key := escaped(text):
        sign = (_CODE_POINT if key == "escaped_text_codes" else _ENTITY).search(text)
        yield found(line, "escaped_text", key, name=name, text=sign[0] if sign else "")
    if "\ufffd" in text:
        yield found(line, "replacement_character", name=name)
    elif (lost := _LOST.search(text)) and len(lost[0]) >= LOST:
        yield found(line, "replacement_character", "replacement_character_marks", name=name, text=repr(lost[0][:20]))
    if garbled := mojibake(text):
        was, meant = garbled
        yield found(line, "mojibake", name=name, was=repr(was), meant=repr(meant))
    if answer and _SPECIAL.search(text) and (special := _SPECIAL.search(_QUOTED.sub("", text))):
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
    if "\\" not in text or {'"', "'", "`", "$"} & set(text):
        return ""
    if len(_CODE_POINT.findall(text)) > 1:
        return "escaped_text_codes"
    return "escaped_text_lines" if "\n" not in text and len(_LITERAL_BREAK.findall(text)) > 1 else ""


def role_marker(line: int, name: str, text: str) -> Finding | None:
    """An answer in which the dialogue goes on."""
    if marker := turn_inside("\n\n" + text.lstrip()):
        return found(line, "role_marker", name=name, text=repr(marker))
    return None


def turn_inside(text: str) -> str:
    """The mark of another turn inside a text; "" if there is none."""
    if not _TURN.search(text) and not all(turn in text for turn in _DIALOGUE):
        return ""
    unquoted = _QUOTED.sub("", text)
    if marker := _TURN.search(unquoted):
        return marker[0].strip()
    return _DIALOGUE[0].strip() if all(turn in unquoted for turn in _DIALOGUE) else ""


def mojibake(text: str) -> tuple[str, str] | None:
    """(what is written, what was meant) for UTF-8 that was read as Windows-1252, Windows-1251, Latin-1 or GBK."""
    if text.isascii():
        return None
    for match in _GARBLED.finditer(text):
        for end in range(len(match[0]), 1, -1):
            piece = match[0][:end]
            meant = _redecode(piece, "cp1252")
            if meant is not None and len(meant) == 1:
                return piece, meant
    for match in _GARBLED_CYRILLIC.finditer(text):
        if meant := _redecode(match[0], "cp1251"):
            return match[0], meant
    return _garbled_chinese(text) if _OF_GBK.search(text) else None


def _garbled_chinese(text: str) -> tuple[str, str] | None:
    """The same for UTF-8 that was read as GBK: nearly all of a run must become characters again."""
    for match in _CHINESE.finditer(text):
        raw = match[0].encode("gb18030")
        meant = raw.decode("utf-8", "ignore")
        if len(meant.encode()) > 0.8 * len(raw):
            return match[0][:6], meant[:4]
    return None


def _redecode(piece: str, was: str) -> str | None:
    try:
        raw = b"".join(_byte(letter, was) for letter in piece)
        return raw.decode("utf-8")
    except UnicodeError:
        return None


def _byte(letter: str, encoding: str) -> bytes:
    """Latin-1 for the bytes that a Windows encoding leaves undefined."""
    try:
        return letter.encode(encoding)
    except UnicodeEncodeError:
        return letter.encode("latin-1")


def visible(text: str) -> bool:
    """Whether anything of the text can be seen."""
    if text[:1].isalnum() and text[0] not in _BLANK:
        return True
    return any(unicodedata.category(letter)[0] not in "CZ" and letter not in _BLANK for letter in text)
