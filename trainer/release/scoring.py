"""`python -m trainer score MODEL FILE`: rewards of pairs or of single responses, and what they say together."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import torch

from trainer import manifest, precision, ranks
from trainer import pairs as files
from trainer.clusters import find_clusters
from trainer.config import TrainConfig
from trainer.data.pairset import TokenPair, refusal
from trainer.data.texts import DataError, encode, encode_responses
from trainer.data.truncate import edges, shared_length, truncate
from trainer.intervals import accuracy_interval, effective_pairs
from trainer.loop import environment, evaluate, recorded
from trainer.model import base_facts, fast_paths, plain
from trainer.model import reward as model
from trainer.model.independence import CANNOT
from trainer.model.longest_text import too_long
from trainer.model.reward import RewardModel
from trainer.pairs import BadLine, Response, Row
from trainer.release import progress_bar
from trainer.release.origin import find_origin, mean_loss
from trainer.release.progress_bar import ProgressBar

if TYPE_CHECKING:
    from trainer.documents import ScoreDocument, ScoreFigures

OWN = "own"
FORMATS = ("no", "bf16", "fp16")
LONGEST = 2048
"""Tokens a side for a model whose training is not known."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `score`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a merged folder, a checkpoint, or a run's folder")
    parser.add_argument("file", metavar="FILE", help="JSON lines of pairs or of {prompt, response}; - reads stdin")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines and words")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write each line's rewards there as JSON lines")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="pairs a forward pass (default 8)")
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens a side (default: the training's)")
    parser.add_argument(
        "--progress",
        choices=progress_bar.CHOICES,
        default="auto",
        help="auto: a bar on a terminal, else lines (not with --json)",
    )
    parser.add_argument("--device", default="", help="cpu, cuda or cuda:1 (default: cuda if there is one)")
    parser.add_argument(
        "--precision", choices=(OWN, "auto", *FORMATS), default=OWN, help="number format (default: the training's own)"
    )


def run(args: argparse.Namespace) -> int:
    """Score and print; 0 when every line was scored."""
    folder = model_folder(args.model)
    rows, responses = read(args.file)
    origin = find_origin(folder)
    config = origin.config or TrainConfig(max_length=LONGEST)
    if args.max_length:
        config = replace(config, max_length=args.max_length)
    device = device_of(args.device)
    config = replace(config, mixed_precision=precision_of(args.precision, config.mixed_precision, device))
    environment.set_up(config)
    half = config.mixed_precision in FORMATS[1:]  # products are in it anyway, so that a float32 copy gains nothing
    reward_model, tokenizer = model.load_trained(folder, config, mapped=half)
    fast_paths.use_again(reward_model, origin.paths)
    bar = ProgressBar(_progress(args), "responses" if responses else "pairs", len(responses or rows))
    model.choose_attention(reward_model, device, config.mixed_precision)
    scorer = Scorer(reward_model.to(device), tokenizer, config, args.batch_size, bar.update)
    if wrong := recorded.other_rewards(reward_model, folder):
        raise DataError(wrong)
    if responses:
        return _report_responses(scorer, responses, args)
    return _report_pairs(scorer, rows, args)


def device_of(named: str) -> torch.device:
    """The named device, else the first GPU, else the CPU. Raises DataError where it is not there."""
    try:
        device = torch.device(named or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise DataError(f"--device: {named} is not a device; name cpu, cuda, or a card as cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DataError(f"--device: {named} is not there; torch sees {torch.cuda.device_count()} GPUs here")
    return device


def precision_of(asked: str, own: str, device: torch.device) -> str:
    """`no`, `bf16` or `fp16`. A model whose training is not known is scored in float32."""
    cards = [torch.cuda.get_device_capability(device)] if device.type == "cuda" else []
    if asked != OWN:
        return precision.resolve(asked, cards)
    return "no" if own == precision.AUTO else own


def _progress(args: argparse.Namespace) -> str:
    """With --json a pipe holds nothing but what went wrong."""
    return "none" if args.progress == "auto" and args.json and not sys.stderr.isatty() else str(args.progress)


def read(name: str) -> tuple[list[Row], list[Response]]:
    """Pairs, or single responses; DataError for lines that are neither and for a mix of both."""
    found = list(_lines(name))
    bad = [line for line in found if isinstance(line, BadLine) and not line.harmless]
    if bad:
        raise DataError(refusal(name, bad))
    rows = [line for line in found if isinstance(line, Row)]
    responses = [line for line in found if isinstance(line, Response)]
    if bool(rows) is bool(responses):
        what = "pairs and single responses are mixed" if rows else "the file holds no line to score"
        raise DataError(f"{name}: {what}")
    return files.distinct_ids(rows), responses


def _lines(name: str) -> Iterator[Row | Response | BadLine]:
    """Of a file of pairs in any layout, or of JSON lines with single responses."""
    if name == "-":
        yield from files.read_scorable(sys.stdin.buffer)
        return
    try:
        if (Path(name).is_file() and files.holds_responses(name)) or files.recognise(name).direct:
            with Path(name).open("rb") as file:
                yield from files.read_scorable(file)
        else:
            yield from files.read_rows(name)
    except files.Unreadable as error:
        raise DataError(str(error)) from None


def model_folder(named: Path) -> Path:
    """A run's folder → its best checkpoint; any other folder is itself. Raises DataError when no model is there."""
    if (named / "spec.toml").is_file():
        found = manifest.chosen(named)
        if found is None:
            raise DataError(f"{named}: the run has no checkpoint yet")
        return found
    if not any((named / name).is_file() for name in ("adapter_config.json", "config.json")):
        raise DataError(f"{named}: no model is there (neither adapter_config.json nor config.json)")
    return named


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded model with what is needed to score text."""

    model: RewardModel
    tokenizer: Any
    config: TrainConfig
    batch_size: int
    tell: Callable[[int], None] = evaluate.unheard
    """Hears how many pairs, or responses, are scored."""

    @property
    def longest(self) -> int:
        limit = model.position_limit(self.model)
        return min(self.config.max_length, limit) if limit else self.config.max_length

    def pairs(self, rows: Sequence[Row]) -> list[tuple[float, float]]:
        """(chosen, rejected) rewards of each row."""
        kept = edges(self.tokenizer, self.config)
        made = []
        for row, one in zip(rows, encode(rows, self.tokenizer, self.config), strict=True):
            chosen, rejected, lost = truncate(one, self.longest, kept)
            made.append(TokenPair(row.id, chosen, rejected, shared_length(chosen, rejected), lost))
        return self._score(made, self.tell)

    def responses(self, rows: Sequence[Response]) -> list[float]:
        """Reward of each response; two by two, since a batch is made of pairs."""
        kept = edges(self.tokenizer, self.config)
        encoded = encode_responses(rows, self.tokenizer, self.config)
        sides = [truncate(one, self.longest, kept)[0] for one in encoded]
        order = sorted(range(len(sides)), key=lambda place: len(sides[place]))
        order += order[-1:] if len(order) % 2 else []
        couples = list(zip(order[::2], order[1::2], strict=True))
        made = [
            TokenPair(str(left), sides[left], sides[right], shared_length(sides[left], sides[right]), 0)
            for left, right in couples
        ]
        scored = self._score(made, lambda done: self.tell(min(2 * done, len(rows))))
        found: dict[int, float] = {}
        for (left, right), rewards in zip(couples, scored, strict=True):
            found[left], found[right] = rewards
        return [found[place] for place in range(len(sides))]

    def _score(self, made: Sequence[TokenPair], tell: Callable[[int], None]) -> list[tuple[float, float]]:
        classifier = self.model.classifier
        sides = [side for pair in made for side in (pair.chosen, pair.rejected)]
        base_facts.refuse_unknown_ids(sides, base_facts.embedding_rows(classifier), self.tokenizer, "the texts")
        base_facts.refuse_unsteady(sides, base_facts.steady_length(classifier), str(classifier.config.name_or_path))
        with plain.autocast(self.model.device, self.config.mixed_precision):
            try:
                found = evaluate.score(self.model, made, self.model.layout, self.batch_size, tell=tell)
            except CANNOT as error:
                longest = max(sides, key=len)
                if not ranks.of_memory(error) and (why := too_long(self.model, longest)):
                    raise DataError(f"the model {why} (--max-length)") from error
                raise
        wrong = [pair.id for pair, sides in zip(made, found, strict=True) if not all(map(math.isfinite, sides))]
        if wrong:
            raise DataError(
                f"the rewards of {len(wrong)} of {len(made)} lines are not finite, {wrong[0]} among them: the model's "
                "weights hold NaN, or its number format is too narrow (--precision no)"
            )
        return found


def _report_responses(scorer: Scorer, responses: Sequence[Response], args: argparse.Namespace) -> int:
    found = scorer.responses(responses)
    lines = [{"id": one.id, "reward": reward} for one, reward in zip(responses, found, strict=True)]
    mean = sum(found) / len(found)
    _leave(lines, args.out, None if args.json else sys.stdout)
    if args.json:
        print(json.dumps({"responses": len(found), "mean": mean, "scores": lines}, ensure_ascii=False))
    else:
        print(f"{_count(len(found), 'response')}, mean reward {mean:.4f}", file=sys.stderr)
    return 0


def _report_pairs(scorer: Scorer, rows: Sequence[Row], args: argparse.Namespace) -> int:
    found = scorer.pairs(rows)
    _leave(
        [{"id": row.id, "chosen": sides[0], "rejected": sides[1]} for row, sides in zip(rows, found, strict=True)],
        args.out,
        None,
    )
    report = pair_report(rows, found)
    print(json.dumps(report, ensure_ascii=False) if args.json else format_report(report))
    return 0


def pair_report(rows: Sequence[Row], found: Sequence[tuple[float, float]]) -> ScoreDocument:
    """{pairs, accuracy, interval, ties, loss}, and the same by `subset` where the rows have that field."""
    gaps = [chosen - rejected for chosen, rejected in found]
    clusters = find_clusters([replace(row, id=str(place)) for place, row in enumerate(rows)]).of
    names = [clusters[str(place)] for place in range(len(rows))]
    whole = _score_metrics(gaps, names)
    by_subset: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row, gap, cluster in zip(rows, gaps, names, strict=True):
        if isinstance(row.fields.get("subset"), str):
            by_subset[row.fields["subset"]].append((gap, cluster))
    if not by_subset:
        return cast("ScoreDocument", whole)  # its other key need not be there
    subsets = {name: _score_metrics(*zip(*held, strict=True)) for name, held in sorted(by_subset.items())}
    return {**whole, "subsets": subsets}


def _score_metrics(gaps: Sequence[float], names: Sequence[str]) -> ScoreFigures:
    right = [gap > 0 for gap in gaps]
    accuracy, found = sum(right) / len(gaps), effective_pairs(right, names)
    around = accuracy_interval(accuracy, len(gaps), found.clusters, found.effective)
    return {
        "pairs": len(gaps),
        "accuracy": accuracy,
        "interval": [around.low, around.high],
        "clusters": found.clusters,
        "effective": found.effective,
        "ties": sum(gap == 0 for gap in gaps),
        "loss": mean_loss(list(gaps)),
    }


def format_report(report: ScoreDocument) -> str:
    """A report for people."""
    lines = [_format_line("", report)]
    lines += [_format_line(f"  {name}: ", held) for name, held in report.get("subsets", {}).items()]
    return "\n".join(lines)


def _format_line(before: str, held: ScoreFigures) -> str:
    low, high = held["interval"]
    clusters = held.get("clusters", held["pairs"])
    prompts = f" of {_count(clusters, 'prompt')}" if clusters < held["pairs"] else ""
    return (
        f"{before}accuracy {held['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}) "
        f"on {_count(held['pairs'], 'pair')}{prompts}, {_count(held['ties'], 'tie')}, loss {held['loss']:.4f}"
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _leave(lines: Iterable[Mapping[str, object]], out: Path | None, stream: TextIO | None) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    elif stream is not None:
        stream.write(text)
