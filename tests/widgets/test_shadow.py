"""The shadow screen against a model of a terminal: after every frame the terminal shows what was wanted."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from terminal_model import TerminalModel

from rmtui.app.terminal.screen_diff import Abilities, DoubtError, Shadow

GROUND = Style.parse("white on #101010")
STYLES = [
    GROUND,
    Style.parse("bold red on #101010"),
    Style.parse("black on green"),
    Style.parse("underline on #101010"),
]
WIDTH, HEIGHT = 60, 24


class Both:
    """A shadow and the terminal at its other end."""

    def __init__(self, abilities: Abilities | None = None) -> None:
        self.shadow = Shadow(WIDTH, HEIGHT, abilities or Abilities())
        self.terminal = TerminalModel(WIDTH, HEIGHT)

    def show(self, rows: list[list[Segment]]) -> str:
        """Put whole rows and send the frame."""
        for y, row in enumerate(rows):
            self.shadow.put(0, y, row, WIDTH)
        frame = self.shadow.frame()
        self.terminal.feed(frame)
        assert self.terminal.cells[: len(rows)] == self.shadow._wanted[: len(rows)]
        return frame


def row(text: str, style: Style = GROUND) -> list[Segment]:
    return [Segment(text, style), Segment(" " * (WIDTH - cell_len(text)), GROUND)]


def log_page(first: int) -> list[list[Segment]]:
    return [row(f"12:00:00 step {n}/9000 | loss={1 / (n + 1):.4f} | lr=1.5e-05") for n in range(first, first + HEIGHT)]


ABILITIES = [Abilities(), Abilities(scroll=False), Abilities(erase=False), Abilities(scroll=False, erase=False)]


@pytest.mark.parametrize("abilities", ABILITIES)
def test_random_frames(abilities):
    rng = random.Random(7)
    both = Both(abilities)
    rows = [row("") for _ in range(HEIGHT)]
    words = ["loss", "长日志", "0.5812", "▁▂▃", "  ", "val_acc 71.2", "e\u0301te\u0301", "●", "中"]
    for _ in range(300):
        kind = rng.random()
        if kind < 0.3:
            by = rng.randint(1, 5)
            fresh = [row(f"new {rng.random()}") for _ in range(by)]
            rows = [*rows[by:], *fresh] if rng.random() < 0.7 else [*fresh, *rows[:-by]]
        elif kind < 0.9:
            for _ in range(rng.randint(1, 6)):
                text = " ".join(rng.choice(words) for _ in range(rng.randint(0, 8)))
                rows[rng.randrange(HEIGHT)] = _mixed(rng, text)
        else:
            rows = [row(f"page {rng.random()}", rng.choice(STYLES)) for _ in range(HEIGHT)]
        both.show(rows)


def _mixed(rng: random.Random, text: str) -> list[Segment]:
    segments = [Segment(f"{word} ", rng.choice(STYLES)) for word in text.split(" ")]
    used = sum(cell_len(segment.text) for segment in segments)
    while used > WIDTH:
        used -= cell_len(segments.pop().text)
    return [*segments, Segment(" " * (WIDTH - used), rng.choice(STYLES))]


def test_nothing_is_sent_when_nothing_changes():
    both = Both()
    both.show(log_page(0))
    assert both.show(log_page(0)) == ""


def test_one_changed_figure_costs_a_few_bytes():
    both = Both()
    both.show([row("epoch 2/3  val_loss 0.5812")])
    assert len(both.show([row("epoch 2/3  val_loss 0.5813")])) < 40


def test_a_line_that_joins_a_log_costs_little_more_than_itself():
    both = Both()
    whole = len(both.show(log_page(0)))
    one = len(both.show(log_page(1)))
    assert one < 140 and one < whole / 10


def test_part_of_the_screen_scrolls_under_a_fixed_head():
    both = Both()
    head = [row("loss ───────"), row("0.5 ┤"), row("    └───")]
    both.show([*head, *log_page(0)][:HEIGHT])
    frame = both.show([*head, *log_page(2)][:HEIGHT])
    assert "\x1b[4;24r\x1b[2S\x1b[r" in frame


def test_spans_are_cut_at_their_end_and_wide_characters_are_not_halved():
    both = Both()
    both.show([row("x" * WIDTH)])
    both.shadow.put(10, 0, [Segment("长长长", GROUND)], 13)
    both.terminal.feed(both.shadow.frame())
    assert "".join(text for text, _ in both.terminal.cells[0]) == "x" * 10 + "长 " + "x" * (WIDTH - 13)


def test_what_was_drawn_for_a_wider_screen_is_passed_over():
    shadow = Shadow(WIDTH, HEIGHT, Abilities())
    for x in (WIDTH, WIDTH + 139):
        shadow.put(x, 2, row(" "), x + 1)
    assert shadow.frame() == ""
    shadow.put(WIDTH - 2, 2, row("abcd"), WIDTH + 2)
    assert "ab" in shadow.frame()


def test_what_cells_cannot_express_is_refused():
    shadow = Shadow(WIDTH, HEIGHT, Abilities())
    with pytest.raises(DoubtError):
        shadow.put(0, 0, [Segment("here", Style(link="https://example.org"))], 4)


def test_a_style_with_a_line_under_it_is_not_erased_but_written():
    both = Both()
    both.show([[Segment("a" + " " * (WIDTH - 1), Style.parse("underline on #101010"))]])
    assert both.terminal.cells[0][WIDTH - 1][0] == " "
