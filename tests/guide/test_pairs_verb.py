"""Single pairs: wrong, close, tied, mended, broken or doubtful, with their texts; accuracy by group; export."""

from __future__ import annotations

import json
import re

import pytest
from support import START, config, make_run_folder, training

from rmtui.cli import main
from rmtui.guide import pair_changes
from trainer.pairs import Row, fingerprint, read_rows


@pytest.fixture
def trained(ws):
    """Three runs on twelve pairs; pair 3 is confidently wrong in all, pair 5 in the last two."""
    file = ws.data / "val" / "helpful_pairs.jsonl"
    rows = [
        {
            "id": f"q{i}",
            "prompt": f"Question {i}?",
            "chosen": f"A good answer {i}" + "!" * i,
            "rejected": f"A bad answer {i}",
            "source": "web" if i % 2 else "book",
        }
        for i in range(12)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    marks = {"train": "aa" * 32, "val": fingerprint(file)}
    for number, wrong in enumerate(({3: 5.0, 7: 0.2}, {3: 4.0, 5: 6.0}, {3: 3.0, 5: 3.0})):
        folder = make_run_folder(
            ws, f"r{number}", created=START + number, config=config(seed=number), fingerprints=marks
        )
        (folder.path / "validation").mkdir()
        sides = [(0.0, wrong[i]) if i in wrong else (1.0, 1.0) if i == 9 else (1.0 + i / 10, 0.5) for i in range(12)]
        lines = [{"id": f"q{i}", "chosen": a, "rejected": b} for i, (a, b) in enumerate(sides)]
        (folder.path / "validation" / "epoch-3.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ws


def run(ws, capsys, *args):
    assert main(["-C", str(ws.root), "pairs", *args]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["r0"], ["q3", "q7"]),
        (["r0", "--kind", "tied"], ["q9"]),
        (["r0", "r1"], ["q5"]),
        (["r0", "r1", "--kind", "mended"], ["q7"]),
        (["r0", "r1", "--kind", "fixed"], ["q7"]),
        (["r0", "r1", "r2"], ["q3", "q5"]),
        (["r0", "--limit", "1"], ["q3"]),
    ],
)
def test_kinds_of_pairs(trained, capsys, args, found):
    document = run(trained, capsys, *args, "--json")
    assert [pair["id"] for pair in document["pairs"]] == found
    assert document["pairs_scored"] == 12 and document["note"] == ""


def test_a_pair_comes_with_texts_rewards_and_the_words_that_differ(trained, capsys):
    pair = run(trained, capsys, "r0", "r1", "--json")["pairs"][0]
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == (
        "Question 5?",
        "A good answer 5!!!!!",
        "A bad answer 5",
    )
    assert pair["fields"] == {"source": "web"} and pair["line"] == 6
    assert [sides["margin"] for sides in pair["rewards"]] == [pytest.approx(1.0), -6.0]
    assert "".join(piece for piece, _ in pair["words"]["chosen"]) == pair["chosen"]
    assert ["good", True] in pair["words"]["chosen"] and ["bad", True] in pair["words"]["rejected"]


def test_margins_are_drawn_on_one_scale_with_a_bar_at_zero(trained, capsys):
    """Of r0: −5.0, −0.2, 0.0, then 0.5 … 1.6; of r2 the widest is −3.0, drawn on the scale of r0."""
    first, last = (row["margins"] for row in run(trained, capsys, "r0", "r2", "--json")["runs"])
    assert first["reach"] == last["reach"] == 5.0
    assert first["counts"] == [1, *[0] * 8, 1, 1, 4, 3, 2, *[0] * 6]
    assert sum(last["counts"]) == 12 and last["counts"][4] == 2
    assert main(["-C", str(trained.root), "show", "r0"]) == 0
    assert "margins −5.0 ▂        ▂│▂█▆▄       +5.0, median +0.80" in capsys.readouterr().out


def test_the_closest_pairs_first():
    rewards = {
        "far": (5.0, 0.0),
        "mid": (4.0, 0.0),
        "edge": (3.0, 0.0),
        "near": (1.0, 0.95),
        "nearer": (1.0, 0.99),
        "tie": (1.0, 1.0),
    }
    assert pair_changes.closest(rewards) == ["nearer", "near"]


@pytest.mark.parametrize(("wrong_in", "doubted"), [(1, False), (2, True), (3, True)])
def test_a_label_is_doubted_from_two_confident_runs_on(wrong_in, doubted):
    runs = [
        {"x": (0.0, 9.0) if n < wrong_in else (1.0, 0.0), "a": (9.5, 0), **dict.fromkeys("bcdef", (1, 0))}
        for n in range(3)
    ]
    assert ("x" in pair_changes.suspects(runs)) is doubted


def test_a_hesitant_mistake_is_not_held_against_the_label():
    runs = [{"x": (0.0, 0.1), "a": (9, 0), "b": (8, 0), "c": (7, 0)}] * 3
    assert pair_changes.suspects(runs) == {}


def test_accuracy_by_field_length_and_which_is_longer(trained, capsys):
    rows = run(trained, capsys, "r0", "--by", "source", "--json")["runs"][0]["groups"]
    assert {row["label"]: (row["right"], row["pairs"]) for row in rows} == {"book": (6, 6), "web": (3, 6)}
    assert all(row["interval"][0] <= row["accuracy"] <= row["interval"][1] for row in rows)
    rows = run(trained, capsys, "r0", "--by", "length", "--json")["runs"][0]["groups"]
    assert sum(row["pairs"] for row in rows) == 12 and len(rows) == 4
    rows = run(trained, capsys, "r0", "--by", "longer", "--json")["runs"][0]["groups"]
    assert {row["label"]: row["pairs"] for row in rows} == {"chosen is longer": 12}


