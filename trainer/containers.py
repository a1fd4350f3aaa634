"""Files that hold records: JSON lines, JSON arrays, tables, packed or not, Parquet and Arrow, folders of shards.

Records come out one by one with their number, in bounded memory. Parquet, Arrow and zstd are read by pyarrow in a
process of its own (`trainer.data.columnar`), so that whoever asks stays free of it.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import fcntl
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from trainer import held_out, hub, joined
from trainer.plain_files import open_plain
from trainer.unreadable import Unreadable

HEAD = 1 << 20
LONGEST = 64 << 20
"""Bytes of one record; anything longer is not a record."""
BOM = b"\xef\xbb\xbf"
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_COLUMNS = {b"PAR1": "Parquet", b"ARROW1": "Arrow", b"\xff\xff\xff\xff": "Arrow"}
_REFUSED = {b"PK\x03\x04": "zip", b"SQLite format 3": "SQLite", b"\x80\x04\x95": "pickle", b"\x93NUMPY": "NumPy"}
_POINTER = b"version https://git-lfs.github.com/"
_SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
_PACKED = (".gz", ".zst", ".bz2", ".xz")
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "config.json")
"""Files beside the shards of a saved data set."""


@dataclass(frozen=True, slots=True)
class Container:
    """How the records of one file are found in it."""

    form: str
    """lines, items (an array, or objects one after the other) or table."""
    packing: str = ""
    """What it is packed in, or the columns that it is stored as: gzip, zstd, Parquet …"""
    delimiter: str = ","
    inside: str = ""
    """The field of the file's one object that holds the records, where they are in one."""

    @property
    def plain(self) -> bool:
        """Plain JSON lines."""
        return self.form == "lines" and not self.packing

    def __str__(self) -> str:
        names = {"lines": "JSON lines", "items": "JSON", "table": "TSV" if self.delimiter == "\t" else "CSV"}
        if self.packing in COLUMNS:
            return self.packing
        name = f"{names[self.form]}, {self.inside!r}" if self.inside else names[self.form]
        return f"{name} in {self.packing}" if self.packing else name


def is_data(path: Path | str) -> bool:
    """Whether something may hold pairs: a file, a folder of shards, a name on the hub, a part of one of these, or
    several joined."""
    if len(files := joined.pieces(path)) > 1:
        return all(map(is_data, files))
    place, _ = held_out.parse(path)
    return place.is_file() or place.is_dir() or hub.is_hub(place)


