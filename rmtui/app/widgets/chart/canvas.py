"""A bare braille canvas: what plotext draws, dot for dot, in a tenth of its time.

A key has 50 ms of the processor from press to picture, and two charts show four or five curves: plotext takes 8 to
17 ms a curve and its import a sixth of a start, this canvas 1 ms. Dozens of quiet curves behind the others take seconds
in plotext, which keeps a Python list a dot. Bands are not curves (plotext fills only down to a constant) and are laid
under the dots as shaded cells by the chart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Point = tuple[int, int]
"""A dot: x from the left, y from the bottom."""

_BITS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Bit of the dot (x % 2, y % 4), y counted from the bottom of the cell."""
_FULL = (0x47, 0xB8)
"""Bits of a cell's left or right column."""

BRAILLE = 0x2800


class Canvas:
    """`width` × `height` cells of 2 × 4 dots."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [bytearray(width) for _ in range(height)]
        """Bits of each cell, top row first."""

    def line(self, points: Sequence[Point], thick: bool = False) -> None:
        """A polyline through the points; `thick`: two dots high, where a row is left."""
        if thick:
            top = 4 * self.height - 1
            self.line([(x, y + 1 if y < top else y - 1) for x, y in points])
        if len(points) == 1:
            self._dot(*points[0])
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if x0 == x1:
                self._upright(x0, min(y0, y1), max(y0, y1))
            else:
                self._stroke(x0, y0, x1, y1)

    def _upright(self, x: int, low: int, high: int) -> None:
        """Most of a curve of many steps: a column's lowest dot to its highest, four dots at a time."""
        if not 0 <= x >> 1 < self.width:
            return
        low, high = max(0, low), min(4 * self.height - 1, high)
        column, side, last = x >> 1, x & 1, self.height - 1
        for cell in range(low >> 2, (high >> 2) + 1):
            bits = _FULL[side]
            if cell == low >> 2 or cell == high >> 2:
                bits = sum(_BITS[side][y & 3] for y in range(max(low, 4 * cell), min(high, 4 * cell + 3) + 1))
            self.rows[last - cell][column] |= bits

    def _stroke(self, x0: int, y0: int, x1: int, y1: int) -> None:
        long = max(abs(x1 - x0), abs(y1 - y0))
        across, up = (x1 - x0) / long, (y1 - y0) / long
        rows, wide, high, last = self.rows, 2 * self.width, 4 * self.height, self.height - 1
        if min(x0, x1) >= 0 and max(x0, x1) < wide and min(y0, y1) >= 0 and max(y0, y1) < high:
            for n in range(long):  # most of a key's time on a picture: no call and no question a dot
                x, y = int(x0 + n * across), int(y0 + n * up)
                rows[last - (y >> 2)][x >> 1] |= _BITS[x & 1][y & 3]
            rows[last - (y1 >> 2)][x1 >> 1] |= _BITS[x1 & 1][y1 & 3]
            return
        for n in range(long):  # most of a key's time on a picture: no call a dot
            x, y = int(x0 + n * across), int(y0 + n * up)
            if 0 <= x < wide and 0 <= y < high:
                rows[last - (y >> 2)][x >> 1] |= _BITS[x & 1][y & 3]
        self._dot(x1, y1)

    def _dot(self, x: int, y: int) -> None:
        row, column = self.height - 1 - (y >> 2), x >> 1
        if 0 <= column < self.width and 0 <= row < self.height:
            self.rows[row][column] |= _BITS[x & 1][y & 3]
