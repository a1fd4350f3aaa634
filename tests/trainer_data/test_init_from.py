"""A training that goes on from an adapter or a reward model begins with its rewards, or is refused in words. The
reference is plain transformers and peft."""

import json
import shutil

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from trainer.config import build, check_inputs
from trainer.data.batches import collate
from trainer.loop import setup
from trainer.loop.start_check import nudged
from trainer.model import plain
from trainer.spec import Refused

PAIRS = worlds.token_pairs(4)
SIDES = [side.tolist() for side in (*(pair.chosen for pair in PAIRS), *(pair.rejected for pair in PAIRS))]
RANK = {"r": 4, "dropout": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bases.make("llama", tmp_path_factory.mktemp("bases") / "llama")


def saved(base, folder, **changes):
    """What a training of this program leaves."""
    made, tokenizer = worlds.load(base, **changes)
    with nudged(made, seed=5):
        made.inner.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def foreign_adapter(base, folder, **changes):
    """What peft alone leaves, with settings that no option here has."""
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    settings = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=64, target_modules=["q_proj", "down_proj"], **changes)
    made = get_peft_model(model, settings)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def start(model, folder, **changes):
    return setup.load_model(worlds.config(model, init_from=str(folder), **{"lora": RANK, **changes}))[0].eval()


def assert_begins_with_its_rewards(made, folder):
    with torch.inference_mode():
        found = made(collate(PAIRS, made.layout)).tolist()
    expected = plain.load(folder, torch.device("cpu")).alone(SIDES)
    assert plain.largest_difference(found, expected) <= plain.tolerance(expected, "no")
    assert max(expected) - min(expected) > 0.01


def said(model, folder, **changes):
    given = {"model": str(model), "init_from": str(folder), "lora": RANK, **changes}
    return " ".join(str(one) for one in check_inputs(build(given)) if one.key == "init_from")


def test_an_adapter_goes_on_bit_by_bit(base, tmp_path):
    folder = saved(base, tmp_path / "first", seed=7)
    made = start(base, folder)
    assert_begins_with_its_rewards(made, folder)
    again = saved_weights(made, tmp_path / "again")
    assert all(torch.equal(weight, again[name]) for name, weight in saved_weights_of(folder).items())


def saved_weights(made, folder):
    made.inner.save_pretrained(folder)
    return saved_weights_of(folder)


def saved_weights_of(folder):
    return load_file(next(folder.glob("*.safetensors")))


@pytest.mark.parametrize("form", ["patterns", "torch file", "head in half precision"])
def test_adapters_of_others_go_on_as_peft_computes_them(base, tmp_path, form):
    more = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {"q_proj": 3}} if form == "patterns" else {}
    folder = foreign_adapter(base, tmp_path / "theirs", **more)
    file = folder / "adapter_model.safetensors"
    if form == "torch file":
        torch.save(load_file(file), folder / "adapter_model.bin")
        file.unlink()
    if form == "head in half precision":
        save_file({name: weight.bfloat16() for name, weight in load_file(file).items()}, file, {"format": "pt"})
    assert said(base, folder) == ""
    made = start(base, folder)
    assert_begins_with_its_rewards(made, folder)
    made.inner.save_pretrained(tmp_path / "again")
    shutil.copy(folder / "tokenizer_config.json", tmp_path / "again")
    shutil.copy(folder / "tokenizer.json", tmp_path / "again")
    assert_begins_with_its_rewards(made, tmp_path / "again")


@pytest.mark.parametrize("kind", ["bert", "deberta-v2"])
def test_a_head_of_several_parts_goes_on_whole(kind, tmp_path):
    more = {"as_class": AutoModelForCausalLM, "is_decoder": False} if kind == "bert" else {}
    base = bases.make(kind, tmp_path / "base", encoder=True, **more)
    folder = saved(base, tmp_path / "first", seed=7)
    assert_begins_with_its_rewards(start(base, folder, seed=8), folder)
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: one for name, one in weights.items() if "pooler" not in name}, file, {"format": "pt"})
    with pytest.raises(Refused, match="pooler"):
        start(base, folder)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_whole_reward_model_goes_on(base, tmp_path, method):
    folder = saved(base, tmp_path / "first", method="full")
    assert said(folder, folder, method=method) == ""
    assert_begins_with_its_rewards(start(folder, folder, method=method, seed=9), folder)


