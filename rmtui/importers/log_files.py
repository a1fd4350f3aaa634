"""Log files: which of them belong together, which program wrote one, and its runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers import logs
from rmtui.importers.dictionaries import dictionary
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.log_lines import rank_of
from rmtui.importers.model import Foreign
from rmtui.importers.producers.bars import BARS
from rmtui.importers.producers.deepspeed_chat import DEEPSPEED_CHAT
from rmtui.importers.producers.epoch_and_step import EPOCH_AND_STEP
from rmtui.importers.producers.megatron import MEGATRON
from rmtui.importers.producers.nemo import NEMO_ALIGNER, NEMO_RL
from rmtui.importers.producers.open_instruct import OPEN_INSTRUCT
from rmtui.importers.producers.openrlhf import OPENRLHF
from rmtui.importers.producers.producer import Producer
from rmtui.importers.producers.trainer_lines import JSON_LINES, LLAMA_FACTORY, SWIFT, TRAINER
from rmtui.importers.producers.verl import VERL
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity, lines
from rmtui.importers.training import LogOrigin, foreign_runs, trainings
from trainer.plain_files import open_plain

PRODUCERS: tuple[Producer, ...] = (
    *(SWIFT, LLAMA_FACTORY, OPENRLHF, DEEPSPEED_CHAT, NEMO_RL, NEMO_ALIGNER, VERL, EPOCH_AND_STEP),
    *(MEGATRON, OPEN_INSTRUCT, TRAINER),
)
"""Known by lines that nobody else writes; the first of them in a log decides."""
_ROTATED = re.compile(r"\.log(?:[.-](\d+))?(?:\.gz)?$")
_DATE = 19000000
"""A rotated part's number from here on is a date."""
_NAMED = re.compile(r"(.+?)_\d|([^_]+)_")
"""The name of a data set before the time at which a launch script started, or before whatever it put there."""
_PLAIN = frozenset({"trainer_log", "running_log", "logging", "output", "metrics", "log", "train", "stdout", "history"})
"""File names that say nothing: the folder's name is the run's."""
PRINTED = "running_log.txt"
"""What LLaMA-Factory printed, beside its `trainer_log.jsonl`, which has the steps."""
OF_A_TRAINING = ("trainer_log.jsonl", PRINTED, "logging.jsonl", "output.log")
"""Files that a program writes into the folder of one training, beside others about it."""
_PEEK = 1 << 16
_RANKS_BY = 20_000
"""Lines by which the rank that prints the metrics has printed some."""
_METRIC = re.compile(r"(?:loss|acc(?:uracy)?|lr|learning_rate|margins?)\W{0,6}\d", re.IGNORECASE)


def is_log(path: Path) -> bool:
    """Named like a log, rotated or packed or not, or like JSON lines."""
    return bool(_ROTATED.search(path.name)) or path.suffix in (".log", ".out", ".txt", ".jsonl")


def may_be_log(path: Path) -> bool:
    """Whether a file that nobody named is worth reading: JSON lines may be data of any size."""
    if path.suffix != ".jsonl" or path.name in OF_A_TRAINING:
        return True
    with open_plain(path) as file:
        first = file.read(_PEEK).decode("utf-8", "replace").split("\n")
    said = Said()
    rows = (dictionary_row(dict(flat(values)), said) for line in first[:50] if (values := dictionary(line)))
    return any(row is not None and row.figures for row in rows)


def families(paths: Iterable[Path]) -> list[list[Path]]:
    """Log files that belong together: the rotated parts of one log, oldest first."""
    families: dict[Path, list[Path]] = {}
    for path in sorted(paths):
        stem = path.with_name(_ROTATED.sub(".log", path.name))
        families.setdefault(stem, []).append(path)
    return [sorted(parts, key=_age, reverse=True) for parts in families.values()]


def _age(path: Path) -> float:
    """Parts are numbered from the newest; dates (`x.log-20260131`) grow towards it."""
    match = _ROTATED.search(path.name)
    number = int(match.group(1) or 0) if match else 0
    return _DATE / number if number >= _DATE else number


