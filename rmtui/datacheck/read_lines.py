"""Defects of a whole file: packed, in another encoding, an array, a table, lines that end with \\r."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.plain_files import open_plain

PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -k"),
    b"BZh": ("bzip2", "bunzip2 -k"),
    b"\xfd7zXZ": ("xz", "unxz -k"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd -k"),
    b"PK\x03\x04": ("zip", "unzip"),
}
POINTER = b"version https://git-lfs.github.com/"
BINARY = {b"PAR1": "Parquet", b"ARROW1": "Arrow", b"SQLite format 3": "SQLite"}
HEAD = 1 << 20

Defect = tuple[str, dict[str, object]]
"""The sentence that says why no line of a file can be read as a pair, and what it is made of."""


def defect(path: Path) -> Defect | None:
    """What is wrong with the file as a whole; None if nothing of the kind is seen. Raises OSError."""
    with open_plain(path) as file:
        head = file.read(HEAD)
    if head.startswith(POINTER):
        return "pointer", {}
    for magic, (packer, tool) in PACKED.items():
        if head.startswith(magic):
            return "packed", {"format": packer, "tool": tool, "file": path.name}
    for magic, name in BINARY.items():
        if head.startswith(magic):
            return "binary", {"format": name}
    if wide := _wide(head):
        return "wide", {"encoding": wide, "file": path.name}
    shape = _shape(head)
    return (shape, {}) if shape else None


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
        return "old_line_ends"
    if start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"]")):
        return "array"
    first = start.split(b"\n", 1)[0].strip()
    if first == b"{" or (start.startswith(b"{") and first.endswith((b",", b"{")) and not _line_is_whole(start)):
        return "stretched"
    if (
        not first.startswith(b"{")
        and any(sign in first for sign in (b",", b";", b"\t"))
        and b"chosen" in first
        and b"rejected" in first
        and b"{" not in first
    ):
        return "table"
    return ""


def _line_is_whole(start: bytes) -> bool:
    """Whether the first line is JSON by itself, a comma behind it left out."""
    try:
        json.loads(start.split(b"\n", 1)[0].rstrip().removesuffix(b","))
    except (ValueError, RecursionError):
        return False
    return True
