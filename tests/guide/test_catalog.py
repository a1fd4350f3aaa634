"""One catalogue, complete in both languages, with the same figures in each."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

import rmtui.guide
from rmtui import i18n, translation
from rmtui.guide import sentences
from rmtui.guide.model import Advice, Reading

GUIDE = Path(rmtui.guide.__file__).parent
ENTRIES = i18n.entries()
HAN = re.compile(r"[\u4e00-\u9fff]")


def placeholders(text):
    return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name}


def ids_in_code():
    """Every id that a rule can say: first arguments of Reading(…) and Advice(…) in the rules."""
    for path in GUIDE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Reading", "Advice"):
                for text in ast.walk(node.args[0]):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield node.func.id.lower(), text.value


@pytest.mark.parametrize("key", ENTRIES)
def test_each_entry_is_there_in_both_languages_with_the_same_figures(key):
    entry = ENTRIES[key]
    wanted = {"en", "zh", "why_en", "why_zh"} if key.startswith(("advice.", "kind.")) else {"en", "zh"}
    wanted |= {"figures"} if key.startswith("title.") else set()
    assert set(entry) == wanted
    for one, other in (("en", "zh"), ("why_en", "why_zh")):
        if one in entry:
            assert placeholders(entry[one]) == placeholders(entry[other])
            assert entry[one].strip() and entry[other].strip()
            assert not HAN.search(entry[one])
            assert {form for _, form in placeholders(entry[one]) if form} <= i18n.FORMS


@pytest.mark.parametrize(
    "key", [key for key in ENTRIES if key not in ("check.of_file", "check.type_null", "kind.bom", "report.progress")]
)
def test_chinese_is_chinese(key):
    for name in ("zh", "why_zh"):
        said = re.sub(r"\{[^}]*\}", "", ENTRIES[key].get(name, "中"))
        assert HAN.search(said) or not re.search(r"[A-Za-z]{3}", said), said


def test_every_id_that_code_says_has_its_sentence_and_every_sentence_is_said():
    said = set(ids_in_code())
    assert len(said) > 40
    assert {f"{kind}.{name}" for kind, name in said} - ENTRIES.keys() == set()
    source = "".join(path.read_text() for path in GUIDE.glob("*.py"))
    unsaid = [
        key for key in ENTRIES if key.startswith(("reading.", "advice.")) and f'"{key.partition(".")[2]}"' not in source
    ]
    assert unsaid == []


def test_everything_that_is_said_has_a_title_with_figures_of_its_sentence():
    ids = {key.partition(".")[2]: key for key in ENTRIES if key.startswith(("reading.", "advice."))}
    assert {f"title.{name}" for name in ids} == {key for key in ENTRIES if key.startswith("title.")}
    for name, key in ids.items():
        assert placeholders(ENTRIES[f"title.{name}"]["figures"]) <= placeholders(ENTRIES[key]["en"])


@pytest.mark.parametrize(
    ("wanted", "environment", "lang"),
    [
        ("zh", "", "zh"),
        ("en", "zh_CN.UTF-8", "en"),
        ("", "zh_CN.UTF-8", "zh"),
        ("", "de_DE.UTF-8", "en"),
        ("zh_TW", "", "zh"),
    ],
)
def test_the_language_is_as_wanted_else_the_locales(monkeypatch, wanted, environment, lang):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", environment or "C")
    assert translation.default_lang(wanted) == lang


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5e-5, "1.5e-5"), (2e-5, "2e-5"), (1.5e-4, "1.5e-4"), (5e-4, "5e-4"), (0.1, "0.1"), (0.001, "0.001")],
)
def test_rates_are_written_as_people_write_them(value, text):
    assert i18n.rate_text(value) == i18n.value_text("learning_rate", value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("val_loss", 0.55, "0.55"),
        ("val_loss", 0.5352, "0.535"),
        ("val_loss", 0.6, "0.60"),
        ("val_acc", 0.7342, "73.4 %"),
    ],
)
def test_ends_of_expected_ranges_have_as_many_digits_as_they_mean(metric, value, text):
    assert i18n.bound_text(metric, value) == text


def test_a_range_has_its_unit_once():
    assert i18n.range_text("val_acc", 0.73, 0.762) == "val_acc 73–76.2 %"
    assert i18n.range_text("val_loss", 0.5, 0.5352) == "val_loss 0.50–0.535"
    assert i18n.interval_text(0.942, 0.878, 0.973) == "87.8–97.3"


@pytest.mark.parametrize(("value", "text"), [(-0.2315, "−23 %"), (0.0206, "+2 %"), (-0.009, "−0.9 %"), (0.0, "0.0 %")])
def test_changes_carry_their_sign(value, text):
    assert i18n.signed_percent(value) == text


def test_unknown_figures_are_question_marks_and_braces_of_users_are_text():
    figures = {"val_acc": None, "before": None, "run": "{evil}", "key": "V", "verb": "score"}
    assert "{evil}" in sentences.text(Reading("val_acc_unknown", "warning", figures))
    assert "?" not in sentences.text(Reading("val_acc_unknown", "warning", figures))
    assert "(before: 68.5 %)" in sentences.text(Reading("val_acc_unknown", "warning", figures | {"before": 0.6845}))
    unknown = {"train_loss": 0.6931, "ln2": 0.6931, "learning_rate": None, "alpha": None, "r": None}
    assert "(? × ? / ?)" in sentences.text(Reading("stuck_at_ln2", "warning", unknown))


def test_own_advice_says_that_the_guide_does_not():
    own = Advice("more_val_pairs", own=True)
    assert "not from the guide" in sentences.reason(own) and "指南未提" in sentences.reason(own, "zh")
    assert "not from the guide" not in sentences.reason(Advice("check_data"))
