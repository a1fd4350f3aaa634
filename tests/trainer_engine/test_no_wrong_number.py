"""Whatever the base: a program that ends with 0 has said the numbers of plain transformers and peft, and one that does
not says in a line what to do. Training, scoring, merge and verify, over the kinds of bases that go wrong elsewhere."""

import json
import re
import shutil

import pytest
import torch
from engine_worlds import make_rows, train, write_rows
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from trainer.loop import round_trip
from trainer.model import toy
from trainer.release import export

SAME = 2e-5
"""Of a reward near 1, over another path of the same float32 sum."""


def made(kind, **more):
    return lambda folder: toy.make_family(kind, folder, **{**toy.MOST_USED.get(kind, {}), **more})


def with_tokens(kind, **special):
    def make(folder):
        made(kind)(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens(special)
        tokenizer.save_pretrained(folder)

    return make


def only_end(kind):
    """A tokenizer whose only special token is its end, as GPT-2's."""

    def make(folder):
        made(kind)(folder)
        toy.make_decoder(folder / "other", toy.PROMPTS, vocabulary=399, hidden=32, pad_is_end=True)
        for file in (folder / "other").glob("*token*"):
            shutil.copy(file, folder / file.name)
        shutil.rmtree(folder / "other")

    return make


def labelled(labels):
    def make(folder):
        made("llama")(folder)
        AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels).save_pretrained(folder)

    return make


def damaged(how):
    def make(folder):
        made("llama")(folder)
        file = folder / "model.safetensors"
        data = file.read_bytes()
        file.unlink()  # others may hold a link to it
        file.write_bytes(how(data))

    return make


def adapter_of_a_language_model(folder):
    made("llama")(folder / "base")
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM")).save_pretrained(folder)


def without_a_layer(folder):
    """The files are of a model with fewer layers than config.json says."""
    made("llama")(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))


