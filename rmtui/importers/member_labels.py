"""Words of a line that say of which member of an ensemble, or of which fold, it speaks, or of all of them together."""

from __future__ import annotations

import re

_WORD = r"(?:member|model|fold|replica|seed|learner|成员|模型)[ _#:=-]{0,3}"
_MEMBER = rf"(?P<member>{_WORD}\d{{1,4}}|第 ?\d{{1,3}} ?(?:折|个(?:模型|成员)))(?: ?(?:/|of) ?\d{{1,4}})?"
_MAY_BE = re.compile(rf"{_WORD}\d|第 ?\d+ ?[折个]", re.IGNORECASE)
_BEFORE = re.compile(
    rf"(?:^|[\[(|:,;>]\s?|(?<![a-z])ensemble[ _-]|^[\w\s:,.-]{{0,40}}[\])]\s?){_MEMBER}"
    r"(?![\w.%]) ?(?:[\]):|,;=/-]|(?=[a-z]))",
    re.IGNORECASE,
)
"""`[member 1] epoch 2: …`, `epoch 2 | fold 1 | …`."""
_HEADING = re.compile(
    r"\W*(?:[\d:.,T-]+ )*"
    r"(?:(?:info|start\w*|begin\w*|train\w*|fit\w*|running|run|now|reward|ensemble|the|of|for|cross|validation|k)\W+){0,6}"
    rf"{_MEMBER}\W*(?:[\[(][^\])]{{0,40}}[\])]|seed ?[=:]? ?\d+)?\W*",
    re.IGNORECASE,
)
"""`=== Ensemble member 1/3 (seed 11) ===`."""
_LONGEST_HEADING = 120
_MEMBERS = r"(?:the |all |\d+ ){0,3}(?:folds|members|models|seeds|replicas|learners)"
_ALL = re.compile(
    rf"(?<![a-z])(?:ensemble[sd]?(?![a-z])|combined(?![a-z])|(?:over|across|of|all) {_MEMBERS})|集成|融合|[各所][折有]",
    re.IGNORECASE,
)
_MEAN = re.compile(r"(?<![a-z])(?:mean|averaged?|avg|overall|final)(?![a-z])|平均|均值", re.IGNORECASE)


def member_in(line: str, figure: int | None) -> tuple[int, int]:
    """Where the label of a member stands, before the first figure at `figure`, or in a line without one; else (0, 0).

    A line without figures has a label only where it is a heading: `saved model 1` speaks of no member.
    """
    if not _MAY_BE.search(line):
        return 0, 0
    if figure is not None:
        found = _BEFORE.search(line, 0, figure)
    else:
        found = _HEADING.fullmatch(line) if len(line) <= _LONGEST_HEADING else None
    return found.span("member") if found else (0, 0)


def is_of_all(words: str) -> bool:
    """Whether words before a figure say that it is of all members: `Ensemble: `, `Mean over folds: `."""
    return _ALL.search(words.replace("_", " ")) is not None


def is_a_mean(words: str) -> bool:
    """Whether it may be of all members, unless each of them has such a figure: `Average `."""
    return _MEAN.search(words.replace("_", " ")) is not None
