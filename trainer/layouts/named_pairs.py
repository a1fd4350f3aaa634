"""Layouts with the better and the worse answer in two fields, whatever these are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.layouts.model import ABSENT, Made, PairLayout, Record, build, each, has, left_out, most, number
from trainer.turns import read_tools

ANSWERS = (
    ("chosen", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("chosen_answer", "rejected_answer"),
    ("answer_chosen", "answer_rejected"),
    ("chosen_completion", "rejected_completion"),
    ("chosen_conversation", "rejected_conversation"),
    ("chosen_text", "rejected_text"),
    ("selected", "rejected"),
    ("response_j", "response_k"),
    ("preferred", "dispreferred"),
    ("preferred", "rejected"),
    ("preferred_response", "dispreferred_response"),
    ("preferred_output", "non_preferred_output"),
    ("response", "rejected_response"),
    ("pos_resp", "neg_resp"),
    ("accepted", "rejected"),
    ("accept", "reject"),
    ("chosen", "reject"),
    ("better", "worse"),
    ("better_response", "worse_response"),
    ("winner", "loser"),
    ("winning_response", "losing_response"),
    ("win", "lose"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("good", "bad"),
    ("best", "worst"),
    ("y_w", "y_l"),
)
"""(better, worse), the commonest first."""
PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "conversations",
    "conversation",
    "messages",
    "trajectory",
    "context",
    "problem",
    "post",
    "user",
    "input",
)
SYSTEMS = ("system", "system_prompt", "system_message")
SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_reward", "rejected_reward"),
    ("reward_chosen", "reward_rejected"),
    ("chosen_rating", "rejected_rating"),
    ("rating_chosen", "rating_rejected"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_avg_rating", "rejected_avg_rating"),
    ("chosen_rm_score", "rejected_rm_score"),
)
SCORE_NAMES = frozenset(name for pair in SCORES for name in pair)


_REPLIES = ("response", "answer", "messages", "conversation", "output", "resp")
"""Words of a field's name by which its text is a reply, not the text that goes on after the prompt."""


def score_margin(record: Record) -> float | None:
    """Score of the better answer minus that of the worse one, where a record has both; 0.0 is a tie."""
    for better, worse in SCORES:
        if better in record and worse in record:
            high, low = number(record[better]), number(record[worse])
            return None if high is None or low is None else high - low
    return None


def is_tie(record: Record) -> bool:
    """Whether a judge found both answers equal: distilabel's `status`, or its two ratings."""
    ratings = record.get("rating")
    equal = (
        isinstance(ratings, list) and len(ratings) == 2 and ratings[0] == ratings[1] and number(ratings[0]) is not None
    )
    return record.get("status") == "tie" or equal


def recognise(sample: Sequence[Record]) -> PairLayout | None:
    """The first pair of names that the records have, with a field that can be the prompt or whole dialogues."""
    for better, worse in ANSWERS:
        both = [record for record in sample if better in record and worse in record]
        if 2 * len(both) < len(sample) or not both:
            continue
        prompt = next((name for name in PROMPTS if most(both, has(name))), None)
        if prompt is None and not most([{"side": record[better]} for record in both], _is_dialogue):
            continue
        return _layout(better, worse, prompt, both)
    return None


def _is_dialogue(record: Record) -> bool:
    value = record["side"]
    return isinstance(value, list) or (isinstance(value, str) and "\n\nAssistant:" in value)


def _layout(better: str, worse: str, prompt: str | None, sample: Sequence[Record]) -> PairLayout:
    system = next((name for name in SYSTEMS if any(record.get(name) for record in sample)), None)
    added = "input" if prompt not in (None, "input") and any(record.get("input") for record in sample) else None
    history = "history" if any(record.get("history") for record in sample) else None
    scores = next((pair for pair in SCORES if any(pair[0] in record and pair[1] in record for record in sample)), None)
    own = any(record.get("margin") is not None for record in sample)
    turns = prompt != "prompt" or any(word in better for word in _REPLIES)
    sources = [
        ("prompt", f"{prompt} + {added}" if added else prompt or f"what {better} and {worse} begin with"),
        ("chosen", better),
        ("rejected", worse),
        *([("system", system)] if system else []),
        *([("earlier turns", history)] if history else []),
        *([("margin", "margin" if own else f"{scores[0]} − {scores[1]}" if scores else "")] if own or scores else []),
        *([("tools", "tools")] if any(read_tools(record.get("tools")) for record in sample) else []),
    ]
    used = {better, worse, *(name for name in (prompt, system, added, history) if name)}

    def made(record: Record) -> list[Made]:
        margin = number(record.get("margin")) if own else score_margin(record)
        if (not own and margin == 0) or is_tie(record):
            return [left_out("tie")]
        asked = _join(record, prompt, added) if prompt else ABSENT
        missing = {
            name: record[theirs] for name, theirs in (("chosen", better), ("rejected", worse)) if theirs in record
        }
        pair = build(
            record,
            asked,
            missing.get("chosen"),
            missing.get("rejected"),
            used=used,
            turns=turns and asked is not ABSENT,
            system=record.get(system) if system else None,
            history=record.get(history) if history else None,
            margin=margin,
        )
        return [{name: value for name, value in pair.items() if name not in ("chosen", "rejected") or name in missing}]

    return PairLayout(_name(better, prompt, sample), tuple(sources), each(made))


def _join(record: Record, prompt: str, added: str | None) -> Any:
    """The prompt, and the input that goes with an instruction on a line of its own."""
    asked, more = record.get(prompt), record.get(added) if added else None
    if isinstance(asked, str) and isinstance(more, str) and more.strip():
        return f"{asked}\n{more}" if asked.strip() else more
    return asked


def _name(better: str, prompt: str | None, sample: Sequence[Record]) -> str:
    known: Mapping[tuple[str, str | None], str] = {
        ("response_j", "question"): "response_j/k pairs",
        ("chosen_messages", None): "LLaMA-Factory v1",
        ("response_chosen", "question"): "MedicalGPT",
        ("chosen", "conversations"): "ShareGPT ranking",
        ("chosen", "instruction"): "Alpaca ranking",
        ("chosen_response", "prompt"): "NeMo DPO",
        ("response", "query"): "ms-swift",
        ("preferred_output", "input"): "OpenAI preference",
    }
    return known.get((better, prompt), "pairs in other names")
