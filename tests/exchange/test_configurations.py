"""Training settings of other programs as presets: what is taken, what is not, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui import presets
from rmtui.errors import UserError
from rmtui.importers.yaml_config import read_yaml
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
    assert "defaults of LLaMA-Factory" in purpose and "lora.alpha 16" in purpose
    assert (found["warmup_ratio"], found["gradient_accumulation_steps"], found["lora.dropout"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("lines", "ratio", "said"),
    [
        ("warmup_steps: 100\n", 0, "warmup_steps 100 has no counterpart: warmup_ratio is 0 in its place"),
        ("warmup_steps: 100\nwarmup_ratio: 0.1\n", 0.1, "warmup_steps 100 has no counterpart: warmup_ratio is 0.1"),
        ("warmup_steps: 100\nmax_steps: 400\n", 0.25, ""),
        ("warmup_steps: 0.05\n", 0.05, ""),
        ("warmup_steps: 0\n", 0, ""),
        ("warmup_steps: 0\nwarmup_ratio: 0.1\n", 0.1, ""),
    ],
)
def test_a_warm_up_in_steps_is_a_share_or_is_named_as_lost(ws: Workspace, lines: str, ratio: float, said: str) -> None:
    found, purpose = imported(ws, FACTORY + lines)
    assert found["warmup_ratio"] == ratio
    assert said in purpose and ("has no counterpart" in purpose) == bool(said)
    silent = purpose.partition("where it is silent:")[2].partition(";")[0]
    assert silent and "warmup_ratio" not in silent


NEMO = """
policy:
  model_name: org/base
  train_global_batch_size: 64
  optimizer: {name: torch.optim.AdamW, kwargs: {lr: 2.0e-6, betas: [0.9, 0.98]}}
rm: {max_num_epochs: 1}
"""


def test_adams_second_decay_is_taken_where_the_first_is_the_usual_one(ws: Workspace) -> None:
    assert imported(ws, NEMO)[0]["adam_beta2"] == 0.98
    (ws.root / "o.yaml").write_text(NEMO.replace("0.9, 0.98", "0.8, 0.98"))
    _, unknown = import_preset(ws, ws.root / "o.yaml", "other")
    assert "policy.optimizer.kwargs.betas" in unknown
    assert "adam_beta2" not in flatten(presets.find(ws, "other").config)


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
        ("model_name_or_path: some/model\ninfer_backend: vllm\n", "no setting of a training"),
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


OPENRLHF_OLD = """#!/bin/bash
MODEL=some/model
read -r -d '' training_commands <<EOF
openrlhf.cli.train_rm \\
   --train_batch_size 256 --micro_train_batch_size 2 \\
   --pretrain ${MODEL} \\
   --max_len 2048 --learning_rate 5e-6 --lora_rank 16 --bf16
EOF
# --learning_rate 1e-3 was too high
deepspeed --module $training_commands
"""
OPENRLHF_NEW = """openrlhf.cli.train_rm \\
   --train.batch_size 64 --train.micro_batch_size 1 --model.model_name_or_path some/model \\
   --ds.param_dtype bf16 --train.max_epochs 2 --data.max_len 8192 --muon.lr 0.02
"""
NEMO_RL = """
rm: {max_num_epochs: 2, max_num_steps: -1, seed: 7}
policy:
  model_name: some/model
  train_global_batch_size: 32
  train_micro_batch_size: 1
  max_total_sequence_length: 4096
  precision: bfloat16
  optimizer: {name: torch.optim.AdamW, kwargs: {lr: 2.0e-6, weight_decay: 0.01}}
  megatron_cfg: {enabled: false, optimizer: {lr: 5.0e-6}}
