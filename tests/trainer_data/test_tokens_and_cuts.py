import json
from dataclasses import replace

import data_worlds as worlds
import numpy as np
import pytest

from trainer.config import build, recorded
from trainer.data import pairset, texts
from trainer.data.truncate import Edges, Encoded, truncate
from trainer.model import pretrained

NO_EDGES = Edges(frozenset(), frozenset())
CHAT = {
    "prompt": [{"role": "user", "content": "stone?"}],
    "chosen": [{"role": "assistant", "content": "bread"}],
    "rejected": [{"role": "assistant", "content": "rain"}],
}


def encoded(prompt, chosen, rejected):
    sides = [
        np.array([*range(prompt), *range(start, start + size)], np.int32)
        for start, size in ((100, chosen), (200, rejected))
    ]
    return Encoded(sides[0], sides[1], prompt)


def load(folder, rows, path, **changes):
    config = worlds.config(folder, **changes)
    tokenizer = pretrained.load_tokenizer(str(folder))
    return pairset.load_pairs(worlds.write_rows(path, rows), tokenizer, config), tokenizer


def test_the_shared_prompt_loses_its_left_end_by_one_cut_on_both_sides():
    chosen, rejected, lost = truncate(encoded(20, 5, 8), 16, NO_EDGES)
    assert lost == 12
    assert chosen.tolist() == [*range(12, 20), *range(100, 105)]
    assert rejected.tolist() == [*range(12, 20), *range(200, 208)]


def test_the_shorter_side_loses_as_much_whichever_it_is():
    """It would fit with more of its prompt; but then the two sides would have answered different prompts."""
    chosen, rejected, lost = truncate(encoded(20, 8, 5), 16, NO_EDGES)
    assert lost == 12
    assert chosen.tolist() == [*range(12, 20), *range(100, 108)]
    assert rejected.tolist() == [*range(12, 20), *range(200, 205)]


def test_an_answer_that_alone_is_too_long_loses_its_end_and_no_side_gets_empty():
    chosen, rejected, lost = truncate(encoded(20, 3, 40), 16, NO_EDGES)
    assert lost == 20
    assert chosen.tolist() == [100, 101, 102]
    assert rejected.tolist() == [*range(200, 216)]


def test_first_and_last_special_tokens_of_an_encoder_stay():
    one = Encoded(np.array([1, 7, 7, 7, 30, 31, 2], np.int32), np.array([1, 7, 7, 7, *range(40, 50), 2], np.int32), 4)
    chosen, rejected, lost = truncate(one, 6, Edges(frozenset({1}), frozenset({2})))
    assert (chosen.tolist(), rejected.tolist(), lost) == ([1, 30, 31, 2], [1, 40, 41, 42, 43, 2], 3)


def overlong_rows():
    """Six pairs: number 1 has a long prompt, 3 (text) and 5 (a dialogue) an answer that alone is too long."""
    made = worlds.rows(6)
    made[1] |= {"prompt": "stone river " * 100}
    made[3] |= {"chosen": " bread rain" * 100}
    made[5] = CHAT | {"id": "p5", "rejected": [{"role": "assistant", "content": "bread rain " * 100}]}
    return made


@pytest.mark.parametrize("kind", ["decoder", "encoder", "pad_is_end"])
def test_a_cut_answer_is_still_scored_where_the_whole_one_is(models, tmp_path, kind):
    """The reference is the whole sequence's own end: the end token, or what the template writes last."""
    cut, tokenizer = load(models / kind, overlong_rows(), tmp_path / "a.jsonl", max_length=40)
    whole, _ = load(models / kind, overlong_rows(), tmp_path / "a.jsonl", max_length=10_000)
    assert [pair.id for pair in cut.pairs] == [pair.id for pair in whole.pairs]
    for one, full in zip(cut.pairs, whole.pairs, strict=True):
        for side, complete in ((one.chosen, full.chosen), (one.rejected, full.rejected)):
            assert len(side) <= 40
            assert tokenizer.decode(side[-1:]) == tokenizer.decode(complete[-1:])
    template = cut.pairs[5].rejected
    ends = [number for number, token in tokenizer.added_tokens_decoder.items() if token.special]
    assert tokenizer.chat_template is None or set(template[-3:].tolist()) & set(ends)


def test_training_leaves_out_the_pairs_that_a_plain_filter_on_answers_would(models, tmp_path):
    """TRL's `len(chosen_ids) <= max_length` over the answers alone, since prompts lose their left end here."""
    rows, path = overlong_rows(), tmp_path / "a.jsonl"
    config = worlds.config(models / "decoder", max_length=40, data={"train": str(worlds.write_rows(path, rows))})
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    found = pairset.load_training(tokenizer, config)
    assert [pair.id for pair in found.pairs] == ["p0", "p1", "p2", "p4"]
    assert (found.report.answers_dropped, found.report.answers_cut, found.report.pairs) == (2, 0, 4)
    whole, _ = load(models / "decoder", rows, path, max_length=10_000)
    assert found.report.over == sum(pair.length > 40 for pair in whole.pairs)
    assert found.report.p99 == max(pair.length for pair in whole.pairs) and found.drawn == 4
    for way in ("cut", "cut_end"):
        kept = pairset.load_training(tokenizer, replace(config, overlong=way))
        assert (len(kept), kept.report.answers_dropped, kept.report.answers_cut) == (6, 0, 2)


