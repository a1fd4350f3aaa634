"""Log lines as they may be printed: terminal escapes taken out, progress bars folded into their last state."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    "|\x1b[\\]PX^_].*?(?:\x07|\x1b\\\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC up to their end
    "|\x1b[ -/]*[0-~]?"
    "|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str, sign: str = "") -> str:
    """One line without anything a terminal would obey; tabs stay. Of a progress bar's states the last one stays.

    `sign` stands in the place of each control character that belongs to no escape sequence.
    """
    text = text.rstrip("\r\n")
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    return text if text.isprintable() else _CONTROL.sub(sign, _ESCAPE.sub("", text))
