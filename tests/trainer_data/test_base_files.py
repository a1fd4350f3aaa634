"""Bases that cannot be loaded are refused in words, by the trainer and before anything is loaded."""

import importlib.util
import json
import shutil
import struct

import base_worlds as bases
import data_worlds as worlds
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from trainer import base_files
from trainer.config import build, check_inputs
from trainer.model import load_errors
from trainer.release import export
from trainer.spec import Refused


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return bases.make("llama", tmp_path_factory.mktemp("bases") / "llama")


@pytest.fixture
def broken(base, tmp_path):
    return shutil.copytree(base, tmp_path / "broken")


def said(folder, **options):
    """What a dry run and a start say of it."""
    problems = [one for one in check_inputs(build({"model": str(folder)} | options)) if one.key == "model"]
    return " ".join(map(str, problems))


def test_a_whole_folder_is_not_complained_of(base):
    assert said(base) == ""
    assert said("owner/a-hub-name") == "" and said("gpt2") == ""


def cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def cut_in_the_header(file):
    file.write_bytes(file.read_bytes()[:40])


def empty(file):
    file.write_bytes(b"")


def pointer(file):
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n")


def web_page(file):
    file.write_text("<!doctype html><html>404</html>" * 50)


def longer(file):
    file.write_bytes(file.read_bytes() + b"more")


def dangling(file):
    file.unlink()
    file.symlink_to("../../blobs/not-there")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (longer, "damaged"),
        (dangling, "not there"),
        (cut, "cut off"),
        (cut_in_the_header, "cut off"),
        (empty, "cut off"),
        (pointer, "Git LFS"),
        (web_page, "damaged"),
    ],
)
def test_torn_weights_are_named_before_and_at_the_start(broken, harm, words):
    file = broken / "model.safetensors"
    harm(file)
    assert str(file) in said(broken) and words in said(broken)
    with pytest.raises(Refused, match=words):
        worlds.load(broken)


def test_a_missing_shard_is_named(broken):
    model = AutoModelForCausalLM.from_pretrained(broken)
    (broken / "model.safetensors").unlink()
    model.save_pretrained(broken, max_shard_size="50kB")
    assert said(broken) == ""
    lost = sorted(broken.glob("model-*.safetensors"))[1]
    lost.unlink()
    assert lost.name in said(broken)


@pytest.mark.parametrize("kind", ["model", "pytorch_model"])
def test_parts_without_their_index_are_told_before_the_start(broken, kind):
    (broken / "model.safetensors").unlink()
    ending = "bin" if kind == "pytorch_model" else "safetensors"
    for part in (1, 3):
        one = {f"weight{part}": torch.zeros(2)}
        save = torch.save if ending == "bin" else save_file
        save(one, broken / f"{kind}-0000{part}-of-00003.{ending}")
    assert f"no {kind}.{ending}.index.json" in said(broken) and "lacks part 2 of 3" in said(broken)
    with pytest.raises(Refused, match="download or copy"):
        worlds.load(broken)


def quantize(folder):
    """As an FP8 base is published: projections in FP8 with a scale; returns the weights that it stands for."""
    held, meant = load_file(folder / "model.safetensors"), {}
    for name, one in list(held.items()):
        meant[name] = one
        if "proj" in name:
            scale = one.abs().max() / 448
            held[name] = (one / scale).to(torch.float8_e4m3fn)
            held[f"{name}_scale_inv"] = scale.reshape(1, 1)
            meant[name] = held[name].float() * scale
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps(settings))
    return meant


def test_quantized_weights_are_refused_with_a_command_that_writes_plain_ones(broken, tmp_path):
    meant = quantize(broken)
    assert "holds quantized weights (fp8)" in said(broken)
    with pytest.raises(Refused, match="write plain weights") as refused:
        worlds.load(broken)
    code = str(refused.value).partition('python -c "')[2].rstrip('"').replace("DIR", str(tmp_path / "plain"))
    exec(code.replace("dtype='bfloat16'", "dtype='float32'"), {})
    assert said(tmp_path / "plain") == ""
    written = load_file(tmp_path / "plain" / "model.safetensors")
    assert written.keys() == meant.keys()
    assert all(torch.allclose(written[name], one, rtol=0.005) for name, one in meant.items())
    made, _ = worlds.load(tmp_path / "plain")
    assert made.layout.unpadded


