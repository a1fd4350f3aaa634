"""`python -m trainer base-floors MODEL TRAIN VAL`: what a frozen base knows of the pairs before any training of it: a
linear probe on its last hidden states, and the difference of the answers' mean log-probabilities."""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from trainer.clusters import find_clusters
from trainer.config import TrainConfig
from trainer.data.texts import DataError, encode
from trainer.data.truncate import Ids, edges, truncate
from trainer.model.load_errors import refusing
from trainer.model.lora import quiet
from trainer.model.pretrained import first_names, gguf_file, load_tokenizer, pad_id, refuse_quantized
from trainer.release import progress_bar, scoring
from trainer.release.probe_fit import choose_penalty, fit
from trainer.release.progress_bar import ProgressBar
from trainer.rows import Row

if TYPE_CHECKING:
    from trainer.documents import BaseFloorsDocument

SAME = 1e-3
"""Logits that differ by less when a later token changes do not read it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One answer's tokens; those from `answer` on are its own, the prompt is before."""

    ids: Ids
    answer: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `base-floors`."""
    parser.add_argument("model", metavar="MODEL", help="a base model's folder or hub name")
    parser.add_argument("train", metavar="TRAIN", help="training pairs, to which the probe is fitted")
    parser.add_argument("val", metavar="VAL", help="validation pairs")
    parser.add_argument("--max-length", type=int, default=512, metavar="N", help="tokens a side (default 512)")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="texts a forward pass (default 8)")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="draw so many training pairs (default: all)")
    parser.add_argument("--device", default="", help="cpu, cuda or cuda:1 (default: cuda if there is one)")
    parser.add_argument("--progress", choices=progress_bar.CHOICES, default="none")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Print the document: each validation pair's margin of either rival, in float32."""
    config = TrainConfig(max_length=args.max_length)
    rows = [_pairs(name) for name in (args.train, args.val)]
    if 0 < args.most < len(rows[0]):
        rows[0] = random.Random(0).sample(rows[0], args.most)
    device = scoring.device_of(args.device)
    with refusing(args.model, trusted=False, trains=False):
        refuse_quantized(args.model, False)
        tokenizer, why = load_tokenizer(args.model), _not_causal(args.model)
    train, val = (_sides(part, tokenizer, config) for part in rows)
    count = len(train) + len(val) * (1 if why else 2)
    bar = ProgressBar(args.progress, "texts", count)
    body = _load(AutoModel, args.model, device)
    pad, batch = pad_id(tokenizer), args.batch_size
    _refuse_too_long(body, [*train, *val])
    starts = ((train, 0), (val, len(train)))
    states = [_states(body, part, pad, batch, bool(why), bar.update, start) for part, start in starts]
    del body
    differences = [part[::2] - part[1::2] for part in states]
    clusters = find_clusters(rows[0]).of
    penalty = choose_penalty(differences[0], [clusters[row.id] for row in rows[0]])
    margins = (differences[1] @ fit(differences[0], penalty)).tolist()
    logs: list[float] | None = None
    if not why:
        head = _load(AutoModelForCausalLM, args.model, device)
        why = _reads_ahead(head, val[0])
        if not why:
            means = _log_probabilities(head, val, pad, batch, bar.update, len(train) + len(val))
            logs = [chosen - rejected for chosen, rejected in zip(means[::2], means[1::2], strict=True)]
    if not all(map(math.isfinite, [*margins, *(logs or ())])):
        raise DataError(f"{args.model} gives numbers that are not finite: its weights hold NaN, or overflow")
    document: BaseFloorsDocument = {
        "model": args.model,
        "max_length": args.max_length,
        "train_pairs": len(rows[0]),
        "penalty": penalty,
        "ids": [row.id for row in rows[1]],
        "probe": margins,
        "log_probability": logs,
        "why_none": why,
    }
    print(json.dumps(document))
    return 0


def _pairs(name: str) -> list[Row]:
    rows, responses = scoring.read(name)
    if responses:
        raise DataError(f"{name} holds single responses, and no pairs")
    return rows


def _sides(rows: Sequence[Row], tokenizer: Any, config: TrainConfig) -> list[Side]:
    """Chosen and rejected of each row, cut as for a training."""
    kept, made = edges(tokenizer, config), []
    for one in encode(rows, tokenizer, config):
        chosen, rejected, lost = truncate(one, config.max_length, kept)
        made += [Side(ids, min(max(one.prompt - lost, 1), len(ids) - 1)) for ids in (chosen, rejected)]
    return made


