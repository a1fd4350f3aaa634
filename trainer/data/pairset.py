"""A pair file, ready for training: read, tokenized (or taken from the cache), cut to length, and reported on."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from trainer import joined
from trainer import pairs as files
from trainer.clusters import find_clusters
from trainer.config import TrainConfig, sources_of
from trainer.data import token_cache as cache
from trainer.data.chat import TEMPLATE_DATE
from trainer.data.texts import DataError as DataError
from trainer.data.texts import encode, habits
from trainer.data.truncate import Encoded, Ids, edges, shared_length, truncate
from trainer.heartbeat import Phase
from trainer.pairs import BadLine, Row

_SHOWN_LINES = 10


@dataclass(frozen=True, slots=True)
class TokenPair:
    """One pair, tokenized and cut."""

    id: str
    chosen: Ids
    rejected: Ids
    shared: int
    """Tokens that both sides begin with; at least one token of each side is beyond."""
    cut: int
    """Tokens that the prompt lost at its left end, the same on both sides."""
    margin: float = 0.0
    row: int = 0
    """Place of its row in the file, from 0."""
    cluster: str = ""
    """What it is not independent of (`trainer.clusters`); empty: not asked for."""

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
    layout: str
    """How the file is read: layout, container, which field is taken for what."""
    blank_lines: int
    left_out: dict[str, int]
    """Rows without a preference, by the reason: ties and the like."""
    prompts_cut: int
    """Pairs whose prompt lost its left end."""
    answers_cut: int
    """Pairs with an answer that alone was too long and lost its end, or what precedes its end token."""
    answers_dropped: int
    """Pairs that are left out, since an answer alone was too long."""
    over: int
    """Pairs with a side longer than `max_length` before anything was cut."""
    p99: int
    """Tokens that 99 % of the pairs do not exceed before anything is cut; of a mixture, the largest of its files."""
    identical_dropped: int
    """Pairs whose two sides were the same tokens, from the start or after truncation."""
    margins: int
    """Pairs with a margin of their own."""
    doubled_bos: int
    """Pairs of plain text that begins with the token that the tokenizer puts in front."""
    unseen_system: int
    """Pairs with a system turn that the chat template leaves out."""
    max_length: int
    """Tokens that a side may have: the option of this name, or the model's positions where those are fewer."""
    positions: int | None
    """Positions that the model has; None where it has no table of them."""
    tokens: int
    """Tokens of both sides together."""
    shared_tokens: int
    """Tokens that prefix sharing saves."""
    longest: int
    cached: bool

    def facts(self) -> dict[str, Any]:
        """Plain values, for events and logs."""
        return asdict(self)

    @property
    def advice(self) -> str:
        """What lets longer pairs be seen whole: a higher max_length, up to the model's positions."""
        if self.positions is None or self.p99 <= self.positions:
            return f"99 % fit max_length = {self.p99}"
        most = f"max_length = {self.positions} is the most" if self.max_length < self.positions else ""
        return f"99 % would fit {self.p99} tokens; {most or _no_more(self.positions)}"


@dataclass(frozen=True, slots=True)
class PairShare:
    """A source's part of a mixture's pairs."""

    path: str
    start: int
    """Place of its first pair."""
    pairs: int
    drawn: int
    """Pairs that each epoch draws of it."""
    weight: float


