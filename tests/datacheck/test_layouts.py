"""Preference data as people have it: each layout gives the pairs that its publisher means, in every container."""

import bz2
import csv
import gzip
import json
import lzma
import random

import pytest
from check_rows import row
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_cases import BAD, GOOD, LAYOUTS, MARGINS, NAMES, TEXTS, assistant, records, user, write_lines

from rmtui.errors import UserError
from rmtui.operations.check import check, fix
from rmtui.operations.convert import convert
from trainer import pairs
from trainer.rows import plain_text


def read(path, fields=None):
    return list(pairs.read_rows(path, fields))


def said(found):
    """What a pair says without its layout: the question, the answers, the margin."""
    prompt, chosen, rejected = (plain_text(side) for side in (found.prompt, found.chosen, found.rejected))
    for word in ("\n\nHuman:", "\n\nAssistant:", "User:", "\nAssistant:"):
        prompt, chosen, rejected = (text.replace(word, "") for text in (prompt, chosen, rejected))
    return prompt.strip(), chosen.strip(), rejected.strip(), found.margin


@pytest.mark.parametrize("name", NAMES)
def test_each_layout_gives_its_pairs_the_better_answer_chosen(tmp_path, name):
    margins = {"HelpSteer": 3.0, **MARGINS}
    found = read(write_lines(tmp_path / "x.jsonl", records(name)))
    assert [said(one) for one in found] == [(*text, pytest.approx(margins.get(name))) for text in TEXTS]


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_file_and_every_container_hold_the_same_pairs(tmp_path, name):
    source = write_lines(tmp_path / "x.jsonl", records(name))
    plain = source.read_bytes()
    copies = {
        "array.json": json.dumps(records(name), indent=2).encode(),
        "one_line.json": json.dumps(records(name)).encode(),
        "stretched.json": "\n".join(json.dumps(record, indent=1) for record in records(name)).encode(),
        "wrapped.json": json.dumps({"version": "1", "data": records(name)}).encode(),
        "wrapped_lines.json": json.dumps({"examples": records(name)}, indent=2).encode(),
        "x.jsonl.gz": gzip.compress(plain),
        "x.jsonl.bz2": bz2.compress(plain),
        "x.jsonl.xz": lzma.compress(plain),
        "mark.jsonl": b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"),
    }
    wanted = pairs.fingerprint(source)
    assert convert(source, tmp_path / "plain.jsonl").kept == len(TEXTS)
    assert pairs.recognise(tmp_path / "plain.jsonl").direct
    assert pairs.fingerprint(tmp_path / "plain.jsonl") == wanted
    for copy, data in copies.items():
        (tmp_path / copy).write_bytes(data)
        assert pairs.fingerprint(tmp_path / copy) == wanted, copy
    (report,) = check([source], look_for_near=False).files
    assert (report.good, report.errors) == (len(TEXTS), 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_record_in_the_middle_is_named_and_nothing_is_converted(tmp_path, name):
    lines = [json.dumps(record) for record in records(name, TEXTS * 3)]
    place = len(lines) // 2
    lines[place] = lines[place][: len(lines[place]) // 2]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines))
    (report,) = check([path], look_for_near=False).files
    assert [one.line for one in report.findings if one.kind == "invalid_json"] == [place + 1]
    with pytest.raises(UserError, match=f"line {place + 1}"):
        convert(path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    report = check([path], look_for_near=False)
    (cleaned,) = fix(report, tmp_path / "clean.jsonl").values()
    assert cleaned.kept == sum(isinstance(one, pairs.Row) for one in read(tmp_path / "clean.jsonl")) > 0


def test_a_broken_object_of_an_array_ends_the_reading_with_its_number(tmp_path):
    whole = json.dumps(records("SHP"))
    for broken in (whole.replace('"labels": 1, ', '"labels: 1, ', 1), whole[:-1], whole[:-40]):
        path = tmp_path / "x.json"
        path.write_text(broken)
        bad = [one for one in read(path) if not isinstance(one, pairs.Row)]
        assert [one.kind for one in bad] == ["json"]
        assert check([path], look_for_near=False).failed


CSV = {
    "system,question,chosen,rejected": [",{0},{1},{2}"],
    "prompt,answer,rank": ["{0},{1},1", "{0},{2},2"],
    "prompt;chosen;rejected": ["{0};{1};{2}"],
    "\t".join(("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie")): [
        '"[""{0}""]"\t"[""{2}""]"\t"[""{1}""]"\t0\t1\t0'
    ],
    "question,answer_1,answer_2,preferred": ["{0},{2},{1},2"],
}


@pytest.mark.parametrize("head", CSV)
@pytest.mark.parametrize("packed", [False, True])
def test_tables_by_the_names_of_their_columns(tmp_path, head, packed):
    texts = "\r\n".join([head, *(line.format(*text) for text in TEXTS for line in CSV[head])])
    path = tmp_path / ("x.csv.gz" if packed else "x.csv")
    path.write_bytes(gzip.compress(texts.encode()) if packed else texts.encode("utf-8-sig"))
    assert [said(one) for one in read(path)] == [(*text, None) for text in TEXTS]


def test_cells_of_a_table_hold_line_ends_quotes_and_dialogues(tmp_path):
    dialogue = repr([user("Why?\nReally."), assistant('He said "yes".')])
    other = json.dumps([user("Why?\nReally."), assistant("No, no.")])
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["chosen", "rejected", "margin"], [dialogue, other, "0.5"], [dialogue, other, ""]])
    found = read(tmp_path / "x.csv")
    assert [one.margin for one in found] == [0.5, None]
    assert found[0].prompt == [user("Why?\nReally.")]
    assert found[0].chosen == [assistant('He said "yes".')]


def test_a_row_with_too_few_cells_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("prompt,chosen,rejected\nWhy?,Since so.,No idea.\nWhy not?,Since\nWho?,She.,He did.\n")
    assert [type(one) is pairs.Row for one in read(path)] == [True, False, True]
    (report,) = check([path], look_for_near=False).files
    assert [one.line for one in report.findings if one.severity == "error"] == [2]


WITHOUT_PREFERENCE = [
    ("HelpSteer3", {"overall_preference": 0}, "tie"),
    ("HelpSteer3", {"overall_preference": None}, "no_preference"),
    ("SHP", {"labels": None}, "no_preference"),
    ("WebGPT", {"score_0": 0.5}, "tie"),
    ("UltraFeedback binarized", {"score_rejected": 8.5}, "tie"),
    ("arena", {"winner": "tie (bothbad)"}, "tie"),
    ("responses with scores", {"responses": [GOOD], "scores": [1]}, "one_answer"),
    ("PKU-SafeRLHF", {"better_response_id": None}, "no_preference"),
    ("alpaca_farm", {"preference": 1.5}, "tie"),
]


@pytest.mark.parametrize(("name", "changes", "why"), WITHOUT_PREFERENCE)
def test_rows_without_a_preference_are_left_out_by_name_and_are_no_error(tmp_path, name, changes, why):
    good = records(name)
    path = write_lines(tmp_path / "x.jsonl", [good[0], LAYOUTS[name](*TEXTS[0]) | changes, *good[1:]])
    (report,) = check([path], look_for_near=False).files
    assert (report.good, report.errors) == (3, 0)
    assert report.counts[why] == 1
    assert convert(path, tmp_path / "out.jsonl").left_out == {why: 1}
    assert pairs.fingerprint(path) == pairs.fingerprint(tmp_path / "out.jsonl")


READ = "The station on the glacier was built in 1931 and moved twice since."
BESIDE = {
    "a context": lambda q, good, bad: {"prompt": q, "context": READ, "chosen": good, "rejected": bad},
    "first steps in a list": lambda q, good, bad: {
        "prompt": q,
        "initial_reason_steps": [READ],
        "chosen": good,
        "rejected": bad,
    },
    "documents": lambda q, good, bad: {"question": q, "documents": [READ], "chosen": good, "rejected": bad},
    "two answers": lambda q, good, bad: {
        "prompt": q,
        "passage": READ,
        "response_0": good,
        "response_1": bad,
        "better_response_id": 0,
    },
    "dialogues": lambda q, good, bad: {
        "context": READ,
        "chosen": [user(q), assistant(good)],
        "rejected": [user(q), assistant(bad)],
    },
    "steps before": lambda q, good, bad: {"prompt": q, "previous_steps": [READ, READ], "chosen": good, "rejected": bad},
}


def refusal(path):
    """What is said of a file of which no pair is read."""
    (report,) = check([path], look_for_near=False).files
    assert (report.good, report.counts) == (0, {"unreadable_file": 1})
    return report.findings[0].message


@pytest.mark.parametrize("name", BESIDE)
def test_a_text_that_may_belong_to_the_prompt_is_not_dropped_in_silence(tmp_path, name):
    rows = [BESIDE[name](*text) for text in TEXTS]
    said = refusal(write_lines(tmp_path / "x.jsonl", rows))
    field = next(key for key, value in rows[0].items() if READ in value)
    assert f"'{field}'" in said and "--fields" in said


def test_a_label_or_a_text_that_the_prompt_holds_already_stays_a_field_of_its_own(tmp_path):
    rows = [
        {"prompt": f"{READ}\n{q}", "context": READ, "article": "news of the world", "chosen": good, "rejected": bad}
        for q, good, bad in TEXTS
    ]
    (report,) = check([write_lines(tmp_path / "x.jsonl", rows)], look_for_near=False).files
    assert (report.good, report.errors) == (3, 0)


SEEN = {
    "RLAIF-V": lambda q, good, bad: {"image": {"path": "a.jpg"}, "question": q, "chosen": good, "rejected": bad},
    "pairs with pictures": lambda q, good, bad: {
        "images": [{"bytes": "iVBO"}],
        "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": q}]}],
        "chosen": [assistant(good)],
        "rejected": [assistant(bad)],
    },
    "spoken": lambda q, good, bad: {"audio": "a.wav", "prompt": q, "chosen": good, "rejected": bad},
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_said_of_a_picture_is_refused_until_its_texts_are_named(tmp_path, name):
    rows = [SEEN[name](*text) for text in TEXTS]
    path = write_lines(tmp_path / "x.jsonl", rows)
    said = refusal(path)
    assert next(iter(rows[0])) in said and "--fields" in said
    with pytest.raises(pairs.Unreadable, match="images, audio or video"):
        pairs.recognise(path)
    if name != "pairs with pictures":
        fields = {
            "prompt": "question" if "question" in rows[0] else "prompt",
            "chosen": "chosen",
            "rejected": "rejected",
        }
        assert check([path], fields=fields, look_for_near=False).files[0].good == 3
    empty = write_lines(tmp_path / "y.jsonl", [row | {next(iter(row)): None, "prompt": TEXTS[0][0]} for row in rows])
    assert check([empty], look_for_near=False).files[0].errors == 0


