"""`python -m trainer merge CHECKPOINT OUT`: adapter and base model → one folder that plain transformers load, and the
proof that they do: in a fresh process, on texts of the validation file, one by one and in padded batches."""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer import pairs as files
from trainer.config import TrainConfig, to_document
from trainer.data.pairset import TokenPair
from trainer.data.texts import encode
from trainer.data.truncate import edges, shared_length, truncate
from trainer.loop import checkpoint, environment, evaluate, recorded, round_trip
from trainer.model import attention, fast_paths, malloc, plain
from trainer.model import reward as model
from trainer.model.reward import RewardModel
from trainer.pairs import Row
from trainer.release import by_weight, card, scoring
from trainer.release.origin import Origin, find_origin

PAIRS = 8
READ_ROWS = 2000
"""Lines of the validation file among which the pairs are chosen."""
OWN_TEXTS = (
    ("How do I boil an egg?", " Put it into boiling water for eight minutes.", " No."),
    ("What is the capital of France?", " Paris.", " It is a large city on a river, I believe, but ask somebody else."),
    ("Write a line about rain.", " It drums on the roof and the gutters sing.", " Rain is wet, wet, wet."),
    ("12 + 30 =", " 42", " 43, if you count from one"),
)
"""What is scored where the validation file is gone."""


class ExportError(ValueError):
    """A merge that cannot be done; the message says why and what to do."""


class CheckFailed(ExportError):
    """The merged folder gives other rewards than the trained model."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What was written, and what plain transformers make of it."""

    folder: Path
    check: round_trip.RoundTrip
    texts: str
    """What was scored, in words."""

    @property
    def difference(self) -> float:
        """The largest difference of a reward, one text at a time."""
        return self.check.alone or 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `merge`."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint, model/ or a run's folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make; it must not exist, or be empty")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--sealed", default="", metavar="TEXT", help="for the model card: its sealed test")
    parser.add_argument("--selection", default="", metavar="TEXT", help="for the model card: among what it was chosen")


def run(args: argparse.Namespace) -> int:
    """Merge and print; 0 when the written folder was proved right."""
    found = merge(args.checkpoint, args.out, args.selection, args.sealed)
    check = found.check
    padded = {side: check.right_padded(side) for side in check.padded}
    if args.json:
        print(json.dumps({"folder": str(args.out), "max_difference": found.difference, "padded": padded}))
        return 0
    print(f"{args.out}: merged; in plain transformers, on {found.texts}: {check.summary}")
    if not any(padded.values()):
        print("rmtui: padded batches give other rewards with this model: score one text at a time", file=sys.stderr)
    return 0


def merge(source: Path, out: Path, selection: str = "", sealed: str = "") -> Merged:
    """Write a plain AutoModelForSequenceClassification folder with tokenizer and model card, and compare its rewards
    with the trained model's; `selection` and `sealed` are sentences of the card. Where they differ the folder is not
    kept and CheckFailed is raised."""
    source = scoring.model_folder(source)
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out} is not empty; name a new folder")
    origin = find_origin(source)
    config = origin.config or TrainConfig()
    malloc.return_freed()
    try:
        written = _write(source, out, origin)
        gc.collect()  # the fresh process loads the whole model: this one's makes room
        tokenizer = written.tokenizer
        check = proved(out, written.probe, config)
        if not check.right_padded(check.side) and any(map(check.right_padded, plain.SIDES)):
            tokenizer.padding_side = next(side for side in plain.SIDES if check.right_padded(side))
            tokenizer.save_pretrained(out)
            check = replace(check, side=tokenizer.padding_side)
    except BaseException:  # half a folder is none
        shutil.rmtree(out, ignore_errors=True)
        raise
    ends = tokenizer.pad_token_id == tokenizer.eos_token_id
    facts = card.Facts(written.place, ends, check, written.texts, card.text_rules(tokenizer, config))
    (out / "README.md").write_text(card.text(origin, facts, selection, sealed), encoding="utf-8")
    return Merged(out, check, written.texts)


@dataclass(frozen=True, slots=True)
class _Written:
    """What is known of a merged model once it is written, and itself gone."""

    tokenizer: Any
    probe: round_trip.Probe
    """Pairs and the rewards that the trained model gives them."""
    texts: str
    place: str
    """The tokens that the reward is read at (`reads_at`)."""


def _write(source: Path, out: Path, origin: Origin) -> _Written:
    """Load what was trained, score some pairs with it, and write it as one model."""
    config = origin.config or TrainConfig()
    trained, tokenizer = model.load_trained(source, config, mapped=True)
    fast_paths.use_again(trained, origin.paths)
    if wrong := recorded.other_rewards(trained, source):
        raise ExportError(wrong)
    pairs, texts = some_pairs(trained, tokenizer, config)
    probe = checkpoint.probe_of(pairs, evaluate.score(trained, pairs, trained.layout, PAIRS))
    _prepare(trained.classifier)
    place = reads_at(trained.classifier, probe[0]["chosen_tokens"])
    by_weight.write(trained.inner, out)
    tokenizer.save_pretrained(out)
    origin.write(out)
    return _Written(tokenizer, probe, texts, place)


