"""Lines of a log that differ in digits alone are looked at once: no digit may decide what a line says."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from producer_logs import LOGS
from test_labelled_lines import LINES

from rmtui.importers.line_shapes import shape_of
from rmtui.importers.log_lines import parse
from rmtui.importers.sources import gather

WORDS = (
    *("epoch ", "step ", "loss", "acc", "val", "val_loss", "test acc", "rm_", "helpful", "best ", "第", "轮", "共"),
    *("[", "]", "(", ")", ": ", "=", " ", " | ", "/", "%", ",", ".", "-", "e-", '"', "{", "}", "tensor(", "of "),
    *(str(digit) for digit in range(10)),
)
SEEN = sorted({" ".join(line.split()) for line in chain(LINES, *(log.text.splitlines() for log in LOGS))})
TEXTS = st.sampled_from(SEEN) | st.lists(st.sampled_from(WORDS), max_size=24).map(
    lambda words: " ".join("".join(words).split())
)


@given(TEXTS)
def test_what_a_line_says_does_not_depend_on_its_digits(line: str) -> None:
    _same_with_all_digits(line)


def test_no_line_of_a_known_log_depends_on_its_digits() -> None:
    for line in SEEN:
        _same_with_all_digits(line)


def _same_with_all_digits(line: str) -> None:
    shapes = [shape_of(re.sub("[0-9]", str(digit), line)) for digit in range(10)]
    assert all(shape == shapes[0] for shape in [*shapes, shape_of(line)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Epoch 1/5: val_loss=0.61, val_acc=71%", "Epoch 2/9: val_loss=0.58, val_acc=65%"),
        ("step 10: loss 0.7, acc 31/44", "step 20: loss 0.6, acc 33/55"),
        ("step 10: set1: val loss 0.7", "step 20: set2: val loss 0.6"),
        ("第 1 轮，共 3 轮 验证损失：0.6", "第 2 轮，共 4 轮 验证损失：0.5"),
    ],
)
def test_each_line_has_its_own_numbers(first: str, second: str) -> None:
    """The second one has the first one's shape."""
    numbers = parse(first), parse(second)
    for line, text in zip(numbers, (first, second), strict=True):
        wanted = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
        of = {"31/44": 100 * 31 / 44, "33/55": 60.0}
        values = [of.get(text.rpartition("acc ")[2], wanted[-1]), *wanted]
        assert all(figure.value in values for figure in line.figures) and line.figures
        assert line.epoch is None or float(line.epoch) in wanted
        assert line.step is None or line.step in wanted
        assert line.total is None or line.total in wanted
    assert numbers[0] != numbers[1]
    assert [figure.value for figure in numbers[0].figures] != [figure.value for figure in numbers[1].figures]


def test_labels_with_other_digits_are_other_pairs(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("step 10: loss 0.7\nValidation rule1: acc 0.7\nValidation rule2: acc 0.6\n")
    (run,) = gather([log]).runs
    assert {name: points[-1][1] for name, points in run.series.items() if "val" in name} == {
        "val_acc": 0.7,
        "val_rule2 acc": 0.6,
    }
