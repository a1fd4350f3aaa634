"""How a file is read, said in Chinese: nothing but names of fields, programs and formats is left in English."""

import gzip
import json
import re

import pytest
from layout_cases import NAMES, TEXTS, records, write_lines
from support import make_workspace

from rmtui import translation
from rmtui.datacheck.how_read import describe
from rmtui.operations.check import check
from rmtui.operations.convert import convert, lines
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from trainer import pairs
from trainer.held_out import Part, view

WORDS = re.compile(
    r"(?<![\w.])(a|an|the|of|by|with|each|and|or|in|is|pairs?|answers?|turns|records?|files|size|else)(?![\w.])"
)
"""Words of English sentences; `answers` and the like are fields as well."""


def fields_of(found):
    """Every name in the records, at any depth."""
    if isinstance(found, dict):
        return set(found) | {name for value in found.values() for name in fields_of(value)}
    return {name for value in found for name in fields_of(value)} if isinstance(found, list) else set()


@pytest.mark.parametrize("name", NAMES)
def test_no_english_sentence_is_left(tmp_path, name):
    found = records(name, TEXTS * 2)
    reading = pairs.recognise(write_lines(tmp_path / "x.jsonl", found))
    said = describe(reading, "zh")
    assert set(WORDS.findall(said)) <= fields_of(found), said
    assert describe(reading, "en") == reading.describe()
    for theirs in reading.sources.values():
        for field in (name for name in fields_of(found) if "_" in name):
            assert not re.search(rf"\b{re.escape(field)}\b", theirs) or field in said


def test_containers_parts_folders_and_joined_files_too(tmp_path):
    text = "".join(json.dumps(record) + "\n" for record in records("SHP", TEXTS * 2))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for number in (1, 2):
        path = tmp_path / "folder" / f"{number}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    part = view(tmp_path / "x.jsonl.gz", Part(0.2, 7, "val"))
    for path, word in ((tmp_path / "x.jsonl.gz", "gzip 压缩"), (tmp_path / "folder", "2 个文件"), (part, "种子 7")):
        said = describe(pairs.recognise(path), "zh")
        assert word in said and not WORDS.findall(said), said
    both = describe(pairs.recognise(f"{tmp_path / 'folder'} + {tmp_path / 'x.jsonl.gz'}"), "zh")
    assert "2 个文件" in both and "gzip 压缩" in both and " + " in both


def test_check_and_convert_say_it_in_the_language_that_was_asked_for(tmp_path):
    from rmtui.datacheck import report

    path = write_lines(tmp_path / "x.jsonl", records("SHP", TEXTS * 2))
    made = convert(path, tmp_path / "out.jsonl")
    for told in (report.lines(check([path]), "zh"), lines(made, tmp_path / "out.jsonl", "zh")):
        assert "score_A 与 score_B 之差" in "\n".join(told)


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "data.train is read as SHP, JSON lines"), ("zh", "data.train 按 SHP，")]
)
def test_a_plan_says_it_in_the_language_that_is_spoken(tmp_path, lang, said, capsys):
    ws = make_workspace(tmp_path / "ws")
    path = write_lines(tmp_path / "x.jsonl", records("SHP", TEXTS * 9))
    before = translation.spoken()
    translation.speak(lang)
    try:
        (first, *_) = plan(ws, LaunchRequest("A", train=str(path), val=str(path), model="x"), check_data=False).how_read
    finally:
        translation.speak(before)
    assert first.startswith(said), first
    assert lang == "en" or not WORDS.findall(first)
