"""Figures as people read them: as many digits as they mean, times as clocks, texts fitted to cells."""

from __future__ import annotations

import math
import re
import time

from rich.cells import cell_len, set_cell_size

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

MINUTE, HOUR, DAY = 60, 3600, 86400


def clean(text: str) -> str:
    """Without control characters and direction marks, which could move the terminal's cursor."""
    return _CONTROLS.sub(" ", text) if _CONTROLS.search(text) else text


def fit(text: str, width: int, right: bool = False, ellipsis: str = "…") -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis; wide characters count two."""
    text = clean(text)
    length = cell_len(text)
    if length > width:
        if width <= 0:
            return ""
        return set_cell_size(text, width - 1) + ellipsis
    pad = " " * (width - length)
    return pad + text if right else text + pad


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
    """A whole number in groups of three: 1 200."""
    return none if number is None else f"{number:,.0f}".replace(",", " ")


def short(number: float) -> str:
    """A large number with a unit: 850, 12.5k, 3.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.0f}{unit}" if scaled >= 99.5 else f"{scaled:.3g}{unit}"
    return f"{number:.0f}"


def span(seconds: float | None, none: str = "–") -> str:
    """A length of time in its two greatest units: 48 s, 12 min, 2 h 05, 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return none
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d}"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def ago(then: float | None, now: float, none: str = "–") -> str:
    """How long ago, in one unit: now, 5 min ago, 2 h ago, 3 d ago."""
    if then is None:
        return none
    passed = now - then
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if passed >= size:
            return f"{int(passed // size)} {unit} ago"
    return "now"


def clock(moment: float | None, now: float, seconds: bool = False, none: str = "–") -> str:
    """A local time; with the weekday when it is on one of the next days, with the date on any other day."""
    if moment is None:
        return none
    at = time.localtime(moment)
    today = time.localtime(now)
    text = time.strftime("%H:%M:%S" if seconds else "%H:%M", at)
    if at[:3] == today[:3]:
        return text
    return f"{time.strftime('%a' if 0 < moment - now < 6 * DAY else '%b %d', at)} {text}"


def size(count_of_bytes: float) -> str:
    """Bytes with a binary unit: 512 B, 3.4 MB, 11.2 GB."""
    number = float(count_of_bytes)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"
