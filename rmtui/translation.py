"""The language that the program speaks: English as it is written in the code, Chinese by the catalogue in `chinese/`.

A sentence is translated where it is shown, by its English form: `"{} was not deleted" = "未删除 {}"`. What is recorded
(files, logs, JSON) stays English, so that a record reads alike whoever wrote it, and old records have a translation.
"""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import tomli

LANGS = ("en", "zh")
_FORMS = {"{}": "(.*)", "{w}": "(.*)", "{n}": r"([-+−~]?\d[\d., :]*(?: ?(?:[kMG]?B|[kMG%]))?)", "{s}": "(|s|es)"}
"""Any text (translated if it is a sentence), a word of ours (always translated), a number, the ending of a plural."""
_PLACE = re.compile(r"(\{[wns]?\})")
_FILLED = re.compile(r"\{(\d?)\}")
_OUTER = (("\n", "\n"), ("   ", "   "), (" · ", " · "))
_CLAUSES = (("; ", "；"),)
_JOINTS = (
    *_CLAUSES,
    (". ", "。"),
    (": ", "："),
    (" (", "（"),
    (", ", "，"),
)
"""Between sentences that are put together, in English and in Chinese, the outermost first; `_OUTER` never stands
inside a sentence."""

_OF_A_RANK = re.compile(
    r"(?:(failed|killed|interrupted|unknown): )?(?:([A-Z]\w*): )?(.+) \(rank (\d+)\)(?: at step (\d+))?(?:; (.+))?",
    re.DOTALL,
)
"""What a training failed with, as its verdict puts it: state, sort of error, its sentence, where, and a remedy."""

_spoken = "en"


def default_lang(wanted: str = "") -> str:
    """The language to speak: as wanted, else the locale's, else English."""
    named = wanted or os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    named = named or locale.getlocale()[0] or ""
    return "zh" if named.lower().startswith(("zh", "chinese")) else "en"


def speak(lang: str) -> None:
    """Show everything in this language from now on: en or zh."""
    global _spoken
    _spoken = lang


def spoken() -> str:
    """The language that is shown: en or zh."""
    return _spoken


def colon() -> str:
    """Between what is named and what is said of it."""
    return ": " if _spoken == "en" else "："


def tr(text: str, words: bool = True) -> str:
    """A text of the program in the language that is spoken; one without a translation stays as it is.

    `words=False` leaves single words alone: for texts in which the name of a run or a file may stand by itself.
    """
    return text if _spoken == "en" else _chinese(text, words)


@lru_cache(maxsize=4096)
def _chinese(text: str, words: bool) -> str:
    core = text.strip()
    if not core or not (words or " " in core):
        return text
    found = (
        _catalogue()[0].get(core)
        or _in_parts(core, words, _OUTER)
        or _of_a_rank(core)
        or _in_parts(core, words, _CLAUSES, every=True)
        or _filled(core)
        or _in_parts(core, words, _JOINTS)
        or _without_stop(core)
    )
    if found is None:
        return text
    start = text.index(core[0])
    return text[:start] + found + text[start + len(core) :]


def _of_a_rank(text: str) -> str | None:
    """The error of a rank, whose own sentence may hold whatever joins sentences elsewhere."""
    match = _OF_A_RANK.fullmatch(text)
    if match is None:
        return None
    state, sort, sentence, rank, step, remedy = match.groups()
    said = "：".join(filter(None, [state and tr(state), sort, _chinese(sentence, True)]))
    where = f"（rank {rank}，第 {step} 步）" if step else f"（rank {rank}）"
    return said + where + (f"；{_chinese(remedy, True)}" if remedy else "")


def _filled(text: str) -> str | None:
    """By the entry with places that says most of the text in so many words; None where there is none."""
    for form in _catalogue()[1]:
        if form.longest in text and (match := form.pattern.fullmatch(text)):
            return form.fill(match)
    return None


def _in_parts(text: str, words: bool, joints: tuple[tuple[str, str], ...], every: bool = False) -> str | None:
    """The sentences that a text is put together of, each by itself; None where no part (`every`: not each of them) has
    a translation."""
    for joint, chinese in joints:
        in_brackets = joint == " ("
        if joint not in text or (in_brackets and not text.endswith(")")):
            continue
        parts = (text[:-1] if in_brackets else text).split(joint)
        made = [_chinese(part, words and joint != ", ") for part in parts]
        if made != parts and not (every and any(map(str.__eq__, made, parts))):
            return chinese.join(made) + ("）" if in_brackets else "")
    return None


def _without_stop(text: str) -> str | None:
    """A sentence that is known without the stop at its end."""
    stop = {".": "。", ":": "："}.get(text[-1])
    if stop is None:
        return None
    found = _catalogue()[0].get(text[:-1]) or _filled(text[:-1])
    return found + stop if found else None


class _Form(NamedTuple):
    """A sentence with places in it."""

    pattern: re.Pattern[str]
    places: tuple[str, ...]
    longest: str
    """The longest piece between places, without which nothing fits."""
    chinese: str

    def fill(self, match: re.Match[str]) -> str:
        """The Chinese sentence with what stands in the places; `{}` in order, `{0}` by number."""
        found = [
            value if place in ("{n}", "{s}") else _chinese(value, place == "{w}")
            for place, value in zip(self.places, match.groups(), strict=True)
        ]
        order = iter(value for place, value in zip(self.places, found, strict=True) if place != "{s}")
        return _FILLED.sub(lambda place: found[int(place[1])] if place[1] else next(order), self.chinese)


@cache
def _catalogue() -> tuple[dict[str, str], list[_Form]]:
    """Sentences as they are, and those with places in them, the most literal first."""
    exact, forms = {}, []
    for english, chinese in entries():
        pieces = _PLACE.split(english)
        if len(pieces) == 1:
            exact[english] = chinese
            continue
        pattern = "".join(_FORMS.get(piece) or re.escape(piece) for piece in pieces)
        longest = max(pieces[::2], key=len)
        forms.append(
            (sum(map(len, pieces[::2])), _Form(re.compile(pattern, re.DOTALL), tuple(pieces[1::2]), longest, chinese))
        )
    forms.sort(key=lambda pair: -pair[0])
    return exact, [form for _, form in forms]


def entries() -> Iterator[tuple[str, str]]:
    """Every sentence of the catalogue: English form, Chinese."""
    for path in sorted((Path(__file__).parent / "chinese").glob("*.toml")):
        yield from tomli.loads(path.read_text(encoding="utf-8")).items()
