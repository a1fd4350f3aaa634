"""Descriptions of tools beside a dialogue: read wherever layouts have them, and handed to the chat template."""

import json

import pytest

from rmtui.operations.convert import convert
from trainer import pairs
from trainer.config import TrainConfig
from trainer.data import token_cache
from trainer.data.texts import encode
from trainer.model import toy

WEATHER = {"name": "weather", "description": "of a place", "parameters": {"type": "object", "properties": {}}}
WRAPPED = {"type": "function", "function": WEATHER}
ASKED, GOOD, BAD = "Is it sunny?", "It rains now.", "Perhaps so."
USER, ANSWER = {"role": "user", "content": ASKED}, {"role": "assistant", "content": GOOD}
SHAREGPT = {
    "conversations": [{"from": "human", "value": ASKED}],
    "chosen": {"from": "gpt", "value": GOOD},
    "rejected": {"from": "gpt", "value": BAD},
}
OPENAI = {
    "input": {"messages": [USER], "tools": [WRAPPED], "parallel_tool_calls": True},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{"role": "assistant", "content": BAD}],
}
PLAIN = {"prompt": [USER], "chosen": GOOD, "rejected": BAD}
CASES = {
    "sharegpt, JSON text": SHAREGPT | {"tools": json.dumps([WEATHER])},
    "sharegpt, a list": SHAREGPT | {"tools": [WRAPPED]},
    "openai": OPENAI,
    "pairs": PLAIN | {"tools": [WEATHER]},
    "ms-swift": {"messages": [USER, ANSWER], "rejected_response": BAD, "tools": json.dumps([WRAPPED])},
}
TEMPLATE = (
    "{% for tool in tools or [] %}can {{ tool.function.name }}; {% endfor %}"
    "{% for message in messages %}{{ message.content }} {% endfor %}"
)


def row_of(folder, record):
    path = folder / "x.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (row,) = pairs.read_rows(path)
    return path, row


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("model")
    toy.make_decoder(folder, [ASKED, GOOD, BAD, "can weather;"], vocabulary=300, hidden=32, layers=1)
    made = AutoTokenizer.from_pretrained(folder)
    made.chat_template = TEMPLATE
    return made


@pytest.mark.parametrize("name", CASES)
def test_tools_of_each_layout_reach_the_template(tmp_path, tokenizer, name):
    path, row = row_of(tmp_path, CASES[name])
    assert row.tools == (WRAPPED,)
    (made,) = encode([row], tokenizer, TrainConfig())
    texts = [tokenizer.decode(side) for side in (made.chosen, made.rejected)]
    wanted = tokenizer.apply_chat_template([USER, ANSWER], tools=[WRAPPED], tokenize=False)
    assert texts[0] == wanted and all(text.startswith("can weather; Is it sunny?") for text in texts)
    assert tokenizer.decode(made.chosen[: made.prompt]).startswith("can weather; Is it sunny?")
    convert(path, tmp_path / "plain.jsonl")
    assert pairs.fingerprint(tmp_path / "plain.jsonl") == pairs.fingerprint(path)


def test_tools_count_for_identity_and_cached_tokens_and_nothing_changes_without_them(tmp_path, tokenizer):
    with_tools, without, empty = (
        row_of(tmp_path, PLAIN | more)[1] for more in ({"tools": [WEATHER]}, {}, {"tools": "[]"})
    )
    assert with_tools.id != without.id == empty.id
    keys = [token_cache.key([row], tokenizer) for row in (with_tools, without, empty)]
    assert keys[0] != keys[1] == keys[2]
    (made,) = encode([without], tokenizer, TrainConfig())
    assert tokenizer.decode(made.chosen).startswith(ASKED)


@pytest.mark.parametrize("tools", ["none of JSON", {"name": "x"}, [1, 2], 7])
def test_what_is_no_list_of_tools_is_left_out(tmp_path, tools):
    assert row_of(tmp_path, PLAIN | {"tools": tools})[1].tools == ()
