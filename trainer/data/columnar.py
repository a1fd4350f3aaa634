"""`python -m trainer.data.columnar Parquet|Arrow|zstd FILE`: rows of a columnar file as JSON lines, or the content of a
zstd file, on standard output. The file is open as standard input. pyarrow is imported by this process alone.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.containers import NO_LIBRARY

ROWS = 2_000
"""Rows that are turned into JSON at a time."""


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


def _batches(packing: str, path: str) -> Iterator[Any]:
    """Record batches, one in memory at a time."""
    if packing == "Parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=10 * ROWS)
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
