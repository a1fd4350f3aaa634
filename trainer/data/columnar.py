"""`python -m trainer.data.columnar Parquet|Arrow|zstd FILE`: rows of a columnar file as JSON lines, or the content of a
zstd file, on standard output. The file is open as standard input. `… pairs TASK`: the pairs of columnar files as lines
of the house's layout with the numbers of their records, in blocks. `… heads TASK`: the first rows of several files.
pyarrow is imported by this process alone.
"""

from __future__ import annotations

import base64
import gc
import json
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from trainer import containers
from trainer.containers import NO_LIBRARY
from trainer.reading import ColumnsTask, HeadsTask, recognise_parts

ROWS = 2_000
"""Rows that are turned into JSON at a time."""
BLOCK = 128
"""Lines that are handed over at a time."""


def main(packing: str, path: str) -> int:
    """Write everything; 1 with a reason on stderr where the file is broken."""
    try:
        import pyarrow as arrow
    except ImportError:
        print("pyarrow is not installed", file=sys.stderr)
        return NO_LIBRARY
    out = sys.stdout.buffer
    try:
        if packing == "zstd":
            with arrow.CompressedInputStream(arrow.PythonFile(sys.stdin.buffer, "r"), "zstd") as content:
                while block := content.read(1 << 20):
                    out.write(block)
        elif packing == "pairs":
            _write_pairs(json.loads(path))
        elif packing == "heads":
            _write_heads(json.loads(path), out)
        else:
            for batch in _batches(packing, path):
                for first in range(0, batch.num_rows, ROWS):
                    out.write(_lines(batch.slice(first, ROWS)))
        out.flush()
    except BrokenPipeError:
        return 0
    except (arrow.ArrowException, OSError) as error:
        print(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, file=sys.stderr)
        return 1
    return 0


def _write_heads(task: HeadsTask, out: BinaryIO) -> None:
    """For each file that can be read its name and a number of rows, then these rows."""
    import pyarrow as arrow

    for path, packing in task["files"]:
        try:
            batch = next(_batches(packing, path, task["rows"]), None)
        except (arrow.ArrowException, OSError):
            continue
        rows = [] if batch is None else _lines(batch.slice(0, task["rows"])).splitlines(keepends=True)
        out.write(json.dumps([path, len(rows)]).encode() + b"\n" + b"".join(rows))


def _batches(packing: str, path: str, rows: int = 10 * ROWS) -> Iterator[Any]:
    """Record batches, one in memory at a time; those of Parquet have so many rows."""
    if packing == "Parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows)
        return
    from pyarrow import ipc

    with Path(path).open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if is_file:
            reader = ipc.open_file(file)
            yield from (reader.get_batch(place) for place in range(reader.num_record_batches))
        else:
            yield from ipc.open_stream(file)


def _write_pairs(task: ColumnsTask) -> None:
    containers.decoder = decode
    reading = recognise_parts(task["path"], [Path(part) for part in task["parts"]], task["fields"])
    gc.freeze()
    gc.set_threshold(50_000)  # rows hold no circles, and looking for them takes a third of the time
    with open(1, "wb", buffering=0, closefd=False) as out:
        block = _Block(out)
        try:
            for number, line in reading.lines(block.tell):
                block.add(number, line)
        finally:
            block.write()


class _Block:
    """Lines on their way to the other process: share, records, sizes of what follows; the lines' numbers; the lines."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._share, self._records = 0.0, 0
        self._numbers, self._lines = array("q"), list[bytes]()

    def tell(self, share: float, records: int) -> None:
        self._share, self._records = share, records

    def add(self, number: int, line: bytes) -> None:
        self._numbers.append(number)
        self._lines.append(line)
        if len(self._lines) >= BLOCK:
            self.write()

    def write(self) -> None:
        numbers, lines = self._numbers.tobytes(), b"\n".join(self._lines)
        head = b"%f %d %d %d\n" % (self._share, self._records, len(numbers), len(lines))
        rest = memoryview(head + numbers + lines)
        while rest:
            rest = rest[self._out.write(rest) :]
        del self._numbers[:], self._lines[:]


def decode(path: Path, packing: str) -> tuple[Iterator[Mapping[str, object]], Callable[[], float]]:
    """See `trainer.containers.decoder`."""
    total, done = max(1, _count(packing, path)), 0

    def rows() -> Iterator[Mapping[str, object]]:
        nonlocal done
        for batch in _batches(packing, str(path)):
            plain = all(map(_is_plain, batch.schema.types))
            for first in range(0, batch.num_rows, ROWS):
                part = batch.slice(first, ROWS)
                yield from part.to_pylist() if plain else map(json.loads, _lines(part).splitlines())
                done += part.num_rows

    return rows(), lambda: min(1.0, done / total)


def _count(packing: str, path: Path) -> int:
    """Rows of a file; of Arrow, which says so nowhere, its batches are not read for it."""
    if packing != "Parquet":
        return 0
    from pyarrow import parquet

    return int(parquet.read_metadata(path).num_rows)


def _is_plain(kind: Any) -> bool:
    """Whether a column's values are in Python what they are in JSON."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(place).type) for place in range(kind.num_fields))
    text = types.is_string(kind) or types.is_large_string(kind)
    return bool(
        text or types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)
    )


def _lines(batch: Any) -> bytes:
    names = batch.schema.names
    columns = [column.to_pylist() for column in batch.columns]
    encode = json.JSONEncoder(ensure_ascii=False, default=_plain).encode
    rows = (encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
    return "".join(f"{row}\n" for row in rows).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> str:
    """What JSON has no form for, as text: times, decimals, bytes."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
