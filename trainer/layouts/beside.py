"""Fields beside a prompt and two answers that belong to what is asked, or already to the answers.

Who reads the pair without them trains on another prompt than the one that was answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.layouts.model import Made, PairLayout, Record, build, each, has, most

_BEGUN = "initial_reason_steps"
"""Step-DPO: the steps with which both answers begin. Its own training puts them before the answers, too."""
_ANSWERS = ("prompt", "chosen", "rejected")
_MAY_BE_ASKED = (
    *("history", "input", "context", "contexts", "passage", "passages", "document", "documents", "article"),
    *("background", "paragraph", "story", "dialogue", "transcript", "previous_steps", "prior_steps", "steps_so_far"),
    *("reasoning_prefix", "response_prefix", "answer_prefix", "partial_response", "partial_solution", _BEGUN),
)
READ_ELSEWHERE = ("history", "input")
"""Those that layouts in other names read beside a `prompt`."""
_LABEL = 40
"""Characters up to which a text may be a label (`context: maths`); a `history` never is one."""


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """Pairs of answers that go on after the same steps."""
    if not most(sample, has(*_ANSWERS, _BEGUN)) or not most(sample, lambda record: _is_text(record)):
        return None
    sources = (("prompt", "prompt"), ("chosen", f"{_BEGUN} + chosen"), ("rejected", f"{_BEGUN} + rejected"))
    return PairLayout("Step-DPO", sources, each(lambda record: [_begun(record)]))


def _is_text(record: Record) -> bool:
    return all(isinstance(record.get(name), str) for name in (*_ANSWERS, _BEGUN))


def _begun(record: Record) -> Made:
    """Both answers with their first steps; what is no text is left for the check of the row."""
    begun = record.get(_BEGUN) or ""
    sides: list[Any] = [record.get(name) for name in ("chosen", "rejected")]
    if isinstance(begun, str):
        sides = [begun + side if isinstance(side, str) and side.strip() else side for side in sides]
    made = build(record, record.get("prompt"), *sides, used=(*_ANSWERS, _BEGUN), turns=False)
    return {name: value for name, value in made.items() if name not in _ANSWERS or name in record}


def left_over(sample: Sequence[Record], layout: PairLayout | None) -> str:
    """The field whose text may belong to the prompt and is in no pair that the layout makes; empty where there is none.

    `layout` is None for the house's own.
    """
    names = [name for name in _MAY_BE_ASKED if any(record.get(name) for record in sample)]
    if not names:
        return ""
    made = json.dumps(list(_pairs(sample, layout)), ensure_ascii=False, default=str)
    for name in names:
        texts = [longest for record in sample if (longest := _longest(record.get(name), name))]
        lost = [text for text in texts if json.dumps(text, ensure_ascii=False)[1:-1] not in made]
        if 2 * len(lost) >= len(sample):
            return name
    return ""


def _pairs(sample: Sequence[Record], layout: PairLayout | None) -> Iterator[Any]:
    if layout is None:
        yield from ([record.get(name) for name in (*_ANSWERS, "system")] for record in sample)
    else:
        made = (one for _, one in layout.convert(iter(enumerate(sample, 1))) if not isinstance(one, bytes))
        yield from ([one.get(name) for name in (*_ANSWERS, "system")] for one in made)


def _longest(value: Any, name: str) -> str:
    """The longest text of a field that is more than a label; empty where it has none."""
    texts = [text.strip() for text in _texts(value)]
    found = max(texts, key=len, default="")
    return found if name == "history" or (sum(map(len, texts)) > _LABEL and " " in found) else ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for name in ("content", "value", "text"):
            yield from _texts(value.get(name))