def proved(out: Path, probe: round_trip.Probe, config: TrainConfig) -> round_trip.RoundTrip:
    """What a fresh process with plain transformers finds in `out`. Raises CheckFailed where it finds other rewards."""
    exact = replace(config, mixed_precision="no", deterministic=False)
    device = torch.device("cpu")
    digest = _fingerprint(config)
    task: round_trip.Task = {
        "folder": str(out),
        "device": str(device),
        "probe": probe,
        "facts": {**environment.facts(device), "config": to_document(exact), "fingerprints": {"val": digest}},
        "place": None,
        "seconds": None,
    }
    try:
        check, _ = round_trip.compare(task, round_trip.END_SECONDS)
    except round_trip.NotComparable as error:
        raise CheckFailed(f"{out} is not kept: {error}") from None
    if check.tokens or not check.right_alone:
        raise CheckFailed(f"{out} is not kept: {check.fault}")
    return check


def some_pairs(trained: RewardModel, tokenizer: Any, config: TrainConfig) -> tuple[list[TokenPair], str]:
    """Pairs of the validation file, of different lengths and as they are cut in training; else of texts of our own.
    Tokens are those that the tokenizer makes, below the embedding's rows. With a word on what they are."""
    rows = _validation_rows(config)
    made = _legal(trained, tokenizer, config, rows)
    if made:
        return made, f"{len(made)} pairs of the validation file"
    own = [Row(str(place), *texts) for place, texts in enumerate(OWN_TEXTS)]
    made = _legal(trained, tokenizer, config, own)
    if not made:
        raise ExportError("the tokenizer makes ids beyond the model's embedding of plain English: they do not belong")
    return made, f"{len(made)} pairs of invented texts, since the validation file is not there"


def _fingerprint(config: TrainConfig) -> str:
    """Of the validation data; empty where it is gone, or not as it was."""
    try:
        return files.fingerprint(config.data.val, config.data.fields) if config.data.val else ""
    except OSError:
        return ""


def _validation_rows(config: TrainConfig) -> list[Row]:
    try:
        read = zip(files.read_rows(config.data.val, config.data.fields), range(READ_ROWS), strict=False)
        rows = files.distinct_ids(row for row, _ in read if isinstance(row, Row))
    except OSError:
        return []
    by_length = sorted(rows, key=lambda row: len(str(row.prompt)) + len(str(row.chosen)))
    count = min(PAIRS, len(by_length))
    return [by_length[place * len(by_length) // count] for place in range(count)]


def _legal(trained: RewardModel, tokenizer: Any, config: TrainConfig, rows: Sequence[Row]) -> list[TokenPair]:
    limit = model.position_limit(trained)
    longest = min(config.max_length, limit) if limit else config.max_length
    embedding: Any = trained.classifier.get_input_embeddings()
    table = embedding.weight.shape[0]
    kept, found = edges(tokenizer, config), []
    for row, one in zip(rows, encode(rows, tokenizer, config), strict=True):
        chosen, rejected, lost = truncate(one, longest, kept)
        if max(int(chosen.max()), int(rejected.max())) < table:
            found.append(TokenPair(row.id, chosen, rejected, shared_length(chosen, rejected), lost))
    return found


def _prepare(classifier: Any) -> None:
    classifier.config.num_labels = 1
    # ours is not for others; a family without SDPA keeps its own
    if classifier.config._attn_implementation == attention.NAME:
        classifier.set_attn_implementation("sdpa")


def reads_at(whole: Any, ids: Sequence[int]) -> str:
    """The tokens whose last hidden state the reward depends on, in words; empty where that cannot be found."""
    places = _read_places(whole, ids, _head_alone) or _read_places(whole, ids, _head_and_body)
    if places == [0]:
        return "first token"
    if places == [len(ids) - 1]:
        return "last token that is not the pad token"
    return "mean of all tokens" if places and len(places) == len(ids) else ""


def _read_places(whole: Any, ids: Sequence[int], followed: Callable[[Any, list[torch.Tensor]], Any]) -> list[int]:
    """Tokens whose last hidden state the reward has a gradient to; empty where none can be followed."""
    held: list[torch.Tensor] = []
    try:
        with torch.enable_grad(), followed(whole, held):
            reward = whole(input_ids=torch.tensor([list(ids)])).logits[0, 0]
            (grad,) = torch.autograd.grad(reward, held[-1])
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):  # an embedding that gives a tuple, say
        return []
    found: list[int] = torch.nonzero(grad[0].abs().sum(-1)).flatten().tolist()
    return found


@contextmanager
def _head_alone(whole: Any, held: list[torch.Tensor]) -> Iterator[None]:
    """The head reads a copy of the last hidden states that nothing leads to: no layer's weights are kept for it."""

    def begin(_module: Any, _inputs: Any) -> None:
        torch.set_grad_enabled(False)

    def cut(_module: Any, _inputs: Any, out: Any) -> Any:
        torch.set_grad_enabled(True)
        held.append(out.last_hidden_state.detach().requires_grad_())
        out.last_hidden_state = held[-1]
        return out

    hooks = [whole.base_model.register_forward_pre_hook(begin)]
    hooks.append(whole.base_model.register_forward_hook(cut))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _head_and_body(whole: Any, held: list[torch.Tensor]) -> Iterator[None]:
    """Part of the head is in the body (BERT's pooler): its layers are followed, too."""
    hook = whole.base_model.register_forward_hook(lambda _module, _inputs, out: held.append(out[0]))
    whole.enable_input_require_grads()  # no weight need have a gradient here
    try:
        yield
    finally:
        hook.remove()
        whole.disable_input_require_grads()
