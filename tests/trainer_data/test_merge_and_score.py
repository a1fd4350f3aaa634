import io
import json

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer import manifest
from trainer.events import decode
from trainer.intervals import wilson
from trainer.pairs import Row
from trainer.release import export, merge, scoring
from trainer.release.origin import find_origin

SPEC = """
id = "20260101-000000-abcd"
name = "first"
[fingerprints]
train = "11aa"
val = "22bb"
[config]
model = "{model}"
max_length = 200
[config.lora]
r = 4
"""


@pytest.fixture
def run(models, tmp_path):
    """A run folder as a training leaves it, as far as leaving with the model needs."""
    made, tokenizer = worlds.load(models / "decoder")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    folder = tmp_path / "run" / "model"
    made.inner.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (tmp_path / "run" / "spec.toml").write_text(SPEC.format(model=models / "decoder"))
    return folder


def report(capsys, *arguments):
    assert export.main(["score", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_merged_folder_scores_alike_in_transformers_alone(run, tmp_path, capsys):
    out = tmp_path / "merged"
    assert export.main(["merge", str(run), str(out)]) == 0
    path = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(12))
    capsys.readouterr()
    adapter = json.loads(report(capsys, run, path, "--json", "--out", tmp_path / "adapter.jsonl"))
    merged = json.loads(report(capsys, out, path, "--json", "--out", tmp_path / "merged.jsonl"))
    assert {**adapter, "loss": 0} == {**merged, "loss": 0}

    tokenizer = AutoTokenizer.from_pretrained(out)
    plain = AutoModelForSequenceClassification.from_pretrained(out)
    scores = [json.loads(line) for line in (tmp_path / "adapter.jsonl").open()]
    texts = [row["prompt"] + row["chosen"] + tokenizer.eos_token for row in worlds.rows(12)]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        together = plain(**batch).logits[:, 0].tolist()
    for reward, row in zip(together, scores, strict=True):
        assert reward == pytest.approx(row["chosen"], abs=1e-5 * max(1, abs(reward)))


def test_the_card_and_the_facts_travel_with_the_merged_model(run, tmp_path):
    out = tmp_path / "merged"
    merge.merge(run, out)
    card = (out / "README.md").read_text()
    assert "11aa" in card and "22bb" in card and '"r": 4' in card
    again = find_origin(out)
    assert (again.name, again.config.max_length, again.fingerprints["val"]) == ("first", 200, "22bb")


def test_merging_into_a_folder_with_files_is_refused(run, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert export.main(["merge", str(run), str(tmp_path / "full")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rmtui: ") and "not empty" in said
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_accuracy_is_a_count_over_the_pairs_with_its_interval(run, tmp_path, capsys):
    path = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(15))
    found = json.loads(report(capsys, run, path, "--json", "--out", tmp_path / "scores.jsonl"))
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").open()]
    correct = sum(row["chosen"] > row["rejected"] for row in scores)
    assert found["pairs"] == 15 and found["accuracy"] * 15 == pytest.approx(correct)
    assert found["interval"][0] < found["accuracy"] < found["interval"][1]
    assert "95 % interval" in report(capsys, run, path)


def test_wilson_interval_of_a_published_example():
    around = wilson(81, 263)  # Newcombe 1998, table I
    assert (round(around.low, 4), round(around.high, 4)) == (0.2553, 0.3662)


def test_single_responses_from_stdin_get_the_reward_that_they_get_in_a_pair(run, tmp_path, capsys, monkeypatch):
    rows = worlds.rows(5)
    report(capsys, run, worlds.write_rows(tmp_path / "p.jsonl", rows), "--json", "--out", tmp_path / "p.out")
    pairs = [json.loads(line)["chosen"] for line in (tmp_path / "p.out").open()]
    lines = "".join(json.dumps({"prompt": row["prompt"], "response": row["chosen"]}) + "\n" for row in rows)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    alone = [json.loads(line)["reward"] for line in report(capsys, run, "-").splitlines()]
    assert alone == pytest.approx(pairs, abs=1e-5)


def test_rewardbench_rows_are_reported_by_subset(run, tmp_path, capsys):
    rows = [
        row | {"chosen_model": "a", "rejected_model": "b", "subset": "chat" if place % 3 else "safety"}
        for place, row in enumerate(worlds.rows(9))
    ]
    found = json.loads(report(capsys, run, worlds.write_rows(tmp_path / "p.jsonl", rows), "--json"))
    assert {name: held["pairs"] for name, held in found["subsets"].items()} == {"chat": 6, "safety": 3}


def test_files_that_cannot_be_scored_say_why(run, tmp_path, capsys):
    mixed = worlds.write_rows(tmp_path / "m.jsonl", [worlds.rows(1)[0], {"prompt": "q", "response": "r"}])
    for model, path, words in (
        (run, mixed, "mixed"),
        (tmp_path, mixed, "no model is there"),
        (run, "absent", "absent"),
    ):
        assert export.main(["score", str(model), str(path)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("rmtui: ") and words in said


def test_every_pair_keeps_its_place(run, tmp_path):
    rows, responses = scoring.read(str(worlds.write_rows(tmp_path / "p.jsonl", worlds.rows(4))))
    assert [row.id for row in rows] == ["p0", "p1", "p2", "p3"] and responses == []


def test_a_pipe_hears_how_far_a_scoring_is_in_few_lines(run, tmp_path, capsys):
    path = worlds.write_rows(tmp_path / "p.jsonl", worlds.rows(30))
    assert export.main(["score", str(run), str(path), "--batch-size", "1"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "scored 3 of 30 pairs (10 %)" and said[-1] == "scored 30 of 30 pairs (100 %)"
    assert len(said) == 10


def test_a_terminal_sees_a_bar_that_leaves_nothing(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    path = worlds.write_rows(tmp_path / "p.jsonl", worlds.rows(4))
    assert export.main(["score", str(run), str(path), "--batch-size", "1", "--json"]) == 0
    said = capsys.readouterr().err
    assert "━" * 15 + "─" * 15 + " 2 of 4 pairs (50 %)" in said
    assert "\n" not in said and said.endswith("\r\x1b[K")


def test_responses_are_told_as_events_to_who_asks_and_json_is_silent(run, tmp_path, capfdbinary):
    lines = [json.dumps({"prompt": row["prompt"], "response": row["chosen"]}) for row in worlds.rows(3)]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    command = ["score", str(run), str(tmp_path / "r.jsonl"), "--batch-size", "1", "--json"]
    assert export.main([*command, "--progress", "events"]) == 0
    events = [decode(line) for line in capfdbinary.readouterr().err.splitlines()]
    assert [event.data for event in events if event] == [{"done": 2, "of": 3}, {"done": 3, "of": 3}]
    assert export.main(command) == 0
    assert capfdbinary.readouterr().err == b""


def recipe(card, folder, **given):
    """The reward that the card's own lines compute."""
    code = card.partition("```python\n")[2].partition("```")[0]
    names = {"FOLDER": str(folder), **given}
    exec(code, names)
    return float(names["reward"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decoder", "encoder", "pad_is_end"])
def test_the_cards_own_recipe_gives_the_rewards_of_the_training(models, tmp_path, kind):
    """Also where the end token is the only special one: another token pads, and texts keep their tokens."""
    made, tokenizer = worlds.load(models / kind)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)) * 0.1)
    made.inner.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    out = tmp_path / "merged"
    found = merge.merge(tmp_path / "adapter", out)
    card = (out / "README.md").read_text()
    assert "invented texts" in card and "The pad token is the end token" not in card
    assert ("first token" if kind == "encoder" else "last token") in card
    for side, gap in found.check.padded.items():
        same = gap is not None and gap < 1e-4
        assert (f"on the {side}, as this tokenizer pads, they give the same" in card) is (
            same and side == found.check.side
        )
    scorer = scoring.Scorer(made.eval(), tokenizer, worlds.config(models / kind), 4)
    row = Row("1", "Human: rain and bread? Assistant:", " stone music", " river")
    for answer, reward in zip((row.chosen, row.rejected), scorer.pairs([row])[0], strict=True):
        assert recipe(card, out, prompt=row.prompt, answer=answer) == pytest.approx(reward, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma2", "gpt_oss"])
def test_a_family_without_sdpa_is_merged_as_it_is(tmp_path, kind):
    more = {"gemma2": {"query_pre_attn_scalar": 8}, "gpt_oss": {"num_local_experts": 2, "num_experts_per_tok": 1}}
    base = bases.make(kind, tmp_path / "base", **more[kind])
    made, tokenizer = worlds.load(base)
    made.inner.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    assert export.main(["merge", str(tmp_path / "adapter"), str(tmp_path / "out")]) == 0
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


@pytest.mark.slow
def test_a_tokenizer_longer_than_the_embedding_is_no_reason_to_fail(models, tmp_path):
    made, tokenizer = worlds.load(models / "decoder")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|extra|>"]})
    made.inner.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    assert export.main(["merge", str(tmp_path / "adapter"), str(tmp_path / "out")]) == 0


def test_where_the_head_reads_is_found_though_an_embedding_gives_more_than_rows(tmp_path):
    made, _ = worlds.load(bases.make("ibert", tmp_path / "base", encoder=True), method="full")
    assert merge.reads_at(made.inner, [5, 6, 7, 8]) == "first token"


def test_a_merge_that_gives_other_rewards_is_not_kept(run, tmp_path, capsys, monkeypatch):
    def spoiled(inner, out):
        whole = inner.merge_and_unload()
        whole.score.weight.data.mul_(1.2)
        whole.save_pretrained(out)

    monkeypatch.setattr(merge.by_weight, "write", spoiled)
    assert export.main(["merge", str(run), str(tmp_path / "out")]) == 1
    assert "other rewards than were trained" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def scored(capsys, *arguments):
    assert export.main(["score", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["loss"]


def sealed_in(folder, precision):
    """A checkpoint of a run whose spec says `auto`."""
    facts = {"config": {"mixed_precision": precision}}
    (folder / "trainer_state").mkdir()
    manifest.seal(folder, {"step": 3, "epoch": 1.0, "reason": "epoch", "created": 0.0, "world_size": 1, "facts": facts})


def test_a_run_is_scored_in_the_format_that_it_trained_in(run, tmp_path, capsys):
    path = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(12))
    exact = scored(capsys, run, path)
    assert exact == scored(capsys, run, path, "--precision", "no") == scored(capsys, run, path, "--device", "cpu")
    sealed_in(run, "bf16")
    half = scored(capsys, run, path)
    assert half != exact and half == pytest.approx(exact, abs=0.05)
    assert scored(capsys, run, path, "--precision", "no") == exact
    assert scored(capsys, run, path, "--precision", "bf16") == half
    assert scored(capsys, run, path, "--precision", "auto", "--device", "cpu") == exact


@pytest.mark.parametrize("device", ["cuda:77", "tpu7", "cuda:0" if not torch.cuda.is_available() else "cuda:99"])
def test_a_device_that_is_not_there_is_named(run, tmp_path, capsys, device):
    path = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(2))
    assert export.main(["score", str(run), str(path), "--device", device]) == 2
    assert device in capsys.readouterr().err
