"""Tokenizing says how far it is, and parts make the tokens that the whole makes."""

from __future__ import annotations

import data_worlds as worlds

from trainer.data import pairset
from trainer.model import pretrained


def test_tokens_in_parts_are_those_of_the_whole_and_each_part_is_told(models, tmp_path, monkeypatch):
    rows = [{"prompt": f"Number {n}?", "chosen": f"yes, {n}", "rejected": "no"} for n in range(7)]
    path = worlds.write_rows(tmp_path / "pairs.jsonl", rows)
    config = worlds.config(models / "decoder", token_cache=False)
    tokenizer = pretrained.load_tokenizer(str(models / "decoder"))
    whole = pairset.load_pairs(path, tokenizer, config)
    monkeypatch.setattr(pairset, "PART", 3)
    told = []
    parts = pairset.load_pairs(path, tokenizer, config, phase=lambda *said: told.append(said))
    assert told == [("reading pairs.jsonl", 0, 0), *(("tokenizing", done, 7) for done in (0, 3, 6))]
    for one, other in zip(whole.pairs, parts.pairs, strict=True):
        assert (one.chosen == other.chosen).all() and (one.rejected == other.rejected).all()
