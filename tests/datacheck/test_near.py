"""Near-duplicates: found by what they say, cancellable, silent about rankings of several answers."""

import os
import random
import re
import subprocess
import sys
from itertools import combinations

import pytest
from check_rows import findings, row, write

from rmtui.datacheck import duplicates
from rmtui.datacheck.model import Cancelled
from rmtui.operations.check import check

TEXT = "water light stone paper river engine garden letter window bridge number market doctor winter summer answer"
WORDS = TEXT.split(" ")


def text(seed, length=80):
    """Words in an order of their own for each seed."""
    return " ".join(
        WORDS[(seed * 7 + place * (seed % 5 + 3)) % len(WORDS)] + str((seed * place) % 11) for place in range(length)
    )


def pair(seed, **changes):
    return row(prompt=text(seed), chosen=text(seed + 1000), rejected=text(seed + 2000), **changes)


def edited(words, place=20):
    """The text with one word changed."""
    changed = words.split()
    changed[place] = "elsewhere"
    return " ".join(changed)


COPIES = {
    "near_duplicate": lambda one: {key: edited(value) for key, value in one.items()},
    "near_contradiction": lambda one: {
        "prompt": one["prompt"],
        "chosen": edited(one["rejected"]),
        "rejected": edited(one["chosen"], 3),
    },
}


@pytest.mark.parametrize("kind", COPIES)
def test_an_edited_copy_is_found_at_the_later_line(tmp_path, kind):
    rows = [pair(seed) for seed in range(20)]
    path = write(tmp_path / "pairs.jsonl", [*rows, COPIES[kind](rows[4])])
    assert findings(path) == [[(21, kind)]]
    assert check([path]).files[0].findings[0].related == (str(path), 5)
    assert findings(path, look_for_near=False) == [[]]


def test_an_edited_question_in_validation_is_a_leak(tmp_path):
    train = write(tmp_path / "train.jsonl", [pair(seed) for seed in range(20)])
    leak = {**pair(77), "prompt": edited(pair(3)["prompt"], 39)}
    val = write(tmp_path / "val.jsonl", [pair(seed) for seed in range(40, 55)] + [leak])
    assert [each for each in findings(train, val)[1] if each[0]] == [(16, "near_leak")]


ASKED = "tell me in a few plain words how the tides of the sea come about and why there are two of them a day"
REWORDED = {
    "a word more": (ASKED.replace("tides", "high tides"), True),
    "a word less": (ASKED.replace("plain ", ""), True),
    "a greeting": (f"Hello, {ASKED}", True),
    "a slip": (ASKED.replace("plain", "plian"), True),
    "another filling": (ASKED.replace("tides", "winds"), False),
    "two other fillings": (ASKED.replace("sea", "lake").replace("two", "ten"), False),
}


@pytest.mark.parametrize("change", REWORDED)
def test_a_question_in_a_few_more_or_fewer_words_leaks_and_one_about_something_else_does_not(tmp_path, change):
    asked, leaks = REWORDED[change]
    train = write(tmp_path / "train.jsonl", [*(pair(seed) for seed in range(5)), row(prompt=ASKED)])
    val = write(tmp_path / "val.jsonl", [row(prompt=asked, chosen=text(98), rejected=text(99))])
    assert [each for each in findings(train, val)[1] if each[0]] == ([(1, "near_leak")] if leaks else [])


SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "je",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
    "va",
    "we",
    "xi",
    "yo",
    "zu",
)
CHINESE = "水光石纸河花园信窗桥数市场医生夏冬问答小心快因为没有之间下上带来建造找到失去打开近写读简单重温和明亮"


