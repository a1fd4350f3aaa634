"""A tokenizer's habits: what its chat template writes around a dialogue, and what it puts before plain text.

A template that prints today's date prints `TEMPLATE_DATE`, so that both sides, every rank, a resumed run and a later
scoring see the same tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from trainer import pairs as files

Tools = Sequence[Mapping[str, object]]
"""Descriptions of what the assistant may call."""
TEMPLATE_DATE = date(2025, 1, 1)
_CODES = "aAbBcdDeFhHIjmMpSTuUVwWxXyY%"
_MACRO = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('%{code}', '{TEMPLATE_DATE.strftime('%' + code)}')" for code in _CODES)
    + " }}{% endmacro +%}"
)
"""Formats a date in Jinja alone, to which no function can be handed."""
_CALL = re.compile(r"strftime_now\s*\(")
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


class DataError(ValueError):
    """A pair file that cannot be used; the message names file, lines and remedy."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a chat template writes after the last answer."""

    written: str
    """The whole of it."""
    kept: str
    """Up to its first special token; the tokenizer's end token where it writes none."""
    special: bool
    """It holds a special token."""

    def of(self, text: str) -> str:
        """A rendered dialogue up to its end token. Raises DataError where it ends otherwise."""
        if not text.endswith(self.written):
            what = f"the chat template ends a dialogue with {text[-40:]!r}, and others with {self.written!r}"
            raise DataError(f"{what}: score_at = end does not know its end token; set score_at = last")
        return text[: len(text) - len(self.written)] + self.kept


def render(messages: Sequence[files.Message], tokenizer: Any, generation: bool, tools: Tools = ()) -> str:
    """A dialogue as the tokenizer's chat template writes it, which names the tools or not. Raises DataError where it
    refuses the dialogue."""
    template = fixed_date(tokenizer.get_chat_template())
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) or None,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=generation,
        )
    except Exception as error:  # templates raise whatever they like
        roles = ", ".join(message["role"] for message in messages)
        system = "put the system text into the first user turn, or " if "system" in roles else ""
        raise DataError(
            f"the tokenizer's chat template refuses a dialogue of {roles}: {error}; {system}set chat_template = none "
            "to train on plain text"
        ) from error
    return text


def fixed_date(template: str) -> str:
    """The template with `TEMPLATE_DATE` wherever it asks for today's date: in its text where the format stands in the
    call, else through a macro that takes the function's place."""
    fixed = _TODAY.sub(lambda found: json.dumps(TEMPLATE_DATE.strftime(found[2]), ensure_ascii=False), template)
    asks = _CALL.search(fixed.removeprefix(_MACRO))
    return _MACRO + fixed.removeprefix(_MACRO) if asks else fixed


SYSTEM, USER, ANSWER = "SYSTEMTEXT", "USERTEXT", "ANSWERTEXT"
"""What a template is tried with; no template writes these words itself."""


def ending(tokenizer: Any) -> Ending:
    """What this tokenizer's template writes after an answer. Raises DataError where there is nothing to end with."""
    turns: list[files.Message] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
    written = render(turns, tokenizer, False).rpartition(ANSWER)[2]
    ends = [place + len(one) for one in _specials(tokenizer) if (place := written.find(one)) >= 0]
    if ends:
        return Ending(written, written[: min(ends)], True)
    if not tokenizer.eos_token:
        raise DataError("score_at = end: neither the chat template nor the tokenizer has an end token")
    return Ending(written, str(tokenizer.eos_token), False)


def _specials(tokenizer: Any) -> set[str]:
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | {str(one) for one in (tokenizer.eos_token, tokenizer.sep_token) if one}


def written_ending(tokenizer: Any) -> list[int]:
    """Tokens of what the template writes after an answer where none of them is special; empty otherwise."""
    if not tokenizer.chat_template:
        return []
    try:
        found = ending(tokenizer)
    except DataError:
        return []
    ids: list[int] = tokenizer(found.written, add_special_tokens=False)["input_ids"]
    return [] if found.special else ids


def drops_system(tokenizer: Any) -> bool:
    """Whether the template leaves a system turn out without a word."""
    if not tokenizer.chat_template:
        return False
    roles = (("system", SYSTEM), ("user", USER), ("assistant", ANSWER))
    turns: list[files.Message] = [{"role": role, "content": text} for role, text in roles]
    try:
        return SYSTEM not in render(turns, tokenizer, False)
    except DataError:
        return False


def front_text(tokenizer: Any) -> str:
    """The special token that the tokenizer puts before plain text by itself; empty where it puts none."""
    whole, bare = (tokenizer(ANSWER, add_special_tokens=one)["input_ids"] for one in (True, False))
    if len(whole) <= len(bare) or whole[:1] == bare[:1] or whole[0] not in tokenizer.all_special_ids:
        return ""
    return str(tokenizer.convert_ids_to_tokens(whole[0]))
