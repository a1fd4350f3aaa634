"""Pairs as text and as whole token sequences: plain text or chat template.

Plain text is prompt + answer + the tokenizer's end-of-sequence text (TRL's convention), tokenized once as a whole.
Message lists go through the tokenizer's chat template; a template that prints today's date prints `TEMPLATE_DATE`, so
that both sides, every rank, a resumed run and a later scoring see the same tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from trainer import pairs as files
from trainer.data.truncate import Encoded, Ids, common_prefix
from trainer.pairs import Response, Row, Side

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


def encode(rows: Sequence[Row], tokenizer: Any, chat_template: str) -> list[Encoded]:
    """Rows → tokens of both sides, whole."""
    templated = [uses_template(row.prompt, row.chosen, tokenizer, chat_template) for row in rows]
    made: list[Encoded | None] = [None] * len(rows)
    for flag in (False, True):
        places = [place for place, one in enumerate(templated) if one is flag]
        texts = [(_texts(rows[place], tokenizer, flag)) for place in places]
        ids = [tokenize([text[part] for text in texts], tokenizer, flag) for part in range(3)]
        for place, chosen, rejected, prompt in zip(places, *ids, strict=True):
            common = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
            made[place] = Encoded(chosen, rejected, common)
    return [one for one in made if one is not None]


def encode_responses(rows: Sequence[Response], tokenizer: Any, chat_template: str) -> list[Encoded]:
    """Single responses → tokens; both sides of what is returned are the same."""
    made = [Row(row.id, row.prompt, row.response, row.response) for row in rows]
    return encode(made, tokenizer, chat_template)


def _texts(row: Row, tokenizer: Any, templated: bool) -> tuple[str, str, str]:
    chosen = render(row.prompt, row.chosen, tokenizer, templated)
    rejected = render(row.prompt, row.rejected, tokenizer, templated)
    prompt = render_prompt(row.prompt, tokenizer, templated)
    return chosen, rejected, prompt


def uses_template(prompt: Side, answer: Side, tokenizer: Any, chat_template: str) -> bool:
    """Message lists take the tokenizer's chat template when it has one and the configuration allows it."""
    is_chat = isinstance(answer, list) or isinstance(prompt, list)
    return is_chat and chat_template == "auto" and bool(tokenizer.chat_template)


def render(prompt: Side, answer: Side, tokenizer: Any, templated: bool) -> str:
    """Prompt and answer as the one text that is scored."""
    if templated:
        return _template([*_messages(prompt, "user"), *_messages(answer, "assistant")], tokenizer, False)
    text = files.plain_text(prompt) + files.plain_text(answer)
    end = tokenizer.eos_token or ""
    return text if end and text.endswith(end) else text + end


def render_prompt(prompt: Side, tokenizer: Any, templated: bool) -> str:
    if not templated:
        return files.plain_text(prompt)
    messages = _messages(prompt, "user")
    return _template(messages, tokenizer, True) if messages else ""


def _messages(side: Side, role: str) -> list[files.Message]:
    if isinstance(side, list):
        return side
    return [{"role": role, "content": side}] if side else []


def _template(messages: list[files.Message], tokenizer: Any, generation: bool) -> str:
    template = fixed_date(tokenizer.get_chat_template())
    try:
        text: str = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=generation
        )
    except Exception as error:  # templates raise whatever they like
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"the tokenizer's chat template refuses a dialogue of {roles}: {error}") from error
    return text


def fixed_date(template: str) -> str:
    """The template with `TEMPLATE_DATE` wherever it asks for today's date: in its text where the format stands in the
    call, else through a macro that takes the function's place."""
    fixed = _TODAY.sub(lambda found: json.dumps(TEMPLATE_DATE.strftime(found[2]), ensure_ascii=False), template)
    asks = _CALL.search(fixed.removeprefix(_MACRO))
    return _MACRO + fixed.removeprefix(_MACRO) if asks else fixed


def tokenize(texts: Sequence[str], tokenizer: Any, templated: bool) -> list[Ids]:
    """Texts → ids; a rendered template already holds its special tokens."""
    if not texts:
        return []
    found = tokenizer(
        list(texts), add_special_tokens=not templated, return_attention_mask=False, truncation=False, verbose=False
    )
    return [np.asarray(ids, dtype=np.int32) for ids in found["input_ids"]]
