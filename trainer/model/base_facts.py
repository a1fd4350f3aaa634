"""Facts of a base model that are found in its modules and by running it, not in lists of names: how many positions it
has, whether it draws random numbers while it trains, which ids it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.data.truncate import Ids
from trainer.model import head
from trainer.spec import Refused

PROBE = 5
"""Tokens of the sequence that a fact is found with."""
NOISE = ("drop", "jitter", "noise")
"""Parts of names under which transformers keep a probability of dropping, or the size of a noise."""
SHOWN = 5
AGREE = 1e-4
"""Share of a reward by which training mode may differ from evaluation."""
RANDOM = (
    "the base model draws random numbers of its own while it trains (dropout or noise that cannot be switched off): "
    "both sides of a pair get different noise, and its training losses are higher than its evaluations"
)
OTHERWISE = (
    "the base model computes other rewards while it trains than in evaluation, and this cannot be switched off: its "
    "training losses are not those of the model that is saved"
)


def position_limit(classifier: PreTrainedModel) -> int | None:
    """Tokens beyond which the model has no positions; None where it has no table of them.

    The table is the one that is asked for consecutive rows when tokens of any other order are read; it starts at the
    first row that was asked for (2 in OPT, the pad id + 1 in RoBERTa).
    """
    tables = [module for module in classifier.modules() if isinstance(module, nn.Embedding)]
    if len(tables) < 2:
        return None
    asked: list[tuple[list[int], int]] = []
    look_up = nn.functional.embedding

    def noted(ids: Tensor, weight: Tensor, *more: Any, **named: Any) -> Tensor:
        if ids.shape[-1:] and ids.shape[-1] >= PROBE:
            asked.append((ids.reshape(-1, ids.shape[-1])[0, :PROBE].tolist(), int(weight.shape[0])))
        return look_up(ids, weight, *more, **named)

    ids = torch.tensor([_ids(classifier)], device=next(classifier.parameters()).device)
    with mock.patch("torch.nn.functional.embedding", noted), _evaluating(classifier):
        try:
            classifier(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return None
    limits = [rows - seen[0] for seen, rows in asked if seen == list(range(seen[0], seen[0] + PROBE))]
    return min(limits, default=None)


def _ids(classifier: PreTrainedModel) -> list[int]:
    """Ids in no order, none of them the pad token's, with which some models skip a position."""
    pad, size = classifier.config.get_text_config().pad_token_id, embedding_rows(classifier)
    legal = [one for one in range(size) if one != pad]
    return [legal[(place * place * 7 + 3 * (place % 2)) % len(legal)] for place in range(PROBE)]


@contextmanager
def _evaluating(classifier: PreTrainedModel) -> Iterator[None]:
    training = classifier.training
    try:
        with torch.inference_mode():
            classifier.train(False)
            yield
    finally:
        classifier.train(training)


def silence(classifier: PreTrainedModel) -> str:
    """Switch the model's own dropout and noise off, whatever their form; returns why that failed, or nothing.

    Modules of nn.Dropout, numbers that modules keep, and numbers that they read from the configuration; batch
    statistics are those of evaluation. Whether it worked is tried: passes in training mode, with different random
    numbers, have to give the reward of evaluation.
    """
    _silence_modules(classifier)
    if not in_training(classifier):
        return ""
    configs = {id(module.config): module.config for module in classifier.modules() if hasattr(module, "config")}
    numbers = [
        (config, name, value)
        for config in configs.values()
        for name, value in list(vars(config).items())
        if _is_noise(name, value)
    ]
    for config, name, _ in numbers:
        setattr(config, name, 0.0)
    _silence_modules(classifier)  # BigBird makes layers anew when it first sees a short text
    left = in_training(classifier)
    if left:
        for config, name, value in numbers:
            setattr(config, name, value)
    return left


def _silence_modules(classifier: PreTrainedModel) -> None:
    for module in classifier.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            vars(module)["train"] = MethodType(_stays_as_it_is, module)
        for name, value in list(vars(module).items()):
            if _is_noise(name, value):
                setattr(module, name, 0.0)


def _stays_as_it_is(module: nn.Module, _mode: bool = True) -> nn.Module:
    return module


def _is_noise(name: str, value: object) -> bool:
    return isinstance(value, float) and 0 < value < 1 and any(part in name.lower() for part in NOISE)


def in_training(classifier: PreTrainedModel) -> str:
    """Why rewards in training mode are not those of evaluation, whatever the random numbers; empty where they are."""
    training, found = classifier.training, []
    ids = torch.tensor([_ids(classifier)], device=next(classifier.parameters()).device)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), head.visible(classifier):
            for seed in (None, 1, 2, 3):
                classifier.train(seed is not None)
                torch.manual_seed(seed or 0)
                found.append(classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return ""  # a model that cannot be run is refused elsewhere, with its own error
    finally:
        classifier.train(training)
    evaluated, first, *others = found
    if not all(torch.equal(first, one) for one in others):
        return RANDOM
    return "" if torch.allclose(first, evaluated, rtol=0, atol=AGREE * float(evaluated.abs().max())) else OTHERWISE


def embedding_rows(classifier: PreTrainedModel) -> int:
    """Ids that the model has an embedding for: 0 to this number less 1."""
    table: Any = classifier.get_input_embeddings()
    return int(table.weight.shape[0])


def refuse_unknown_ids(sides: Iterable[Ids], rows: int, tokenizer: Any, what: str) -> None:
    """Raises Refused where texts hold ids that the model has no embedding for, with the tokens and how often."""
    beyond: Counter[int] = Counter()
    for side in sides:
        if len(side) and int(side.max()) >= rows:
            beyond.update(side[side >= rows].tolist())
    if not beyond:
        return
    named = ", ".join(
        f"{tokenizer.convert_ids_to_tokens(one)!r} (id {one}, {count} times)"
        for one, count in beyond.most_common(SHOWN)
    )
    more = f" and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
    raise Refused(
        f"{what}: the tokenizer makes ids that the model has no embedding for ({rows:,} rows): {named}{more}. Use the "
        "tokenizer that belongs to the model, or train with --resize-embeddings (resize_embeddings = true), which "
        "gives it rows for them"
    )
