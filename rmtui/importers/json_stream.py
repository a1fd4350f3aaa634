"""JSON of any size, a part at a time: members of an object with its lists taken apart, items of a list.

Own code over `json.JSONDecoder.raw_decode`: streaming libraries (ijson) refuse NaN, which Trainers write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rmtui.importers.text_files import chunks

LONGEST = 64 << 20
"""Characters of one part; more is refused."""
_SPACE = re.compile(r"[ \t\r\n]*")
_CONTAINERS = '{["'
_BEHIND = frozenset(",]} \t\r\n")
"""What follows a number that is whole."""


class BadJson(ValueError):
    """The text is not JSON, is cut off, or has a part that is too long."""


class JsonStream:
    """The text of one file, with a place in it."""

    def __init__(self, path: Path) -> None:
        self._pieces = chunks(path)
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._parse = json.JSONDecoder().raw_decode
        self._held, self._at = "", 0
        self._ended = False

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = True
            return False
        self._held, self._at = self._held[self._at :] + self._decode(piece), 0
        if len(self._held) > LONGEST:
            raise BadJson("a part of it is too long")
        return True

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self._held, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if self._ended or not self._more():
                return ""

    def skip(self, character: str) -> bool:
        """Go beyond a character, if it comes next."""
        found = self.peek() == character
        self._at += found
        return found

    def expect(self, character: str) -> None:
        if not self.skip(character):
            raise BadJson(f"{character} is missing")

    def value(self) -> object:
        """The next value, whole."""
        first, wanted = self.peek(), 0
        while True:
            try:
                found, end = self._parse(self._held, self._at)
            except RecursionError:
                raise BadJson("it is nested too deeply") from None
            except ValueError:
                found, end = None, None
            if end is not None and (first in _CONTAINERS or self._ended or self._held[end : end + 1] in _BEHIND):
                self._at = end
                return found
            wanted = max(2 * (len(self._held) - self._at), 1)
            if self._ended:
                raise BadJson("it is cut off, or not JSON")
            while len(self._held) - self._at < wanted and self._more():
                pass


def members(path: Path) -> Iterator[tuple[str, object]]:
    """(key, value) of an object, in order; a list comes item by item, an empty one as []. BadJson where it is none."""
    stream = JsonStream(path)
    stream.expect("{")
    if stream.skip("}"):
        return
    while True:
        key = stream.value()
        stream.expect(":")
        if stream.peek() == "[":
            empty = True
            for item in _items(stream):
                empty = False
                yield str(key), item
            if empty:
                yield str(key), []
        else:
            yield str(key), stream.value()
        if not stream.skip(","):
            stream.expect("}")
            return


def items(path: Path) -> Iterator[Any]:
    """The items of a list; of anything else the whole is the only one."""
    stream = JsonStream(path)
    if stream.peek() == "[":
        yield from _items(stream)
    else:
        yield stream.value()


def _items(stream: JsonStream) -> Iterator[object]:
    stream.expect("[")
    if stream.skip("]"):
        return
    while True:
        yield stream.value()
        if not stream.skip(","):
            stream.expect("]")
            return
