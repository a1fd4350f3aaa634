"""Thresholds: named, sourced, changeable in one file."""

from __future__ import annotations

import pytest

from rmtui.errors import UserError
from rmtui.guide import thresholds


def test_each_has_a_meaning_and_a_source():
    rows = thresholds.table()
    assert len(rows) > 20
    assert all(len(row.meaning) > 10 and row.source for row in rows)
    guides = {row.name: row.value for row in rows if row.source == thresholds.GUIDE}
    assert (guides["gap_warning"], guides["rate_up"], guides["rate_back"]) == (0.2, 1.5, 2.0)


def test_a_file_changes_some_and_leaves_the_rest(tmp_path):
    path = tmp_path / "thresholds.toml"
    path.write_text("gap_warning = 0.3\nfew_val_pairs = 200\n")
    found = thresholds.load(path)
    assert (found.gap_warning, found.few_val_pairs, found.small_rise) == (0.3, 200, 0.05)
    assert thresholds.load(tmp_path / "none.toml") == thresholds.DEFAULT


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("gap = 0.3", "gap_warning"),
        ('gap_warning = "high"', "wrong type"),
        ("gap_warning = true", "wrong type"),
        ("gap_warning =", "cannot be read"),
    ],
)
def test_what_is_wrong_in_it_is_said(tmp_path, text, word):
    path = tmp_path / "thresholds.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"thresholds\.toml") as error:
        thresholds.load(path)
    assert word in str(error.value)
