"""The model card's words, and its rules for texts carried out."""

import re

import data_worlds as worlds
import pytest
from transformers import AutoTokenizer

from trainer.data.texts import encode
from trainer.loop.round_trip import RoundTrip
from trainer.pairs import Row
from trainer.release import card
from trainer.release.origin import Origin


def measured(**padded):
    return card.Facts(
        "last token", False, RoundTrip(2e-7, padded, "right", 1e-5, 1.2), "8 pairs of the validation file"
    )


def test_every_validation_set_has_a_line_with_its_fingerprint():
    origin = Origin(fingerprints={"train": "aa", "extra_val": {"easy": "bb"}})
    assert "| train | `aa` |\n| extra_val.easy | `bb` |\n" in card.text(origin, measured(right=0.0, left=0.0))


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (1e-7, "on the left they give the same rewards"),
        (0.4, "by up to 0.4"),
        (None, "on the left they cannot be made"),
    ],
)
def test_the_card_says_what_padded_batches_give(left, words):
    made = card.text(Origin(), measured(right=3e-7, left=left))
    assert "on the right, as this tokenizer pads, they give the same rewards (to 3.0e-07)" in made
    assert words in made


@pytest.mark.parametrize("end", ["<|end|>\n", "\n\n", " </turn>"])
def test_a_dialogue_made_by_the_cards_rule_has_the_tokens_that_were_trained_on(models, end):
    tokenizer = AutoTokenizer.from_pretrained(models / "decoder")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + " + repr(end) + " }}{% endfor %}"
    config = worlds.config("", score_at="end")
    rule = re.search(r"text\.removesuffix.*'(?=\.$)", card.text_rules(tokenizer, config), re.MULTILINE)[0]
    turns = [{"role": "user", "content": "rain?"}, {"role": "assistant", "content": "the river"}]
    text = eval(rule, {"text": tokenizer.apply_chat_template(turns, tokenize=False)})
    made = encode([Row("1", turns[:1], "the river", "a stone")], tokenizer, config)[0].chosen.tolist()
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == made
    assert made[-1] == tokenizer.eos_token_id
