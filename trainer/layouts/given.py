"""A mapping of fields that a person gave, in place of one that is found: `[data.fields]`, `--fields`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.layouts.either_or import named
from trainer.layouts.model import ABSENT, Made, PairLayout, Record, build, each, left_out, most, number

_BETTER_KNOWN = ("chosen", "rejected")
_BETTER_SAID = ("first", "second", "preferred")
NAMES = (
    "prompt",
    *_BETTER_KNOWN,
    *_BETTER_SAID,
    "first_if",
    "system",
    "margin",
    "chosen_score",
    "rejected_score",
    "id",
)
"""What a mapping may name. `first_if` is the value of `preferred` by which the first answer is better, not a field."""


def faults(fields: Mapping[str, str]) -> list[str]:
    """What is wrong with a mapping, in words."""
    unknown = [name for name in fields if name not in NAMES]
    if unknown:
        return [f"{unknown[0]!r} is not a name; there are {', '.join(NAMES)}"]
    if fields and not any(all(fields.get(name) for name in names) for names in (_BETTER_KNOWN, _BETTER_SAID)):
        return ["it names neither chosen and rejected, nor first, second and preferred"]
    return []


def recognise(sample: Sequence[Record], fields: Mapping[str, str]) -> PairLayout | None:
    """The layout that the mapping describes, if the records have its fields."""
    answers = _BETTER_KNOWN if "chosen" in fields else _BETTER_SAID[:2]
    if not fields or not most(sample, lambda record: all(_at(record, fields[name]) is not None for name in answers)):
        return None
    return PairLayout(
        "given fields",
        tuple((name, fields[name]) for name in NAMES if name in fields),
        each(lambda record: [_made(record, fields)]),
    )


def _at(record: Any, path: str) -> Any:
    """A field by its name, or through dots a field inside it (`answers.good`)."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for part in path.split("."):
        record = record.get(part) if isinstance(record, Mapping) else None
    return record


def _made(record: Record, fields: Mapping[str, str]) -> Made:
    if "chosen" in fields:
        sides = [_at(record, fields[name]) for name in _BETTER_KNOWN]
    else:
        verdict = _verdict(record, fields)
        if not verdict:
            return left_out("no_preference" if verdict is None else "tie")
        sides = [_at(record, fields[name]) for name in _BETTER_SAID[:2]]
        sides = sides if verdict < 0 else sides[::-1]
    margin = number(_at(record, fields["margin"])) if "margin" in fields else None
    scores = [number(_at(record, fields[name])) for name in ("chosen_score", "rejected_score") if name in fields]
    if len(scores) == 2 and scores[0] is not None and scores[1] is not None:
        margin = scores[0] - scores[1]
        if margin == 0:
            return left_out("tie")
    prompt = _at(record, fields["prompt"]) if "prompt" in fields else ABSENT
    turns = prompt is not ABSENT and fields["prompt"] != "prompt"
    system = _at(record, fields["system"]) if "system" in fields else None
    made = build(record, prompt, *sides, used=set(fields.values()), turns=turns, system=system, margin=margin)
    return {**made, "id": _at(record, fields["id"])} if "id" in fields else made


def _verdict(record: Record, fields: Mapping[str, str]) -> float | None:
    """Below 0: the first answer; above 0: the second; 0: a tie; None: nobody said."""
    by_name = named(fields["preferred"], fields["first"], fields["second"])
    said = _at(record, fields["preferred"])
    if "first_if" not in fields:
        return by_name({fields["preferred"]: said})
    if said is None or said == "":
        return None
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    if str(said) == fields["first_if"]:
        return -1.0
    return 0.0 if by_name({fields["preferred"]: said}) == 0 else 1.0