def test_in_chinese_headings_and_notes_are_chinese(trained, capsys):
    pages = []
    for args in (["r0"], ["r0", "r1"], ["r0", "r1", "r2"], ["r0", "--by", "longer"], ["r0", "--by", "source"]):
        assert main(["-C", str(trained.root), "pairs", *args, "--lang", "zh"]) == 0
        pages.append(capsys.readouterr().out)
    page = re.sub(r"(prompt|chosen|rejected) .*", "", "\n".join(pages))
    words = set(re.findall("[A-Za-z_]{2,}", page))
    assert words <= {"val_acc", "source", "longer", "chosen", "book", "web"}, words
    for said in ("错判差距最大：2/12 对样本", "由对变错", "疑似标错", "差值", "chosen 较长", "6 对中对了 3 对"):
        assert said in "\n".join(pages)
    (trained.data / "val" / "helpful_pairs.jsonl").unlink()
    assert "已经不在了" in run(trained, capsys, "r0", "--lang", "zh", "--json")["note"]


def test_an_unknown_field_names_the_known_ones(trained, capsys):
    assert main(["-C", str(trained.root), "pairs", "r0", "--by", "colour"]) == 2
    assert "source" in capsys.readouterr().err


def test_doubtful_pairs_are_exported_as_data_and_nothing_is_overwritten(trained, capsys, tmp_path):
    out = tmp_path / "doubtful.jsonl"
    args = ["-C", str(trained.root), "pairs", "r0", "r1", "r2", "--export", str(out)]
    assert main(args) == 0
    assert "2 pairs" in capsys.readouterr().out
    rows = list(read_rows(out))
    assert [row.id for row in rows if isinstance(row, Row)] == ["q3", "q5"]
    assert json.loads(out.read_text().splitlines()[0])["margins"] == {"r0": -5.0, "r1": -4.0, "r2": -3.0}
    assert main(args) == 2


def test_a_changed_validation_file_is_told(trained, capsys):
    file = trained.data / "val" / "helpful_pairs.jsonl"
    file.write_text(file.read_text().replace("good", "fine"))
    assert "changed" in run(trained, capsys, "r0", "--json")["note"]
    file.unlink()
    document = run(trained, capsys, "r0", "--json")
    assert document["pairs"][0]["prompt"] is None and "is gone" in document["note"]
    out = trained.root / "out.jsonl"
    assert main(["-C", str(trained.root), "pairs", "r0", "--export", str(out)]) == 2
    assert not out.exists()


def test_runs_without_pairs_and_runs_on_other_pairs_are_refused(trained, capsys):
    make_run_folder(trained, "bare", created=START + 9)
    assert main(["-C", str(trained.root), "pairs", "bare"]) == 2
    assert "bare" in capsys.readouterr().err
    other = make_run_folder(trained, "other", created=START + 10, fingerprints={"val": "dd" * 32})
    (other.path / "validation").mkdir()
    (other.path / "validation" / "epoch-1.jsonl").write_text('{"id": "q1", "chosen": 1, "rejected": 0}\n')
    assert main(["-C", str(trained.root), "pairs", "r0", "other"]) == 2
    assert main(["-C", str(trained.root), "pairs", "r0", "--kind", "mended"]) == 2


def test_the_page_neutralises_what_data_says_to_a_terminal(trained, capsys):
    file = trained.data / "val" / "helpful_pairs.jsonl"
    file.write_text(file.read_text().replace("Question 3?", "\\u001b]0;owned\\u0007 Question 3?"))
    assert main(["-C", str(trained.root), "pairs", "r0"]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page and "\x07" not in page and "[good]" in page


@pytest.mark.parametrize(
    ("chosen", "rejected", "same", "other"),
    [
        ("the red fox ran", "the blue fox ran", "the  fox ran", "red"),
        ("one two end", "six ten end", " end", "one two"),
        ("今天天气很好", "今天天气不好", "今天天气好", "很"),
        ("same", "same", "same", ""),
        ("", "all", "", ""),
    ],
)
def test_differing_words(chosen, rejected, same, other):
    left, right = pair_changes.differing(chosen, rejected)
    assert "".join(piece for piece, _ in left) == chosen and "".join(piece for piece, _ in right) == rejected
    assert "".join(piece for piece, differs in left if not differs) == same
    assert "".join(piece for piece, differs in left if differs) == other


def test_very_long_answers_are_compared_by_their_ends():
    start, end = "a b " * 2000, " y z" * 2000
    left, right = pair_changes.differing(start + "one" + end, start + "two" + end)
    assert [piece for piece, differs in left if differs] == ["one"]
    assert [piece for piece, differs in right if differs] == ["two"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, ("has not been evaluated yet", "after step 20", "at step 12")),
        ("stopped", ("before its first", "resume")),
    ],
)
def test_without_an_evaluation_it_says_when_one_comes(ws, capsys, outcome, words):
    make_run_folder(ws, "young", events=[event for event in training() if event.step <= 12], outcome=outcome)
    assert main(["-C", str(ws.root), "pairs", "young"]) == 2
    said = capsys.readouterr().err
    assert "trained here" not in said and all(word in said for word in words), said
