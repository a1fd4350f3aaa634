"""Pairs as text and as whole token sequences: plain text or chat template.

Plain text is prompt + answer + the tokenizer's end-of-sequence text (TRL's convention), tokenized once as a whole.
Message lists go through the tokenizer's chat template (`chat`). A text that begins with the token that the tokenizer
puts in front gets no second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import pairs as files
from trainer.config import TrainConfig
from trainer.data import chat
from trainer.data.chat import DataError as DataError
from trainer.data.truncate import Encoded, Ids, common_prefix
from trainer.pairs import Response, Row, Side


def encode(rows: Sequence[Row], tokenizer: Any, config: TrainConfig) -> list[Encoded]:
    """Rows → tokens of both sides, whole."""
    templated = [uses_template(row.prompt, row.chosen, tokenizer, config.chat_template) for row in rows]
    front = chat.front_text(tokenizer) if config.doubled_bos == "drop" else ""
    ending = chat.ending(tokenizer) if config.score_at == "end" and True in templated else None
    made: list[Encoded | None] = [None] * len(rows)
    for flag in (False, True):
        places = [place for place, one in enumerate(templated) if one is flag]
        texts = [_texts(rows[place], tokenizer, flag) for place in places]
        if flag and ending is not None:
            texts = [(ending.of(chosen), ending.of(rejected), prompt) for chosen, rejected, prompt in texts]
        own = "" if flag else front
        ids = [tokenize([text[part].removeprefix(own) for text in texts], tokenizer, flag) for part in range(3)]
        for place, chosen, rejected, prompt in zip(places, *ids, strict=True):
            common = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
            made[place] = Encoded(chosen, rejected, common)
    return [one for one in made if one is not None]


def encode_responses(rows: Sequence[Response], tokenizer: Any, config: TrainConfig) -> list[Encoded]:
    """Single responses → tokens; both sides of what is returned are the same."""
    made = [Row(row.id, row.prompt, row.response, row.response) for row in rows]
    return encode(made, tokenizer, config)


@dataclass(frozen=True, slots=True)
class Habits:
    """What texts hold that a person should know of before they are trained on."""

    doubled: int
    """Plain texts that begin with the tokenizer's first token themselves."""
    unseen_system: int
    """Dialogues with a system turn, which the chat template leaves out."""


def habits(rows: Sequence[Row], tokenizer: Any, config: TrainConfig) -> Habits:
    """Counted over pairs."""
    front, drops = chat.front_text(tokenizer), chat.drops_system(tokenizer)
    doubled = unseen = 0
    for row in rows:
        if uses_template(row.prompt, row.chosen, tokenizer, config.chat_template):
            turns = [*_messages(row.prompt, "user"), *_messages(row.chosen, "assistant")]
            unseen += drops and any(turn["role"] == "system" for turn in turns)
        elif front:
            doubled += render(row.prompt, row.chosen, tokenizer, False).startswith(front)
    return Habits(doubled, unseen)


def _texts(row: Row, tokenizer: Any, templated: bool) -> tuple[str, str, str]:
    chosen = render(row.prompt, row.chosen, tokenizer, templated, row.tools)
    rejected = render(row.prompt, row.rejected, tokenizer, templated, row.tools)
    prompt = render_prompt(row.prompt, tokenizer, templated, row.tools)
    return chosen, rejected, prompt


def uses_template(prompt: Side, answer: Side, tokenizer: Any, chat_template: str) -> bool:
    """Message lists take the tokenizer's chat template when it has one and the configuration allows it."""
    is_chat = isinstance(answer, list) or isinstance(prompt, list)
    return is_chat and chat_template == "auto" and bool(tokenizer.chat_template)


def render(prompt: Side, answer: Side, tokenizer: Any, templated: bool, tools: chat.Tools = ()) -> str:
    """Prompt and answer as the one text that is scored."""
    if templated:
        return chat.render([*_messages(prompt, "user"), *_messages(answer, "assistant")], tokenizer, False, tools)
    text = files.plain_text(prompt) + files.plain_text(answer)
    end = tokenizer.eos_token or ""
    return text if end and text.endswith(end) else text + end


def render_prompt(prompt: Side, tokenizer: Any, templated: bool, tools: chat.Tools = ()) -> str:
    if not templated:
        return files.plain_text(prompt)
    messages = _messages(prompt, "user")
    return chat.render(messages, tokenizer, True, tools) if messages else ""


def _messages(side: Side, role: str) -> list[files.Message]:
    if isinstance(side, list):
        return side
    return [{"role": role, "content": side}] if side else []


def tokenize(texts: Sequence[str], tokenizer: Any, templated: bool) -> list[Ids]:
    """Texts → ids; a rendered template already holds its special tokens."""
    if not texts:
        return []
    found = tokenizer(
        list(texts), add_special_tokens=not templated, return_attention_mask=False, truncation=False, verbose=False
    )
    return [np.asarray(ids, dtype=np.int32) for ids in found["input_ids"]]
