"""Dictionaries that programs print, one a line, as JSON or as Python shows them; read without evaluating anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_PAIR = re.compile(
    r"""(?P<quote>["'])(?P<key>[^"'{}\n]{1,200})(?P=quote)\s*:\s*
    (?:(?P<mark>["'])(?P<text>[^"'\n]{0,500})(?P=mark)
    |(?:np\.\w+\(|tensor\(\[?)?(?P<number>[-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))(?=[\s,})\]]))""",
    re.VERBOSE,
)
"""One entry of a flat dictionary: a text, or a number, also as numpy and torch show it."""


def dictionary(line: str) -> Mapping[str, object]:
    """The dictionary in a line, whatever stands around it; empty where there is none, or its end is missing."""
    begin, end = line.find("{"), line.rfind("}")
    if begin < 0 or end < begin:
        return {}
    text = line[begin : end + 1]
    if text.startswith('{"'):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
    return {match["key"]: match["text"] if match["mark"] else match["number"] for match in _PAIR.finditer(text)}
