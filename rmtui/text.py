"""Text as it may be shown: harmless to a terminal, fitted to cells, numbers with as many digits as they mean, times as
clocks. The ground floor: no files, no screen."""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections.abc import Callable

from rmtui.translation import spoken, tr

# Patterns are compiled when they are first needed: most text is printable, and that costs the start 3 ms.
_OWN = "(\x1b\\[[0-9;]*[mK])"
"""Colours and the clearing of a line: what verbs themselves write."""
_ESCAPE = (
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    "|\x1b[\\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC, DCS, SOS, PM, APC up to their end
    "|\x1b[ -/]*[0-~]?"
    "|\x9b[0-?]*[ -/]*[@-~]"
    "|[\x90\x98\x9d-\x9f][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)"  # led by a C1 sign, if ended
)
_JOINING = "\u0600-\u109f\u1780-\u1aff\ua840-\ua9ff\uaa00-\uaa7f\ufb50-\ufdff\ufe70-\ufefc"
"""Letters of scripts whose spelling has joiners and non-joiners: Arabic, Indic, Burmese, Khmer, Mongolian and kin."""
_OBEYED = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line end, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction: marks, embeddings, overrides, isolates
    "\u00ad\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff\U000e0000-\U000e007f\u2028\u2029]"
    f"|(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])"  # joiners, but where spelling needs them
)

MINUTE, HOUR, DAY = 60, 3600, 86400
_WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def harmless(text: str, sign: str = "") -> str:
    """Text without anything that a terminal obeys or that hides what is there; tabs and line ends stay.

    Escape sequences go whole: ECMA-48 CSI, OSC, DCS and their kin. `sign` stands for each control character that
    belongs to no sequence.
    """
    return text if text.isprintable() else re.sub(_OBEYED, sign, re.sub(_ESCAPE, "", text))


def harmless_output(text: str, own: bool = True) -> str:
    """`harmless` for a whole stream. With `own`, on a terminal, colours, the clearing of a line and carriage returns
    stay, since verbs write them; a pipe gets none."""
    if text.isprintable():
        return text
    if not own:
        return "\r\n".join(map(harmless, text.split("\r\n")))
    parts = re.split(_OWN, text)
    cleaned = ["\r".join(map(harmless, part.split("\r"))) for part in parts[::2]]
    return "".join(one for pair in zip(cleaned, [*parts[1::2], ""], strict=True) for one in pair)


def log_line(line: str, sign: str = "") -> str:
    """One line of a log, harmless; of a progress bar's states the last one that says anything stays."""
    line = line.rstrip("\r\n")
    if "\r" in line:
        line = next((part for part in reversed(line.split("\r")) if part.strip()), "")
    return harmless(line, sign).replace("\n", sign)


def clean(text: str) -> str:
    """`harmless` on one line: line ends and tabs become a blank."""
    return text if text.isprintable() else harmless(re.sub(r"[\t\n\v\f\r]+", " ", text))


def width(text: str) -> int:
    """Cells of a terminal that a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(letter: str) -> int:
    if (
        unicodedata.category(letter) in ("Cf", "Me", "Mn", "Mc") or "\u1160" <= letter <= "\u11ff"
    ):  # Jamo join the first
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def fit(text: str, cells: int, right: bool = False, ellipsis: str = "…", measure: Callable[[str], int] = width) -> str:
    """Exactly so many cells: padded, or cut with an ellipsis. `measure` gives the cells of a text, where a screen
    draws by a table of its own."""
    text = clean(text)
    used = measure(text)
    if used > cells:
        if cells <= 0:
            return ""
        kept, room = 0, cells - 1
        while kept < len(text) and measure(text[kept]) <= room:
            room -= measure(text[kept])
            kept += 1
        return text[:kept] + " " * room + ellipsis
    pad = " " * (cells - used)
    return pad + text if right else text + pad


KEPT = "\x01"
"""Stands for a blank at which no line ends."""
_WORD = f"(?:[\u2e80-\uffef]|[^\\s{KEPT}\u2e80-\uffef]+)"
_PIECES = f"[（「《“]*{_WORD}(?:{KEPT}{_WORD})*[，。；：、！？）」》”]*|\\s+|{KEPT}"
"""What is not torn apart at a line's end: a Chinese letter or a word, with its brackets and stops; blanks."""