def test_cut_end_is_the_plain_cut_of_earlier_runs(models, tmp_path):
    found, tokenizer = load(
        models / "decoder", overlong_rows(), tmp_path / "a.jsonl", max_length=40, overlong="cut_end"
    )
    whole, _ = load(models / "decoder", overlong_rows(), tmp_path / "a.jsonl", max_length=10_000)
    lost = found.pairs[3].cut
    assert found.pairs[3].chosen.tolist() == whole.pairs[3].chosen[lost : lost + 40].tolist()
    assert tokenizer.eos_token_id not in found.pairs[3].chosen.tolist()


def test_a_file_of_nothing_but_long_answers_is_refused_with_both_remedies(models, tmp_path):
    path = worlds.write_rows(tmp_path / "a.jsonl", [overlong_rows()[3]])
    config = worlds.config(models / "decoder", max_length=40, data={"train": str(path)})
    with pytest.raises(pairset.DataError, match=r"1 of 1 .*longer than 40 tokens.*max_length.*overlong = cut"):
        pairset.load_training(pretrained.load_tokenizer(str(models / "decoder")), config)


def test_where_the_models_positions_are_the_limit_no_higher_max_length_is_advised(models, tmp_path):
    tokenizer, rows = pretrained.load_tokenizer(str(models / "decoder")), overlong_rows()
    path = worlds.write_rows(tmp_path / "a.jsonl", rows)
    longest = pairset.load_pairs(path, tokenizer, worlds.config("", max_length=10_000)).report.longest

    def advice(max_length, positions):
        report = pairset.load_pairs(path, tokenizer, worlds.config("", max_length=max_length), positions).report
        assert report.over > 0
        return report.advice

    assert advice(40, None) == advice(40, longest) == f"99 % fit max_length = {longest}"
    assert advice(40, 60).endswith("max_length = 60 is the most")
    assert advice(1024, 60).endswith("choose a base with more of them")
    alone = worlds.config("", max_length=1024, data={"train": str(worlds.write_rows(path, rows[3:4]))})
    with pytest.raises(
        pairset.DataError, match=r"longer than 40 tokens.*no more than 40 positions.*overlong = cut"
    ) as no:
        pairset.load_training(tokenizer, alone, 40)
    assert "raise max_length" not in str(no.value)


def test_what_a_checkpoint_from_before_the_option_holds_is_the_cut_of_then():
    assert build(recorded({"max_length": 64})).overlong == "cut_end"
    assert build(recorded({"overlong": "drop"})).overlong == "drop"


def test_plain_text_is_tokenized_once_and_ends_with_the_end_token(models, tmp_path):
    found, tokenizer = load(models / "decoder", worlds.rows(5), tmp_path / "pairs.jsonl")
    row, pair = worlds.rows(5)[2], found.pairs[2]
    whole = row["prompt"] + row["chosen"] + tokenizer.eos_token
    assert pair.chosen.tolist() == tokenizer(whole)["input_ids"]
    assert pair.chosen[: pair.shared].tolist() == pair.rejected[: pair.shared].tolist()
    assert pair.chosen[pair.shared] != pair.rejected[pair.shared]


def test_everything_lost_is_counted(models, tmp_path):
    good = worlds.rows(6)
    long_prompt = good[0] | {"id": "cut", "prompt": "stone river " * 100}
    long_answer = good[1] | {"id": "end", "chosen": " bread rain" * 100}
    same_after = good[2] | {"id": "same", "chosen": " rain" * 200 + " a", "rejected": " rain" * 200 + " b"}
    same_before = good[3] | {"id": "twin", "rejected": good[3]["chosen"]}
    path = worlds.write_rows(tmp_path / "x.jsonl", [*good, long_prompt, long_answer, same_after, same_before])
    path.write_text(path.read_text() + "\n\n")
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    report = pairset.load_pairs(path, tokenizer, worlds.config(models / "decoder", max_length=100)).report
    assert (report.rows, report.pairs, report.blank_lines) == (10, 8, 2)
    assert report.identical_dropped == 2
    assert report.prompts_cut == 2  # the long prompt; the long answer, whose prompt goes first
    assert report.answers_cut == 2  # the long answer and the pair that became identical
    assert report.longest == 100


def test_a_file_with_unreadable_lines_is_refused_with_their_numbers(models, tmp_path):
    path = worlds.write_rows(tmp_path / "x.jsonl", worlds.rows(3))
    path.write_text(path.read_text() + '{"prompt": "x"}\nnonsense\n')
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    with pytest.raises(pairset.DataError, match=r"(?s)2 lines.*line 4.*'chosen' is missing.*line 5"):
        pairset.load_pairs(path, tokenizer, worlds.config(models / "decoder"))