"""
AXOLOTL = """
base_model: some/model
reward_model: true
sequence_len: 2048
gradient_accumulation_steps: 4
num_epochs: 4
optimizer: adamw_bnb_8bit
learning_rate: 0.0002
bf16: true
fp16:
"""
TRL_FULL = "dataset_name: x/y\nuse_peft: false\nper_device_train_batch_size: 4\n"
SWIFT = (
    "NPROC_PER_NODE=2 swift rlhf --rlhf_type rm --model some/model --train_type lora \\\n"
    "  --lora_rank 4 --lr_scheduler_type foo\n"
)
HANDBOOK = """
model_name_or_path: some/model
torch_dtype: bfloat16
use_peft: true
lora_r: 64
bf16: true
learning_rate: 5.0e-06
lr_scheduler_type: cosine_with_min_lr
per_device_train_batch_size: 2
num_train_epochs: 1
max_steps: 200
dataset_mixture: {seed: 0, datasets: [{id: x/y}]}
"""
MEDICAL = """python reward_modeling.py --model_name_or_path some/model --train_file_dir ./data \\
  --per_device_train_batch_size 4 --use_peft True --lora_rank 4 --bf16 --max_source_length 1024
"""
MEGATRON = (
    "megatron rlhf --rlhf_type rm --model some/model --global_batch_size 16 --micro_batch_size 2 --tuner_type lora\n"
)
MEGATRON_RATES = (
    "megatron rlhf --rlhf_type rm --model some/model --global_batch_size 16 --tuner_type full --lr 1e-5 --min_lr 1e-6 "
    "--lr_warmup_fraction 0.05 --clip_grad 0.5\n"
)
DEEPSPEED_CHAT = (
    "deepspeed main.py --data_path some/pairs --data_split 2,4,4 --model_name_or_path some/model --max_seq_len 1024 "
    "--per_device_train_batch_size 8 --learning_rate 9.65e-6 --num_padding_at_beginning 0 --num_warmup_steps 0 "
    "--lora_dim {} --lora_module_name layers.\n"
)


@pytest.mark.parametrize(
    ("name", "text", "producer", "wanted"),
    [
        ("a.sh", OPENRLHF_OLD, "OpenRLHF", {"batch_size": 2, "gradient_accumulation_steps": 128, "model": "some/model",
         "max_length": 2048, "learning_rate": 5e-6, "lora.r": 16, "lora.alpha": 16, "mixed_precision": "bf16",
         "num_epochs": 1, "lr_scheduler": "cosine", "lr_floor": 0.1, "warmup_ratio": 0.03, "method": "lora"}),
        ("b.sh", OPENRLHF_NEW, "OpenRLHF", {"batch_size": 1, "gradient_accumulation_steps": 64, "num_epochs": 2,
         "max_length": 8192, "learning_rate": 9e-6, "mixed_precision": "bf16", "method": "full"}),
        ("c.yaml", NEMO_RL, "NeMo-RL", {"batch_size": 1, "gradient_accumulation_steps": 32, "num_epochs": 2, "seed": 7,
         "max_length": 4096, "learning_rate": 2e-6, "weight_decay": 0.01, "mixed_precision": "bf16",
         "method": "full"}),
        ("d.yaml", AXOLOTL, "axolotl", {"batch_size": 1, "num_epochs": 4, "learning_rate": 2e-4, "max_length": 2048,
         "optimizer": "adamw8bit", "lr_scheduler": "cosine", "mixed_precision": "bf16", "method": "full"}),
        ("e.yaml", TRL_FULL, "TRL", {"batch_size": 4, "learning_rate": 1e-4, "num_epochs": 3, "max_length": 1024,
         "lr_scheduler": "linear", "warmup_ratio": 0, "mixed_precision": "bf16", "method": "full"}),
        ("f.yaml", HANDBOOK, "TRL", {"lora.r": 64, "lora.alpha": 32, "lora.dropout": 0.05, "learning_rate": 5e-6,
         "lr_scheduler": "cosine", "num_epochs": 1, "method": "lora"}),
        ("g.sh", SWIFT, "ms-swift", {"lora.r": 4, "lora.alpha": 32, "lora.dropout": 0.05, "learning_rate": 1e-4,
         "batch_size": 1, "gradient_accumulation_steps": 16, "adam_beta2": 0.95, "method": "lora"}),
        ("i.sh", MEDICAL, "MedicalGPT", {"batch_size": 4, "lora.r": 4, "lora.alpha": 32, "learning_rate": 5e-5,
         "num_epochs": 3, "method": "lora"}),
        ("j.sh", MEGATRON, "Megatron-SWIFT", {"batch_size": 2, "gradient_accumulation_steps": 8, "lora.r": 8,
         "method": "lora"}),
        ("k.sh", MEGATRON_RATES, "Megatron-SWIFT", {"learning_rate": 1e-5, "lr_floor": pytest.approx(0.1),
         "lr_scheduler": "cosine", "warmup_ratio": 0.05, "max_grad_norm": 0.5, "weight_decay": 0.1,
         "adam_beta2": 0.95, "method": "full"}),
        ("l.sh", DEEPSPEED_CHAT.format(0), "DeepSpeed-Chat", {"learning_rate": 9.65e-6, "max_length": 1024,
         "batch_size": 8, "lr_scheduler": "cosine", "seed": 1234, "adam_beta2": 0.95, "method": "full"}),
        ("m.sh", DEEPSPEED_CHAT.format(128), "DeepSpeed-Chat", {"learning_rate": 5e-4, "lora.r": 128, "lora.alpha": 1,
         "lora.dropout": 0, "max_length": 1024, "mixed_precision": "fp16", "method": "lora"}),
        ("h.toml", "num_train_epochs = 2\nlearning_rate = 1e-5\n", "transformers", {"num_epochs": 2, "batch_size": 8,
         "learning_rate": 1e-5, "gradient_accumulation_steps": 1, "warmup_ratio": 0}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)  # fmt: skip
def test_a_program_keeps_its_own_defaults_where_its_file_is_silent(
    ws: Workspace, name: str, text: str, producer: str, wanted: dict[str, object]
) -> None:
    found, purpose = imported(ws, text, name)
    assert {key: found.get(key) for key in wanted} == wanted
    assert f"defaults of {producer} where it is silent" in purpose


def test_what_has_no_counterpart_is_listed(ws: Workspace) -> None:
    path = ws.root / "train.sh"
    path.write_text(SWIFT)
    preset, unknown = import_preset(ws, path, "mine")
    assert {"rlhf_type", "lr_scheduler_type: foo"} <= set(unknown)
    assert "lr_scheduler" not in preset.purpose  # the file is not silent about it


def test_bf16_that_is_off_is_not_the_programs_default(ws: Workspace) -> None:
    assert imported(ws, TRL_FULL + "bf16: false\n")[0]["mixed_precision"] == "no"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.sh", "python train.py --learning_rate $LR --num_train_epochs 1\n", "learning_rate: $LR"),
        ("a.sh", "python sft.py --learning_rate 1e-5\npython rm.py --learning_rate 9e-6\n", "several commands"),
        ("a.sh", "echo done\n", "no arguments"),
        ("training_args.bin", "x", "never opened"),
        ("a.toml", "x = = 1\n", "fix the TOML"),
    ],
)
def test_a_file_whose_values_cannot_be_known_saves_nothing(ws: Workspace, name: str, text: str, said: str) -> None:
    path = ws.root / name
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        import_preset(ws, path, "mine")
    assert said in str(refused.value)
    assert not list(ws.presets.glob("*mine*"))


def test_a_scripts_variables_count_and_nothing_is_run(ws: Workspace, tmp_path: Path) -> None:
    text = f'LR="3e-6"\nEPOCHS=2\ntouch {tmp_path}/ran\n'
    text += "python x.py --learning-rate=${LR} --num_train_epochs ${EPOCHS:-1}\n"
    found, _ = imported(ws, text, "a.sh")
    assert (found["learning_rate"], found["num_epochs"]) == (3e-6, 2)
    assert not (tmp_path / "ran").exists()


SCRIPT = "python train.py --learning_rate {} --per_device_train_batch_size 4 --num_train_epochs 2 --bf16 True\n"


@pytest.mark.parametrize(
    ("before", "value", "wanted"),
    [
        ("LR=${LR:-2e-6}\n", "$LR", 2e-6),
        ("", "${LR:-${OTHER:-2e-6}}", 2e-6),
        ("LR=3e-6  # was LR=5e-6\n", "$LR", 3e-6),
        ("LR=3e-6\n", "${LR:-2e-6}", 3e-6),
        ("echo --learning_rate 1e-3\n", "4e-6", 4e-6),
        ("N=$(python n.py --learning_rate 1e-3 $(pwd))\n", "4e-6", 4e-6),
        ("", "4e-6 # --learning_rate 1e-3", 4e-6),
    ],
)
def test_a_scripts_value_is_what_its_text_says(tmp_path: Path, before: str, value: str, wanted: float) -> None:
    path = tmp_path / "a.sh"
    path.write_text(before + SCRIPT.format(value))
    read = read_yaml(path)
    assert read.config["learning_rate"] == wanted
    assert any("is not set outside the script" in note for note in read.notes) is (wanted == 2e-6)


@pytest.mark.parametrize(
    ("before", "value"),
    [
        ("", "$(python lr.py --num_train_epochs 7)"),
        ("", "`cat lr`"),
        ("LR=$(cat lr)\n", "$LR"),
        ("LR=1e-5\nif [ $BIG ]; then\n  LR=2e-5\nfi\n", "$LR"),
        ("if [ $BIG ]; then\nLR=2e-5\nfi\n", "$LR"),
        ("LR=1e-5\nexport LR=2e-5 MORE=1\n", "$LR"),
        ("for LR in 1e-5 2e-5; do\n", "$LR"),
        ("read LR\n", "$LR"),
        ("", "'$LR'"),
        ("LR=1e-5\n", "'$LR'"),
    ],
)
def test_a_value_that_only_a_shell_would_know_is_unknown(tmp_path: Path, before: str, value: str) -> None:
    path = tmp_path / "a.sh"
    path.write_text(before + SCRIPT.format(value))
    read = read_yaml(path)
    assert "learning_rate" not in read.config and read.config["num_epochs"] == 2
    assert [line.split(":")[0] for line in read.unread] == ["learning_rate"]


def test_nothing_in_a_script_is_run(tmp_path: Path) -> None:
    path, made = tmp_path / "a.sh", tmp_path / "made"
    path.write_text(f"X=$(touch {made})\n" + SCRIPT.format(f"`touch {made}`"))
    read_yaml(path)
    assert not made.exists()


def test_a_script_says_whether_it_trains_an_adapter(tmp_path: Path) -> None:
    for flag, wanted in (("--use_lora False", "full"), ("--use_lora True", "lora"), ("--lora_enable True", "lora")):
        (tmp_path / "a.sh").write_text(f"python rm.py --num_train_epochs 2 --learning_rate 1e-5 {flag}\n")
        read = read_yaml(tmp_path / "a.sh")
        assert read.config["method"] == wanted
        assert (read.producer, read.defaults) == ("", {})  # its own defaults are nobody's else


def test_transformers_arguments_in_a_section_have_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("train_args:\n  output_dir: o\n  per_device_train_batch_size: 2\ndata: x\n")
    assert read_yaml(tmp_path / "a.yaml").defaults["lr_scheduler"] == "linear"


def test_a_file_for_generating_or_scoring_is_no_preset(ws: Workspace) -> None:
    for text in ("model_name_or_path: a/b\nbatch_size: 8\ntask: mmlu\n", "model: a/b\nmax_length: 512\ntop_p: 0.9\n"):
        with pytest.raises(UserError, match="no setting of a training"):
            imported(ws, text)


def test_a_file_of_another_stage_says_so(tmp_path: Path) -> None:
    text = "stage: {}\nfinetuning_type: lora\nlearning_rate: 1e-5\n"
    for stage, said in (("sft", True), ("rm", False)):
        (tmp_path / "a.yaml").write_text(text.format(stage))
        assert any("no reward model" in note for note in read_yaml(tmp_path / "a.yaml").notes) is said


def test_the_optimizer_and_the_floor_of_the_rate_are_read_under_transformers_names(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "output_dir: o\nnum_train_epochs: 1\noptim: paged_adamw_8bit\nlr_scheduler_type: cosine_with_min_lr\n"
        "lr_scheduler_kwargs:\n  min_lr_rate: 0.1\n"
    )
    config = flatten(read_yaml(tmp_path / "a.yaml").config)
    assert (config["optimizer"], config["lr_scheduler"], config["lr_floor"]) == ("adamw8bit", "cosine", 0.1)