def test_a_ranking_that_may_be_ranks_or_an_order_is_refused_and_ranks_are_read(tmp_path):
    answers = {"prompt": "Which letter?", "responses": ["b", "c", "a"]}
    path = write_lines(tmp_path / "x.jsonl", [answers | {"ranking": [2, 3, 1]}])  # as an order: c, a, b
    (report,) = check([path], look_for_near=False).files
    assert (report.good, report.counts) == (0, {"unreadable_file": 1})
    assert "call it 'ranks'" in report.findings[0].message
    renamed = write_lines(tmp_path / "y.jsonl", [answers | {"ranks": [2, 3, 1]}])
    assert [said(one)[1:3] for one in read(renamed)] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_of_a_ranking_each_pair_of_unequal_answers_is_one(tmp_path):
    answers = [{"answer": text, "rank": rank} for text, rank in (("c", 3), ("a", 1), ("b", 2), ("bb", 2))]
    prompt = "\n\nHuman: Which letter?\n\nAssistant: "
    path = write_lines(tmp_path / "x.jsonl", [{"prompt": prompt, "answers": answers}])
    found = read(path)
    assert [(one.chosen, one.rejected) for one in found if isinstance(one, pairs.Row)] == [
        ("a", "b"),
        ("a", "bb"),
        ("a", "c"),
        ("b", "c"),
        ("bb", "c"),
    ]
    assert [one.about["case"] for one in found if not isinstance(one, pairs.Row)] == ["tie"]