def shards(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or those of a folder, sorted by name with numbers as numbers.

    Of a held-out part, the files that it is a part of; of joined files, those of each; of a name on the hub, those in
    the cache, once it is fetched.
    Raises Unreadable for a folder without data or with files of several splits, and for what the hub does not give.
    """
    if len(files := joined.pieces(path)) > 1:
        return [part for file in files for part in shards(Path(file))]
    path, _ = held_out.parse(path)
    if hub.is_hub(path):
        return list(hub.fetch(path).files)
    if not path.is_dir():
        return [path]
    found = [file for file in path.iterdir() if file.is_file() and _is_data(file)]
    if not found:
        folders = sorted(file.name for file in path.iterdir() if file.is_dir() and not file.name.startswith("."))
        more = f"; name one of its folders: {', '.join(folders[:8])}" if folders else ""
        raise Unreadable(path, "empty_folder", f"the folder holds no data file{more}", more=more)
    splits = {re.split(r"[\W_\d]", file.name.lower(), maxsplit=1)[0] for file in found} & _SPLITS
    if len(splits) > 1:
        named = ", ".join(sorted(splits))
        what = f"the folder holds files of several splits ({named}): name the files of one, or put them into folders"
        raise Unreadable(path, "several_splits", what, splits=named)
    return sorted(
        found, key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
    )


_SPLITS = frozenset(("train", "val", "valid", "validation", "dev", "test", "eval"))


def _is_data(file: Path) -> bool:
    return bool(stem_of(file)) and not file.name.startswith(".") and file.name not in _NO_DATA


def stem_of(file: Path) -> str:
    """The name of a data file without its suffixes (`train` of train.jsonl.gz); empty where it has no such suffix."""
    name = file.name
    for packing in _PACKED:
        name = name.removesuffix(packing)
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), "")


def stored(path: Path) -> Path | None:
    """What is there for a data file's name without suffix: JSON lines first, then any other suffix, a folder last."""
    names = (path.with_name(path.name + suffix + packing) for suffix in _SUFFIXES for packing in ("", *_PACKED))
    return next((file for file in names if file.is_file()), path if path.is_dir() else None)


def look(path: Path) -> tuple[Container, bytes]:
    """How a file holds its records, and the beginning of its content, unpacked. Raises OSError, Unreadable among it."""
    with open_plain(path) as file:
        magic = file.read(64)
    packing = _packing(path, magic)
    if packing in COLUMNS:
        return Container("lines", packing), b""
    with open_content(path, packing) as (content, _):
        head = read_fully(content, HEAD)
    _refuse(path, head)
    form, delimiter = _form(path, head)
    return Container(form, packing, delimiter), head


def read_fully(content: BinaryIO, most: int) -> bytes:
    """Up to `most` bytes, of a stream that may give fewer at a time."""
    parts, left = [], most
    while left and (part := content.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _packing(path: Path, magic: bytes) -> str:
    for start, name in (*_COLUMNS.items(), *_MAGIC.items()):
        if magic.startswith(start):
            return name
    for start, name in _REFUSED.items():
        if magic.startswith(start):
            raise Unreadable(path, "format", f"it is a {name} file, which is not read", format=name)
    return ""


def _refuse(path: Path, head: bytes) -> None:
    """Content that holds no records, by its beginning."""
    if head.startswith(_POINTER):
        raise Unreadable(path, "pointer", "it is a Git LFS pointer, not the file: git lfs pull")
    if wide := _wide(head):
        tool = f"iconv -f {wide} -t UTF-8 {path.name}"
        raise Unreadable(path, "wide", f"it is {wide}, not UTF-8: {tool}", encoding=wide, file=path.name)
    start = head.removeprefix(BOM).lstrip()
    if b"\n" not in start and start.count(b"\r{") > 0:
        raise Unreadable(path, "old_line_ends", "its lines end with \\r alone")


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32, by its mark or by the NULs between ASCII letters."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    start = head[:400]
    if len(start) >= 8 and start[::2].count(0) > len(start) // 3:
        return "UTF-16BE"
    if len(start) >= 8 and start[1::2].count(0) > len(start) // 3:
        return "UTF-16LE"
    return ""


def _form(path: Path, head: bytes) -> tuple[str, str]:
    """(form, delimiter) of unpacked content."""
    start = head.removeprefix(BOM).lstrip()
    if start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"]")):
        return "items", ","
    first = start.split(b"\n", 1)[0].strip()
    if first == b"{" or (start.startswith(b"{") and first.endswith((b",", b"{", b"[")) and not _whole(first)):
        return "items", ","
    if start.startswith((b"{", b"[", b'"{')):
        return "lines", ","
    delimiter = _delimiter(path, first.decode("utf-8", "replace"))
    return ("table", delimiter) if delimiter else ("lines", ",")


def _whole(line: bytes) -> bool:
    """Whether a line is JSON by itself, a comma behind it left out."""
    try:
        json.loads(line.rstrip().removesuffix(b","))
    except (ValueError, RecursionError):
        return False
    return True


_HEADS = re.compile(
    r"prompt|chosen|reject|response|answer|question|instruction|completion|output|rank|score|text", re.I
)
"""Words of which a table of preferences has some in its first line."""


def _delimiter(path: Path, first: str) -> str:
    """What separates the columns, by the table's first line; empty where that is not the head of a table."""
    best = max((",", "\t", ";"), key=first.count)
    named = {".csv": best if best in first else ",", ".tsv": "\t"}
    suffix = next((part for part in reversed(path.suffixes) if part not in _PACKED), "").lower()
    if suffix in named and first:
        return named[suffix]
    words = first.split(best) if best in first else []
    return (
        best if len(words) > 1 and len([word for word in words if _HEADS.search(word)]) > 1 and "{" not in first else ""
    )


