"""Training settings of other programs as presets: what is taken, what is not, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui import presets
from rmtui.errors import UserError
from rmtui.operations.exchange import import_preset
from rmtui.workspace import Workspace
from trainer.config import flatten

FACTORY = """
stage: rm
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
cutoff_len: 2048
per_device_train_batch_size: 1
num_train_epochs: 3.0
learning_rate: 1.0e-4
bf16: true
resume_from_checkpoint: null
"""
SECTIONS = """
train_cfgs: {epochs: 2, learning_rate: 3.e-5, lr_scheduler_type: constant_with_warmup, lr_warmup_ratio: 0.03}
model_cfgs: {model_name_or_path: some/model, model_max_length: 2048}
peft_config: {lora_r: 4}
"""
EMPTY = "num_epochs: 1\nmicro_batch_size: 1\nsequence_len: 8192\nearly_stopping_patience:\neval_steps:\n"


def imported(ws: Workspace, text: str, name: str = "c.yaml") -> tuple[dict[str, object], str]:
    """The preset's settings by dotted key, and its purpose."""
    path = ws.root / name
    path.write_text(text)
    preset, _ = import_preset(ws, path, "mine")
    return flatten(presets.find(ws, "mine").config), preset.purpose


def test_a_llama_factory_file_keeps_its_own_defaults(ws: Workspace) -> None:
    found, purpose = imported(ws, FACTORY)
    expected = {"lora.r": 8, "lora.alpha": 16, "max_length": 2048, "mixed_precision": "bf16", "num_epochs": 3}
    assert {key: found[key] for key in expected} == expected
    assert found["lora.target_modules"] == ["all-linear"] and found["batch_size"] == 1
    assert "LLaMA-Factory's default" in purpose


def test_an_alpha_that_is_given_counts(ws: Workspace) -> None:
    assert imported(ws, FACTORY + "lora_alpha: 64\n")[0]["lora.alpha"] == 64


def test_settings_are_taken_from_the_sections_of_a_training(ws: Workspace) -> None:
    found, _ = imported(ws, SECTIONS)
    expected = {"num_epochs": 2, "learning_rate": 3e-5, "lr_scheduler": "constant", "warmup_ratio": 0.03}
    expected |= {"model": "some/model", "max_length": 2048, "lora.r": 4}
    assert {key: found[key] for key in expected} == expected


def test_empty_is_not_set(ws: Workspace) -> None:
    found, _ = imported(ws, EMPTY)
    assert (found["max_length"], found["batch_size"]) == (8192, 1)
    assert found.get("eval_steps", 0) == flatten(presets.find(ws, "A").config).get("eval_steps", 0)


def test_json_is_read_like_yaml(ws: Workspace) -> None:
    assert (
        imported(ws, '{"learning_rate": 2e-5, "num_train_epochs": 1, "fp16": true}', "args.json")[0]["mixed_precision"]
        == "fp16"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nmixed_precision: bf16\n", "an accelerate config"),
        ('{"zero_optimization": {"stage": 3}, "train_batch_size": "auto"}', "a DeepSpeed configuration"),
        ("wandb_project: x\ndata_path: y\n", "no setting of a training"),
        ("sweep:\n  learning_rate: 1e-3\nnum_epochs: 2\n", "sweep.learning_rate: 1e-3"),
        ("serving: {max_length: 64, batch_size: 8}\n", "serving.batch_size: 8"),
    ],
)
def test_what_is_no_training_or_not_understood_saves_nothing(ws: Workspace, text: str, said: str) -> None:
    before = sorted(path.name for path in ws.presets.iterdir())
    path = ws.root / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        import_preset(ws, path, "mine")
    assert said in str(refused.value)
    assert sorted(path.name for path in ws.presets.iterdir()) == before


def test_a_shell_script_is_called_that(ws: Workspace) -> None:
    path = Path(ws.root / "train_rm.sh")
    path.write_text("python train.py --learning_rate 1e-5\n")
    with pytest.raises(UserError, match="is a shell script"):
        import_preset(ws, path, "mine")
