"""Layouts with two answers in a neutral order, and a field that says which is better."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.layouts.model import ABSENT, Made, PairLayout, Record, build, each, has, left_out, most, number
from trainer.turns import read_literal, read_messages

Verdict = Callable[[Record], float | None]
"""Below 0: the first answer is better; above 0: the second; 0: a tie; None: nobody said."""


@dataclass(frozen=True, slots=True)
class EitherOr:
    """One layout of this family. Texts of `sources` name what is read."""

    name: str
    prompt: Callable[[Record], Any]
    prompt_from: str
    answers: tuple[str, str]
    verdict: Verdict
    verdict_from: str
    margin: Callable[[Record], float | None] = lambda record: None
    margin_from: str = ""
    needs: tuple[str, ...] = ()
    """Further fields by which it is recognised."""
    pick: Callable[[Any], Any] = lambda answer: answer
    """From an answer's field to its text."""
    many_turns: Callable[[Record], bool] = lambda record: False
    """Whether the two answers are dialogues that go apart before their last question."""

    def layout(self) -> PairLayout:
        first, second = self.answers
        sources = [
            ("prompt", self.prompt_from),
            ("chosen, rejected", f"{first}, {second} by {self.verdict_from}"),
            *([("margin", self.margin_from)] if self.margin_from else []),
        ]
        return PairLayout(self.name, tuple(sources), each(self.made))

    def made(self, record: Record) -> list[Made]:
        verdict = self.verdict(record)
        if not verdict:
            return [left_out("no_preference" if verdict is None else "tie")]
        if self.many_turns(record):
            return [left_out("several_turns")]
        answers = [self.pick(record.get(name)) for name in self.answers]
        chosen, rejected = answers if verdict < 0 else reversed(answers)
        margin = self.margin(record)
        magnitude = None if margin is None else abs(margin)
        return [build(record, self.prompt(record), chosen, rejected, used=(*self.answers, *_LONG), margin=magnitude)]


_LONG = ("history", "context", "question", "prompt", "instruction", "input")


def _field(name: str) -> Callable[[Record], Any]:
    return lambda record: record.get(name)


def _signed(name: str) -> Verdict:
    """−3 … 3: how much better the second answer is (HelpSteer2 and 3)."""
    return lambda record: number(record.get(name))


def _index(name: str, first: int) -> Verdict:
    """The better answer's number, the first one's being `first`; halfway between (alpaca_eval's 1.5) is a tie."""

    def verdict(record: Record) -> float | None:
        found = number(record.get(name))
        return None if found is None or not first <= found <= first + 1 else found - first - 0.5

    return verdict


def _difference(first: str, second: str) -> Callable[[Record], float | None]:
    """Score of the second answer minus that of the first."""

    def verdict(record: Record) -> float | None:
        low, high = number(record.get(first)), number(record.get(second))
        return None if low is None or high is None else high - low

    return verdict


def _shp(record: Record) -> float | None:
    """`labels` is 1 where A is preferred (Stanford Human Preferences)."""
    label = number(record.get("labels"))
    return -1.0 if label == 1 else 1.0 if label == 0 else None


def _instruction(record: Record) -> Any:
    asked, more = record.get("instruction"), record.get("input")
    return f"{asked}\n{more}" if isinstance(asked, str) and isinstance(more, str) and more.strip() else asked


def _full_text(record: Record) -> Any:
    question = record.get("question")
    return question.get("full_text") if isinstance(question, dict) else question


def _winner(record: Record) -> float | None:
    """`model_a`, `model_b`, or a tie of whatever sort (chatbot arena)."""
    word = record.get("winner")
    if not isinstance(word, str) or not word:
        return None
    return {"model_a": -1.0, "model_b": 1.0}.get(word, 0.0 if "tie" in word or "bad" in word else None)


def _arena_table(record: Record) -> float | None:
    votes = [number(record.get(f"winner_{name}")) for name in ("model_a", "model_b", "tie")]
    if None in votes:
        return None
    return -1.0 if votes[0] else 1.0 if votes[1] else 0.0 if votes[2] else None


def _only(value: Any) -> Any:
    """The one text of a list that a table holds as text; a list of several stays one."""
    found = read_literal(value) if isinstance(value, str) and value.startswith("[") else value
    return found[0] if isinstance(found, list) and len(found) == 1 else value


def _listed_turns(record: Record) -> bool:
    """Whether the list of questions holds more than one."""
    found = read_literal(str(record.get("prompt")))
    return isinstance(found, list) and len(found) > 1


def _dialogues(*names: str) -> Callable[[Record], bool]:
    """Whether the questions go on after the first answer: from there on the two dialogues have no common prompt."""
    return lambda record: any(
        sum(1 for turn in read_messages(record.get(name)) or () if turn["role"] == "user") > 1 for name in names
    )


