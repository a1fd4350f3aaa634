import io
import json

import pytest
from data_worlds import SHARED
from hypothesis import given
from hypothesis import strategies as st

from trainer import pairs
from trainer.pairs import BadLine, Response, Row

GOOD = {"prompt": "Q:", "chosen": " yes", "rejected": " no"}


def parse(*lines):
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return list(pairs.read_stream(io.BytesIO(raw)))


def kinds(*lines):
    return [line.kind if isinstance(line, BadLine) else "pair" for line in parse(*lines)]


def test_every_defect_is_named_and_its_neighbours_still_load():
    found = kinds(
        GOOD,
        b'{"prompt": "\xff"}',
        b"{'prompt': 1}",
        [1],
        b'{"prompt": "a", "prompt": "b", "chosen": "c", "rejected": "d"}',
        {"prompt": "Q", "Chosen": "a", "rejected": "b"},
        GOOD | {"chosen": 3},
        GOOD | {"chosen": "  "},
        GOOD | {"chosen": "\ud800"},
        GOOD | {"margin": "wide"},
        GOOD | {"margin": 10**400},
        b"  ",
        b"[" * 100_000,
        GOOD,
    )
    assert found == [
        "pair", "encoding", "json", "object", "duplicate_key", "missing_field",
        "type", "empty", "surrogate", "margin", "margin", "blank", "json", "pair",
    ]  # fmt: skip


def test_only_line_feeds_end_a_line():
    [row] = parse(GOOD | {"chosen": "one\u2028two\x85three"})
    assert row.chosen == "one\u2028two\x85three"


def test_bom_and_crlf_change_neither_pairs_nor_fingerprint(tmp_path):
    plain, windows = tmp_path / "plain.jsonl", tmp_path / "windows.jsonl"
    lines = [json.dumps(GOOD), json.dumps(GOOD | {"prompt": "R:"})]
    plain.write_bytes("\n".join(lines).encode())
    windows.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n\r\n")
    assert pairs.fingerprint(plain) == pairs.fingerprint(windows)
    windows.write_bytes("\r\n".join(reversed(lines)).encode())
    assert pairs.fingerprint(plain) != pairs.fingerprint(windows)


def test_transcripts_split_at_their_last_answer():
    start = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: well?\n\nAssistant:"
    [row] = parse({"chosen": start + " good", "rejected": start + " gosh"})
    assert (row.prompt, row.chosen, row.rejected) == (start, " good", " gosh")
    assert kinds({"chosen": start + " good", "rejected": "\n\nHuman: other\n\nAssistant: x"}) == ["prompts_differ"]


def test_message_lists_without_a_prompt_share_their_first_messages():
    user, yes, no = (
        {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "y"), ("assistant", "n"))
    )
    [row] = parse({"chosen": [user, yes], "rejected": [user, no]})
    assert (row.prompt, row.chosen, row.rejected) == ([user], [yes], [no])


def test_message_lists_that_ask_different_things_are_no_pair():
    start = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    ask, other = ([{"role": "user", "content": text}, {"role": "assistant", "content": "y"}] for text in ("why", "how"))
    assert kinds({"chosen": start + ask, "rejected": start + other}) == ["prompts_differ"]


def test_a_prompt_that_the_message_lists_hold_as_well_is_not_said_twice():
    system, user, yes, no = (
        {"role": role, "content": text}
        for role, text in (("system", "be kind"), ("user", "q"), ("assistant", "y"), ("assistant", "n"))
    )
    for prompt, start in (("q", [user]), ([user], [user]), ("q", [system, user]), ([system, user], [system, user])):
        [row] = parse({"prompt": prompt, "chosen": [*start, yes], "rejected": [*start, no]})
        assert (row.prompt, row.chosen, row.rejected) == (start, [yes], [no])
    [row] = parse({"prompt": "q", "chosen": [yes], "rejected": [no]})
    assert (row.prompt, row.chosen, row.rejected) == ([user], [yes], [no])


def test_rewardbench_rows_become_dialogues():
    [row] = parse(GOOD | {"chosen_model": "a", "rejected_model": "b", "subset": "chat", "id": 7})
    assert row.prompt == [{"role": "user", "content": "Q:"}]
    assert row.chosen == [{"role": "assistant", "content": " yes"}]
    assert (row.id, row.fields["subset"]) == ("7", "chat")


def test_ids_that_are_not_unique_give_way_to_content_hashes():
    found = pairs.distinct_ids(parse(GOOD | {"id": "a"}, GOOD | {"id": "b", "prompt": "x"}, GOOD | {"id": "a"}, GOOD))
    ids = [row.id for row in found]
    assert len(set(ids)) == 4
    assert ids[1] == "b" and ids[2] == f"{ids[0]}~2" and ids[3] == f"{ids[0]}~3"


def test_single_responses_are_told_from_pairs():
    lines = [json.dumps({"prompt": "q", "response": "r"}), json.dumps(GOOD)]
    found = list(pairs.read_scorable(io.BytesIO("\n".join(lines).encode())))
    assert [type(line) for line in found] == [Response, Row]


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(raw):
    for line in pairs.read_stream(io.BytesIO(raw)):
        assert isinstance(line, (Row, BadLine))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_no_value_of_a_field_crashes_the_reader(value):
    for name in ("prompt", "chosen", "rejected", "margin", "id"):
        for line in parse(GOOD | {name: value}):
            assert isinstance(line, (Row, BadLine))


def test_data_sets_are_found_by_name_in_both_layouts(tmp_path):
    for place in ("data/train/a_pairs.jsonl", "data/val/a_pairs.jsonl", "data/b/train.jsonl", "data/b/val.jsonl"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("")
    assert pairs.find_data(tmp_path, "a")[1] == tmp_path / "data/val/a_pairs.jsonl"
    assert pairs.find_data(tmp_path, "b")[0] == tmp_path / "data/b/train.jsonl"
    with pytest.raises(FileNotFoundError, match=r"c_pairs\.jsonl"):
        pairs.find_data(tmp_path, "c")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the repository")
def test_real_files_load_whole_and_the_dirty_one_names_its_lines():
    for name in ("helpful", "harmless", "helpful_zh", "chat/helpful"):
        assert all(isinstance(row, Row) for row in pairs.read_rows(SHARED / name / "train.jsonl"))
    found = {row.line: row for row in pairs.read_rows(SHARED / "dirty" / "train.jsonl")}
    unreadable = ("invalid_json", "wrong_type", "missing_field", "null_field", "invalid_utf8", "latin1", "json_but_not")
    valid = ("crlf", "hh_transcripts", "chat_message_lists", "unicode_valid", "u2028", "extra_field", "utf8_bom")
    for defect in json.loads((SHARED / "dirty" / "manifest.json").read_bytes())["defects"]:
        if defect["file"] == "train.jsonl" and defect["defect"].startswith(unreadable):
            assert isinstance(found[defect["line"]], BadLine), defect
        if defect["file"] == "train.jsonl" and defect["defect"].startswith(valid):
            assert isinstance(found[defect["line"]], Row), defect