def wrap(text: str, cells: int) -> list[str]:
    """Lines of at most so many cells; a word that is longer has a line of its own."""
    lines = [""]
    for piece in re.findall(_PIECES, text):
        if lines[-1] and width(lines[-1] + piece.rstrip()) > cells:
            lines.append("")
        lines[-1] += piece if lines[-1] or not piece.isspace() else ""
    return [line.rstrip() for line in lines]


def line_ends(text: str, cells: int) -> list[int]:
    """Offsets at which lines of at most so many cells end, as Chinese is set: anywhere between letters, never before a
    stop or behind an opening bracket. A word that is longer is torn; blanks at a line's end may stick out."""
    ends, used, at = [], 0, 0
    for piece in re.findall(_PIECES, text):
        size = width(piece)
        if used and used + size > cells and not piece.isspace():
            ends.append(at)
            used = 0
        if size > cells:
            for place, letter in enumerate(piece, start=at):
                if used and used + _cells(letter) > cells:
                    ends.append(place)
                    used = 0
                used += _cells(letter)
        else:
            used += size
        at += len(piece)
    return ends


def fixed(value: float | None, digits: int, none: str = "–", sign: bool = False, minus: str = "−") -> str:
    """A fixed number of decimals, so that a column aligns; non-finite values in words."""
    if value is None:
        return none
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else f"{minus}∞")
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", minus)


def loss(value: float | None, none: str = "–") -> str:
    """Three decimals; from 1000 on, and where three decimals say nothing, two significant digits: 1.5e-5."""
    if value and math.isfinite(value) and not 0.001 <= abs(value) < 1000:
        return scientific(value, 1)
    return fixed(value, 3, none)


def scientific(value: float, digits: int) -> str:
    """1.5e-5: so many decimals before a short exponent."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−", mantissa.startswith("-"))


def percent(share: float | None, none: str = "–") -> str:
    """A share as per cent with one decimal, without the sign."""
    return fixed(None if share is None else share * 100, 1, none)


def count(number: float | None, none: str = "–") -> str:
    """A whole number in groups of three: 1,200."""
    return none if number is None else f"{number:,.0f}"


def short(number: float) -> str:
    """A large number with a unit: 850, 12.5k, 3.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.0f}{unit}" if scaled >= 99.5 else f"{scaled:.3g}{unit}"
    return f"{number:.0f}"


def span(seconds: float | None, none: str = "–", tenths: bool = False) -> str:
    """A length of time in its two greatest units: 48 s, 90 s, 12 min, 2 h 05, 3 d 4 h; with `tenths` also 1.3 s."""
    if seconds is None or not math.isfinite(seconds):
        return none
    if tenths and 0 <= seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d}"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def age(seconds: float) -> str:
    """A length of time in one unit, as rough as one speaks of it: 40 s, 90 min, 5 h, 3 d."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} s"


def ago(then: float | None, now: float, none: str = "–") -> str:
    """How long ago: now, 100 s ago, 5 min ago, 7 h ago, 3 d ago."""
    if then is None:
        return none
    return tr(f"{age(now - then)} ago" if now - then >= MINUTE else "now")


def clock(moment: float | None, now: float, seconds: bool = False, none: str = "–") -> str:
    """A local time; with the weekday when it is on one of the next days, with the date on any other day."""
    if moment is None:
        return none
    at = time.localtime(moment)
    today = time.localtime(now)
    text = time.strftime("%H:%M:%S" if seconds else "%H:%M", at)
    if at[:3] == today[:3]:
        return text
    soon = 0 < moment - now < 6 * DAY
    if spoken() == "zh":
        return f"{_WEEKDAYS[at.tm_wday] if soon else time.strftime('%m-%d', at)} {text}"
    return f"{time.strftime('%a' if soon else '%b %d', at)} {text}"


def bar(share: float, width: int, full: str = "━", empty: str = "─") -> str:
    """A share (0–1) as a bar of so many cells."""
    filled = int(min(1.0, max(0.0, share)) * width)
    return full * filled + empty * (width - filled)


def size(count_of_bytes: float) -> str:
    """Bytes with a binary unit: 512 B, 3.4 MB, 11.2 GB."""
    number = float(count_of_bytes)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"