TABLE = (
    EitherOr(
        "SHP",
        _field("history"),
        "history",
        ("human_ref_A", "human_ref_B"),
        _shp,
        "labels (1: A)",
        _difference("score_A", "score_B"),
        "difference of score_A and score_B",
        ("labels",),
    ),
    EitherOr(
        "PKU-SafeRLHF",
        _field("prompt"),
        "prompt",
        ("response_0", "response_1"),
        _index("better_response_id", 0),
        "better_response_id (helpfulness; safer_response_id is not used)",
        needs=("better_response_id",),
    ),
    EitherOr(
        "PKU-SafeRLHF",
        _field("prompt"),
        "prompt",
        ("response_0", "response_1"),
        _index("safer_response_id", 0),
        "safer_response_id",
        needs=("safer_response_id",),
    ),
    EitherOr(
        "HelpSteer3",
        _field("context"),
        "context",
        ("response1", "response2"),
        _signed("overall_preference"),
        "overall_preference (above 0: response2)",
        _signed("overall_preference"),
        "size of overall_preference",
        ("context", "overall_preference"),
    ),
    EitherOr(
        "HelpSteer2-Preference",
        _field("prompt"),
        "prompt",
        ("response_1", "response_2"),
        _signed("preference_strength"),
        "preference_strength (above 0: response_2)",
        _signed("preference_strength"),
        "size of preference_strength",
        ("preference_strength",),
    ),
    EitherOr(
        "alpaca_farm",
        _instruction,
        "instruction + input",
        ("output_1", "output_2"),
        _index("preference", 1),
        "preference (1: output_1)",
        needs=("instruction", "preference"),
    ),
    EitherOr(
        "WebGPT comparisons",
        _full_text,
        "question.full_text",
        ("answer_0", "answer_1"),
        _difference("score_0", "score_1"),
        "score_0, score_1",
        _difference("score_0", "score_1"),
        "difference of score_0 and score_1",
        ("question", "score_0", "score_1"),
    ),
    EitherOr(
        "chatbot arena",
        lambda record: ABSENT,
        "what both dialogues begin with",
        ("conversation_a", "conversation_b"),
        _winner,
        "winner",
        needs=("winner",),
        many_turns=_dialogues("conversation_a", "conversation_b"),
    ),
    EitherOr(
        "Unified-Feedback",
        lambda record: ABSENT,
        "what both dialogues begin with",
        ("conv_A", "conv_B"),
        _difference("conv_A_rating", "conv_B_rating"),
        "conv_A_rating, conv_B_rating",
        _difference("conv_A_rating", "conv_B_rating"),
        "difference of conv_A_rating and conv_B_rating",
        ("conv_A_rating", "conv_B_rating"),
        many_turns=_dialogues("conv_A", "conv_B"),
    ),
    EitherOr(
        "chatbot arena table",
        lambda record: _only(record.get("prompt")),
        "prompt",
        ("response_a", "response_b"),
        _arena_table,
        "winner_model_a, winner_model_b, winner_tie",
        needs=("prompt", "winner_model_a", "winner_model_b", "winner_tie"),
        pick=_only,
        many_turns=_listed_turns,
    ),
)


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """The first of the table whose fields the records have, else two answers with a field that names the better."""
    for one in TABLE:
        if most(sample, has(*one.answers, *one.needs)):
            return one.layout()
    return _by_name(sample)


_STEMS = ("response", "answer", "completion", "output", "text", "reply", "summary")
_ENDS = (("_a", "_b"), ("_A", "_B"), ("_1", "_2"), ("_0", "_1"), ("a", "b"), ("A", "B"), ("1", "2"), ("0", "1"))
_VERDICTS = ("preference", "preferred", "winner", "better", "choice", "chosen", "label", "best", "preferred_response")
_ASKED = ("prompt", "question", "instruction", "query", "context", "messages", "conversation", "conversations", "input")


def _by_name(sample: Sequence[Record]) -> PairLayout | None:
    """answer_a, answer_b and `winner: "a"`: only verdicts that name one of the two answers are believed."""
    for before, stem, ends in itertools.product(("", "orig_"), _STEMS, _ENDS):
        first, second = before + stem + ends[0], before + stem + ends[1]
        prompt = next((before + asked for asked in _ASKED if most(sample, has(before + asked))), None)
        if not prompt or not most(sample, has(first, second)):
            continue
        for name in _VERDICTS:
            if _names_one(sample, before + name, first, second):
                verdict = named(before + name, first, second)
                what = f"{before + name} ({first} or {second})"
                return EitherOr("two answers", _field(prompt), prompt, (first, second), verdict, what).layout()
    return None


def _spellings(answer: str) -> set[str]:
    end = answer[-1].lower()
    return {answer.lower(), end, f"model_{end}", f"response_{end}", f"response {end}", f"answer {end}"}


def named(name: str, first: str, second: str) -> Verdict:
    """A field that holds the name of the better answer's field, or what tells it apart: `b`, `2`, `model_b`."""
    ways = {**dict.fromkeys(_spellings(first), -1.0), **dict.fromkeys(_spellings(second), 1.0)}

    one, other = first[-1].lower(), second[-1].lower()
    ways |= {f"{one}>{other}": -1.0, f"{one}>>{other}": -1.0, f"{other}>{one}": 1.0, f"{other}>>{one}": 1.0}
    ways |= {f"{one}<{other}": 1.0, f"{one}<<{other}": 1.0, f"{one}={other}": 0.0}

    def verdict(record: Record) -> float | None:
        value = record.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        word = str(value).strip().lower() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        return 0.0 if word in ("tie", "draw", "equal", "same", "both") else ways.get(word)

    return verdict


_STRANGE = 0.2
"""Share of verdicts that may name neither answer."""


def _names_one(sample: Sequence[Record], name: str, first: str, second: str) -> bool:
    """Whether a field names one of the answers in most records, and hardly ever something else: of 0 and 1 beside
    answers called 1 and 2 nobody knows which is meant."""
    verdict = named(name, first, second)
    named_in = [verdict(record) is not None for record in sample if record.get(name) not in (None, "")]
    return 2 * sum(named_in) >= len(sample) > 0 and named_in.count(False) <= _STRANGE * len(named_in)
