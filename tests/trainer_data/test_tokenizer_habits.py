"""What tokenizers and chat templates do by themselves: a second BOS, ends without special tokens, unseen system turns,
tokens beyond the embedding."""

import base_worlds as bases
import data_worlds as worlds
import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from tokenizers import processors
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer.config import build, recorded
from trainer.data import chat, pairset, token_cache
from trainer.data.texts import DataError, encode
from trainer.data.truncate import edges, truncate
from trainer.loop import checkpoint, setup
from trainer.model import plain
from trainer.pairs import Row
from trainer.release import export
from trainer.spec import Refused

TURNS = "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] }}{{ END }}{% endfor %}"
ENDS = {
    "a special token and a line break": ("'<|end|>\n'", "\n", "<|end|>"),
    "a special token": ("'<|end|>'", "<|end|>", "<|end|>"),
    "none": ("'\n\n'", "\n\n", "<|end|>"),
    "words": ("' ###done'", "done", "<|end|>"),
}
DIALOGUE = Row("1", [{"role": "user", "content": "rain?"}], "the river", "a stone")


@pytest.fixture
def tokenizer(models):
    return AutoTokenizer.from_pretrained(models / "decoder")


@pytest.fixture
def with_bos(tokenizer):
    """It puts <|pad|>, of all tokens, in front of plain text, as Llama's puts <|begin_of_text|>."""
    tokenizer.bos_token = "<|pad|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", tokenizer.bos_token_id)]
    )
    return tokenizer


def config(**changes):
    return worlds.config("", **changes)


def first_ids(row, tokenizer, **changes):
    return encode([row], tokenizer, config(**changes))[0].chosen.tolist()


def test_a_text_with_a_bos_of_its_own_gets_no_second_one(with_bos):
    front, plain_row = with_bos.bos_token_id, Row("1", "rain?", " river", " stone")
    own = Row("1", "<|pad|>rain?", " river", " stone")
    assert first_ids(own, with_bos) == first_ids(plain_row, with_bos)
    assert first_ids(own, with_bos)[:2] != [front, front]
    assert first_ids(own, with_bos, doubled_bos="keep")[:2] == [front, front]
    assert chat.front_text(with_bos) == "<|pad|>"


def test_runs_from_before_keep_their_second_bos(with_bos):
    older = build(recorded({"max_length": 64}))
    assert older.doubled_bos == "keep"
    assert build(recorded({"doubled_bos": "drop"})).doubled_bos == "drop"


def test_the_report_counts_them_and_the_cache_keeps_the_ways_apart(with_bos, tmp_path, monkeypatch):
    rows = worlds.rows(3)
    rows[1]["prompt"] = "<|pad|>" + rows[1]["prompt"]
    path = worlds.write_rows(tmp_path / "pairs.jsonl", rows)
    monkeypatch.setattr(token_cache, "folder", lambda: tmp_path / "cache")
    sizes = []
    for doubled in ("drop", "keep", "drop"):
        found = pairset.load_pairs(path, with_bos, config(token_cache=True, doubled_bos=doubled, max_length=200))
        assert found.report.doubled_bos == 1
        sizes.append(found.report.tokens)
    assert sizes[1] == sizes[0] + 2
    assert sizes[2] == sizes[0]


@pytest.mark.parametrize("kind", ENDS)
def test_a_dialogue_is_scored_where_it_was_asked_for(kind, tokenizer):
    written, last, end = ENDS[kind]
    tokenizer.chat_template = TURNS.replace("END", written)
    ids = {where: first_ids(DIALOGUE, tokenizer, score_at=where) for where in ("last", "end")}
    assert tokenizer.decode(ids["last"]).endswith(last)
    assert tokenizer.decode(ids["end"][-1:]) == end
    assert "river" in tokenizer.decode(ids["end"])
    assert tokenizer.decode(ids["end"]).count("<|end|>") <= 2, "one a turn"


def test_an_answer_that_is_cut_keeps_what_a_template_without_special_tokens_writes_after_it(tokenizer):
    tokenizer.chat_template = TURNS.replace("END", "' ###done'")
    row = Row("1", [{"role": "user", "content": "rain?"}], "the river and the stone " * 20, "a stone")
    one = encode([row], tokenizer, config())[0]
    chosen, _, _ = truncate(one, 40, edges(tokenizer, config()))
    assert len(chosen) == 40
    assert tokenizer.decode(chosen).endswith("###done")
    assert tokenizer.decode(truncate(one, 40, edges(tokenizer, config(overlong="cut_end")))[0])[-6:] != "##done"


def test_a_template_with_another_end_than_it_was_tried_with_is_refused(tokenizer):
    tokenizer.chat_template = TURNS.replace("END", "('<|end|>' if m['content'] != 'the river' else '!')")
    with pytest.raises(DataError, match="score_at = last"):
        first_ids(DIALOGUE, tokenizer, score_at="end")


def test_system_turns_that_a_template_leaves_out_are_counted(tokenizer, tmp_path):
    system = {"role": "system", "content": "be kind"}
    rows = [worlds.rows(1)[0] | {"prompt": [system, {"role": "user", "content": "rain?"}]}]
    path = worlds.write_rows(tmp_path / "pairs.jsonl", rows)
    for template, unseen in ((TURNS, 0), (TURNS.replace("in messages", "in messages if m['role'] != 'system'"), 1)):
        tokenizer.chat_template = template.replace("END", "'<|end|>'")
        assert pairset.load_pairs(path, tokenizer, config(max_length=200)).report.unseen_system == unseen
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(DataError, match="first user turn, or set chat_template = none"):
        pairset.load_pairs(path, tokenizer, config())


