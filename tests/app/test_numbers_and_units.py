"""No line ends between a number and its unit, however wide the screen is."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from rmtui.app.presentation.hanging_indent import laid, row

CLAIM = "run-C leads: 75.0 % (epoch 3) against 71.9 %, from 69.2 % → 75.0 % at step 412 on rank 1, p = 0.405."


@pytest.mark.parametrize("width", range(24, 100))
def test_what_counts_and_its_number_are_on_one_line_and_so_are_both_ends_of_an_arrow(width):
    lines = laid([row("", CLAIM)], width, Console(width=width)).plain.split("\n")
    assert not [line for line in lines if re.search(r"(epoch|step|rank|p|=|→)\s*$|^\s*(=|→)", line)], lines


SAID = (
    "val_acc, the key metric, is 72.8 % ±5.8 (95 %, 224 pairs): after 1 200 steps and 3 epochs of 12 min it gained "
    "2.4 points."
)


@pytest.mark.parametrize("width", range(24, 130))
def test_a_number_keeps_its_unit_on_its_line(width):
    lines = laid([row("▸ ", SAID)], width, Console(width=width)).plain.split("\n")
    assert not [line for line in lines if re.search(r"\d$", line.rstrip().removesuffix("±5.8"))]
    assert " ".join(line.strip() for line in lines) == f"▸ {SAID}"