@contextmanager
def open_content(path: Path, packing: str) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The unpacked content of a file, and the share of it that was read, 0–1. Raises OSError, Unreadable among it."""
    with open_plain(path) as file:
        size = max(1, os.fstat(file.fileno()).st_size)
        if packing in (*COLUMNS, "zstd"):
            with from_pyarrow(path, packing, (packing, str(path)), file) as made:
                yield made, lambda: min(1.0, os.lseek(file.fileno(), 0, os.SEEK_CUR) / size)
            return
        opener = _OPENERS.get(packing)
        content: Any = opener(file) if opener else file
        try:
            yield content, lambda: min(1.0, os.lseek(file.fileno(), 0, os.SEEK_CUR) / size)
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise Unreadable(
                path, "broken", f"its {packing} is broken: {error}", format=packing, error=str(error)
            ) from None


NO_LIBRARY = 3
"""Exit code of `trainer.data.columnar` without pyarrow."""
COLUMNS = ("Parquet", "Arrow")
_COMMAND = (sys.executable, "-P", "-m", "trainer.data.columnar")

Decoder = Callable[[Path, str], tuple[Iterator[Mapping[str, object]], Callable[[], float]]]
decoder: Decoder | None = None
"""Rows of a columnar file, and the share of them that was read; set only by the process that has pyarrow."""


@contextmanager
def open_records(
    path: Path, container: Container
) -> Iterator[tuple[Iterator[tuple[int, Mapping[str, object] | bytes]], Callable[[], float]]]:
    """The records of a file with their numbers, see `records`, and the share of it that was read, 0–1."""
    if decoder is not None and container.packing in COLUMNS and not container.inside:
        rows, share = decoder(path, container.packing)
        yield enumerate(rows, start=1), share
        return
    with open_content(path, container.packing) as (content, share):
        yield records(content, container), share


def heads(path: Path, files: Sequence[tuple[Path, Container]], rows: int) -> dict[Path, list[bytes]]:
    """The first rows of the columnar files among several, as JSON lines, read by one process for all of them.

    A file that cannot be read is missing: reading it by itself says why.
    """
    columnar = [(str(file), container.packing) for file, container in files if container.packing in COLUMNS]
    if decoder is not None or len(columnar) < 2:
        return {}
    found: dict[Path, list[bytes]] = {}
    with from_pyarrow(path, columnar[0][1], ("heads", json.dumps({"files": columnar, "rows": rows}))) as content:
        while line := content.readline():
            name, count = json.loads(line)
            found[Path(name)] = [content.readline() for _ in range(count)]
    return found


@contextmanager
def from_pyarrow(path: Path, packing: str, asked: Sequence[str], file: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """What `trainer.data.columnar` answers: rows as JSON lines, a zstd file's content, pairs. It reads our own open
    file, if there is one, whose position therefore says how far it is. Raises Unreadable once its end is reached."""
    with tempfile.TemporaryFile() as errors:
        command, source = [*_COMMAND, *asked], file or subprocess.DEVNULL
        with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
            _widen(process.stdout)
            reading = _Checked(process.stdout)
            try:
                yield io.BufferedReader(reading, 1 << 20)
            finally:
                process.stdout.close()
                if not reading.ended:
                    process.kill()
        if reading.ended and process.returncode:
            errors.seek(0)
            last = (errors.read().decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
            if process.returncode == NO_LIBRARY:
                what = f"reading {packing} needs pyarrow, which is not installed"
                raise Unreadable(path, "needs_pyarrow", what, format=packing)
            raise Unreadable(path, "broken", f"its {packing} is broken: {last}", format=packing, error=last)


def _widen(pipe: IO[bytes]) -> None:
    """Let the other process work ahead of ours: in the usual 64 kB one of the two always waits."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # beyond what the user may have
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