def widened(folder):
    """A base whose tokenizer knows two tokens more than the model has rows for."""
    base = bases.make("llama", folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|extra|>", "<|more|>"])
    tokenizer.save_pretrained(base)
    return base


def nudge(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for one in model.parameters():
            if one.requires_grad:
                one.add_(torch.randn(one.shape) * 0.1)


def reward_of(model, ids):
    with torch.no_grad():
        return float(model.eval()(input_ids=torch.tensor([ids])).logits[0, 0])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_new_rows_are_trained_whole_saved_scored_merged_and_loaded_by_plain_libraries(method, tmp_path, capsys):
    base = widened(tmp_path)
    made, tokenizer = worlds.load(base, method=method, resize_embeddings=True)
    table = made.classifier.get_input_embeddings().weight
    before = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).get_input_embeddings().weight
    assert len(table) == len(before) + 2 == len(tokenizer)
    assert torch.allclose(table[-1], before.mean(dim=0), atol=1e-6)
    if method == "lora":
        trained = [one for name, one in made.named_parameters() if "trainable_tokens" in name]
        assert [list(one.shape) for one in trained if one.requires_grad] == [[2, 32]]
    nudge(made)
    ids = tokenizer("so <|extra|> it <|more|> is<|end|>")["input_ids"]
    wanted = reward_of(made.inner, ids)
    kept = {"save_embedding_layers": checkpoint.saves_embedding(made.inner)} if method == "lora" else {}
    made.inner.save_pretrained(tmp_path / "model", **kept)
    tokenizer.save_pretrained(tmp_path / "model")
    assert plain.load(tmp_path / "model", torch.device("cpu")).alone([ids])[0] == pytest.approx(wanted, abs=1e-5)
    if method == "lora":
        assert sum(file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors")) < before.numel() * 4
        theirs = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
        assert reward_of(theirs, ids) == pytest.approx(wanted, abs=1e-5)
        again, _ = worlds.load(base, resize_embeddings=True)
        checkpoint.load_weights(again, tmp_path / "model")
        assert reward_of(again.inner, ids) == wanted
        further, _ = setup.load_model(worlds.config(base, init_from=str(tmp_path / "model")))
        assert reward_of(further.inner, ids) == wanted
    assert export.main(["merge", str(tmp_path / "model"), str(tmp_path / "merged")]) == 0
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert reward_of(merged, ids) == pytest.approx(wanted, abs=1e-5)
    rows = worlds.write_rows(tmp_path / "pairs.jsonl", [worlds.rows(1)[0] | {"chosen": "so <|extra|> it is"}])
    capsys.readouterr()
    found = []
    for folder in ("model", "merged"):
        assert export.main(["score", str(tmp_path / folder), str(rows), "--json"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0][:40] == found[1][:40]


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "gpt2", "qwen2", "bert"])
def test_new_rows_of_other_types_are_loaded_by_plain_libraries(kind, tmp_path):
    """Scaled embeddings (Gemma), tables of positions beside that of words, encoders."""
    base = bases.make(kind, tmp_path / "base", **bases.MOST_USED.get(kind, {}))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|extra|>"])
    tokenizer.save_pretrained(base)
    made, tokenizer = worlds.load(base, resize_embeddings=True)
    nudge(made)
    ids = tokenizer("so <|extra|> it is")["input_ids"]
    wanted = reward_of(made.inner, ids)
    made.inner.save_pretrained(tmp_path / "model", save_embedding_layers=False)
    tokenizer.save_pretrained(tmp_path / "model")
    assert plain.load(tmp_path / "model", torch.device("cpu")).alone([ids])[0] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("kind", ["llama", "bert", "roberta", "deberta-v2"])
def test_a_new_head_is_drawn_as_asked(kind, tmp_path):
    base = bases.make(kind, tmp_path / "base", **{"hidden_size": 256, **bases.MOST_USED[kind]})
    drawn = {}
    for how in ("default", "scaled", "zero"):
        made, _ = worlds.load(base, head_init=how)
        head = {name: one for name, one in made.classifier.named_parameters() if one.requires_grad}
        last = [one for name, one in head.items() if "lora" not in name and one.shape == (1, 256)]
        drawn[how] = float(last[-1].detach().std()), reward_of(made.inner, [5, 6, 7])
    assert drawn["scaled"][0] == pytest.approx(257**-0.5, rel=0.2)
    assert drawn["zero"] == (0.0, 0.0)
    assert drawn["default"][0] != pytest.approx(drawn["scaled"][0], rel=0.05)


def test_a_head_that_is_not_new_is_not_drawn_anew_unseen(tmp_path):
    base = bases.make("llama", tmp_path / "base")
    classifier = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    classifier.save_pretrained(base)
    with pytest.raises(Refused, match=r"head of its own.*--fresh-head"):
        worlds.load(base, head_init="zero")
    made, _ = worlds.load(base, head_init="zero", fresh_head=True)
    assert not made.classifier.score.modules_to_save.default.weight.any()
    assert np.isclose(reward_of(made.inner, [5, 6, 7]), 0)
