"""Files of preference pairs: their rows, their fingerprints, and where data sets are; no torch.

How a line is read is in `trainer.house`, how a file is in `trainer.reading`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from trainer.containers import LONGEST, is_data, shards, stem_of, stored
from trainer.house import ASSISTANT, BOM, object_of, read_line, read_scorable_line
from trainer.mixture import DataSource
from trainer.reading import Fields, PairReading, recognise
from trainer.rows import (
    BadLine,
    Message,
    Response,
    Row,
    Side,
    content_hash,
    digest,
    distinct_ids,
    plain_text,
    prompt_hash,
)
from trainer.unreadable import Unreadable

__all__ = [
    "ASSISTANT",
    "BadLine",
    "Fields",
    "Message",
    "PairReading",
    "Response",
    "Row",
    "Side",
    "Unreadable",
    "content_hash",
    "data_files",
    "data_sets",
    "distinct_ids",
    "find_data",
    "find_test",
    "fingerprint",
    "holds_responses",
    "is_data",
    "mixture_fingerprint",
    "plain_text",
    "prompt_hash",
    "read_line",
    "read_rows",
    "read_scorable",
    "read_stream",
    "recognise",
]


def read_rows(path: Path | str, fields: Fields | None = None) -> Iterator[Row | BadLine]:
    """Every pair of a file or a folder of shards, in order, with what holds none; one in memory at a time.

    Raises OSError when it cannot be opened, Unreadable among it where no layout is recognised.
    """
    reading = recognise(path, fields)
    if not reading.direct:
        yield from reading.rows()
        return
    with Path(path).open("rb") as file:
        yield from read_stream(file)


def read_stream(file: BinaryIO) -> Iterator[Row | BadLine]:
    """Lines of the house's own layout from an open binary file (standard input, say)."""
    for number, raw in enumerate(file, start=1):
        yield read_line(raw.removeprefix(BOM) if number == 1 else raw, number)


def read_scorable(file: BinaryIO) -> Iterator[Row | Response | BadLine]:
    """Lines of pairs or of single responses, whichever each line is."""
    for number, raw in enumerate(file, start=1):
        yield read_scorable_line(raw.removeprefix(BOM) if number == 1 else raw, number)


def holds_responses(path: Path | str) -> bool:
    """Whether a file's first line is a single response, to be scored by itself."""
    with Path(path).open("rb") as file:
        first = object_of(file.readline(LONGEST).removeprefix(BOM)) or {}
    return "chosen" not in first and bool({"response", "completion"} & first.keys())


def fingerprint(path: Path | str, fields: Fields | None = None) -> str:
    """SHA-256 over the pairs' content in file order: of one content in every layout, whatever it is packed in. Line
    endings, blank lines, rows without a preference and further fields do not count."""
    total = hashlib.sha256()
    for row in read_rows(path, fields):
        if isinstance(row, Row):
            total.update(digest(row))
        elif not row.harmless:
            total.update(f"bad {row.kind} {row.message}".encode("utf-8", "replace"))
    return total.hexdigest()


def mixture_fingerprint(sources: Sequence[DataSource], fields: Fields | None = None) -> str:
    """SHA-256 over the content of several training files, with their weights and limits."""
    total = hashlib.sha256()
    for one in sources:
        total.update(f"{fingerprint(one.path, fields)} {one.weight!r} {one.limit}\n".encode())
    return total.hexdigest()


def find_data(root: Path | str, name: str) -> tuple[Path, Path]:
    """`--data NAME` → (training file, validation file) below `root`/data, or FileNotFoundError with places tried.

    Each is a file of any layout that is read, or a folder of shards; where there are several, JSON lines.
    """
    layouts = _layouts(Path(root) / "data", name)
    for train, val in layouts:
        found = stored(train), stored(val)
        if found[0] and found[1]:
            return found[0], found[1]
    looked = " nor ".join(f"{train}.jsonl with {val}.jsonl" for train, val in layouts)
    raise FileNotFoundError(f"no data set {name!r}: found neither {looked}")


def find_test(root: Path | str, name: str) -> Path | None:
    """The sealed test set beside the files of `--data NAME`, if there is one."""
    data = Path(root) / "data"
    return stored(data / "test" / f"{name}_pairs") or stored(data / name / "test")


def _layouts(data: Path, name: str) -> list[tuple[Path, Path]]:
    """Where the files of a data set may be, without their suffix: (training, validation)."""
    return [
        (data / "train" / f"{name}_pairs", data / "val" / f"{name}_pairs"),
        (data / name / "train", data / name / "val"),
    ]


def data_sets(root: Path | str) -> list[str]:
    """Names that `find_data` takes below `root`, sorted."""
    data = Path(root) / "data"
    flat = {_name_of(path) for path in data.glob("train/*_pairs*")}
    names = {stem.removesuffix("_pairs") for stem in flat if stem.endswith("_pairs")}
    names |= {path.parent.name for path in data.glob("*/train*") if _name_of(path) == "train"}
    return sorted(name for name in names if any(all(map(stored, files)) for files in _layouts(data, name)))


def _name_of(path: Path) -> str:
    return path.name if path.is_dir() else stem_of(path)


def data_files(root: Path | str) -> list[tuple[Path, ...]]:
    """Everything below `root`/data that may be checked: training files with validation files, then single ones."""
    data = Path(root) / "data"
    sets: list[tuple[Path, ...]] = []
    for train in sorted(data.glob("train/*")) + sorted(data.glob("*/train*")):
        name = _name_of(train)
        if (
            not name
            or (train.is_dir() and not _holds_shards(train))
            or (train.parent.name != "train" and name != "train")
        ):
            continue
        val = stored(data / "val" / name if train.parent.name == "train" else train.parent / "val")
        sets.append((train, val) if val else (train,))
    paired = {path for paths in sets for path in paths}
    single = (path for path in sorted(data.rglob("*")) if path.is_file() and stem_of(path))
    return sets + [(path,) for path in single if not paired & {path, *path.parents}]


def _holds_shards(folder: Path) -> bool:
    try:
        return bool(shards(folder))
    except OSError:
        return False
