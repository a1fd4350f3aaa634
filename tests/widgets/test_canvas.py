"""The canvas beside plotext: the same dots, so that only time tells them apart."""

from __future__ import annotations

import random

import pytest

from rmtui.app.widgets.chart.canvas import BRAILLE, Canvas, Point
from rmtui.app.widgets.chart.plot import draw

WIDTH, HEIGHT = 37, 9
ACROSS, UP = 2 * WIDTH, 4 * HEIGHT


def text(*lines: tuple[Point, ...]) -> tuple[str, ...]:
    canvas = Canvas(WIDTH, HEIGHT)
    for line in lines:
        canvas.line(line)
    return tuple("".join(chr(BRAILLE + bits) if bits else " " for bits in row) for row in canvas.rows)


@pytest.mark.parametrize("seed", range(20))
def test_every_dot_is_where_plotext_puts_it(seed: int) -> None:
    chance = random.Random(seed)
    xs = sorted(chance.randrange(ACROSS) for _ in range(chance.randint(1, 30)))
    line = tuple((x, chance.randrange(UP)) for x in xs)
    assert text(line) == draw((line,), WIDTH, HEIGHT, "braille")


def test_stretches_between_gaps_share_the_cells_that_they_meet_in() -> None:
    left, right = ((0, 0), (4, 0)), ((5, 3), (9, 3))
    assert text(left, right)[-1][2] == chr(ord(text(left)[-1][2]) | ord(text(right)[-1][2]))


def test_a_column_from_foot_to_head_is_full() -> None:
    assert text(((3, 0), (3, UP - 1))) == draw((((3, 0), (3, UP - 1)),), WIDTH, HEIGHT, "braille")
    assert text(((3, UP - 1), (3, 0))) == text(((3, 0), (3, UP - 1)))


def test_dots_beyond_the_canvas_are_left_out() -> None:
    assert text(((ACROSS + 1, 0), (ACROSS + 1, UP))) == (" " * WIDTH,) * HEIGHT
    assert text(((0, -5), (0, UP + 5))) == text(((0, 0), (0, UP - 1)))


def test_a_thick_line_is_two_dots_high_wherever_it_runs():
    points = [(0, 5), (9, 5), (19, 11)]
    plain, thick = Canvas(10, 4), Canvas(10, 4)
    plain.line(points)
    thick.line(points, thick=True)

    def columns(canvas: Canvas) -> list[int]:
        left, right = 0b01000111, 0b10111000  # the dots of a braille sign's two columns
        return [
            sum((row[x // 2] & (right if x % 2 else left)).bit_count() for row in canvas.rows)
            for x in range(2 * canvas.width)
        ]

    assert all(now == before + 1 for before, now in zip(columns(plain), columns(thick), strict=True))
