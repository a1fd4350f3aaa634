"""What only a GPU can show: real kernels, real formats, a real run. `python3 dev.py check --gpu`."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from engine_worlds import toml

from trainer import config, manifest
from trainer.data import pairset
from trainer.data.batches import collate
from trainer.events import read_from
from trainer.model import plain, varlen
from trainer.model import reward as model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]
GPU = torch.device("cuda")
FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def trained(folder, options, *arguments):
    """A training in a process of its own; its losses in hex, and its events."""
    folder.mkdir(exist_ok=True)
    spec = folder / "spec.toml"
    spec.write_text(toml(options))
    command = [sys.executable, "-m", "trainer", "--config", str(spec), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    newest = max(folder.glob("attempt-*"), key=lambda path: int(path.name.partition("-")[2]))
    events = read_from(newest / "events.jsonl")[0]
    assert json.loads((newest / "result.json").read_text())["verified"] is True
    return {event.step: event.metrics["loss"].hex() for event in events if event.kind == "step"}, events, done.stdout


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("heads", "grouped", "size"), [(4, 4, 64), (8, 2, 64), (4, 1, 128), (6, 2, 40)])
@pytest.mark.parametrize("causal", [True, False])
def test_the_kernel_of_this_card_computes_the_blocks(dtype, heads, grouped, size, causal):
    assert varlen.trial(heads, grouped, size, GPU, FORMATS[dtype], causal, None) < varlen.AGREE


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "no"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_trains_and_what_it_saves_is_verified(bench, tmp_path, precision, method):
    _, events, said = trained(tmp_path / "run", bench.options(num_epochs=1, mixed_precision=precision, method=method))
    (start,) = [event for event in events if event.kind == "start"]
    half = start.data["precision"] != "no"
    assert ("one attention call a layer" in said) is half or torch.cuda.get_device_capability() < varlen.FIRST


def test_a_resume_is_exact_where_it_says_so(bench, tmp_path):
    options = bench.options(num_epochs=2, save_steps=3, keep_checkpoints=9, deterministic=True, mixed_precision="bf16")
    whole, *_ = trained(tmp_path / "run", options)
    early = manifest.checkpoints(tmp_path / "run")[0].folder
    again, events, _ = trained(tmp_path / "run", options, "--resume", early)
    assert next(event for event in events if event.kind == "start").data["exact_resume"] is True
    assert again == {step: loss for step, loss in whole.items() if step in again}


def test_rewards_of_a_gpu_are_the_cpus(bench):
    options = config.build(bench.options(mixed_precision="no", lora__dropout=0.0))
    reward_model, tokenizer = model.load(options)
    pairs = pairset.load_pairs(options.data.val, tokenizer, options).pairs
    batch = collate(pairs, reward_model.layout)
    with torch.inference_mode():
        on_cpu = reward_model.eval()(batch)
        assert (reward_model.to(GPU)(batch).cpu() - on_cpu).abs().max() < 1e-5 * max(1.0, float(on_cpu.abs().max()))
        way = model.choose_attention(reward_model, GPU, "bf16")
        with plain.autocast(GPU, "bf16"):
            apart = reward_model(batch)
            together = reward_model(collate(pairs, replace(reward_model.layout)))
    assert "one attention call" in way
    assert (apart - together).abs().max() < 0.05 * float(on_cpu.std())