def test_an_arena_dialogue_of_several_turns_has_no_common_prompt(tmp_path):
    record = LAYOUTS["arena"](*TEXTS[0])
    more = {
        name: [*record[name], user("And then?"), assistant("Then.")] for name in ("conversation_a", "conversation_b")
    }
    path = write_lines(tmp_path / "x.jsonl", [record, record | more])
    (report,) = check([path], look_for_near=False).files
    assert (report.good, report.errors, report.counts.get("several_turns")) == (1, 0, 1)


def test_a_system_prompt_and_earlier_turns_belong_to_the_prompt(tmp_path):
    system = {"role": "system", "content": "Be brief."}
    record = {
        "instruction": "Go on.",
        "chosen": GOOD,
        "rejected": BAD,
        "history": [["Hi", "Hello"]],
        "system": "Be brief.",
    }
    (one,) = read(write_lines(tmp_path / "x.jsonl", [record]))
    assert one.prompt == [system, user("Hi"), assistant("Hello"), user("Go on.")]
    (two,) = read(
        write_lines(
            tmp_path / "y.jsonl", [{"prompt": "Go on.", "chosen": GOOD, "rejected": BAD, "system": "Be brief."}]
        )
    )
    assert (two.prompt, two.chosen) == ([system, user("Go on.")], [assistant(GOOD)])
    whole = {
        "system": "Be brief.",
        "chosen": [system, user("Go on."), assistant(GOOD)],
        "rejected": [user("Go on."), assistant(BAD)],
    }
    (three,) = read(write_lines(tmp_path / "z.jsonl", [whole]))
    assert (three.prompt, three.rejected) == ([system, user("Go on.")], [assistant(BAD)])


