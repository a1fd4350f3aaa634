"""Preference pairs as tokens: text or chat template, truncation that keeps the answers, a cache, a report.

Plain text is prompt + answer + the tokenizer's end-of-sequence text (TRL's convention), tokenized once as a whole.
Message lists go through the tokenizer's chat template; a template that prints today's date prints `TEMPLATE_DATE`, so
that both sides, every rank, a resumed run and a later scoring see the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import pairs as files
from trainer import tokens as cache
from trainer.config import TrainConfig
from trainer.pairs import BadLine, Row, Side

TEMPLATE_DATE = date(2025, 1, 1)
Ids = NDArray[np.int32]
_SHOWN_LINES = 10


class DataError(ValueError):
    """A pair file that cannot be trained on; the message names file, lines and remedy."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """One pair, tokenized and cut."""

    id: str
    chosen: Ids
    rejected: Ids
    shared: int
    """Tokens that both sides begin with; at least one token of each side lies beyond."""
    cut: int
    """Tokens that the prompt lost at its left end, the same on both sides."""
    margin: float = 0.0
    row: int = 0
    """Place of its row in the file, from 0."""

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.chosen), len(self.rejected))

    @property
    def cost(self) -> int:
        """Tokens that are computed when the shared prefix is computed once."""
        return len(self.chosen) + len(self.rejected) - self.shared


@dataclass(frozen=True, slots=True)
class DataReport:
    """What became of a pair file; everything here is shown before the first step."""

    path: str
    fingerprint: str
    rows: int
    """Readable pairs in the file."""
    pairs: int
    """Pairs that are used."""
    blank_lines: int
    prompts_cut: int
    """Pairs whose prompt lost its left end."""
    answers_cut: int
    """Pairs with an answer that alone was too long and lost its end."""
    identical_dropped: int
    """Pairs whose two sides were the same tokens, from the start or after truncation."""
    margins: int
    """Pairs with a margin of their own."""
    max_length: int
    tokens: int
    """Tokens of both sides together."""
    shared_tokens: int
    """Tokens that prefix sharing saves."""
    longest: int
    cached: bool

    def facts(self) -> dict[str, Any]:
        """Plain values, for events and logs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairSet:
    """A pair file, ready for batches."""

    pairs: list[TokenPair]
    report: DataReport
    prompts: frozenset[str]
    """Hashes of the normalised prompts, for finding leaks between sets."""
    contents: frozenset[str]
    """Hashes of whole pairs."""

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row before truncation."""

    chosen: Ids
    rejected: Ids
    prompt: int
    """Leading tokens that belong to the prompt on both sides."""


def load_pairs(path: Path | str, tokenizer: Any, config: TrainConfig, limit: int | None = None) -> PairSet:
    """Read, tokenize and cut a pair file. `limit` is the model's number of positions, if it has one.

    Blank lines and pairs with identical sides are counted and left out; any other line without a readable pair
    raises DataError with the numbers of the lines: a training on part of a file is never started silently.
    """
    rows, blank = _good_rows(path)
    longest = min(bound for bound in (config.max_length, limit) if bound)
    encoded, cached = _encode_file(path, rows, tokenizer, config)
    cut = [truncate(one, longest, edges(tokenizer)) for one in encoded]
    kept = [
        TokenPair(row.id, side[0], side[1], shared_length(side[0], side[1]), lost, row.margin or 0.0, place)
        for place, (row, (*side, lost)) in enumerate(zip(rows, cut, strict=True))
        if not np.array_equal(side[0], side[1])
    ]
    if not kept:
        raise DataError(f"{path}: no pair is left to use ({len(rows)} rows, all with identical sides)")
    report = DataReport(
        path=str(path),
        fingerprint=files.fingerprint(path),
        rows=len(rows),
        pairs=len(kept),
        blank_lines=blank,
        prompts_cut=sum(pair.cut > 0 for pair in kept),
        answers_cut=sum(_answer_cut(one, side, lost) for one, (*side, lost) in zip(encoded, cut, strict=True)),
        identical_dropped=len(rows) - len(kept),
        margins=sum(row.margin is not None for row in rows),
        max_length=longest,
        tokens=sum(len(pair.chosen) + len(pair.rejected) for pair in kept),
        shared_tokens=sum(pair.shared for pair in kept),
        longest=max(pair.length for pair in kept),
        cached=cached,
    )
    return PairSet(
        kept,
        report,
        frozenset(files.prompt_hash(row) for row in rows if row.prompt),
        frozenset(files.content_hash(row) for row in rows),
    )


def _answer_cut(one: Encoded, side: Sequence[Ids], lost: int) -> bool:
    return len(one.chosen) - lost > len(side[0]) or len(one.rejected) - lost > len(side[1])


def _good_rows(path: Path | str) -> tuple[list[Row], int]:
    rows: list[Row] = []
    bad: list[BadLine] = []
    blank = 0
    for item in files.read_rows(path):
        if isinstance(item, Row):
            rows.append(item)
        elif item.kind == "blank":
            blank += 1
        else:
            bad.append(item)
    if bad:
        raise DataError(_refusal(path, bad))
    if not rows:
        raise DataError(f"{path}: the file holds no pair")
    return files.distinct_ids(rows), blank


def _refusal(path: Path | str, bad: Sequence[BadLine]) -> str:
    shown = "\n".join(f"  {one}" for one in bad[:_SHOWN_LINES])
    more = f"\n  … and {len(bad) - _SHOWN_LINES} more" if len(bad) > _SHOWN_LINES else ""
    return (
        f"{path}: {len(bad)} lines hold no readable pair\n{shown}{more}\n"
        f"correct or remove these lines (`rmtui check {path} --fix OUT` writes a file without them)"
    )


def _encode_file(path: Path | str, rows: list[Row], tokenizer: Any, config: TrainConfig) -> tuple[list[Encoded], bool]:
    if not config.token_cache:
        return encode(rows, tokenizer, config), False
    key = cache.key(rows, tokenizer, config.chat_template, TEMPLATE_DATE.isoformat())
    found = cache.read(key)
    if found is not None:
        return [Encoded(*one) for one in found], True
    made = encode(rows, tokenizer, config)
    cache.write(key, [(one.chosen, one.rejected, one.prompt) for one in made])
    return made, False


def encode(rows: Sequence[Row], tokenizer: Any, config: TrainConfig) -> list[Encoded]:
    """Rows → tokens of both sides, whole."""
    templated = [uses_template(row.prompt, row.chosen, tokenizer, config) for row in rows]
    made: list[Encoded | None] = [None] * len(rows)
    for flag in (False, True):
        places = [place for place, one in enumerate(templated) if one is flag]
        texts = [(_texts(rows[place], tokenizer, flag)) for place in places]
        ids = [tokenize([text[part] for text in texts], tokenizer, flag) for part in range(3)]
        for place, chosen, rejected, prompt in zip(places, *ids, strict=True):
            common = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
            made[place] = Encoded(chosen, rejected, common)
    return [one for one in made if one is not None]


def _texts(row: Row, tokenizer: Any, templated: bool) -> tuple[str, str, str]:
    chosen = render(row.prompt, row.chosen, tokenizer, templated)
    rejected = render(row.prompt, row.rejected, tokenizer, templated)
    prompt = render_prompt(row.prompt, tokenizer, templated)
    return chosen, rejected, prompt


def uses_template(prompt: Side, answer: Side, tokenizer: Any, config: TrainConfig) -> bool:
    """Message lists take the tokenizer's chat template when it has one and the configuration allows it."""
    is_chat = isinstance(answer, list) or isinstance(prompt, list)
    return is_chat and config.chat_template == "auto" and bool(tokenizer.chat_template)


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
    """The rendered dialogue; `strftime_now` is what templates ask for today's date."""
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generation, strftime_now=TEMPLATE_DATE.strftime
        )
    except Exception as error:  # templates raise whatever they like
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"the tokenizer's chat template refuses a dialogue of {roles}: {error}") from error
    return text


