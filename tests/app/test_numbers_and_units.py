"""No line ends between a number and its unit, however wide the screen is."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from rmtui.app.presentation.hanging_indent import laid, row

CLAIM = "run-C leads: 75.0 % (epoch 3) against 71.9 %, from 69.2 % → 75.0 % at step 412 on rank 1, p = 0.405."


@pytest.mark.parametrize("width", range(24, 100))
def test_what_counts_and_its_number_are_on_one_line_and_so_are_both_ends_of_an_arrow(width):
    lines = laid([row("", CLAIM)], width, Console(width=width)).plain.split("\n")
    assert not [line for line in lines if re.search(r"(epoch|step|rank|p|=|→)\s*$|^\s*(=|→)", line)], lines


SAID = (
    "val_acc, the key metric, is 72.8 % ±5.8 (95 %, 224 pairs): after 1,200 steps and 3 epochs of 12 min it gained "
    "2.4 points."
)


@pytest.mark.parametrize("width", range(24, 130))
def test_a_number_keeps_its_unit_on_its_line(width):
    lines = laid([row("▸ ", SAID)], width, Console(width=width)).plain.split("\n")
    assert not [line for line in lines if re.search(r"\d$", line.rstrip().removesuffix("±5.8"))]
    assert " ".join(line.strip() for line in lines) == f"▸ {SAID}"


ZH = (
    "训练不足，变化未超出偶然范围：val_acc 69.2 → 75.0%（±6.4），val_loss −4%。下一步：1 轮，学习率 4.5e-5（基于 "
    "helpful-C-2）。第 3 轮之后，224 对样本中“由对变错”的有 12 对。"
)


@pytest.mark.parametrize("width", range(16, 90))
def test_chinese_breaks_between_letters_but_not_before_a_stop_nor_within_a_number_and_its_unit(width):
    lines = laid([row("", ZH)], width, Console(width=width)).plain.split("\n")
    assert "".join(lines).replace(" ", "") == ZH.replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)
    assert not [line for line in lines if line[:1] in tuple("，。：；、）”") or line[-1:] in tuple("（“")]
    assert not re.search(r"(第|→)\n|\d\n[一-鿿%]", "\n".join(lines)), lines
    if width > 30:
        assert all(cell_len(line) > width - 16 for line in lines[:-1]), "a line is filled as far as its words allow"