def read_log(parts: Sequence[Path]) -> list[Foreign]:
    """Every run in one log, given as its rotated parts, oldest first. UserError where its figures cannot be placed."""
    producer = producer_of(parts)
    origin = _origin(parts, producer)
    found = (
        logs.read_generic(origin, lambda: _of_one_rank(parts)) if producer is None else _read(origin, producer, parts)
    )
    data = _data_set(parts[-1], _ROTATED.sub("", parts[-1].name))
    return [replace(run, data=data) for run in found] if data else found


def producer_of(parts: Sequence[Path]) -> Producer | None:
    """The program that wrote a log; None for one that only the generic reader may understand."""
    bars = False
    for line in _text(parts):
        if found := next((one for one in PRODUCERS if one.wrote(line)), None):
            return found
        bars = bars or BARS.wrote(line)
    if bars:
        return BARS
    return JSON_LINES if parts[-1].suffix == ".jsonl" else None


def _read(origin: LogOrigin, producer: Producer, parts: Sequence[Path]) -> list[Foreign]:
    said = Said()
    return foreign_runs(origin, trainings(producer.read(_of_one_rank(parts), said), said))


def _origin(parts: Sequence[Path], producer: Producer | None) -> LogOrigin:
    last = parts[-1]
    base = _ROTATED.sub("", last.name).removesuffix(".jsonl")
    base = last.stem if last.stem in _PLAIN else base
    folder = last.resolve().parent
    return LogOrigin(
        path=last,
        kind=producer.kind if producer else "guide-log",
        name=(folder.parent if folder.name == "files" else folder).name if base in _PLAIN else base,
        digest=identity(*parts),
        changed=last.stat().st_mtime,
        recognised=producer.title if producer else "log",
        means=producer is not None and producer.means,
    )


def _text(parts: Sequence[Path]) -> Iterator[str]:
    return (line for path in parts for line in lines(path))


def _of_one_rank(parts: Sequence[Path]) -> Iterator[str]:
    """The lines of one process, where lines say whose they are: each rank has its own train_loss.

    It is the lowest rank that prints metrics near the log's beginning; warnings of the others may come first.
    """
    kept: int | None = None
    for line in islice(_text(parts), _RANKS_BY):
        rank = rank_of(line)
        if rank is not None and (kept is None or rank < kept) and _METRIC.search(line):
            kept = rank
    for line in _text(parts):
        rank = rank_of(line)
        kept = rank if kept is None and rank is not None and _METRIC.search(line) else kept
        if rank is None or rank == kept:
            yield line


def _data_set(path: Path, base: str) -> str | None:
    """The guide's launch script writes logs/training/rm/DATA_….log; elsewhere a log's name says nothing of its data."""
    match = _NAMED.match(base)
    if match is None or path.resolve().parts[-3:-1] != ("training", "rm"):
        return None
    return match.group(1) or match.group(2)


def nothing_in(parts: Sequence[Path]) -> UserError:
    """Why a log gives no run: what it holds, and what is missing."""
    lines = numbers = epochs = steps = 0
    for line in _text(parts):
        lines += 1
        numbers += re.search(r"[a-z]\s*[:=]\s*[-+]?\d*\.\d", line, re.I) is not None
        epochs += re.search(r"(?<![a-z])epoch\W{0,4}\d", line, re.I) is not None
        steps += re.search(r"(?<![a-z])(?:step|iter(?:ation)?)\W{0,4}\d", line, re.I) is not None
    return UserError(
        f"nothing was read from {parts[-1]}",
        f"{lines:,} lines, {numbers:,} with numbers behind names, {epochs:,} that name an epoch, {steps:,} that name a "
        "step; no line has a loss or an accuracy together with its step or epoch",
        "write them as: Epoch 1: train_loss=0.67, val_loss=0.61, val_acc=71%",
    )