def tokenize(texts: Sequence[str], tokenizer: Any, templated: bool) -> list[Ids]:
    """Texts → ids; a rendered template already holds its special tokens."""
    if not texts:
        return []
    found = tokenizer(
        list(texts), add_special_tokens=not templated, return_attention_mask=False, truncation=False, verbose=False
    )
    return [np.asarray(ids, dtype=np.int32) for ids in found["input_ids"]]


def common_prefix(left: Ids, right: Ids) -> int:
    """Tokens that both begin with."""
    size = min(len(left), len(right))
    differs = np.flatnonzero(left[:size] != right[:size])
    return int(differs[0]) if len(differs) else size


def shared_length(chosen: Ids, rejected: Ids) -> int:
    """`common_prefix`, less so that each side keeps a token of its own to be scored at."""
    return min(common_prefix(chosen, rejected), len(chosen) - 1, len(rejected) - 1)


@dataclass(frozen=True, slots=True)
class Edges:
    """Special tokens that stay where they are when a sequence is cut: [CLS] or BOS in front, [SEP] behind."""

    front: frozenset[int]
    back: frozenset[int]


def edges(tokenizer: Any) -> Edges:
    front = {tokenizer.cls_token_id, tokenizer.bos_token_id} - {None}
    back = set() if tokenizer.eos_token_id is not None else {tokenizer.sep_token_id} - {None}
    return Edges(frozenset(front), frozenset(back))