def test_turns_of_tools_are_part_of_the_dialogue(tmp_path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}
    result = {"role": "tool", "content": "rain", "tool_call_id": "1"}
    record = {
        "prompt": [user("Umbrella?"), call, result],
        "chosen": [assistant("Yes.")],
        "rejected": [assistant("No.")],
    }
    (one,) = read(write_lines(tmp_path / "x.jsonl", [record]))
    assert [turn["role"] for turn in one.prompt] == ["user", "assistant", "tool"]
    assert "weather" in plain_text(one.prompt)
    sharegpt = {
        "conversations": [
            {"from": "human", "value": "Umbrella?"},
            {"from": "function_call", "value": '{"name": "weather"}'},
            {"from": "observation", "value": "rain"},
        ],
        "chosen": {"from": "gpt", "value": "Yes."},
        "rejected": {"from": "gpt", "value": "No."},
    }
    (two,) = read(write_lines(tmp_path / "y.jsonl", [sharegpt]))
    assert [turn["role"] for turn in two.prompt] == ["user", "assistant", "tool"]
    assert not check([tmp_path / "x.jsonl", tmp_path / "y.jsonl"], look_for_near=False).failed


def test_a_folder_of_shards_is_one_file_in_the_order_of_its_numbers(tmp_path):
    every = [(f"Question {number}?", f"Right answer {number}.", f"Wrong one {number}.") for number in range(12)]
    for number, text in enumerate(every):
        write_lines(tmp_path / "data" / f"train-{number}-of-12.jsonl", records("SHP", [text]))
    (tmp_path / "data" / "dataset_info.json").write_text("{}")
    (tmp_path / "data" / "README.md").write_text("# Data")
    assert [said(one)[:3] for one in read(tmp_path / "data")] == every
    (report,) = check([tmp_path / "data"], look_for_near=False).files
    assert (report.good, report.lines) == (12, 12)
    write_lines(tmp_path / "data" / "test-0.jsonl", records("SHP"))
    with pytest.raises(pairs.Unreadable, match="several splits"):
        read(tmp_path / "data")