class _Checked(io.RawIOBase):
    """A pipe that remembers whether it was read to its end."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._pipe.read1(len(buffer))
        self.ended = not block
        buffer[: len(block)] = block
        return len(block)


def records(content: BinaryIO, container: Container) -> Iterator[tuple[int, Mapping[str, object] | bytes]]:
    """Records with their number from 1: of JSON lines the raw line, else the object, or bytes that could not be read.

    Lines are counted as lines; objects and rows of a table by themselves.
    """
    if container.inside:
        whole = next(_items(content), b"")
        inner = whole if isinstance(whole, bytes) else whole.get(container.inside)
        found = inner if isinstance(inner, list) else [inner]
        yield from enumerate((one if isinstance(one, dict) else json.dumps(one).encode() for one in found), start=1)
    elif container.form == "lines":
        yield from enumerate(_lines(content), start=1)
    elif container.form == "items":
        yield from enumerate(_items(content), start=1)
    else:
        yield from enumerate(_rows(content, container.delimiter), start=1)


def _lines(content: BinaryIO) -> Iterator[bytes]:
    """Lines by \\n without the mark of the file; of one that is too long, its beginning."""
    first = True
    while raw := content.readline(LONGEST):
        while len(raw) >= LONGEST and not raw.endswith(b"\n"):
            rest = content.readline(LONGEST)
            if not rest or rest.endswith(b"\n"):
                break
        yield raw.removeprefix(BOM) if first else raw
        first = False


_BLOCK = 1 << 18
_BETWEEN = re.compile(r"[\s,\[\]]*")


def _items(content: BinaryIO) -> Iterator[Mapping[str, object] | bytes]:
    """Objects of an array, or one after the other. Where one is broken, its text comes out and the rest is not read."""
    text = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    decoder, held, place, grow = json.JSONDecoder(), "", 0, _BLOCK
    depth = 0
    try:
        while True:
            start, place = place, _end_of_gap(held, place)
            depth += held.count("[", start, place) - held.count("]", start, place)
            try:
                found, place = decoder.raw_decode(held, place) if place < len(held) else (None, -1)
            except (ValueError, RecursionError) as error:
                at = getattr(error, "pos", len(held))
                definite = at < len(held) - 16 and "Unterminated" not in str(error)
                found, broken = None, definite or len(held) - place > LONGEST
                if broken or not (more := text.read(grow)):
                    yield _shown(held, place)
                    return
                held, place, grow = held[place:] + more, 0, grow * 2
                continue
            if place < 0:
                if not (more := text.read(_BLOCK)):
                    if depth > 0:
                        yield b"the array is not closed: the file is cut off here"
                    return
                held, place, grow = more, 0, _BLOCK
                continue
            yield found if isinstance(found, dict) else json.dumps(found).encode()
            grow = _BLOCK
    finally:
        text.detach()


def _end_of_gap(held: str, place: int) -> int:
    """Where the next object begins: behind spaces, commas and brackets."""
    found = _BETWEEN.match(held, place)
    return found.end() if found else place


def _shown(held: str, place: int) -> bytes:
    """The beginning of what could not be read, on one line; never JSON by itself."""
    return held[place : place + 2_000].replace("\n", " ").encode("utf-8", "surrogateescape")[:2_000]


def _rows(content: BinaryIO, delimiter: str) -> Iterator[Mapping[str, object] | bytes]:
    """Rows of a table by the names of its first line; a row with more or fewer cells comes out as bytes."""
    text = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(LONGEST)
    rows = csv.reader(text, delimiter=delimiter)
    try:
        names = [name.strip() for name in next(rows, [])]
        for row in rows:
            if len(row) == len(names):
                yield dict(zip(names, row, strict=True))
            elif row:
                yield json.dumps({"cells": len(row), "names": len(names)}).encode()
    except csv.Error as error:
        yield f"no table from here on: {error}".encode()
    finally:
        text.detach()
