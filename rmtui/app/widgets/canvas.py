"""A bare braille canvas, for what plotext cannot draw or draws too slowly: dozens of quiet curves behind the others.

Two hundred runs take 10 ms here and seconds in plotext, which keeps a Python list a dot. Bands are no curve (plotext
fills only down to a constant) and are laid under the dots as shaded cells by the chart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

Point = tuple[int, int]
"""A dot: x from the left, y from the bottom."""

_BITS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Bit of the dot (x % 2, y % 4), y counted from the bottom of the cell."""

BRAILLE = 0x2800


class Canvas:
    """`width` × `height` cells of 2 × 4 dots."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [bytearray(width) for _ in range(height)]
        """Bits of each cell, top row first."""

    def line(self, points: Sequence[Point]) -> None:
        """A polyline through the points."""
        if len(points) == 1:
            self._dot(*points[0])
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            self._stroke(x0, y0, x1, y1)

    def _stroke(self, x0: int, y0: int, x1: int, y1: int) -> None:
        long = max(abs(x1 - x0), abs(y1 - y0))
        if long == 0:
            self._dot(x0, y0)
            return
        for n in range(long + 1):
            self._dot(x0 + round(n * (x1 - x0) / long), y0 + round(n * (y1 - y0) / long))

    def _dot(self, x: int, y: int) -> None:
        row, column = self.height - 1 - (y >> 2), x >> 1
        if 0 <= column < self.width and 0 <= row < self.height:
            self.rows[row][column] |= _BITS[x & 1][y & 3]


def bits_of(lines: Iterable[str], width: int) -> list[bytearray]:
    """Braille text → bits of each cell; any other sign counts as empty."""
    return [bytearray(_bits(line, width)) for line in lines]


def _bits(line: str, width: int) -> list[int]:
    codes = [ord(sign) - BRAILLE for sign in line[:width]]
    found = [code if 0 <= code < 256 else 0 for code in codes]
    return found + [0] * (width - len(found))
