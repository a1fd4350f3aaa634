"""Facts of a base model that are found in its modules and by running it, not in lists of names: how many positions it
has, whether it draws random numbers while it trains, which ids it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from trainer.data.truncate import Ids
from trainer.model import head
from trainer.spec import Refused

PROBE, LONGER_PROBE = 5, 8
"""Tokens of the sequences that a fact is found with."""
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

    The table is the one that is asked for consecutive rows when tokens of any other order are read, however many they
    are; it starts at the first row that was asked for (2 in OPT, the pad id + 1 in RoBERTa).
    """
    if classifier not in _LIMITS:
        _LIMITS[classifier] = min((rows - first for rows, first in _tables(classifier)), default=None)
    return _LIMITS[classifier]


_LIMITS: WeakKeyDictionary[PreTrainedModel, int | None] = WeakKeyDictionary()


def steady_length(classifier: PreTrainedModel) -> int | None:
    """Tokens beyond which rotary positions are scaled by the longest text so far (dynamic NTK), so that a reward would
    depend on other texts; None where they are not."""
    found = (
        getattr(module, "original_max_seq_len", None)
        for module in classifier.modules()
        if "dynamic" in _kinds_of_rotary(module)
    )
    return min((length for length in found if isinstance(length, int)), default=None)


def _kinds_of_rotary(module: nn.Module) -> set[str]:
    """What transformers call a module's way to rotate: one name, or one for each type of layer."""
    kind = vars(module).get("rope_type")
    return {str(one) for one in kind.values()} if isinstance(kind, dict) else {str(kind)}


def refuse_unsteady(sides: Iterable[Ids], steady: int | None, name: str) -> None:
    """Raises Refused where texts are longer than a model's `steady_length`."""
    if steady is None:
        return
    lengths = [len(side) for side in sides]
    longer = sum(length > steady for length in lengths)
    if longer:
        raise Refused(
            f"model: {name} has dynamic NTK positions (rope_type dynamic in its config.json): beyond {steady} tokens "
            "they are scaled by the longest text so far, so a reward would depend on the texts before it, and "
            f"{longer} of {len(lengths)} texts are longer; set max_length = {steady}, or rope_type linear or yarn in "
            "a copy of its config.json"
        )


def _tables(classifier: PreTrainedModel) -> set[tuple[int, int]]:
    """(rows, first row asked for) of each table of positions."""
    short = _rows_asked_for(classifier, PROBE)
    if all(rows == PROBE for rows, _ in short):  # hidden states, by their places
        return set()
    return short & _rows_asked_for(classifier, LONGER_PROBE)