RIGHT = {
    "llama": made("llama"),
    "no SDPA": made("gemma2"),
    "head with a pooler that no folder holds": made("deberta-v2"),
    "pooler lost in saving": made("bert", as_class=AutoModelForMaskedLM),
    "few positions": made("roberta", max_position_embeddings=24),
    "dropout as a number": made("opt", dropout=0.5),
    "projection changed in place": made("longformer", encoder=True, attention_window=[8, 8]),
    "mixes padding into rewards": made("fnet", encoder=True),
    "experts": made("mixtral", sliding_window=None, num_local_experts=4),
    "noise of a router that evaluation reads, too": made("phimoe", router_jitter_noise=0.3, num_local_experts=4),
    "only special token is its end": only_end("gpt_neox"),
    "pad token beyond the embedding": with_tokens("llama", pad_token="<PAD>"),
    "tokens beyond the embedding that no text holds": with_tokens("llama", additional_special_tokens=["<|x|>"]),
}
QUICK = ("head with a pooler that no folder holds", "few positions", "only special token is its end")
WAYS = [
    pytest.param(kind, method, marks=() if kind in QUICK and method == "lora" else pytest.mark.slow)
    for kind in RIGHT
    for method in ("lora", "full")
]
REFUSED = {
    "two labels": (labelled(2), "--fresh-head"),
    "torn weights": (damaged(lambda data: data[:-100]), "copy it again"),
    "pointer of Git LFS": (damaged(lambda data: b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "adapter of a language model": (adapter_of_a_language_model, "merge it first"),
    "decoder without an end token": (made("bart", encoder=True, eos_token_id=None), "no eos_token_id; set it"),
    "bound that no table shows": (made("mpt", max_seq_len=32), "set max_length = 32"),
    "missing layer": (without_a_layer, "download or save the model again"),
    "nothing there": (lambda folder: None, "name a folder"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = make_rows(24)
    write_rows(folder / "train.jsonl", rows[:16])
    write_rows(folder / "val.jsonl", rows[16:])
    return folder


def in_this_process(rank):
    """The round trip loads its folder as ever; only its imports are spared."""
    round_trip.ask = lambda task, seconds: round_trip.scores(task)


def launched(bench, data, base, run, method="lora"):
    config = bench.options(
        model=str(base),
        data__train=str(data / "train.jsonl"),
        data__val=str(data / "val.jsonl"),
        num_epochs=1,
        learning_rate=1e-2,
        method=method,
        max_length=200,
        start_check=True,
    )
    return train(run, config, 1, in_this_process)


def plain(folder):
    """As a stranger loads it."""
    torch.manual_seed(4711)
    settings = folder / "adapter_config.json"
    base = json.loads(settings.read_text())["base_model_name_or_path"] if settings.exists() else folder
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    if settings.exists():
        model = PeftModel.from_pretrained(model, folder)
        model.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
    return model.eval()


def rewards(folder, sides):
    model = plain(folder)
    with torch.no_grad():
        return [float(model(input_ids=torch.tensor([ids])).logits[0, 0]) for ids in sides]


def own_tokens(folder, row, side):
    """The card's rule for plain text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(row["prompt"] + row[side] + (tokenizer.eos_token or ""))["input_ids"]


def recipe(folder, row, side):
    """The reward that the card's own lines of Python give."""
    lines = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    names = {"FOLDER": str(folder), "prompt": row["prompt"], "answer": row[side]}
    exec(lines, names)
    return float(names["reward"])


def close(found, wanted):
    return found == pytest.approx(wanted, abs=SAME * max(1.0, *map(abs, wanted)))


def numbers(capsys, *argv):
    capsys.readouterr()
    assert export.main(["score", *map(str, argv), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found["accuracy"], found["loss"]


@pytest.mark.parametrize(("kind", "method"), WAYS)
def test_what_ends_with_0_gives_the_numbers_of_plain_libraries(
    bench, data, tmp_path, kind, method, capsys, monkeypatch
):
    RIGHT[kind](tmp_path / "base")
    world = launched(bench, data, tmp_path / "base", tmp_path / "run", method)
    assert world.codes == [0], world.log()
    model, merged = tmp_path / "run" / "model", tmp_path / "merged"
    probe = json.loads(next((tmp_path / "run").glob("checkpoints/step-*/trainer_state/probe.json")).read_text())
    rows = {row["id"]: row for row in map(json.loads, (data / "val.jsonl").open())}
    assert {one["id"] for one in probe} == rows.keys()
    sides = [ids for one in probe for ids in (one["chosen_tokens"], one["rejected_tokens"])]
    if kind != "few positions":
        own = [own_tokens(model, rows[one["id"]], side) for one in probe for side in ("chosen", "rejected")]
        assert sides == own
    wanted = rewards(model, sides)
    pairs = list(zip(wanted[::2], wanted[1::2], strict=True))
    gaps = torch.tensor([chosen - rejected for chosen, rejected in pairs], dtype=torch.float64)
    accuracy, loss = float((gaps > 0).double().mean()), float(-torch.nn.functional.logsigmoid(gaps).mean())

    evaluated = {row["id"]: row for row in map(json.loads, (tmp_path / "run/validation/epoch-1.jsonl").open())}
    assert close([evaluated[one["id"]][side] for one in probe for side in ("chosen", "rejected")], wanted)
    metrics = world.of("epoch")[0].metrics
    assert (metrics["val_acc"], metrics["val_loss"]) == (accuracy, pytest.approx(loss, abs=SAME))
    assert numbers(capsys, tmp_path / "run", data / "val.jsonl") == (accuracy, pytest.approx(loss, abs=SAME))

    monkeypatch.setattr(round_trip, "ask", lambda task, seconds: round_trip.scores(task))
    assert export.main(["merge", str(tmp_path / "run"), str(merged)]) == 0
    assert close(rewards(merged, sides), wanted)
    if kind != "few positions":
        first = rows[probe[0]["id"]]
        assert close([recipe(merged, first, side) for side in ("chosen", "rejected")], wanted[:2])
    assert numbers(capsys, merged, data / "val.jsonl") == (accuracy, pytest.approx(loss, abs=SAME))
    assert f"| 8 | {accuracy:.4f} |" in (merged / "README.md").read_text()
    assert export.main(["verify", str(tmp_path / "run")]) == (0 if world.result["verified"] else 1)
    padded = "in batches padded" in world.result.get("unverified", "")
    assert world.result["verified"] or (padded and kind == "mixes padding into rewards"), world.result


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_line_with_what_to_do(bench, data, tmp_path, kind, capfd):
    make, remedy = REFUSED[kind]
    make(tmp_path / "base")
    world = launched(bench, data, tmp_path / "base", tmp_path / "run")
    assert world.codes == [2], world.log()
    result = world.attempt / "result.json"  # what is wrong with files is found before an attempt begins
    reason = world.result["reason"] if result.exists() else capfd.readouterr().err
    assert remedy in reason and str(tmp_path / "base") in reason
    assert "Traceback" not in world.log() and not world.of("step")
    if (tmp_path / "base").exists():
        capfd.readouterr()
        assert export.main(["score", str(tmp_path / "base"), str(data / "val.jsonl"), "--json"]) != 0
        found = capfd.readouterr()
        assert not found.out and re.match(r"rmtui: .*\S", found.err) and "Traceback" not in found.err


@pytest.mark.parametrize("kind", ["llama", "deberta-v2"])
def test_a_model_whose_head_was_lost_gives_no_number(bench, data, tmp_path, kind, capsys):
    """As a copy of the body alone, or an adapter whose head was left out, would be."""
    made(kind)(tmp_path / "base")
    world = launched(bench, data, tmp_path / "base", tmp_path / "run")
    assert world.codes == [0], world.log()
    capsys.readouterr()
    from safetensors.torch import load_file, save_file

    file = tmp_path / "run" / "model" / "adapter_model.safetensors"
    weights = {name: one for name, one in load_file(file).items() if "lora_" in name}
    file.unlink()
    save_file(weights, file)
    assert export.main(["score", str(tmp_path / "run" / "model"), str(data / "val.jsonl"), "--json"]) == 2
    assert export.main(["merge", str(tmp_path / "run" / "model"), str(tmp_path / "merged")]) != 0
    assert not capsys.readouterr().out and not (tmp_path / "merged").exists()
    assert export.main(["score", str(tmp_path / "base"), str(data / "val.jsonl"), "--json"]) == 2
    assert not capsys.readouterr().out