@pytest.mark.parametrize(("method", "words"), [("gptq", "quantized from"), ("bitsandbytes", "dequantize()")])
def test_weights_of_other_quantized_formats_are_refused_too(broken, method, words):
    settings = json.loads((broken / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": method, "bits": 4}
    (broken / "config.json").write_text(json.dumps(settings))
    assert f"({method})" in said(broken) and words in said(broken)


def test_weights_under_a_name_that_transformers_do_not_look_for_are_named(broken):
    """A variant that was downloaded alone, as diffusers name them."""
    (broken / "model.safetensors").rename(broken / "model.fp16.safetensors")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModelForCausalLM.from_pretrained(broken)
    assert "no model.safetensors" in said(broken) and "but model.fp16.safetensors" in said(broken)
    (broken / "model.fp16.safetensors").rename(broken / "model.safetensors")
    shutil.copy(broken / "model.safetensors", broken / "consolidated.safetensors")
    assert said(broken) == ""


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GGUF\3\0\0\0", ""),
        (base_files.LFS_POINTER, "pointer of Git LFS"),
        (b"", "not a GGUF"),
        (b"<html>", "not a GGUF"),
    ],
)
def test_a_gguf_file_that_is_none_is_named(tmp_path, head, words):
    (tmp_path / "weights.gguf").write_bytes(head)
    assert (words in said(tmp_path)) if words else said(tmp_path) == ""


def test_a_torch_file_that_is_a_pointer_is_named(broken):
    (broken / "model.safetensors").unlink()
    pointer(broken / "pytorch_model.bin")
    assert "pytorch_model.bin is a pointer of Git LFS" in said(broken)


def test_a_torch_file_or_an_index_that_is_cut_off_is_named(broken):
    model = AutoModelForCausalLM.from_pretrained(broken)
    (broken / "model.safetensors").unlink()
    torch.save(model.state_dict(), broken / "pytorch_model.bin")
    assert said(broken) == ""
    cut(broken / "pytorch_model.bin")
    assert "pytorch_model.bin is cut off" in said(broken)
    (broken / "model.safetensors.index.json").write_text('{"weight_map": {"a"')
    assert "model.safetensors.index.json is cut off" in said(broken)


@pytest.mark.parametrize(
    ("harm", "words"), [(cut, "cut off"), (empty, "is empty"), (pointer, "Git LFS"), (dangling, "not there")]
)
def test_a_tokenizers_file_is_named_as_well(broken, harm, words):
    file = broken / "tokenizer.json"
    harm(file)
    assert str(file) in said(broken) and words in said(broken)
    with pytest.raises(Refused, match=words):
        worlds.load(broken)