def test_shards_of_several_layouts_are_refused(tmp_path):
    write_lines(tmp_path / "data" / "0.jsonl", records("SHP"))
    write_lines(tmp_path / "data" / "1.jsonl", records("Nectar"))
    with pytest.raises(pairs.Unreadable, match="Nectar, SHP"):
        read(tmp_path / "data")


NO_LAYOUT = [
    {"instruction": "Say hi", "input": "", "output": "hi"},
    {"messages": [user("hi"), assistant("hello")]},
    {"text": "a story of a dog"},
    {"prompt": "q", "response": "r"},
    {"question": "q", "answer_a": "x", "answer_b": "y", "winner": 0.7},
    {"city": "Bern", "people": 134},
]


@pytest.mark.parametrize("record", NO_LAYOUT)
def test_what_holds_no_preference_is_refused_with_its_fields_and_never_counted(tmp_path, record):
    path = write_lines(tmp_path / "x.jsonl", [record | {"n": number} for number in range(9)])
    (report,) = check([path], look_for_near=False).files
    ((finding,), good) = report.findings, report.good
    assert (finding.kind, good) == ("unreadable_file", 0)
    assert all(repr(name) in finding.message for name in record)
    with pytest.raises(UserError, match="cannot be converted"):
        convert(path, tmp_path / "out.jsonl")


GIVEN = [
    ({"prompt": "ask", "chosen": "up", "rejected": "down"}, {"ask": "Q?", "up": GOOD, "down": BAD}),
    ({"prompt": "ask", "chosen": "a.up", "rejected": "a.down"}, {"ask": "Q?", "a": {"up": GOOD, "down": BAD}}),
    (
        {"prompt": "ask", "first": "x", "second": "y", "preferred": "v", "first_if": "0"},
        {"ask": "Q?", "x": BAD, "y": GOOD, "v": 1},
    ),
    (
        {
            "prompt": "prompt",
            "first": "response_0",
            "second": "response_1",
            "preferred": "safer_response_id",
            "first_if": "0",
        },
        LAYOUTS["PKU-SafeRLHF"]("Q?", BAD, GOOD),
    ),
]


@pytest.mark.parametrize(("fields", "record"), GIVEN)
def test_a_mapping_of_a_person_goes_before_what_is_recognised(tmp_path, fields, record):
    path = write_lines(tmp_path / "x.jsonl", [record])
    (one,) = read(path, fields)
    assert said(one)[1:3] == (GOOD, BAD)
    (report,) = check([path], fields=fields, look_for_near=False).files
    assert report.good == 1 and report.reading.name == "given fields"


def test_findings_name_the_records_of_the_user_and_related_ones(tmp_path):
    twice = records("Nectar", [TEXTS[0], TEXTS[1], TEXTS[0]])
    twice[1]["answers"].append({"answer": "A third answer.", "rank": 3.0})  # three pairs in one record
    (report,) = check([write_lines(tmp_path / "x.jsonl", twice)], look_for_near=False).files
    (finding,) = [one for one in report.findings if one.kind == "duplicate"]
    assert (finding.line, finding.related) == (3, (str(tmp_path / "x.jsonl"), 1))
    assert "line 1" in finding.message
    assert (report.lines, report.good) == (3, 5)


def test_validation_in_another_layout_is_held_against_training(tmp_path):
    train = write_lines(tmp_path / "train.jsonl", records("HelpSteer3"))
    val = write_lines(tmp_path / "val.jsonl", records("LLaMA-Factory sharegpt", TEXTS[:1]))
    assert "leaked_pair" in check([train, val], look_for_near=False).files[1].counts | {"leaked_pair": 0}
    assert check([train, val], look_for_near=False).files[1].counts.keys() & {"leaked_pair", "validation_is_training"}


def test_plain_lines_are_read_where_they_lie(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", [row(), row(chosen="Another answer.")])
    (report,) = check([path], look_for_near=False).files
    assert report.spool is None and report.rows == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(NAMES), value=json_values, seed=st.integers(0, 99))
