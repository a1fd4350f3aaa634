"""DoRA, rank-stabilized LoRA and Adafactor from launch to the end: what is saved is right, a resume is exact."""

import pytest
from engine_worlds import quick_end, train

from trainer import manifest
from trainer.model import toy
from trainer.release import merge

KINDS = {
    "dora": {"lora__dora": True},
    "dora in bf16": {"lora__dora": True, "mixed_precision": "bf16"},
    "rslora": {"lora__rslora": True},
    "adafactor": {"optimizer": "adafactor"},
    "adafactor, full": {"optimizer": "adafactor", "method": "full"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_start_check_passes_and_a_resume_is_exact(bench, tmp_path, kind):
    config = bench.options(num_epochs=1, save_steps=3, start_check=kind.startswith("dora"), **KINDS[kind])
    whole = train(tmp_path, config, 1, quick_end)
    assert whole.codes == [0], whole.log()
    assert ("fused_adapter: given up" in whole.log()) == kind.startswith("dora")
    assert ("start check: saved, and loaded" in whole.log()) == kind.startswith("dora")
    first = manifest.checkpoints(tmp_path)[0]
    resumed = train(tmp_path, config, 1, quick_end, ("--resume", first.folder))
    assert resumed.codes == [0], resumed.log()
    assert resumed.of("start")[0].data["exact_resume"] is True
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > first.step}
    assert resumed.of("epoch")[0].metrics == whole.of("epoch")[0].metrics


@pytest.mark.slow
def test_experts_go_through_the_start_check_a_resume_and_a_merge(bench, tmp_path):
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "hidden_size": 48}
    base = toy.make_family("qwen3_moe", tmp_path / "base", **sizes)
    lora = {"lora__dropout": 0.0, "lora__target_parameters": ["auto"]}
    config = bench.options(model=str(base), num_epochs=1, save_steps=3, start_check=True, **lora)
    whole = train(tmp_path / "run", config, 1, quick_end)
    assert whole.codes == [0], whole.log()
    assert "start check: saved, and loaded" in whole.log()
    assert {warning.data["id"] for warning in whole.of("warning")} <= {"max_length"}, "of the experts nothing is warned"
    first = manifest.checkpoints(whole.run)[0]
    resumed = train(whole.run, config, 1, quick_end, ("--resume", first.folder))
    assert resumed.losses == {step: loss for step, loss in whole.losses.items() if step > first.step}
    assert merge.merge(whole.run / "model", tmp_path / "merged").difference < 1e-5


def test_8_bit_states_are_refused_without_bitsandbytes_or_a_gpu(bench, tmp_path):
    refused = train(tmp_path, bench.options(optimizer="adamw8bit"), 1, quick_end)
    assert refused.codes == [2]
    assert "Traceback" not in refused.log()