def test_a_folder_without_a_tokenizer_says_where_to_take_it_from(broken):
    (broken / "tokenizer.json").unlink()
    with pytest.raises(Refused, match=r"has no tokenizer .* copy the tokenizer's files"):
        worlds.load(broken)
    (broken / "tokenizer.model").write_bytes(
        b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02"
    )  # as sentencepiece writes
    if importlib.util.find_spec("sentencepiece") is None:
        with pytest.raises(Refused, match="pip install sentencepiece"):
            worlds.load(broken)
    (broken / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")  # as Llama 3's own
    if importlib.util.find_spec("tiktoken") is None:
        with pytest.raises(Refused, match="pip install tiktoken"):
            worlds.load(broken)


def test_weights_that_are_not_numbers_are_named_and_give_no_score(broken, tmp_path, capsys):
    AutoModelForSequenceClassification.from_pretrained(broken, num_labels=1).save_pretrained(broken)
    file = broken / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    file.unlink()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(Refused, match=r"nan in place of a reward: model.layers.1.mlp.up_proj.weight"):
        worlds.load(broken)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = 0.0
    weights["model.embed_tokens.weight"][-1] = float("inf")  # a token that only one text holds
    file.unlink()
    save_file(weights, file, metadata={"format": "pt"})
    seen = AutoTokenizer.from_pretrained(broken).decode([len(weights["model.embed_tokens.weight"]) - 1])
    rows = [*worlds.rows(2), worlds.rows(1)[0] | {"id": "odd", "chosen": seen * 3}]
    pairs = str(worlds.write_rows(tmp_path / "pairs.jsonl", rows))
    assert export.main(["score", str(broken), pairs, "--json"]) == 2
    said = capsys.readouterr()
    assert "1 of 3 lines are not finite, odd among them" in said.err and not said.out


def test_a_folder_without_weights_and_a_path_that_is_not_there(broken, tmp_path, monkeypatch):
    (broken / "model.safetensors").unlink()
    assert "has no weights" in said(broken)
    monkeypatch.chdir(tmp_path)
    assert "does not exist" in said("broken/nothere")
    assert "is a file" in said(str(broken / "config.json"))


def test_an_adapter_as_base_is_told_from_a_model_with_the_command(base, tmp_path):
    made, _ = worlds.load(base)
    made.inner.save_pretrained(tmp_path / "reward")
    assert f"rmtui merge {tmp_path / 'reward'}" in said(tmp_path / "reward")
    language = tmp_path / "sft"
    shutil.copytree(tmp_path / "reward", language)
    document = json.loads((language / "adapter_config.json").read_text())
    (language / "adapter_config.json").write_text(json.dumps(document | {"task_type": "CAUSAL_LM"}))
    assert "AutoPeftModelForCausalLM" in said(language) and str(base) in said(language)


def test_code_of_the_models_own_runs_only_when_trusted_and_is_named(broken):
    document = json.loads((broken / "config.json").read_text())
    code = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModelForSequenceClassification": "modeling_own.OwnForReward",
    }
    (broken / "config.json").write_text(json.dumps(document | {"model_type": "own_kind", "auto_map": code}))
    with pytest.raises(Refused, match=r"configuration_own.py, modeling_own.py.*trust_remote_code = true"):
        worlds.load(broken)
    assert "runs configuration_own.py, modeling_own.py" in said(broken, trust_remote_code=True)
    problems = check_inputs(build({"model": str(broken), "trust_remote_code": True}))
    assert [one.severity for one in problems if one.key == "model"] == ["warning"]


def test_an_attention_that_is_not_installed_is_told_with_both_ways_out(broken):
    settings = json.loads((broken / "config.json").read_text())
    settings["_attn_implementation"] = "flash_attention_2"
    (broken / "config.json").write_text(json.dumps(settings))
    with pytest.raises(Refused, match=r"asks for FlashAttention.* take _attn_implementation out .* pip install flash"):
        worlds.load(broken)


def test_a_model_without_a_table_of_tokens_says_so(tmp_path):
    base = bases.make("canine", tmp_path / "canine", encoder=True)
    with pytest.raises(Refused, match=r"\(canine\) has no table of token embeddings.*choose another"):
        worlds.load(base)


def test_an_architecture_without_a_classifier_says_so(tmp_path):
    base = bases.make("mamba", tmp_path / "mamba", state_size=4)
    with pytest.raises(Refused, match="has no sequence classifier"):
        worlds.load(base)


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (ModuleNotFoundError("No module named 'flash_attn'", name="flash_attn"), "pip install flash-attn"),
        (
            ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U bitsandbytes`"),
            "bitsandbytes",
        ),
        (
            ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`."),
            "tiktoken",
        ),
        (
            ImportError("Loading an optimum-quanto quantized model requires optimum-quanto (`pip install it`)"),
            "pip install optimum-quanto",
        ),
        (ImportError("LlamaConverter requires the SentencePiece library but it was not found"), "sentencepiece"),
        (ImportError("This modeling file requires the following packages: einops. Run `pip install einops`"), "einops"),
    ],
)
def test_a_missing_package_is_named_with_its_command(error, command):
    text = load_errors.explain("some/model", error)
    assert "pip install" in text and command in text


def test_scoring_an_adapter_whose_base_is_gone_or_torn_is_refused(base, tmp_path, capsys):
    here = shutil.copytree(base, tmp_path / "base")
    made, tokenizer = worlds.load(here)
    made.inner.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    rows = worlds.write_rows(tmp_path / "pairs.jsonl", worlds.rows(1))
    cut(here / "model.safetensors")
    assert export.main(["score", str(tmp_path / "adapter"), str(rows)]) == 2
    assert "model.safetensors is cut off" in capsys.readouterr().err
    shutil.rmtree(here)
    assert export.main(["score", str(tmp_path / "adapter"), str(rows)]) == 2
    assert f"{here} does not exist" in capsys.readouterr().err


def test_a_header_that_names_offsets_beyond_the_file_is_damaged(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert base_files.file_fault(file) == ""
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(15))
    assert "is cut off" in base_files.file_fault(file)