def truncate(one: Encoded, longest: int, kept: Edges) -> tuple[Ids, Ids, int]:
    """(chosen, rejected, tokens cut off the prompt's left end), no side longer than `longest`.

    Both sides lose the same part of the prompt and never more than the prompt; an answer that alone is too long
    loses its end.
    """
    front = int(one.prompt > 0 and int(one.chosen[0]) in kept.front)
    over = max(len(one.chosen), len(one.rejected)) - longest
    room = min(one.prompt, len(one.chosen) - 1, len(one.rejected) - 1) - front
    cut = max(0, min(over, room))
    return _cut(one.chosen, front, cut, longest, kept), _cut(one.rejected, front, cut, longest, kept), cut


def _cut(ids: Ids, front: int, cut: int, longest: int, kept: Edges) -> Ids:
    if cut:
        ids = np.concatenate([ids[:front], ids[front + cut :]])
    if len(ids) <= longest:
        return ids
    if int(ids[-1]) in kept.back:
        return np.concatenate([ids[: longest - 1], ids[-1:]])
    return ids[:longest]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Validation data that also stands in the training data."""

    prompts: int
    pairs: int


def overlap(train: PairSet, val: PairSet) -> Overlap:
    """Validation prompts and whole pairs that training sees too; case and spacing do not count in prompts."""
    return Overlap(len(train.prompts & val.prompts), len(train.contents & val.contents))


def samples(pairs: Iterable[TokenPair], tokenizer: Any, count: int = 3) -> list[dict[str, Any]]:
    """The first pairs, decoded as the model sees them, with what was cut and the token that is scored."""
    return [_sample(pair, tokenizer) for pair, _ in zip(pairs, range(count), strict=False)]


def _sample(pair: TokenPair, tokenizer: Any) -> dict[str, Any]:
    return {
        "id": pair.id,
        "cut": pair.cut,
        "shared": pair.shared,
        "prompt": tokenizer.decode(pair.chosen[: pair.shared]),
        "chosen": tokenizer.decode(pair.chosen[pair.shared :]),
        "rejected": tokenizer.decode(pair.rejected[pair.shared :]),
        "chosen_tokens": len(pair.chosen),
        "rejected_tokens": len(pair.rejected),
        "scored": [tokenizer.convert_ids_to_tokens(int(side[-1])) for side in (pair.chosen, pair.rejected)],
    }
