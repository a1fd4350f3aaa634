"""Figures as people read them, and texts that fit their cells exactly."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rmtui import text as formats
from rmtui.app.widgets.cells import fit


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Mn", "Me", "Cf")), max_size=30),
    st.integers(0, 20),
)
def test_fitted_text_is_exactly_as_wide_as_asked(text, width):
    for right in (False, True):
        assert cell_len(fit(text, width, right)) == width


def test_wide_characters_are_never_halved():
    assert fit("中文模型", 5) == "中文…"
    assert fit("中文模型", 6) == "中文 …"
    assert fit("中文", 6, right=True) == "  中文"


@pytest.mark.parametrize(
    "value,text",
    [
        (0.6728, "0.673"),
        (1.5e-5, "1.5e-5"),
        (-2e-5, "−2.0e-5"),
        (0.0, "0.000"),
        (123456.0, "1.2e5"),
        (None, "–"),
        (math.nan, "NaN"),
    ],
)
def test_losses_have_as_many_digits_as_they_mean(value, text):
    assert formats.loss(value) == text


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (7500, "2 h 05"),
        (90000, "1 d 1 h"),
        (None, "–"),
    ],
)
def test_spans_are_told_in_two_units(seconds, text):
    assert formats.span(seconds) == text


def test_large_numbers():
    assert [formats.short(n) for n in (850, 12_500, 999_999, 3_200_000, 2e9)] == ["850", "12.5k", "1M", "3.2M", "2G"]
    assert formats.count(1234567) == "1,234,567"
    assert [formats.size(n) for n in (512, 3500, 11 * 2**30)] == ["512 B", "3.4 kB", "11.0 GB"]


def test_a_clock_of_a_day_to_come_names_the_weekday_and_any_other_day_its_date():
    now = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
    assert formats.clock(now + 3600, now) == "13:00"
    assert formats.clock(now + 14 * 3600, now) == "Fri 02:00"
    assert formats.clock(now + 8 * 86400, now) == "Dec 04 12:00"
    assert formats.clock(now - 86400, now) == "Nov 25 12:00"