@dataclass(frozen=True, slots=True)
class PairSet:
    """A pair file, ready for batches."""

    pairs: list[TokenPair]
    report: DataReport
    prompts: frozenset[str]
    """Hashes of the normalised prompts, for finding leaks between sets."""
    contents: frozenset[str]
    """Hashes of whole pairs."""
    shares: tuple[PairShare, ...] = ()
    """The sources of a mixture, in the order of their pairs; empty: one file, each pair once an epoch."""
    by_file: Mapping[str, range] = field(default_factory=dict)
    """Of joined files, a short name of each → places of its pairs; empty: one file."""

    @property
    def drawn(self) -> int:
        """Pairs of each epoch, repeats among them."""
        return sum(share.drawn for share in self.shares) if self.shares else len(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def load_pairs(
    path: Path | str,
    tokenizer: Any,
    config: TrainConfig,
    limit: int | None = None,
    drop: bool = False,
    phase: Phase = lambda doing, done, of: None,
    clustered: bool = False,
) -> PairSet:
    """Read, tokenize and cut a pair file. `limit` is the model's number of positions, if it has one; `drop` leaves out
    pairs with an answer that alone does not fit, which are cut otherwise; `phase` hears how far it is; with
    `clustered` each pair has its cluster.

    Blank lines and pairs with identical sides are counted and left out; any other line without a readable pair
    raises DataError with the numbers of the lines: a training on part of a file is never started silently.
    """
    phase(f"reading {Path(path).name}", 0, 0)
    try:
        reading = files.recognise(path, config.data.fields)
        rows, skipped, starts = _good_rows(path, config.data.fields)
    except files.Unreadable as error:
        raise DataError(f"{error}; `rmtui check {path}` shows what was seen") from None
    longest = min(bound for bound in (config.max_length, limit) if bound)
    encoded, cached = _encode_file(rows, tokenizer, config, phase)
    ends = edges(tokenizer, config)
    cut = [truncate(one, longest, ends) for one in encoded]
    torn = [_answer_cut(one, side, lost) for one, (*side, lost) in zip(encoded, cut, strict=True)]
    fitting = [place for place in range(len(rows)) if not (drop and torn[place])]
    clusters = find_clusters(rows).of if clustered else {}
    kept = _kept(rows, cut, fitting, clusters)
    dropped, identical = len(rows) - len(fitting), len(fitting) - len(kept)
    if not kept:
        raise DataError(f"{path}: no pair is left to use{_why_none(len(rows), dropped, identical, longest, limit)}")
    lengths = [max(len(one.chosen), len(one.rejected)) for one in encoded]
    found = habits(rows, tokenizer, config)
    report = DataReport(
        path=str(path),
        fingerprint=files.fingerprint(path, config.data.fields),
        rows=len(rows),
        pairs=len(kept),
        layout=reading.describe(),
        blank_lines=skipped.pop("blank", 0),
        left_out=dict(skipped),
        prompts_cut=sum(pair.cut > 0 for pair in kept),
        answers_cut=sum(torn) - dropped,
        answers_dropped=dropped,
        over=sum(length > longest for length in lengths),
        p99=int(np.quantile(lengths, 0.99, method="inverted_cdf")),
        identical_dropped=identical,
        margins=sum(row.margin is not None for row in rows),
        doubled_bos=found.doubled,
        unseen_system=found.unseen_system,
        max_length=longest,
        positions=limit,
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
        by_file=_by_file(path, starts, kept),
    )


def load_training(
    tokenizer: Any, config: TrainConfig, limit: int | None = None, phase: Phase = lambda doing, done, of: None
) -> PairSet:
    """The training file, or the files of a mixture one after the other; see `load_pairs`. Pairs with answers that are
    too long are left out where `overlong` is `drop`."""
    sources = sources_of(config.data)
    drop = config.overlong == "drop"
    if not sources:
        return load_pairs(config.data.train, tokenizer, config, limit, drop, phase)
    parts = [
        _limited(load_pairs(one.path, tokenizer, config, limit, drop, phase), one.held, [config.seed, place])
        for place, one in enumerate(sources)
    ]
    starts = list(itertools.accumulate((len(part) for part in parts), initial=0))
    shares = tuple(
        PairShare(one.path, start, len(part), one.drawn(len(part)), one.weight)
        for one, start, part in zip(sources, starts, parts, strict=False)
    )
    return PairSet(
        [pair for part in parts for pair in part.pairs],
        _joint_report([part.report for part in parts], files.mixture_fingerprint(sources, config.data.fields)),
        frozenset().union(*(part.prompts for part in parts)),
        frozenset().union(*(part.contents for part in parts)),
        shares,
    )


def _limited(part: PairSet, held: Callable[[int], int], seed: Sequence[int]) -> PairSet:
    """As many pairs as the source's limit allows, chosen by the seed, in their order."""
    count = held(len(part))
    if count == len(part):
        return part
    places = np.sort(np.random.default_rng(seed).choice(len(part), count, replace=False))
    return replace(part, pairs=[part.pairs[place] for place in places])


def _joint_report(reports: Sequence[DataReport], fingerprint: str) -> DataReport:
    """What became of all files together."""
    left_out: Counter[str] = Counter()
    for one in reports:
        left_out.update(one.left_out)
    summed: dict[str, Any] = {name: sum(getattr(one, name) for one in reports) for name in _SUMMED}
    return replace(
        reports[0],
        **summed,
        path=" + ".join(one.path for one in reports),
        layout=" + ".join(one.layout for one in reports),
        fingerprint=fingerprint,
        left_out=dict(left_out),
        longest=max(one.longest for one in reports),
        p99=max(one.p99 for one in reports),
        cached=all(one.cached for one in reports),
    )


PART = 2000
"""Rows that are tokenized at once: so often the start says how far it is."""
_SUMMED = (
    "rows",
    "pairs",
    "blank_lines",
    "prompts_cut",
    "answers_cut",
    "answers_dropped",
    "over",
    "identical_dropped",
    "margins",
    "doubled_bos",
    "unseen_system",
    "tokens",
    "shared_tokens",
)
"""Figures of a report that add up over files."""


def _kept(
    rows: Sequence[Row], cut: Sequence[tuple[Ids, Ids, int]], fitting: Sequence[int], clusters: Mapping[str, str]
) -> list[TokenPair]:
    """The pairs at these places whose sides differ once they are cut."""
    made = []
    for place in fitting:
        row, (chosen, rejected, lost) = rows[place], cut[place]
        if not np.array_equal(chosen, rejected):
            shared, cluster = shared_length(chosen, rejected), clusters.get(row.id, "")
            made.append(TokenPair(row.id, chosen, rejected, shared, lost, row.margin or 0.0, place, cluster))
    return made


def _why_none(rows: int, dropped: int, identical: int, longest: int, limit: int | None) -> str:
    """What became of the rows where none is left, and what to do where they are too long."""
    if not dropped:
        return f" ({rows} rows, all with identical sides)"
    longer = "raise max_length" if limit is None or longest < limit else _no_more(limit)
    return (
        f": {dropped} of {rows} have an answer that alone is longer than {longest} tokens (identical sides: "
        f"{identical}); {longer}, or cut them with overlong = cut"
    )


def _no_more(positions: int) -> str:
    return f"the model has no more than {positions} positions: choose a base with more of them"


def _answer_cut(one: Encoded, side: Sequence[Ids], lost: int) -> bool:
    return len(one.chosen) - lost > len(side[0]) or len(one.rejected) - lost > len(side[1])


def _good_rows(path: Path | str, fields: files.Fields) -> tuple[list[Row], Counter[str], list[int]]:
    """The pairs, how many lines hold none without being wrong, by the reason, and the pair each joined file starts
    with."""
    rows: list[Row] = []
    bad: list[BadLine]
    skipped: Counter[str] = Counter()
    starts: list[int] = []
    for piece in joined.pieces(path):
        starts.append(len(rows))
        bad = []
        for item in files.read_rows(piece, fields):
            if isinstance(item, Row):
                rows.append(item)
            elif item.harmless:
                skipped[item.about.get("case", item.kind)] += 1
            else:
                bad.append(item)
        if bad:
            raise DataError(refusal(piece, bad))
    if not rows:
        raise DataError(f"{path}: the file holds no pair{_all_left_out(skipped)}")
    return files.distinct_ids(rows), skipped, starts


def _all_left_out(skipped: Mapping[str, int]) -> str:
    named = ", ".join(f"{count} {case.replace('_', ' ')}" for case, count in skipped.items())
    return f" ({named})" if named else ""


def _by_file(path: Path | str, starts: Sequence[int], kept: Sequence[TokenPair]) -> dict[str, range]:
    """Places of each joined file's pairs, by the row that each file starts with; of a file none of whose pairs is used,
    nothing."""
    if len(starts) < 2:
        return {}
    rows = [pair.row for pair in kept]
    bounds = [bisect.bisect_left(rows, start) for start in starts] + [len(rows)]
    places = (range(first, last) for first, last in itertools.pairwise(bounds))
    return {name: one for name, one in zip(joined.names(joined.pieces(path)), places, strict=True) if one}


def refusal(path: Path | str, bad: Sequence[BadLine]) -> str:
    """What to tell a person whose file has lines without a readable pair."""
    shown = "\n".join(f"  {one}" for one in bad[:_SHOWN_LINES])
    more = f"\n  … and {len(bad) - _SHOWN_LINES} more" if len(bad) > _SHOWN_LINES else ""
    return (
        f"{path}: {len(bad)} lines hold no readable pair\n{shown}{more}\n"
        f"correct or remove these lines (`rmtui check {path} --fix OUT` writes a file without them)"
    )


def _encode_file(rows: list[Row], tokenizer: Any, config: TrainConfig, phase: Phase) -> tuple[list[Encoded], bool]:
    """The tokens of all rows, and whether they came out of the cache."""
    if not config.token_cache:
        return _encode_in_parts(rows, tokenizer, config, phase), False
    asked = (config.chat_template, config.score_at, config.doubled_bos)
    key = cache.key(rows, tokenizer, *asked, TEMPLATE_DATE.isoformat())
    found = cache.read(key)
    if found is not None:
        return [Encoded(*one) for one in found], True
    made = _encode_in_parts(rows, tokenizer, config, phase)
    cache.write(key, [(one.chosen, one.rejected, one.prompt) for one in made])
    return made, False


def _encode_in_parts(rows: list[Row], tokenizer: Any, config: TrainConfig, phase: Phase) -> list[Encoded]:
    made: list[Encoded] = []
    for start in range(0, len(rows), PART):
        phase("tokenizing", start, len(rows))
        made += encode(rows[start : start + PART], tokenizer, config)
    return made


@dataclass(frozen=True, slots=True)
class Overlap:
    """Validation data that is also in the training data."""

    prompts: int
    pairs: int


def overlap(train: PairSet, val: PairSet) -> Overlap:
    """Validation prompts and whole pairs that training sees too; case and spacing do not count in prompts."""
    return Overlap(len(train.prompts & val.prompts), len(train.contents & val.contents))


class Sample(TypedDict):
    """A pair as the model sees it: texts, tokens of each side, and the tokens that are scored, decoded."""

    id: str
    cut: int
    shared: int
    prompt: str
    chosen: str
    rejected: str
    chosen_tokens: int
    rejected_tokens: int
    scored: list[str]


def samples(pairs: Iterable[TokenPair], tokenizer: Any, count: int = 3) -> list[Sample]:
    """The first pairs, decoded as the model sees them, with what was cut and the token that is scored."""
    return [_sample(pair, tokenizer) for pair, _ in zip(pairs, range(count), strict=False)]


def _sample(pair: TokenPair, tokenizer: Any) -> Sample:
    return {
        "id": pair.id,
        "cut": pair.cut,
        "shared": pair.shared,
        "prompt": tokenizer.decode(pair.chosen[: pair.shared]),
        "chosen": tokenizer.decode(pair.chosen[pair.shared :]),
        "rejected": tokenizer.decode(pair.rejected[pair.shared :]),
        "chosen_tokens": len(pair.chosen),
        "rejected_tokens": len(pair.rejected),
        "scored": [tokenizer.decode(side[-1:]) for side in (pair.chosen, pair.rejected)],
    }
