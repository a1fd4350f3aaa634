"""Defects of a whole file: packed, in another encoding, an array, a table, lines that end with \\r."""

from __future__ import annotations

import json
from pathlib import Path

PACKED = {
    b"\x1f\x8b": ("packed with gzip", "gunzip -k"),
    b"BZh": ("packed with bzip2", "bunzip2 -k"),
    b"\xfd7zXZ": ("packed with xz", "unxz -k"),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", "unzstd -k"),
    b"PK\x03\x04": ("a zip archive", "unzip"),
}
BINARY = {b"PAR1": "a Parquet table", b"ARROW1": "an Arrow table", b"SQLite format 3": "an SQLite database"}
HEAD = 1 << 20


def defect(path: Path) -> str:
    """Why no line of this file can be read as a pair; "" if nothing of the kind is seen. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for magic, (what, tool) in PACKED.items():
        if head.startswith(magic):
            return f"the file is {what}; unpack it first: {tool} {path.name}"
    for magic, what in BINARY.items():
        if head.startswith(magic):
            return f"the file is {what}; write its rows as JSON lines"
    if wide := _wide(head):
        return f"the file is {wide}; convert it: iconv -f {wide} -t UTF-8 {path.name}"
    return _shape(head)


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


def _shape(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\n" not in start and start.count(b"\r{") > 0:
        return "lines end with \\r alone; convert them: tr '\\r' '\\n'"
    if start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"]")):
        return "the file is one JSON array; write each of its objects on a line of its own: jq -c '.[]' FILE"
    first = start.split(b"\n", 1)[0].strip()
    if first == b"{" or (start.startswith(b"{") and first.endswith((b",", b"{")) and not _line_is_whole(start)):
        return "objects stretch over several lines; write each on one line: jq -c . FILE"
    if (
        not first.startswith(b"{")
        and (b"," in first or b"\t" in first)
        and b"chosen" in first
        and b"rejected" in first
        and b"{" not in first
    ):
        return "the file is a table with a header line (CSV or TSV?); write its rows as JSON lines"
    return ""


def _line_is_whole(start: bytes) -> bool:
    """Whether the first line is JSON by itself."""
    try:
        json.loads(start.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True