def test_message_lists_take_the_chat_template_unless_told_not_to(models, tmp_path):
    found, tokenizer = load(models / "decoder", [CHAT], tmp_path / "a.jsonl")
    assert tokenizer.decode(found.pairs[0].chosen) == "user: stone?\nassistant: bread<|end|>\n"
    plain, _ = load(models / "decoder", [CHAT], tmp_path / "a.jsonl", chat_template="none")
    assert tokenizer.decode(plain.pairs[0].chosen) == "\n\nHuman: stone?\n\nAssistant: bread<|end|>"


DATES = {
    "in place": "{% if strftime_now is defined %}{{ strftime_now('%d %B %Y') }} {% endif %}",
    "as Llama 3.2 does": "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %B %Y") %}{%- endif %}{%- endif %}{{ date_string + " " }}',
    "by a format of its own": "{% set form = '%d %B %Y' %}{{ strftime_now(form) }} ",
    "in a macro": "{% macro day(form) %}{{ strftime_now(form) }} {% endmacro %}{{ day('%d %B %Y') }}",
}


@pytest.mark.parametrize("dated", DATES.values(), ids=DATES)
def test_a_template_that_prints_today_gives_the_same_tokens_on_any_day(models, tmp_path, dated):
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    tokenizer.chat_template = dated + tokenizer.chat_template
    text = texts.render(CHAT["prompt"], CHAT["chosen"], tokenizer, True)
    assert text.startswith("01 January 2025 user: stone?")
    assert texts.render_prompt(CHAT["prompt"], tokenizer, True).startswith("01 January 2025 user: stone?")
    path = worlds.write_rows(tmp_path / "a.jsonl", [CHAT])
    [pair] = pairset.load_pairs(path, tokenizer, worlds.config(models / "decoder")).pairs
    assert tokenizer.decode(pair.chosen) == text
    assert tokenizer.decode(pair.chosen[: pair.shared]).endswith("assistant:")


def test_the_prompt_of_a_dialogue_is_cut_and_its_answer_kept(models, tmp_path):
    long = CHAT | {"prompt": [{"role": "user", "content": "stone river " * 100}]}
    found, tokenizer = load(models / "decoder", [long], tmp_path / "a.jsonl")
    pair = found.pairs[0]
    assert pair.length == 64 and pair.cut > 0
    assert tokenizer.decode(pair.chosen).endswith("assistant: bread<|end|>\n")


def test_cached_tokens_equal_fresh_ones_and_follow_tokenizer_and_options(models, tmp_path):
    path = tmp_path / "a.jsonl"
    fresh, _ = load(models / "decoder", [*worlds.rows(4), CHAT], path, token_cache=True)
    again, _ = load(models / "decoder", [*worlds.rows(4), CHAT], path, token_cache=True)
    plain, _ = load(models / "decoder", [*worlds.rows(4), CHAT], path, token_cache=True, chat_template="none")
    other, _ = load(models / "encoder", [*worlds.rows(4), CHAT], path, token_cache=True)
    assert [one.report.cached for one in (fresh, again, plain, other)] == [False, True, False, False]
    for one, two in zip(fresh.pairs, again.pairs, strict=True):
        assert one.chosen.tolist() == two.chosen.tolist() and one.rejected.tolist() == two.rejected.tolist()
        assert (one.shared, one.cut) == (two.shared, two.cut)


def test_a_torn_cache_entry_only_costs_time(models, tmp_path):
    first, _ = load(models / "decoder", worlds.rows(4), tmp_path / "a.jsonl", token_cache=True)
    [entry] = (tmp_path / "token-cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    second, _ = load(models / "decoder", worlds.rows(4), tmp_path / "a.jsonl", token_cache=True)
    assert not second.report.cached
    assert first.pairs[3].chosen.tolist() == second.pairs[3].chosen.tolist()


def test_validation_prompts_and_pairs_in_the_training_data_are_counted(models, tmp_path):
    train, _ = load(models / "decoder", worlds.rows(6), tmp_path / "a.jsonl")
    shouted = worlds.rows(6)[1] | {"prompt": worlds.rows(6)[1]["prompt"].upper(), "chosen": " other"}
    val, _ = load(models / "decoder", [worlds.rows(6)[0], shouted, *worlds.rows(2, seed=50)], tmp_path / "b.jsonl")
    found = pairset.overlap(train, val)
    assert (found.prompts, found.pairs) == (2, 1)


def test_samples_show_the_cut_and_the_scored_token(models, tmp_path):
    long = worlds.rows(1)[0] | {"prompt": "stone river " * 100}
    found, tokenizer = load(models / "decoder", [long, *worlds.rows(4)], tmp_path / "a.jsonl")
    shown = pairset.samples(found.pairs, tokenizer)
    assert len(shown) == 3 and shown[0]["cut"] == found.pairs[0].cut > 0
    assert shown[0]["scored"] == ["<|end|>", "<|end|>"]
    dialogue, _ = load(models / "decoder", [CHAT], tmp_path / "b.jsonl", max_length=200)
    assert pairset.samples(dialogue.pairs, tokenizer)[0]["scored"] == ["\n", "\n"], "what the template writes last"
    assert shown[0]["prompt"] + shown[0]["chosen"] == tokenizer.decode(found.pairs[0].chosen)
    json.dumps(shown)
