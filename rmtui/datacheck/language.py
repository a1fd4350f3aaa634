"""A coarse guess at the language of a text, by script and by the commonest words; good enough to compare two files."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
)
_COMMON = {
    "en": "the of and to in is you that it for was on are with as be this have from",
    "de": "der die und das nicht ist ein ich zu mit sie den für auf eine es sich",
    "fr": "le la les et des est un une que dans pour pas sur qui vous avec ce",
    "es": "el los las que es una por con para como del más pero su se lo",
    "pt": "o os uma não que com para por mais como do da em você seu ao",
    "it": "il che di non una per sono con gli della come più questo è",
    "nl": "het een van en niet dat ik zijn voor met op aan er maar",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
LOOK_AT = 400


def guess(text: str) -> str:
    """A language's code; "?" where the words say nothing."""
    text = text[:LOOK_AT]
    if not text.isascii():
        letters = max(1, sum(map(str.isalpha, text)))
        for language, script in _SCRIPTS:
            share = len(script.findall(text)) / letters
            if share > (0.1 if language == "ja" else 0.3):
                return language
    return _by_common_words(text.casefold().split())


def _by_common_words(words: Iterable[str]) -> str:
    present = set(words)
    counts = {language: len(common & present) for language, common in _WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else "?"
