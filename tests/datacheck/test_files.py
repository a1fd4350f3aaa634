"""Defects of whole files, lines against lines, files against files."""

import gzip
import json

import pytest
from check_rows import SHARED, distinct, findings, row, write

from rmtui.datacheck.duplicates import Ledger
from rmtui.errors import UserError
from rmtui.operations.check import check

LINE = (json.dumps(row()) + "\n").encode()

WHOLE = {
    "gzip that is cut off": (gzip.compress(LINE * 9)[:-12], "gzip is damaged"),
    "zip": (b"PK\x03\x04....", "zip file"),
    "UTF-16": (LINE.decode().encode("utf-16"), "iconv"),
    "UTF-16 without a mark": (LINE.decode().encode("utf-16-le"), "iconv"),
    "line ends of old Macs": (LINE.replace(b"\n", b"\r") * 3, "\\r"),
    "another table": (b'{"city": "Bern", "people": 134}\n', "'city', 'people'"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", "git lfs pull"),
    "Parquet": (b"PAR1....", "Parquet"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_of_another_kind_is_one_error_with_a_remedy(tmp_path, name):
    data, remedy = WHOLE[name]
    path = write(tmp_path / "pairs.jsonl", [data])
    (finding,) = check([path]).files[0].findings
    assert (finding.line, finding.severity) == (None, "error")
    assert remedy in finding.message


def test_commas_behind_the_objects_are_said_line_by_line(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [json.dumps(each) + "," for each in distinct(2)])
    found = [finding for finding in check([path]).files[0].findings if finding.line]
    assert [(finding.line, finding.kind) for finding in found] == [(1, "invalid_json"), (2, "invalid_json")]
    assert "comma behind the object" in found[0].message


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_a_file_without_pairs_is_an_error(tmp_path, data):
    (found,) = findings(write(tmp_path / "pairs.jsonl", [data]))
    assert (None, "no_pairs") in found


def test_a_file_that_is_not_there_is_a_user_error(tmp_path):
    with pytest.raises(UserError) as error:
        check([tmp_path / "nothing.jsonl"])
    assert error.value.exit_code == 2


SWAPPED = row(chosen=row()["rejected"], rejected=row()["chosen"])


@pytest.mark.parametrize(
    ("later", "kind"),
    [
        (row(), "duplicate"),
        (row(prompt=row()["prompt"].upper()), "near_duplicate"),
        (row(prompt=row()["prompt"].replace("a", "а")), "near_duplicate"),  # Cyrillic
        (row(prompt=row()["prompt"].replace("a", "a\u200d")), "near_duplicate"),
        (row(prompt=f"“{row()['prompt']}”"), "near_duplicate"),
        (SWAPPED, "contradiction"),
        (row(chosen=SWAPPED["chosen"].upper() + " ", rejected=SWAPPED["rejected"]), "contradiction"),
    ],
)
def test_of_two_lines_the_later_is_blamed(tmp_path, later, kind):
    path = write(tmp_path / "pairs.jsonl", [distinct(1)[0], row(), distinct(2)[1], later])
    (found,) = findings(path)
    assert [each for each in found if each[1] != "look_alike_letters"] == [(4, kind)]
    assert check([path]).files[0].findings[0].related == (str(path), 2)


def test_another_rejected_answer_to_one_question_is_fine(tmp_path):
    assert findings(write(tmp_path / "pairs.jsonl", [row(), row(rejected="No idea at all.")])) == [[]]


def test_an_id_used_twice_is_a_warning(tmp_path):
    rows = [{**each, "id": "a"} for each in distinct(2)]
    assert findings(write(tmp_path / "pairs.jsonl", rows)) == [[(2, "duplicate_id")]]


def test_validation_leaks_are_blamed_on_validation_whatever_the_order(tmp_path):
    train = write(tmp_path / "train" / "x_pairs.jsonl", [row(), *distinct(5)])
    answers = row(prompt="WHAT IS 1  PLUS 1?", chosen="Two of them.", rejected="Three of them.")
    more = [row(prompt=f"Why {n}?", chosen=f"Since {n}.", rejected=f"Not {n}.") for n in range(6)]
    val = write(tmp_path / "val" / "x_pairs.jsonl", [*more, row(), answers, SWAPPED])
    expected = [(7, "leaked_pair"), (8, "leaked_prompt"), (9, "contradiction")]
    assert [each for each in findings(train, val)[1] if each[0]] == expected
    assert [each for each in findings(val, train)[0] if each[0]] == expected


def test_validation_on_the_training_data_is_said_once(tmp_path):
    train = write(tmp_path / "train.jsonl", distinct(20))
    val = write(tmp_path / "val.jsonl", distinct(12))
    report = check([train, val])
    assert not report.failed
    assert [finding.kind for finding in report.files[1].findings if finding.line] == []
    assert "validation_is_training" in report.files[1].counts


def test_two_training_files_repeat_rather_than_leak(tmp_path):
    one = write(tmp_path / "train_a.jsonl", [row(), *distinct(3)])
    two = write(tmp_path / "train_b.jsonl", [row()])
    assert findings(one, two) == [[], [(1, "duplicate")]]


def test_distributions_that_differ_and_labels_that_lean(tmp_path):
    short = [row(prompt=f"What is {n}?", chosen=f"It is {n} or the like.", rejected=f"No {n}.") for n in range(150)]
    german = [
        row(
            prompt=f"Was ist {n}?",
            chosen=f"{n}: das ist nicht mit der Zahl und für die {n}. " * 9,
            rejected=f"Der {n}.",
        )
        for n in range(150)
    ]
    train = write(tmp_path / "train.jsonl", [{**each, "source": "web"} for each in short])
    val = write(tmp_path / "val.jsonl", [{**each, "source": "forum"} for each in german])
    found = findings(train, val)
    assert found[0] == [(None, "label_bias")]
    expected = {"different_length", "different_source", "different_language", "label_bias", "too_few_pairs"}
    assert {kind for _, kind in found[1]} == expected


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (1, "1 pair cannot show"),
        (9, "9 pairs cannot show"),
        (20, "20 pairs cannot show"),
        (40, "with 40 pairs, only differences of 21.5 points"),
    ],
)
def test_a_tiny_validation_set_is_told_so_in_words(tmp_path, pairs, words):
    train = write(tmp_path / "train.jsonl", distinct(60))
    val = write(tmp_path / "val.jsonl", distinct(100)[-pairs:])
    found = next(item for item in check([train, val]).files[1].findings if item.kind == "too_few_pairs")
    assert words in found.message and "inf" not in found.message


def test_equal_distributions_are_not_called_different(tmp_path):
    rows = distinct(900)
    train, val = write(tmp_path / "train.jsonl", rows[::2]), write(tmp_path / "val.jsonl", rows[1::2])
    assert findings(train, val) == [[], []]


def test_a_ledger_on_disk_says_what_one_in_memory_says():
    small, large = Ledger(in_memory=640), Ledger()
    for number in range(1000):
        for ledger in (small, large):
            ledger.add((hash(str(number % 700)), number))
    try:
        assert [list(bucket) for bucket in small.buckets()] == [list(bucket) for bucket in large.buckets()]
    finally:
        small.close()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
@pytest.mark.parametrize("layout", ["{}/{}.jsonl", "chat/{}/{}.jsonl"])
@pytest.mark.parametrize("name", ["helpful", "harmless", "helpful_zh"])
def test_real_data_has_no_errors(name, layout):
    files = [SHARED / layout.format(name, part) for part in ("train", "val")]
    if not files[0].is_file():
        pytest.skip("this set has no such layout")
    report = check(files)
    assert not report.failed
    assert [file.good for file in report.files] == [file.lines for file in report.files]
    leaning = {kind for file in report.files for kind in file.counts} & {"leaked_prompt", "duplicate", "role_marker"}
    assert not leaning


HARMLESS = {
    "hh_transcripts_no_prompt_field",
    "crlf_line_ending",
    "chat_message_lists",
    "extra_field",
    "u2028_and_nel_inside_string",
    "unicode_valid",
    "no_newline_at_end_of_file",
    "label_swapped_silent",
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_every_harmful_defect_is_found_and_no_good_line_blamed():
    manifest = json.loads((SHARED / "dirty" / "manifest.json").read_text())
    files = {name: SHARED / "dirty" / name for name in ("train.jsonl", "val.jsonl")}
    report = check(list(files.values()))
    for (name, _), file in zip(files.items(), report.files, strict=True):
        harmful, told = set(), set()
        for defect in manifest["defects"]:
            if defect["file"] == name:
                other = defect.get("refers_to", {})
                line = max(defect["line"], other["line"] if other.get("file") == name else 0)
                told.add(line)
                if defect["defect"] not in HARMLESS:
                    harmful.add(line)
        blamed = {finding.line for finding in file.findings if finding.line}
        assert harmful <= blamed
        assert blamed <= told