def test_any_value_in_any_field_is_a_pair_or_says_what_is_wrong(tmp_path_factory, name, value, seed):
    chosen = random.Random(seed)
    found = records(name, TEXTS * 2)
    hit = found[chosen.randrange(len(found))]
    hit[chosen.choice(list(hit))] = value
    path = tmp_path_factory.mktemp("fuzz") / "x.jsonl"
    write_lines(path, found)
    for one in read(path):
        assert isinstance(one, (pairs.Row, pairs.BadLine))
    check([path], look_for_near=False)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(NAMES), form=st.sampled_from(["lines", "array", "gzip"]), seed=st.integers(0, 999))
def test_any_bytes_lost_from_a_file_never_crash_the_check(tmp_path_factory, name, form, seed):
    chosen = random.Random(seed)
    found = records(name, TEXTS * 2)
    data = "\n".join(map(json.dumps, found)).encode() if form != "array" else json.dumps(found).encode()
    data = gzip.compress(data) if form == "gzip" else data
    start = chosen.randrange(len(data))
    path = tmp_path_factory.mktemp("fuzz") / "x.json"
    path.write_bytes(data[:start] + data[start + chosen.randrange(200) :])
    check([path], look_for_near=False)


def test_a_folder_without_data_says_where_to_look(tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    (report,) = check([tmp_path / "set"]).files
    assert [one.kind for one in report.findings] == ["unreadable_file"]
    assert "name one of its folders: train" in report.findings[0].message


def test_a_record_of_another_layout_is_an_error_on_its_line_and_never_called_undecided(tmp_path):
    strangers = {"pairs": "chosen", "HelpSteer3": "response1", "HH": "chosen", "LLMBar": "output_1"}
    for name in strangers:
        path = write_lines(tmp_path / f"{name}.jsonl", [*records("SHP", TEXTS * 2), *records(name)[:1]])
        (report,) = check([path], look_for_near=False).files
        assert [(one.line, one.kind) for one in report.findings if one.severity == "error"] == [(7, "missing_field")]
        assert report.good == 6 and "no_preference" not in report.counts
        with pytest.raises(UserError, match="line 7"):
            convert(path, tmp_path / "out.jsonl")


def test_a_label_that_does_not_name_the_answers_is_not_believed(tmp_path):
    sides = {"prompt": "Why?", "response_1": "So.", "response_2": "No."}
    path = write_lines(tmp_path / "x.jsonl", [sides | {"label": label} for label in (1, 1, 0, 1)])
    with pytest.raises(pairs.Unreadable):
        read(path)
    path = write_lines(tmp_path / "y.jsonl", [sides | {"label": label} for label in (1, 2, None, "tie")])
    assert [getattr(one, "chosen", one) and getattr(one, "kind", "pair") for one in read(path)] == [
        "pair",
        "pair",
        "left_out",
        "left_out",
    ]


def test_a_tie_of_judges_is_left_out_in_plain_names_too(tmp_path):
    sides = {"chosen": "So.", "rejected": "No."}
    verdicts = [{"rating": [9, 6], "status": "unchanged"}, {"rating": [8.0, 8.0]}, {"status": "tie", "rating": None}]
    for asked in ("prompt", "input"):
        path = write_lines(tmp_path / f"{asked}.jsonl", [{asked: "Why?", **sides, **one} for one in verdicts])
        (report,) = check([path], look_for_near=False).files
        assert (report.good, report.counts["tie"], report.errors) == (1, 2, 0)


def test_a_row_of_other_cells_and_a_byte_of_another_encoding_are_named_as_they_are(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("prompt,chosen,rejected\nWhy?,So.,No.\nWhy?,café,No.\nWhy?,So.\n".encode("cp1252"))
    (report,) = check([path], look_for_near=False).files
    said_of = {one.line: one.render("en") for one in report.findings if one.severity == "error"}
    assert set(said_of) == {2, 3} and "0xe9" in said_of[2]
    assert said_of[3] == "the row has 2 cells, the table 3 columns"
