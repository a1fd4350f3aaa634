"""The catalogue of sentences, English and Chinese, and how numbers are written in them. Knows no run and no reading."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tomli

from trainer.values import format_number

_FILES = {
    **dict.fromkeys(("check", "kind", "report", "reads"), "datacheck/catalog.toml"),
    **dict.fromkeys(("title", "phrase"), "guide/titles.toml"),
    "curve": "guide/learning_curve.toml",
}
"""Sections with a file of their own, so that only who speaks of it reads it; all others: guide/catalog.toml."""
_MAIN = "guide/catalog.toml"
BETWEEN = {"en": ", ", "zh": "、"}
"""What parts the items of a list."""
_FULL_WIDTH = {": ": "：", ", ": "，"}
_STOPS = re.compile("|".join(_FULL_WIDTH))


def entries() -> dict[str, dict[str, str]]:
    """`section.name` → {en, zh, why_en, why_zh}, of the whole catalogue."""
    return {key: entry for file in (_MAIN, *dict.fromkeys(_FILES.values())) for key, entry in _read(file).items()}


def entries_of(section: str) -> dict[str, dict[str, str]]:
    """The entries of one section, in their order."""
    rows = _read(_FILES.get(section, _MAIN))
    return {key: entry for key, entry in rows.items() if key.startswith(f"{section}.")}


@cache
def _read(file: str) -> dict[str, dict[str, str]]:
    document = tomli.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return {f"{section}.{name}": entry for section, rows in document.items() for name, entry in rows.items()}


def translate(key: str, lang: str = "en", /, **values: Any) -> str:
    """A sentence of the catalogue with its numbers; `why_` before the name: an advice's reason, or a kind's harm."""
    section, name = key.split(".", 1)
    field = lang
    if name.startswith("why_"):
        name, field = name.removeprefix("why_"), f"why_{lang}"
    text = _FORMAT.vformat(_read(_FILES.get(section, _MAIN))[f"{section}.{name}"][field], (), _listed(values, lang))
    return text.replace(" %", "%") if lang == "zh" else text


def _listed(values: Mapping[str, object], lang: str) -> Mapping[str, object]:
    """The values with their lists as the language sets them."""
    return {
        name: BETWEEN[lang].join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in values.items()
    }


def title_numbers(name: str, lang: str = "en", /, **values: Any) -> str:
    """The numbers after the title of a reading; empty where it has none."""
    text = _FORMAT.vformat(_read(_FILES["title"])[f"title.{name}"]["figures"], (), _listed(values, lang)).strip()
    return _STOPS.sub(lambda stop: _FULL_WIDTH[stop[0]], text.replace(" %", "%")) if lang == "zh" else text


def title(name: str, lang: str = "en") -> str:
    """What a reading or an advice is called; an id that is not known stands for itself."""
    entry = _read(_FILES["title"]).get(f"title.{name}")
    return entry[lang] if entry else name


def in_brackets(text: str, lang: str) -> str:
    """An aside at the end of a sentence: ` (of the second epoch)`."""
    return f"（{text}）" if lang == "zh" else f" ({text})"


def changes_text(changes: Mapping[str, object], lang: str) -> str:
    """`num_epochs 3, learning_rate 1.5e-5`."""
    return BETWEEN[lang].join(f"{key} {value_text(key, value)}" for key, value in changes.items())


def value_text(key: str, value: Any) -> str:
    """A value of the configuration as a person would type it."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={inner}" for name, inner in value.items())
    return str(value)


def rate_text(value: float) -> str:
    """1.5e-5 and 1.5e-4, as people write them: one spelling everywhere."""
    return format_number(value)


def metric_text(metric: str, value: float | None) -> str:
    """A metric with as many digits as it means: accuracies in per cent, losses with four digits."""
    if value is None:
        return "?"
    return _accuracy(value) if metric == "val_acc" else f"{value:.4f}"


def bound_text(metric: str, value: float) -> str:
    """An end of an expected range: two digits as the guide gives them, a third where a range was carried over."""
    return f"{100 * value:.1f}".removesuffix(".0") + " %" if metric == "val_acc" else f"{value:.3f}".removesuffix("0")


def range_text(metric: str, low: float, high: float) -> str:
    """An expected range with its metric: `val_acc 73–76 %`, `val_loss 0.55–0.58`."""
    return f"{metric} {bound_text(metric, low).removesuffix(' %')}–{bound_text(metric, high)}"


def _accuracy(value: float) -> str:
    return f"{100 * value:.1f} %"


def _signed(value: float, digits: int) -> str:
    written = f"{abs(value):.{digits}f}"
    sign = "" if float(written) == 0 else "−" if value < 0 else "+"
    return sign + written


def signed_percent(value: float) -> str:
    """A relative change: −23 %, +0.9 %."""
    percent = 100 * value
    return _signed(percent, 0 if abs(percent) >= 2 else 1) + " %"


def interval_text(value: float, low: float, high: float) -> str:
    """`±4.8`, in points; `79.1–95.0` where the value is off the middle by more than an eighth of the width."""
    if abs(high + low - 2 * value) > (high - low) / 4:
        return f"{100 * low:.1f}–{100 * high:.1f}"
    return f"±{50 * (high - low):.1f}"


def signed_points(value: float) -> str:
    """A difference of accuracies in percentage points: +2.8."""
    return _signed(100 * value, 1)


_FORMS: dict[str, Any] = {
    "loss": lambda value: f"{value:.4f}",
    "sloss": lambda value: _signed(value, 4),
    "pct": lambda value: f"{100 * value:.1f}".removesuffix(".0") + " %",
    "pp": lambda value: f"{100 * value:.1f}",
    "spct": signed_percent,
    "points": signed_points,
    "acc": _accuracy,
    "rate": rate_text,
    "num": lambda value: f"{value:.3g}" if isinstance(value, float) else str(value),
    "p": lambda value: "< 0.001" if value < 0.001 else f"= {value:.3f}",
    "count": lambda value: f"{value:,}",
    "list": str,
}
FORMS = frozenset(_FORMS)


class _Figures(string.Formatter):
    """str.format with the forms above; a value that is not known is a question mark."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return "?"
        return str(_FORMS[format_spec](value)) if format_spec else str(value)

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, object]) -> Any:
        return kwargs[str(key)]


_FORMAT = _Figures()
