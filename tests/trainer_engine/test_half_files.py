"""A bf16 training over a base whose files are in bf16: as if they had been float32, checked at its start, resumed."""

import torch
from engine_worlds import quick_end, train
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer.loop.start_check
from trainer import manifest
from trainer.model import stored


def only_paths(rank):
    quick_end(rank)
    trainer.loop.start_check.load_plainly = lambda session: ""


def read_wide(rank):
    only_paths(rank)
    stored.format_to_keep = lambda config: None


def test_losses_are_those_of_float32_weights_and_a_resume_repeats_them(bench, tmp_path):
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(bench.model, dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(bench.model).save_pretrained(base)
    config = bench.options(model=str(base), mixed_precision="bf16", num_epochs=1, save_steps=3, start_check=True)
    kept = train(tmp_path / "kept", config, 1, only_paths)
    assert kept.codes == [0], kept.log()
    assert kept.of("fast_paths")[0].data["given_up"] == {}
    wide = train(tmp_path / "wide", config, 1, read_wide)
    assert wide.codes == [0], wide.log()
    assert kept.losses == wide.losses and len(wide.losses) == 7
    first = manifest.checkpoints(kept.run)[0]
    again = train(kept.run, config, 1, only_paths, ("--resume", first.folder))
    assert again.of("start")[0].data["exact_resume"] is True
    assert again.losses == {step: loss for step, loss in kept.losses.items() if step > first.step}
