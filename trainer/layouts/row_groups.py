"""Layouts with one answer a record: records that follow each other belong to one prompt."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainer.layouts.model import Made, Numbered, NumberedPair, PairLayout, Record, has, left_out, most, number
from trainer.layouts.ranked import RankedAnswer, pairs_of
from trainer.turns import read_messages

_MARKS = ("\n\nAssistant:", "<extra_id_1>Assistant\n", "<|assistant|>", "<|im_start|>assistant\n", "\nAssistant:")
"""The mark before an answer in a transcript, the longer marks first."""
_GROUP = 10_000
"""Records that one prompt may have; what follows begins a new group."""


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """OASST messages, answers with a rank or score a row, or transcripts that alternate (NeMo-Aligner's)."""
    if most(sample, has("message_id", "parent_id", "text", "role", "rank")):
        replies = ("chosen, rejected", "text, by rank (0 is best)")
        return PairLayout("OASST messages", (("prompt", "the messages before, by parent_id"), replies), _messages)
    if 2 * sum(record.keys() == {"text"} for record in sample) > len(sample) > 1 and _alternate(sample):
        sources = (
            ("prompt", "text up to the last answer"),
            ("chosen", "text of each first record of two"),
            ("rejected", "text of each second one"),
        )
        return PairLayout("NeMo-Aligner, two records a pair", sources, _alternating)
    return _answers(sample)


_ASKED = ("prompt", "question", "instruction", "query")
_ANSWER = ("answer", "response", "completion", "output", "text")
_WORTH = (("rank", -1), ("ranking", -1), ("helpfulness", 1), ("score", 1), ("rating", 1), ("reward", 1))


def _answers(sample: Sequence[Record]) -> PairLayout | None:
    for prompt, answer, (worth, sign) in itertools.product(_ASKED, _ANSWER, _WORTH):
        rows = [record for record in sample if all(name in record for name in (prompt, answer, worth))]
        if 2 * len(rows) < len(sample) or not most(rows, _holds_text(answer)):
            continue
        if not any(_same(one.get(prompt), other.get(prompt)) for one, other in itertools.pairwise(rows)):
            continue
        order = "1 is best" if sign < 0 else "the higher, the better"
        sources = [("prompt", prompt), ("chosen, rejected", f"{answer} of rows with one prompt, by {worth} ({order})")]
        if sign > 0:
            sources.append(("margin", f"difference of {worth}"))
        name = "HelpSteer" if worth == "helpfulness" else "an answer a row"
        return PairLayout(name, tuple(sources), _grouped(prompt, answer, worth, sign))
    return None


def _holds_text(name: str) -> Callable[[Record], bool]:
    return lambda record: isinstance(record.get(name), str)


def _same(one: Any, other: Any) -> bool:
    return one is not None and _key(one) == _key(other)


def _key(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _grouped(prompt: str, answer: str, worth: str, sign: int) -> Callable[[Iterator[Numbered]], Iterator[NumberedPair]]:
    def convert(records: Iterator[Numbered]) -> Iterator[NumberedPair]:
        for line, group in _groups(records, lambda record: _key(record.get(prompt))):
            if isinstance(group, bytes):
                yield line, group
                continue
            answers = []
            for record in group:
                found = number(record.get(worth))
                answers.append(RankedAnswer(record.get(answer), None if found is None else sign * found))
            first, asked = group[0], group[0].get(prompt)
            used = (prompt, answer, worth)
            for made in pairs_of(first, asked, answers, scored=sign > 0, used=used):
                yield line, made

    return convert


def _groups(records: Iterator[Numbered], key: Callable[[Record], str]) -> Iterator[tuple[int, list[Record] | bytes]]:
    """Records with one key that follow each other, with the number of the first; unreadable ones by themselves."""
    held: list[Record] = []
    start, last = 0, ""
    for line, record in records:
        if isinstance(record, bytes):
            if held:
                yield start, held
                held = []
            yield line, record
            continue
        own = key(record)
        if held and (own != last or len(held) >= _GROUP):
            yield start, held
            held = []
        if not held:
            start, last = line, own
        held.append(record)
    if held:
        yield start, held


def _split(text: Any) -> tuple[str, str] | None:
    """A transcript → what precedes its last answer, and that answer."""
    if not isinstance(text, str):
        return None
    for mark in _MARKS:
        place = text.rfind(mark)
        if place >= 0:
            return text[: place + len(mark)], text[place + len(mark) :]
    return None


def _alternate(sample: Sequence[Record]) -> bool:
    """Whether every first and second record have one prompt."""
    halves = [_split(record.get("text")) for record in sample]
    couples = list(zip(halves[::2], halves[1::2], strict=False))
    alike = sum(1 for one, other in couples if one and other and one[0] == other[0])
    return bool(couples) and 2 * alike >= len(couples)


def _alternating(records: Iterator[Numbered]) -> Iterator[NumberedPair]:
    waiting: tuple[int, Record] | None = None
    for line, record in records:
        if isinstance(record, bytes):
            yield line, record
            waiting = None
        elif waiting is None:
            waiting = (line, record)
        else:
            yield waiting[0], _couple(waiting[1], record)
            waiting = None
    if waiting is not None:
        yield waiting[0], left_out("one_answer")


def _couple(chosen: Record, rejected: Record) -> Made:
    """Two transcripts → a pair; where their prompts differ, both whole, which the reading of pairs refuses."""
    better, worse = _split(chosen.get("text")), _split(rejected.get("text"))
    if better is None or worse is None or better[0] != worse[0]:
        whole = [
            f"\n\nAssistant: {side.get('text')}\n\nHuman: {place}\n\nAssistant:"
            for place, side in enumerate((chosen, rejected))
        ]
        return {"chosen": whole[0], "rejected": whole[1]}
    return {"prompt": better[0], "chosen": better[1], "rejected": worse[1]}


def _messages(records: Iterator[Numbered]) -> Iterator[NumberedPair]:
    """OASST's flat table: a tree's messages are consecutive, parents before their replies."""
    for line, group in _groups(records, lambda record: str(record.get("message_tree_id"))):
        if isinstance(group, bytes):
            yield line, group
            continue
        for made in _tree(group):
            yield line, made


def _tree(group: list[Record]) -> Iterator[Made]:
    by_id = {_key(record.get("message_id")): record for record in group}
    replies: dict[str, list[Record]] = {}
    for record in group:
        if record.get("parent_id") and record.get("role") == "assistant" and not record.get("deleted"):
            replies.setdefault(_key(record["parent_id"]), []).append(record)
    for parent, answers in replies.items():
        if len(answers) < 2:
            continue
        path = _path(by_id, parent)
        if path is None:
            yield left_out("no_preference")
            continue
        ranked = [RankedAnswer(one.get("text"), _negative(number(one.get("rank")))) for one in answers]
        about = {"message_tree_id": answers[0].get("message_tree_id"), "lang": answers[0].get("lang")}
        yield from pairs_of(about, path, ranked, scored=False, used=())


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _path(by_id: Mapping[str, Record], message: str) -> list[dict[str, str]] | None:
    """The dialogue down to a message; None where a parent is missing."""
    path: list[dict[str, str]] = []
    parent: Any = message
    while parent is not None:
        record = by_id.get(_key(parent))
        turn = read_messages({"role": record.get("role"), "content": record.get("text")}) if record else None
        if record is None or turn is None or len(path) > len(by_id):
            return None
        path[:0] = turn
        parent = record.get("parent_id")
    return path