def _rows_asked_for(classifier: PreTrainedModel, length: int) -> set[tuple[int, int]]:
    ids = torch.tensor([_ids(classifier, length)], device=next(classifier.parameters()).device)
    with _evaluating(classifier), _Lookups(length) as lookups:
        try:
            classifier(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return set()
    found: set[tuple[int, int]] = lookups.found
    return found


class _Lookups(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Notes who is asked for as many consecutive rows as there are tokens: (rows that it has, the first)."""

    def __init__(self, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = length
        self.found: set[tuple[int, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for rows, asked in _lookups(func, args):
            if asked.ndim and asked.shape[-1] == self.length and not asked.is_floating_point():
                seen = asked.reshape(-1, self.length)[0].tolist()
                if seen == list(range(seen[0], seen[0] + self.length)):
                    self.found.add((rows, seen[0]))
        return func(*args, **(kwargs or {}))


def _lookups(func: Any, args: Sequence[Any]) -> Iterator[tuple[int, Tensor]]:
    """(rows, ids of those that are read) of an operation that reads rows by their ids."""
    aten = torch.ops.aten
    if func is aten.embedding.default:
        yield args[0].shape[0], args[1]
    elif func in (aten.gather.default, aten.index_select.default):
        table, dim, asked = args[:3]
        yield table.shape[dim], asked.movedim(dim, -1) if asked.ndim > 1 else asked
    elif func is aten.index.Tensor:
        yield from ((rows, one) for rows, one in zip(args[0].shape, args[1], strict=False) if one is not None)


def _ids(classifier: PreTrainedModel, length: int = PROBE) -> list[int]:
    """Ids in no order, none of them the pad token's, with which some models skip a position."""
    pad, size = classifier.config.get_text_config().pad_token_id, embedding_rows(classifier)
    legal = [one for one in range(size) if one != pad]
    return [legal[(place * place * 7 + 3 * (place % 2)) % len(legal)] for place in range(length)]


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
    numbers, have to give the reward of evaluation, and that has to be what it was before.
    """
    numbers = _numbers(classifier)
    if numbers:
        evaluated = _evaluated(classifier)
        for module, name, _ in numbers:
            setattr(module, name, 0.0)
        if not _same(evaluated, _evaluated(classifier)):
            _keep_in_evaluation(numbers, classifier)
    _silence_modules(classifier)
    if not in_training(classifier):
        return ""
    configs = {id(module.config): module.config for module in classifier.modules() if hasattr(module, "config")}
    settings = [
        (config, name, value)
        for config in configs.values()
        for name, value in list(vars(config).items())
        if _is_noise(name, value)
    ]
    evaluated = _evaluated(classifier)
    for config, name, _ in settings:
        setattr(config, name, 0.0)
    _silence_modules(classifier)  # BigBird makes layers anew when it first sees a short text
    left = in_training(classifier)
    if left or not _same(evaluated, _evaluated(classifier)):
        for config, name, value in settings:
            setattr(config, name, value)
        left = in_training(classifier)
    return left


def _numbers(classifier: PreTrainedModel) -> list[tuple[nn.Module, str, float]]:
    """Probabilities and sizes of noise that modules keep as numbers."""
    return [
        (module, name, value)
        for module in classifier.modules()
        for name, value in list(vars(module).items())
        if _is_noise(name, value)
    ]


def _keep_in_evaluation(numbers: Sequence[tuple[nn.Module, str, float]], classifier: PreTrainedModel) -> None:
    """Of numbers that evaluation reads, too (the noise of PhiMoE's router is also the width of a threshold), the value
    is left, and the modules that hold them compute as in evaluation."""
    for name in sorted({one for _, one, _ in numbers}):
        holders = [(module, value) for module, one, value in numbers if one == name]
        for module, value in holders:
            setattr(module, name, value)
        with_it = _evaluated(classifier)
        for module, _ in holders:
            setattr(module, name, 0.0)
        if _same(with_it, _evaluated(classifier)):
            continue
        for module, value in holders:
            setattr(module, name, value)
            module.training = False
            vars(module)["train"] = MethodType(_trains_below, module)


def _trains_below(module: nn.Module, mode: bool = True) -> nn.Module:
    for child in module.children():
        child.train(mode)
    return module


def _silence_modules(classifier: PreTrainedModel) -> None:
    for module in classifier.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            vars(module)["train"] = MethodType(_stays_as_it_is, module)


def _stays_as_it_is(module: nn.Module, _mode: bool = True) -> nn.Module:
    return module


def _evaluated(classifier: PreTrainedModel) -> Tensor | None:
    """The reward of a short text in evaluation; None where the model cannot be run."""
    ids = torch.tensor([_ids(classifier)], device=next(classifier.parameters()).device)
    try:
        with _evaluating(classifier), head.visible(classifier):
            found: Tensor = classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return None  # a model that cannot be run is refused elsewhere, with its own error
    return found


def reads_last(classifier: PreTrainedModel) -> bool:
    """Whether the model's `score` makes its reward from what the body, given the tokens alone, gives for the last of
    them. T5Gemma's reads a decoder that is fed with the tokens shifted by one."""
    whole = _evaluated(classifier)
    if whole is None:
        return True
    ids = torch.tensor([_ids(classifier)], device=next(classifier.parameters()).device)
    parts: Any = classifier
    try:
        with _evaluating(classifier), head.visible(classifier):
            hidden = parts.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            found: Tensor = parts.score(hidden[:, -1])
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return False
    return _same(whole, found)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.allclose(one, other, rtol=0, atol=AGREE * float(one.abs().max()))


def refuse_not_finite(classifier: PreTrainedModel, name: str) -> None:
    """Raises Refused where a text gets NaN or infinity as its reward, with the weights that are the cause."""
    found = _evaluated(classifier)
    if found is None or bool(found.isfinite().all()):
        return
    wrong = [key for key, one in classifier.named_parameters() if not one.isfinite().all()]
    why = f"{', '.join(wrong[:SHOWN])} of it are not finite" if wrong else "its numbers overflow"
    raise Refused(
        f"model: {name} gives {float(found.flatten()[0])} in place of a reward: {why}; download it again, or choose "
        "another (a training that failed may have saved it)"
    )


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
