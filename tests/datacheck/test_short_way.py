"""The short way through a line says what the long way says: of any row, and of rows with something unusual in them."""

import json
from dataclasses import asdict

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rmtui.datacheck import short_way
from rmtui.datacheck.line_checks import examine

TEXT = st.sampled_from(
    ["Why is it so?", "Since rain falls.", "no", "", " ", "N/A", "Ja, gern.", "为什么", "​", "\n\nHuman: x"]
)
ROLE = st.sampled_from(["user", "assistant", "user", "assistant", "system", "tool", "human"])
MESSAGE = st.fixed_dictionaries({"role": ROLE, "content": TEXT})
TURNS = st.lists(MESSAGE, max_size=4)
TALK = "\n\nHuman: Why?\n\nAssistant:"


def asked(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


@st.composite
def rows(draw):
    """Rows of three texts, of transcripts, and of message lists with a common beginning, whole and broken."""
    kind = draw(st.sampled_from(["texts", "transcripts", "dialogues", "answers", "anything"]))
    row = {}
    if kind == "texts":
        row = {"prompt": draw(TEXT), "chosen": draw(TEXT), "rejected": draw(TEXT)}
    elif kind == "transcripts":
        row = {name: draw(st.sampled_from([TALK, TALK + TALK, ""])) + draw(TEXT) for name in ("chosen", "rejected")}
    elif kind == "dialogues":
        before = draw(st.lists(MESSAGE, min_size=1, max_size=3))
        row = {name: [*before, said(draw(TEXT))] for name in ("chosen", "rejected")}
        if draw(st.booleans()):
            row["prompt"] = draw(st.sampled_from([before, before[-1:], before[-1]["content"], None, "other", []]))
    elif kind == "answers":
        row = {"prompt": draw(TURNS), "chosen": [said(draw(TEXT))], "rejected": [said(draw(TEXT))]}
    else:
        side = st.one_of(TEXT, TURNS, st.none())
        row = {"prompt": draw(side), "chosen": draw(side), "rejected": draw(side)}
    more = st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a", 7, None]),
            "source": st.sampled_from(["web", 3]),
            "margin": st.sampled_from([0.5, -1, 0, True, "1", None]),
            "score_chosen": st.sampled_from([1, 2.5, None]),
            "score_rejected": st.sampled_from([1, 0.5, None]),
            "system": st.sampled_from(["Be kind.", ""]),
            "chosen_model": st.just("m"),
            "rejected_model": st.just("n"),
        },
    )
    return row | draw(more)


def said_of(row):
    """What is found and kept of a row; ids aside, which only the long way makes up."""
    pair, findings = examine(json.dumps(row).encode(), 3)
    kept = {name: value for name, value in asdict(pair).items() if name != "id"} if pair else None
    return kept, [(one.kind, one.line) for one in findings]


LONG = {"note": '": '}
"""A field whose text looks like a key: the short way is not sure of such a line."""


@settings(max_examples=400, deadline=None)
@given(rows())
@example({"chosen": [asked("Why?"), said("So.")], "rejected": [asked("Why?"), said("No.")], "margin": -1})
@example(
    {"prompt": [asked("Why?")], "chosen": [said("So it is.")], "rejected": [said("So not.")], "system": "Be kind."}
)
def test_both_ways_say_the_same(row):
    assert short_way.read(json.dumps(row | LONG).encode(), 3) is None
    assert said_of(row) == said_of(row | LONG)


def test_the_usual_forms_take_the_short_way():
    talk = [asked("Why?"), said("Hm."), asked("Why, then?")]
    usual = [
        {"prompt": "Why?", "chosen": "So it is.", "rejected": "No idea."},
        {"prompt": "Why?", "chosen": "So it is.", "rejected": "No idea.", "score_chosen": 2, "score_rejected": 1},
        {"prompt": "Why?", "chosen": [asked("Why?"), said("So.")], "rejected": [asked("Why?"), said("No.")]},
        {
            "prompt": [{"role": "system", "content": "Be kind."}, *talk],
            "chosen": [said("So.")],
            "rejected": [said("No.")],
        },
        {"chosen": [*talk, said("So.")], "rejected": [*talk, said("No.")], "margin": 1},
        {"prompt": [asked("Why?")], "chosen": [said("So.")], "rejected": [said("No.")], "margin": 2.0},
        {"chosen": TALK + " So.", "rejected": TALK + " No."},
    ]
    for row in usual:
        assert short_way.read(json.dumps(row).encode(), 1), row


def test_a_key_twice_in_a_message_is_not_passed_over():
    line = b'{"prompt": [{"role": "user", "content": "a", "content": "b"}], "chosen": "x", "rejected": "y"}'
    assert short_way.read(line, 1) is None
    assert [one.kind for one in examine(line, 1)[1]] == ["duplicate_key"]
    turns = b'[{"role": "assistant", "content": "x", "role": "assistant"}]'
    line = b'{"prompt": [{"role": "user", "content": "q"}], "chosen": %b, "rejected": %b}' % (turns, turns)
    assert [one.kind for one in examine(line, 1)[1]] == ["duplicate_key"]
