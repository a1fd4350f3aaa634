"""Lengths in the model's own tokens."""

import pytest
from check_rows import distinct, findings, row, write

from rmtui.datacheck import report as words
from rmtui.errors import UserError
from rmtui.operations.check import check

tokenizers = pytest.importorskip("tokenizers", reason="the training stack is not installed")


@pytest.fixture
def model(tmp_path):
    """A folder whose tokenizer makes one token of every word."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    (tmp_path / "model").mkdir()
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


def test_answers_that_are_cut_and_pairs_that_are_truncated(tmp_path, model):
    rows = [
        row(prompt="one " * 15, chosen="is it four words?", rejected="no it is not"),
        row(prompt="One and two?", chosen="three " * 21, rejected="no"),
        row(prompt="two " * 16, chosen="a word more then", rejected="no it is"),
        row(prompt="two " * 16, chosen="a word more then or", rejected="no it is"),
    ]
    path = write(tmp_path / "pairs.jsonl", rows)
    (found,) = findings(path, model=model, max_length=20)
    assert found == [(None, "truncated"), (2, "answer_cut")]
    report = check([path], model=model, max_length=20)
    assert "2 of 4 pairs" in report.files[0].findings[0].message
    assert "1 (25" in report.files[0].findings[0].message and "max_length = 24 " in report.files[0].findings[0].message
    assert "chosen has 21 tokens" in report.files[0].findings[1].message


def test_an_answer_that_just_fits_is_not_cut(tmp_path, model):
    rows = [row(chosen="three " * count, rejected="no it is") for count in (20, 21)]
    path = write(tmp_path / "pairs.jsonl", rows)
    assert [each for each in findings(path, model=model, max_length=20)[0] if each[0]] == [(2, "answer_cut")]


def test_nothing_is_cut_below_the_limit(tmp_path, model):
    assert findings(write(tmp_path / "pairs.jsonl", distinct(700)), model=model, max_length=20) == [[]]


@pytest.mark.parametrize(("every", "step", "pairs"), [(False, 4, 250), (True, 1, 1000)])
def test_of_large_files_a_sample_is_counted_and_that_is_said(tmp_path, model, monkeypatch, every, step, pairs):
    path = write(tmp_path / "pairs.jsonl", [{**each, "prompt": "a word " * 9} for each in distinct(1000)])
    monkeypatch.setattr("rmtui.operations.check.TOKENS_OF", path.stat().st_size // 4 + 1)
    report = check([path], model=model, max_length=20, every_token=every)
    assert report.files[0].figures["tokens"] == {"pairs": pairs, "step": step, "limit": 20}
    (finding,) = [one for one in report.files[0].findings if one.kind == "truncated"]
    assert f"{pairs:,} of {pairs:,} pairs" in finding.message.replace(" looked at", "")
    page = "\n".join(words.lines(report))
    assert ("every 4th; --tokens counts all" in page) is not every
    assert ("counted in every pair" in page) is every


def test_a_folder_without_a_tokenizer_is_a_user_error(tmp_path):
    path = write(tmp_path / "pairs.jsonl", distinct(1))
    with pytest.raises(UserError) as error:
        check([path], model=tmp_path)
    assert "tokenizer.json" in error.value.why
