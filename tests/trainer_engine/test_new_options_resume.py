"""Options of head, embedding and texts from launch to the end: what is saved is right, a resume is exact."""

import json

import pytest
from engine_worlds import make_rows, quick_end, train, write_rows
from transformers import AutoTokenizer

from trainer import manifest
from trainer.loop import start_check
from trainer.model import toy
from trainer.release import export

KINDS = {
    "head of zeros": {"head_init": "zero"},
    "scaled head": {"head_init": "scaled"},
    "new rows": {"resize_embeddings": True},
    "new rows, full": {"resize_embeddings": True, "method": "full"},
    "dialogues to their end token": {"score_at": "end"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A base whose tokenizer knows a token that the model has no row for; dialogues."""
    folder = tmp_path_factory.mktemp("options")
    base = toy.make_family("llama", folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|extra|>"])
    tokenizer.save_pretrained(base)
    rows = make_rows(30)
    for number, row in enumerate(rows):
        row["prompt"] = [{"role": "user", "content": row["prompt"] + "<|extra|>" * (number % 2)}]
    write_rows(folder / "train.jsonl", rows[:22])
    write_rows(folder / "val.jsonl", rows[22:])
    return folder


def patch(rank):
    """Fast paths are compared; the fresh processes have tests of their own."""
    quick_end(rank)
    start_check.load_plainly = lambda session: ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_option_trains_is_saved_and_resumed_to_the_bit(bench, world, tmp_path, kind, capsys):
    data = {} if "rows" in kind else {"resize_embeddings": True}
    config = bench.options(
        model=str(world / "base"),
        data__train=str(world / "train.jsonl"),
        data__val=str(world / "val.jsonl"),
        num_epochs=1,
        save_steps=3,
        start_check=True,
        **data,
        **KINDS[kind],
    )
    whole = train(tmp_path, config, 1, patch)
    assert whole.codes == [0], whole.log()
    assert whole.of("fast_paths")[0].data["given_up"] == {}
    first = manifest.checkpoints(tmp_path)[0]
    resumed = train(tmp_path, config, 1, patch, ("--resume", first.folder))
    assert resumed.codes == [0], resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is True
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > first.step}
    scored = whole.of("sample")[0].data["scored"]
    assert scored == (["<|end|>"] * 2 if "end" in kind else ["\n"] * 2)
    if kind == "head of zeros":
        assert abs(float.fromhex(whole.losses[1]) - 0.6931472) < 1e-6, "ln 2: both rewards are 0"
    assert export.main(["score", str(tmp_path), str(world / "val.jsonl"), "--json"]) == 0
    evaluated = whole.of("epoch")[0].metrics
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(evaluated["val_loss"], abs=1e-5)


def test_ids_beyond_the_embedding_are_refused_with_the_option_that_helps(bench, world, tmp_path):
    config = bench.options(
        model=str(world / "base"), data__train=str(world / "train.jsonl"), data__val=str(world / "val.jsonl")
    )
    refused = train(tmp_path, config, 1, patch)
    assert refused.codes == [2]
    assert "<|extra|>" in refused.result["reason"] and "--resize-embeddings" in refused.result["reason"]


@pytest.mark.slow
def test_new_rows_pass_both_round_trips_and_a_merge(bench, world, tmp_path):
    config = bench.options(
        model=str(world / "base"),
        data__train=str(world / "train.jsonl"),
        data__val=str(world / "val.jsonl"),
        num_epochs=1,
        start_check=True,
        resize_embeddings=True,
        score_at="end",
    )
    whole = train(tmp_path / "run", config)
    assert whole.codes == [0], whole.log()
    assert whole.result["verified"] is True
    assert export.main(["merge", str(tmp_path / "run"), str(tmp_path / "merged")]) == 0
    assert "removesuffix" in (tmp_path / "merged" / "README.md").read_text()