def test_the_tokenizer_that_lies_with_the_weights_reads_the_texts(base, tmp_path):
    folder = saved(base, tmp_path / "first")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "{{ messages }}"}))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = worlds.config(base, init_from=str(folder), lora=RANK)
    assert setup.load_model(config)[1].chat_template == "{{ messages }}"


def test_other_bases_ranks_scales_and_targets_are_refused(base, tmp_path):
    folder = saved(base, tmp_path / "first")
    assert said(base, folder) == ""
    assert f"over {base}, not over {tmp_path}" in said(tmp_path, folder)
    assert "--set lora.r=4" in said(base, folder, lora={"r": 8})
    assert "lora.alpha = 64" in said(base, folder, lora={"r": 4, "alpha": 8.0})
    assert "not on q_proj" in said(base, folder, lora={"r": 4, "target_modules": ["q_proj"]})
    assert "--set lora.dora=false" in said(base, folder, lora={"r": 4, "dora": True})
    assert "rmtui merge" in said(base, folder, method="full")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "IA3 adapter"),
        ({"task_type": "CAUSAL_LM"}, "no reward head"),
        ({"init_lora_weights": "pissa"}, "changes the base's weights"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"bias": "lora_only"}, "bias = lora_only"),
    ],
)
def test_adapters_of_another_kind_are_refused(base, tmp_path, change, words):
    folder = saved(base, tmp_path / "first")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | change))
    assert words in said(base, folder)


def test_weights_without_a_head_torn_ones_and_several_labels_are_refused(base, tmp_path):
    folder = saved(base, tmp_path / "first")
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: one for name, one in weights.items() if "lora_" in name}, file, {"format": "pt"})
    assert "no reward head" in said(base, folder)
    save_file(weights | {"base_model.model.score.weight": torch.zeros(3, 64)}, file, {"format": "pt"})
    assert "3 outputs" in said(base, folder)
    file.write_bytes(file.read_bytes()[:-500])
    assert "cut off" in said(base, folder)
    file.unlink()
    assert "has no weights" in said(base, folder)


def test_models_that_are_no_reward_models_are_refused(base, tmp_path):
    assert "no reward head" in said(base, base)
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=3).save_pretrained(tmp_path / "labels")
    assert "3 outputs" in said(tmp_path / "labels", tmp_path / "labels")
    whole = saved(base, tmp_path / "whole", method="full")
    assert "goes over it" in said(base, whole)
    assert "leave model out" in said(base, whole, method="full")
    assert "fresh_head" in said(whole, whole, fresh_head=True)
    assert "does not exist" in said(base, tmp_path / "nowhere")
    assert "neither" in said(base, tmp_path)
    headless = tmp_path / "headless"
    shutil.copytree(base, headless)
    document = json.loads((headless / "config.json").read_text())
    (headless / "config.json").write_text(json.dumps(document | {"architectures": ["LlamaForSequenceClassification"]}))
    with pytest.raises(Refused, match="score"):
        start(headless, headless)


def test_other_files_beside_an_adapter_are_not_taken_for_it(base, tmp_path):
    folder = saved(base, tmp_path / "first")
    save_file({"score.weight": torch.zeros(3, 64)}, folder / "other.safetensors", {"format": "pt"})
    assert said(base, folder) == ""
    made = start(base, folder)
    (folder / "other.safetensors").unlink()
    assert_begins_with_its_rewards(made, folder)


def test_an_adapter_given_as_base_names_the_option(base, tmp_path):
    folder = saved(base, tmp_path / "first")
    problems = check_inputs(build({"model": str(folder)}))
    assert any(f"--init-from {folder}" in str(one) for one in problems if one.key == "model")
