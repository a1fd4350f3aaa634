"""Whether a reward depends on what else is in the batch: rows of random tokens alone, among others, and padded.

Mixing over padding (FNet), landmarks counted with it (Nyströmformer), experts with a capacity and batch statistics make
neighbours count. Such a model is computed row by row, or in rows of one length, in training and scoring alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer.data.batches import Batch, Layout, collate
from trainer.data.pairset import TokenPair
from trainer.data.truncate import Ids
from trainer.model import base_facts, head
from trainer.spec import Refused

AGREE = 1e-4
"""Rewards of another layout or of other neighbours, nearer than this by size, are the same."""
LENGTHS = "lengths"
ROWS = "rows"
TOKENS = 8
BESIDE = (TOKENS + 1, 2 * TOKENS, 5 * TOKENS)
"""Lengths of a neighbour, and so of the row with its padding."""
COPIES = 6
"""Rows that are equal, and so go to the same experts."""
CANNOT = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
"""What a model raises that takes no blocks or positions, or wants something else of its tokens."""
Forward = Callable[[Batch], Tensor]


def rewards(forward: Forward, pairs: Sequence[TokenPair], layout: Layout) -> Tensor | None:
    """Rewards of the pairs in this layout, chosen before rejected; None where the model cannot compute in it."""
    try:
        with torch.inference_mode():
            return forward(collate(pairs, layout))
    except CANNOT:
        return None


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether both were computed, and agree."""
    if one is None or other is None:
        return False
    size = max(1.0, float(one.abs().max()), float(other.abs().max()))
    return bool(torch.allclose(one, other, rtol=0, atol=AGREE * size))


def apart(classifier: PreTrainedModel, forward: Forward, padded: Layout) -> str:
    """How rows have to be computed so that none depends on another: `` (any batch, padded as in `padded`), LENGTHS or
    ROWS. `forward` takes batches in evaluation mode. Raises Refused where even a row alone has no one reward."""
    each = replace(padded, apart=ROWS)
    with head.visible(classifier):
        pairs = probe_pairs(classifier)
        alone = rewards(forward, pairs, each)
        if alone is None:
            return ""  # it needs tokens of another kind: the start check tries it on real ones
        if not same(alone, rewards(forward, pairs, each)):
            raise Refused(
                "model: it draws random numbers in evaluation, too: the same text gets another reward each time; "
                "choose another base model"
            )
        equal = _equal_lengths(pairs)
        if not same(rewards(forward, equal, each), rewards(forward, equal, padded)):
            return ROWS
        found = [(rewards(forward, some, each), rewards(forward, some, padded)) for some in _beside(pairs)]
    return "" if all(same(one, other) for one, other in found) else LENGTHS


def probe_pairs(classifier: PreTrainedModel) -> list[TokenPair]:
    """Pairs of random tokens that share a prefix, always the same for one model: two of about TOKENS tokens a side, and
    one with each length of BESIDE that the model has positions for. Each ends with the model's end token."""
    config = classifier.config.get_text_config()
    known = {name: getattr(config, name, None) for name in ("eos_token_id", "pad_token_id", "bos_token_id")}
    marks = {one for one in known.values() if isinstance(one, int)}
    end = known["eos_token_id"] if isinstance(known["eos_token_id"], int) else None
    legal = np.array([one for one in range(base_facts.embedding_rows(classifier)) if one not in marks], np.int32)
    random, most = (
        np.random.default_rng(0),
        (base_facts.position_limit(classifier), base_facts.steady_length(classifier)),
    )
    lengths = [TOKENS, TOKENS + 1, *(size for size in BESIDE if all(not limit or size <= limit for limit in most))]
    made = []
    for number, size in enumerate(lengths):
        prefix = random.choice(legal, size // 2)
        sides = [_ended(np.concatenate([prefix, random.choice(legal, size - size // 2)]), end) for _ in range(2)]
        made.append(TokenPair(str(number), sides[0], sides[1], len(prefix), 0))
    return made


def crowd(classifier: PreTrainedModel) -> list[TokenPair]:
    """Pairs of different lengths, and many copies of one of them, which go to the same experts."""
    pairs = probe_pairs(classifier)
    return [*pairs, *_equal_lengths(pairs)]


def _ended(ids: Ids, end: int | None) -> Ids:
    return ids if end is None else np.append(ids[:-1], np.int32(end))


def _equal_lengths(pairs: Sequence[TokenPair]) -> list[TokenPair]:
    """The first pair, and many copies of its chosen side, all of one length."""
    first = pairs[0]
    copy = replace(first, rejected=first.chosen, shared=0)
    return [first, *[copy] * COPIES]


def _beside(pairs: Sequence[TokenPair]) -> Iterator[list[TokenPair]]:
    """The first pair beside each longer one, and all of them together."""
    yield from ([pairs[0], longer] for longer in pairs[1:])
    yield list(pairs)
