"""Layouts with several answers to a prompt in one record, ranked or scored: each pair of unequal ones is a pair."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.layouts.model import ABSENT, Made, PairLayout, Record, build, each, has, left_out, most, number
from trainer.turns import as_turns, read_history, read_messages


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """An answer and its place: the higher the worth, the better; None where nobody ranked it."""

    text: Any
    worth: float | None


def pairs_of(
    record: Record,
    prompt: Any,
    answers: Sequence[RankedAnswer],
    *,
    scored: bool,
    used: tuple[str, ...],
    turns: bool = True,
) -> Iterator[Made]:
    """Every pair of answers, the better one chosen, in the order of their worth; ties and what nobody ranked are left
    out. With `scored` the margin is the difference, which of ranks would mean nothing."""
    ranked = sorted(answers, key=lambda one: -(one.worth if one.worth is not None else float("-inf")))
    if len(ranked) < 2:
        yield left_out("one_answer")
        return
    for better, worse in itertools.combinations(ranked, 2):
        if better.worth is None or worse.worth is None:
            yield left_out("no_preference")
        elif better.worth == worse.worth:
            yield left_out("tie")
        else:
            margin = better.worth - worse.worth if scored else None
            made = build(record, prompt, better.text, worse.text, used=used, turns=turns, margin=margin)
            made.pop("id", None)
            yield made


def _rank(item: Mapping[str, object], name: str = "rank") -> float | None:
    found = number(item.get(name))
    return None if found is None else -found


def _items(record: Record, name: str) -> list[Mapping[str, object]]:
    found = record.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _nectar(record: Record) -> Iterator[Made]:
    answers = [RankedAnswer(item.get("answer"), _rank(item)) for item in _items(record, "answers")]
    prompt = record.get("prompt")
    transcript = isinstance(prompt, str) and "\n\nAssistant:" in prompt
    yield from pairs_of(record, prompt, answers, scored=False, used=("answers",), turns=not transcript)


def _ultrafeedback(record: Record) -> Iterator[Made]:
    """`fine-grained_score` is the mean of four ratings; `overall_score`, which has known slips, only stands in."""
    answers = []
    for item in _items(record, "completions"):
        fine = number(item.get("fine-grained_score"))
        answers.append(
            RankedAnswer(item.get("response"), fine if fine is not None else number(item.get("overall_score")))
        )
    yield from pairs_of(record, record.get("instruction"), answers, scored=True, used=("completions", "instruction"))


def _nemo(record: Record) -> Iterator[Made]:
    answers = [RankedAnswer(item.get("completion"), _rank(item)) for item in _items(record, "completions")]
    yield from pairs_of(record, record.get("context"), answers, scored=False, used=("completions", "context"))


def _rewardbench2(record: Record) -> Iterator[Made]:
    better, worse = record.get("chosen"), record.get("rejected")
    if not isinstance(better, list) or not isinstance(worse, list) or not better or not worse:
        yield left_out("one_answer")
        return
    for chosen, rejected in itertools.product(better, worse):
        made = build(record, record.get("prompt"), chosen, rejected, used=("chosen", "rejected"))
        made.pop("id", None)
        yield made


def _is_rewardbench2(record: Record) -> bool:
    sides = [record.get(name) for name in ("chosen", "rejected")]
    texts = all(isinstance(side, list) and side and all(isinstance(one, str) for one in side) for side in sides)
    return texts and isinstance(record.get("prompt"), str)


def _ordered(prompt: str, added: str, name: str) -> Callable[[Record], Iterator[Made]]:
    """Answers in one list, the best first (LLaMA-Factory's alpaca layout of before 2024)."""

    def made(record: Record) -> Iterator[Made]:
        answers = record.get(name)
        if not isinstance(answers, list) or not all(isinstance(one, str) for one in answers):
            yield left_out("one_answer")
            return
        asked, more = record.get(prompt), record.get(added)
        if isinstance(asked, str) and isinstance(more, str) and more.strip():
            asked = f"{asked}\n{more}"
        ranked = [RankedAnswer(text, -float(place)) for place, text in enumerate(answers)]
        before = [*_history(record), *(as_turns(asked, "user") if isinstance(asked, str) else ())]
        asked = before if isinstance(asked, str) else asked
        yield from pairs_of(record, asked, ranked, scored=False, used=(prompt, added, name, "history"))

    return made


def _history(record: Record) -> list[dict[str, str]]:
    return read_history(record.get("history"))


def _texts(record: Record, name: str) -> bool:
    found = record.get(name)
    return isinstance(found, list) and len(found) == 2 and all(isinstance(one, str) for one in found)


_LISTS = ("responses", "completions", "answers", "outputs", "generations", "candidates", "candidates_completions")
_SAID = ("text", "answer", "response", "completion", "output", "content")
_OWN_WORTHS = (("rank", -1), ("score", 1), ("pm_score", 1), ("rating", 1), ("reward", 1))
_WORTHS = (("scores", 1), ("rewards", 1), ("ratings", 1), ("ranks", -1), ("rank", -1))
"""`ranking` is none of them: it may hold the answers' ranks or their numbers in order."""
_ASKED = ("prompt", "question", "instruction", "query", "context", "messages", "conversations")


def _parallel(sample: Sequence[Record]) -> PairLayout | None:
    """A list of answers beside a list of scores (the higher, the better) or ranks (1 is best)."""
    for name, (worths, sign) in itertools.product(_LISTS, _WORTHS):
        prompt = next((asked for asked in _ASKED if most(sample, has(asked))), None)
        if prompt and most(sample, functools.partial(_fits, name=name, worths=worths)):
            made = _parallel_pairs(prompt, name, worths, sign)
            what = f"{name}, each pair of different {worths}"
            margin = [("margin", f"difference of {worths}")] if sign > 0 else []
            return PairLayout(
                "answers with " + worths, (("prompt", prompt), ("chosen, rejected", what), *margin), each(made)
            )
    return None


def _objects(sample: Sequence[Record]) -> PairLayout | None:
    """A list of answers that each hold their text and their score or rank (StackExchange's `pm_score`)."""
    prompt = next((asked for asked in _ASKED if most(sample, has(asked))), None)
    for name, said, (worth, sign) in itertools.product(_LISTS, _SAID, _OWN_WORTHS):
        if prompt and most(sample, functools.partial(_fits_objects, name=name, said=said, worth=worth)):
            what = f"{said} of {name}, each pair of different {worth}{' (1 is best)' if sign < 0 else ''}"
            margin = [("margin", f"difference of {worth}")] if sign > 0 else []
            sources = (("prompt", prompt), ("chosen, rejected", what), *margin)
            return PairLayout(f"answers with a {worth}", sources, each(_object_pairs(prompt, name, said, worth, sign)))
    return None


def _fits_objects(record: Record, name: str, said: str, worth: str) -> bool:
    items = _items(record, name)
    return bool(items) and all(said in item and number(item.get(worth)) is not None for item in items)


def _object_pairs(prompt: str, name: str, said: str, worth: str, sign: int) -> Callable[[Record], Iterator[Made]]:
    def made(record: Record) -> Iterator[Made]:
        places = [(item.get(said), number(item.get(worth))) for item in _items(record, name)]
        answers = [RankedAnswer(text, None if place is None else sign * place) for text, place in places]
        yield from pairs_of(record, record.get(prompt), answers, scored=sign > 0, used=(prompt, name))

    return made


def _fits(record: Record, name: str, worths: str) -> bool:
    values = record.get(worths)
    answers = record.get(name)
    return isinstance(values, list) and isinstance(answers, list) and len(values) == len(answers) > 1


def _parallel_pairs(prompt: str, name: str, worths: str, sign: int) -> Callable[[Record], Iterator[Made]]:
    def made(record: Record) -> Iterator[Made]:
        texts, values = record.get(name), record.get(worths)
        if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
            yield left_out("no_preference")
            return
        places = [None if (found := number(value)) is None else sign * found for value in values]
        answers = [RankedAnswer(text, place) for text, place in zip(texts, places, strict=True)]
        yield from pairs_of(record, record.get(prompt), answers, scored=sign > 0, used=(prompt, name, worths))

    return made


def _summaries(record: Record) -> Iterator[Made]:
    """summarize_from_feedback: two summaries of a post, `choice` is the better one's place from 0."""
    info, choice = record.get("info"), number(record.get("choice"))
    texts = [item.get("text") for item in _items(record, "summaries")]
    if len(texts) != 2 or choice not in (0.0, 1.0):
        yield left_out("no_preference")
        return
    post = info.get("post") or info.get("article") if isinstance(info, Mapping) else None
    chosen, rejected = texts if choice == 0 else reversed(texts)
    yield build(record, post, chosen, rejected, used=("info", "summaries"))


def _tree(record: Record) -> Iterator[Made]:
    """OASST: at each turn the answers to it, ranked among each other from 0, the best."""
    prompt = record.get("prompt")
    if isinstance(prompt, Mapping):
        yield from _branches(record, prompt, [])


def _branches(record: Record, message: Mapping[str, object], before: list[dict[str, str]]) -> Iterator[Made]:
    waiting = [(message, before)]
    while waiting:
        asked, earlier = waiting.pop()
        path = [*earlier, *(read_messages({"role": asked.get("role"), "content": asked.get("text")}) or [])]
        replies = [reply for reply in _items(asked, "replies") if not reply.get("deleted")]
        answers = [RankedAnswer(reply.get("text"), _rank(reply)) for reply in replies]
        if len(answers) > 1 and all(reply.get("role") == "assistant" for reply in replies):
            tree = {"message_tree_id": record.get("message_tree_id"), "lang": asked.get("lang")}
            yield from pairs_of(tree, path, answers, scored=False, used=())
        waiting += [(reply, path) for reply in reversed(replies)]


def _swift(record: Record) -> Iterator[Made]:
    """ms-swift: the dialogue ends with the better answer, the worse one is a field beside it."""
    turns, worse = read_messages(record.get("messages")), record.get("rejected_response")
    if worse is None:
        worse = record.get("rejected_messages")
    if not turns or turns[-1]["role"] != "assistant" or worse in (None, ""):
        yield left_out("one_answer")
        return
    used = ("messages", "rejected_response", "rejected_messages")
    if isinstance(worse, list):  # the whole dialogue once more
        yield build(record, ABSENT, turns, worse, used=used)
    else:
        yield build(record, turns[:-1], turns[-1:], worse, used=used)


def _is_swift(record: Record) -> bool:
    return "messages" in record and bool({"rejected_response", "rejected_messages"} & record.keys())


TABLE: tuple[tuple[str, Callable[[Record], bool], Callable[[Record], Iterator[Made]], tuple[str, str, str]], ...] = (
    (
        "Nectar",
        lambda record: (
            bool(_items(record, "answers")) and "rank" in _items(record, "answers")[0] and "prompt" in record
        ),
        _nectar,
        ("prompt", "answers, each pair of different rank (1 is best)", ""),
    ),
    (
        "UltraFeedback",
        lambda record: "instruction" in record and "response" in (_items(record, "completions") or [{}])[0],
        _ultrafeedback,
        (
            "instruction",
            "completions, each pair of different fine-grained_score (else overall_score)",
            "difference of these scores",
        ),
    ),
    (
        "NeMo-RL preference",
        lambda record: "context" in record and "completion" in (_items(record, "completions") or [{}])[0],
        _nemo,
        ("context", "completions, each pair of different rank (the lower, the better)", ""),
    ),
    ("RewardBench 2", _is_rewardbench2, _rewardbench2, ("prompt", "each of chosen with each of rejected", "")),
    (
        "summarize_from_feedback",
        has("info", "summaries", "choice"),
        _summaries,
        ("info.post", "summaries by choice (from 0)", ""),
    ),
    (
        "OASST trees",
        lambda record: isinstance(prompt := record.get("prompt"), Mapping) and "replies" in prompt,
        _tree,
        ("the turns before", "replies, each pair of different rank (0 is best)", ""),
    ),
    ("ms-swift", _is_swift, _swift, ("messages before the last", "the last message, rejected_response", "")),
    (
        "Alpaca, answers in a list",
        lambda record: "instruction" in record and _texts(record, "output"),
        _ordered("instruction", "input", "output"),
        ("instruction + input", "output, in its order (the best first)", ""),
    ),
)


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """The first of the table that the records fit, else a list of answers beside one of scores or ranks."""
    for name, fits, made, (prompt, answers, margin) in TABLE:
        if most(sample, fits):
            sources = [("prompt", prompt), ("chosen, rejected", answers), *([("margin", margin)] if margin else [])]
            return PairLayout(name, tuple(sources), each(made))
    return _parallel(sample) or _objects(sample)