def varied(rows, copies, seed):
    """Pairs of 4 to 400 words of mixed length, some Chinese, and copies of some with a few words or a part changed."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(3000)]

    def said(length):
        return [*(chance.choices(CHINESE, k=length) if chance.random() < 0.25 else chance.choices(words, k=length))]

    def changed(text):
        text, kind, size = list(text), chance.choice(("words", "more", "less")), max(1, len(text) // 12)
        start = chance.randrange(len(text))
        if kind == "words":
            for _ in range(max(1, len(text) // 60)):
                text[chance.randrange(len(text))] = chance.choice(words)
        elif kind == "more":
            text[start:start] = chance.choices(words, k=chance.randint(1, size))
        else:
            del text[start : start + chance.randint(1, size)]
        return text

    made = [[said(chance.choice((4, 12, 30, 80, 160, 400))) for _ in range(3)] for _ in range(rows)]
    for _ in range(copies):
        asked, one, other = chance.choice(made[:rows])
        sides = [changed(asked), changed(one), changed(other)]
        made.append(sides if chance.random() < 0.7 else [sides[0], sides[2], sides[1]])
    return [dict(zip(("prompt", "chosen", "rejected"), map(" ".join, sides), strict=True)) for sides in made]


def threes(text):
    words = re.findall("[\u4e00-\u9fff]|[a-z]+", text)
    return {*zip(words, words[1:], words[2:], strict=False)}


def blamed_by_comparing_all(rows):
    """Every two rows by the Jaccard similarity of their words in threes: (line, kind, earlier line) of the first."""
    sets = [[threes(one[side]) for side in ("prompt", "chosen", "rejected")] for one in rows]
    blamed = {}
    for (earlier, one), (later, other) in combinations(enumerate(sets, start=1), 2):
        pairs = {
            "near_duplicate": zip(one, other, strict=True),
            "near_contradiction": zip(one, (other[0], *other[:0:-1]), strict=True),
        }
        for kind, sides in pairs.items():
            if later not in blamed and all(len(a) > 7 < len(b) and len(a & b) >= 0.8 * len(a | b) for a, b in sides):
                blamed[later] = (later, kind, earlier)
    return sorted(blamed.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_found_is_what_comparing_every_two_lines_finds(tmp_path, seed):
    rows = varied(160, 120, seed)
    expected = blamed_by_comparing_all(rows)
    assert len(expected) > 30
    found = check([write(tmp_path / "pairs.jsonl", rows)]).files[0].findings
    near = [each for each in found if each.kind.startswith("near_")]
    # Rows of fewer than eight words in threes are compared by their words, which the comparison above leaves out.
    long = {line for line, row in enumerate(rows, 1) if all(len(threes(row[side])) > 7 for side in row)}
    assert [(one.line, one.kind, one.related[1]) for one in near if one.line in long] == expected


def test_the_keys_of_a_text_are_counted_in_bounded_memory(tmp_path, monkeypatch):
    """With room for a few hundred numbers they go to a file and come back."""
    rows = varied(160, 120, 1)
    path = write(tmp_path / "pairs.jsonl", rows)
    whole = check([path]).files[0].findings
    monkeypatch.setattr(duplicates.Ledger.__init__, "__defaults__", (640, *duplicates.Ledger.__init__.__defaults__[1:]))
    assert check([path]).files[0].findings == whole
    assert len(whole) > 30


def test_a_crowd_of_copies_is_found_to_the_last(tmp_path):
    first = max(varied(20, 0, 4), key=lambda row: min(map(len, row.values())))
    crowd = [{key: edited(value, place) for key, value in first.items()} for place in range(1, 30)]
    assert findings(write(tmp_path / "pairs.jsonl", [first, *crowd])) == [
        [(line, "near_duplicate") for line in range(2, 31)]
    ]


def test_a_file_is_judged_alike_each_time(tmp_path):
    """Python salts the hashes of strings anew in every process."""
    words = [f"{text(seed, 20)} {seed}" for seed in range(200)]
    train = write(tmp_path / "train.jsonl", [row(prompt=each) for each in words])
    val = write(tmp_path / "val.jsonl", [row(prompt=f"so {each} then", chosen=text(98)) for each in words])
    said = []
    for salt in ("1", "2", "3"):
        command = [sys.executable, "-m", "rmtui", "check", "--json", str(train), str(val)]
        run = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONHASHSEED": salt}, timeout=120)
        said.append(run.stdout)
    assert said[0].count(b"near_leak") > 100
    assert said[0] == said[1] == said[2]


def test_answers_of_which_one_alone_is_crossed_contradict_nothing(tmp_path):
    first = pair(1)
    path = write(
        tmp_path / "pairs.jsonl", [first, {**first, "chosen": edited(first["rejected"]), "rejected": text(77)}]
    )
    assert findings(path) == [[]]


def test_long_questions_of_a_validation_on_the_training_data_are_no_near_leaks(tmp_path):
    """The exact check says so once, of the whole file."""
    train, val = (write(tmp_path / f"{name}.jsonl", [pair(seed) for seed in range(20)]) for name in ("train", "val"))
    assert "validation_is_training" in check([train, val]).files[1].counts
    assert [each for each in findings(train, val)[1] if each[0]] == []


def test_a_line_is_blamed_once_for_what_it_repeats(tmp_path):
    first = pair(1)
    path = write(tmp_path / "pairs.jsonl", [first, {key: value.upper() for key, value in first.items()}])
    assert findings(path) == [[(2, "near_duplicate")]]


def test_rankings_of_several_answers_are_not_duplicates(tmp_path):
    first = pair(1)
    path = write(tmp_path / "pairs.jsonl", [first, {**first, "rejected": edited(first["rejected"])}])
    assert findings(path) == [[]]


def test_a_cancelled_pass_leaves_the_exact_findings(tmp_path):
    rows = [pair(seed) for seed in range(600)]
    path = write(tmp_path / "pairs.jsonl", [*rows, rows[0], COPIES["near_duplicate"](rows[1])])
    seen = []
    report = check([path], progress=lambda name, _: seen.append(name), cancelled=lambda: "near-duplicates" in seen)
    assert not report.near_done
    assert [(finding.line, finding.kind) for finding in report.files[0].findings] == [(601, "duplicate")]


@pytest.mark.parametrize("shares", [0.0, 0.2, 0.9])
def test_the_exact_pass_is_cancelled_at_once_and_says_nothing(tmp_path, shares):
    rows = [f'{{"prompt": "Why {n}?", "chosen": "Because of {n}.", "rejected": "No."}}' for n in range(30_000)]
    path = write(tmp_path / "pairs.jsonl", rows)
    told = []

    def enough():
        return bool(told) and told[-1] >= shares

    with pytest.raises(Cancelled):
        check([path], progress=lambda _, share: told.append(share), cancelled=enough)
    assert told[-1] < shares + 0.3


def test_between_the_lines_and_their_relations_it_is_cancelled_too(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [pair(seed) for seed in range(20)])
    with pytest.raises(Cancelled):
        check([path], cancelled=lambda: True)


def test_progress_rises_to_the_end_in_both_passes(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [pair(seed) for seed in range(50)])
    told = {}
    check([path], progress=lambda name, share: told.setdefault(name, []).append(share))
    assert set(told) == {"lines", "near-duplicates"}
    for shares in told.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1