def _not_causal(name: str) -> str:
    """Why there are no log-probabilities of texts; empty where the folder holds a causal language model."""
    if gguf_file(name):
        return ""
    settings: Any = AutoConfig.from_pretrained(name)
    wanted = [str(one) for one in settings.architectures or ()]
    if settings.is_encoder_decoder or not any(one.endswith(("ForCausalLM", "LMHeadModel")) for one in wanted):
        kinds = ", ".join(wanted) or settings.model_type
        return f"{kinds} is no causal language model: it gives texts no log-probability"
    return ""


def _load(kind: Any, name: str, device: torch.device) -> Any:
    """The model in float32; Refused where weights other than a pooler would be random numbers."""
    with refusing(name, trusted=False, trains=False), quiet():
        model, info = kind.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **gguf_file(name))
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing or info["mismatched_keys"]:
        raise DataError(f"{name} lacks {first_names(missing or [str(info['mismatched_keys'][0][0])])} of its weights")
    return model.eval().requires_grad_(False).to(device)


def _refuse_too_long(body: Any, sides: Sequence[Side]) -> None:
    limit = getattr(body.config.get_text_config(), "max_position_embeddings", None)
    longest = max(len(side.ids) for side in sides)
    if isinstance(limit, int) and 0 < limit < longest:
        raise DataError(f"the model has {limit} positions, and a text has {longest} tokens (--max-length)")


def _batches(sides: Sequence[Side], pad: int, size: int, device: Any) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """(places, ids, mask) of sides of like length, padded on the right; the longest first."""
    order = sorted(range(len(sides)), key=lambda place: -len(sides[place].ids))
    for start in range(0, len(order), size):
        places = order[start : start + size]
        longest = len(sides[places[0]].ids)
        ids = torch.full((len(places), longest), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, place in enumerate(places):
            own = torch.as_tensor(sides[place].ids.astype("int64"))
            ids[row, : len(own)], mask[row, : len(own)] = own, 1
        yield places, ids.to(device), mask.to(device)


def _states(
    body: Any, sides: Sequence[Side], pad: int, size: int, mean: bool, tell: Callable[[int], None], before: int
) -> Tensor:
    """float64 (sides × hidden): of the last token, or the mean over all tokens where each reads the whole text."""
    found: dict[int, Tensor] = {}
    for places, ids, mask in _batches(sides, pad, size, body.device):
        with torch.inference_mode():
            hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state
        for row, place in enumerate(places):
            own = hidden[row, : len(sides[place].ids)]
            found[place] = (own.double().mean(0) if mean else own[-1].double()).cpu().clone()
        tell(before + len(found))
    return torch.stack([found[place] for place in range(len(sides))])


def _reads_ahead(head: Any, side: Side) -> str:
    """Why a model that calls itself causal is none: what it says of a token changes with a later one."""
    ids = torch.as_tensor(side.ids.astype("int64"))[None].to(head.device)
    other = ids.clone()
    other[0, -1] = ids[0, 0] if ids[0, 0] != ids[0, -1] else (ids[0, -1] + 1) % head.config.get_text_config().vocab_size
    with torch.inference_mode():
        one, two = (head(input_ids=each).logits[0, :-1] for each in (ids, other))
    if float((one - two).abs().max()) > SAME:
        return "it reads what comes after a token, as an encoder does: it gives texts no log-probability"
    return ""


def _log_probabilities(
    head: Any, sides: Sequence[Side], pad: int, size: int, tell: Callable[[int], None], before: int
) -> list[float]:
    """Mean log-probability of each answer's tokens, its end token among them, given all that is before."""
    found: dict[int, float] = {}
    for places, ids, mask in _batches(sides, pad, size, head.device):
        with torch.inference_mode():
            logits = head(input_ids=ids, attention_mask=mask).logits
        for row, place in enumerate(places):
            first, end = sides[place].answer, len(sides[place].ids)
            said = torch.log_softmax(logits[row, first - 1 : end - 1].float(), -1)
            found[place] = float(said.gather(1, ids[row, first:end, None]).double().mean())
        tell(before + len(found))
    return [found[place] for place in range(len(sides))]
