"""Whose configuration a file is, by keys that only its program has, and that program's defaults where it is silent.

Defaults are those of the programs' sources: LLaMA-Factory `hparams/`, `trl/trainer/reward_config.py` and
`model_config.py`, transformers' TrainingArguments, axolotl `utils/schemas/`, ms-swift `arguments/`, OpenRLHF
`cli/train_rm.py`, NeMo-RL `examples/configs/rm.yaml`, Megatron-SWIFT `megatron/arguments/megatron_args.py`,
DeepSpeed-Chat `training/step2_reward_model_finetuning/main.py` and `dschat/utils/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rmtui.importers.source_rows import number


@dataclass(frozen=True, slots=True)
class ConfigProducer:
    """A program that reads such a file."""

    title: str
    marks: tuple[frozenset[str], ...]
    """Sets of keys; a file with all keys of one of them is this program's."""
    defaults: Mapping[str, object]
    """Option → what the program does where the file does not say it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The program's dotted keys → options, besides the names that are known anyway."""
    lora: Mapping[str, object] = field(default_factory=dict)
    """Defaults of an adapter, where one is trained."""
    full: Mapping[str, object] = field(default_factory=dict)
    """The same where all weights are trained."""
    lora_by: frozenset[str] = frozenset()
    """Keys that say that an adapter is trained; without them and `lora_always` all weights are."""
    lora_always: bool = False


def _marks(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split()) for one in sets)


_TRAINER: dict[str, object] = {
    "num_epochs": 3,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-5,
    "warmup_ratio": 0.0,
    "lr_scheduler": "linear",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
}
"""transformers' TrainingArguments."""
_PEFT = {"lora.r": 16, "lora.alpha": 32.0, "lora.dropout": 0.05}
"""TRL's ModelConfig."""
_OPENRLHF: dict[str, object] = {
    "num_epochs": 1,
    "learning_rate": 9e-6,
    "lr_scheduler": "cosine",
    "lr_floor": 0.1,
    "warmup_ratio": 0.03,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "max_length": 512,
}
_OPENRLHF_NAMES = {
    **dict.fromkeys(("max_epochs", "train.max_epochs"), "num_epochs"),
    **dict.fromkeys(("pretrain", "model.model_name_or_path"), "model"),
    **dict.fromkeys(("max_len", "data.max_len"), "max_length"),
    **dict.fromkeys(("adam.weight_decay", "l2"), "weight_decay"),
    **dict.fromkeys(("ds.lora.target_modules", "target_modules"), "lora.target_modules"),
    **dict.fromkeys(("ds.param_dtype", "param_dtype"), "mixed_precision"),
    **dict.fromkeys(("margin_loss", "model.margin_loss_enable"), "use_margin"),
    "adam.lr": "learning_rate",
    "max_norm": "max_grad_norm",
    "min_lr_ratio": "lr_floor",
    "train.seed": "seed",
    "ds.lora.rank": "lora.r",
    "ds.lora.alpha": "lora.alpha",
    "ds.lora.dropout": "lora.dropout",
    "model.gradient_checkpointing_enable": "gradient_checkpointing",
}
"""Of its arguments with dots, and of those before them."""

PRODUCERS: tuple[ConfigProducer, ...] = (
    ConfigProducer(
        "NeMo-RL",
        _marks("policy.model_name rm.max_num_epochs", "policy.model_name policy.train_global_batch_size"),
        {"num_epochs": 1, "weight_decay": 0.1, "max_grad_norm": 1.0, "seed": 42, "max_length": 8192},
        {
            "policy.model_name": "model",
            "policy.max_total_sequence_length": "max_length",
            "policy.max_grad_norm": "max_grad_norm",
            "policy.optimizer.kwargs.lr": "learning_rate",
            "policy.optimizer.kwargs.weight_decay": "weight_decay",
            "policy.precision": "mixed_precision",
            "rm.max_num_epochs": "num_epochs",
            "rm.seed": "seed",
        },
        lora_by=frozenset({"policy.dtensor_cfg.lora_cfg.enabled", "policy.megatron_cfg.peft.enabled"}),
    ),
    ConfigProducer(
        "OpenRLHF",
        _marks("micro_train_batch_size", "train.micro_batch_size", "adam.lr data.max_len"),
        _OPENRLHF,
        _OPENRLHF_NAMES,
        {"lora.alpha": 16.0, "lora.dropout": 0.0},
        lora_by=frozenset({"lora_rank", "ds.lora.rank"}),
    ),
    ConfigProducer(
        "LLaMA-Factory",
        _marks("stage finetuning_type", "stage cutoff_len", "stage template", "stage lora_target"),
        {**_TRAINER, "max_length": 2048},
        lora={"lora.r": 8, "lora.dropout": 0.0, "lora.target_modules": ["all-linear"]},
        lora_always=True,
    ),
    ConfigProducer(
        "axolotl",
        _marks("base_model micro_batch_size", "base_model sequence_len", "base_model datasets"),
        _TRAINER | {"num_epochs": 1, "batch_size": 1, "lr_scheduler": "cosine", "max_length": 512},
        lora={"lora.dropout": 0.0},
        lora_by=frozenset({"adapter"}),
    ),
    ConfigProducer(
        "Megatron-SWIFT",
        _marks("rlhf_type global_batch_size", "swift global_batch_size"),
        {
            "lr_scheduler": "cosine",
            "warmup_ratio": 0.0,
            "weight_decay": 0.1,
            "max_grad_norm": 1.0,
            "adam_beta2": 0.95,
            "seed": 42,
        },
        {
            "train_type": "method",
            "tuner_type": "method",
            "target_modules": "lora.target_modules",
            "lr_warmup_fraction": "warmup_ratio",
            "lr_decay_style": "lr_scheduler",
            "clip_grad": "max_grad_norm",
            "max_epochs": "num_epochs",
            "save_interval": "save_steps",
            "eval_interval": "eval_steps",
        },
        {"lora.r": 8, "lora.alpha": 32.0, "lora.dropout": 0.05, "learning_rate": 1e-4},
        {"learning_rate": 1e-5},
        lora_by=frozenset({"train_type", "tuner_type"}),
    ),
    ConfigProducer(
        "DeepSpeed-Chat",
        _marks("num_padding_at_beginning", "data_path data_split", "zero_stage max_seq_len"),
        _TRAINER
        | {"num_epochs": 1, "batch_size": 16, "lr_scheduler": "cosine", "seed": 1234, "max_length": 512}
        | {"adam_beta2": 0.95, "mixed_precision": "fp16"},
        {"max_seq_len": "max_length", "lora_dim": "lora.r", "dtype": "mixed_precision"},
        {"lora.alpha": 1.0, "lora.dropout": 0.0, "lora.target_modules": ["all-linear"]},
        lora_by=frozenset({"lora_dim"}),
    ),
    ConfigProducer(
        "ms-swift",
        _marks("rlhf_type", "train_type lora_rank", "tuner_type lora_rank", "swift"),
        _TRAINER
        | {"batch_size": 1, "learning_rate": 1e-4, "lr_scheduler": "cosine", "weight_decay": 0.1, "adam_beta2": 0.95},
        {"train_type": "method", "tuner_type": "method", "target_modules": "lora.target_modules"},
        {"lora.r": 8, "lora.alpha": 32.0, "lora.dropout": 0.05, "lora.target_modules": ["all-linear"]},
        {"learning_rate": 1e-5},
        lora_always=True,
    ),
    ConfigProducer(
        "MedicalGPT",
        _marks("train_file_dir per_device_train_batch_size"),
        _TRAINER,
        lora={"lora.r": 8, "lora.alpha": 32.0, "lora.dropout": 0.05, "lora.target_modules": ["all-linear"]},
        lora_always=True,
    ),
    ConfigProducer(
        "TRL",
        _marks(
            "use_peft", "lora_task_type", "center_rewards_coefficient per_device_train_batch_size", "dataset_num_proc"
        ),
        {**_TRAINER, "learning_rate": 1e-4, "max_length": 1024, "mixed_precision": "bf16"},
        lora=_PEFT,
        lora_by=frozenset({"use_peft"}),
    ),
    ConfigProducer(
        "transformers",
        _marks("per_device_train_batch_size", "num_train_epochs learning_rate", "num_train_epochs output_dir"),
        _TRAINER,
        lora_always=True,  # whether an adapter is trained, its arguments do not say
    ),
)
"""The first that fits: TRL's and LLaMA-Factory's files have transformers' keys, too."""


def producer_of(given: Mapping[str, object], script: bool = False) -> ConfigProducer | None:
    """Whose file it is that has these dotted keys; None for rmtui's own, and for nobody's that is known.

    They may stand in a section, as `train_args`. The arguments of a `script` may be its own, with defaults of its own,
    whatever they are called: transformers' are known by `output_dir`, which they ask for.
    """
    sections = {"", *(key.rpartition(".")[0] for key in given if key.endswith(".per_device_train_batch_size"))}
    for section in sorted(sections):
        keys = {key.removeprefix(f"{section}.") for key in given if not section or key.startswith(f"{section}.")}
        found = next((one for one in PRODUCERS if any(mark <= keys for mark in one.marks)), None)
        if found is not None:
            return None if script and found.title == "transformers" and "output_dir" not in keys else found
    return None


def trains_adapter(producer: ConfigProducer, given: Mapping[str, object]) -> bool:
    """Whether the file's training is one of an adapter."""
    says = [given[key] for key in producer.lora_by if key in given]
    return producer.lora_always or any(one not in (None, "", False, 0, "false", "False", "0") for one in says)


def silent(producer: ConfigProducer, given: Mapping[str, object], flat: Mapping[str, object]) -> dict[str, object]:
    """Option → the program's default, for what the file does not say; `flat` is what it says."""
    found = {key: value for key, value in producer.defaults.items() if key not in flat}
    method = flat.get("method", "lora" if trains_adapter(producer, given) else "full")
    if "method" not in flat and not producer.lora_always:
        found["method"] = method
    of_method = producer.lora if method == "lora" else producer.full
    found |= {key: value for key, value in of_method.items() if key not in flat}
    rank = flat.get("lora.r", found.get("lora.r"))
    if producer.title == "LLaMA-Factory" and method == "lora" and "lora.alpha" not in flat and isinstance(rank, int):
        found["lora.alpha"] = 2.0 * rank
    each = flat.get("batch_size", 1)
    if producer.title == "ms-swift" and "gradient_accumulation_steps" not in flat and isinstance(each, int) and each:
        found["gradient_accumulation_steps"] = max(1, -(-16 // each))  # 16 pairs a step, here by one process
    return found


def batches(producer: ConfigProducer, given: Mapping[str, object]) -> Iterator[tuple[str, int, str]]:
    """(option, value, note) of programs that give the batch of all processes together."""
    sizes = {
        "OpenRLHF": (("train.batch_size", "train_batch_size"), ("train.micro_batch_size", "micro_train_batch_size")),
        "NeMo-RL": (("policy.train_global_batch_size",), ("policy.train_micro_batch_size",)),
        "Megatron-SWIFT": (("global_batch_size",), ("micro_batch_size",)),
    }.get(producer.title)
    if sizes is None:
        return
    whole, micro = (
        next((given[key] for key in keys if key in given), default)
        for keys, default in zip(sizes, (128, 1), strict=True)
    )
    try:
        total, each = int(str(whole)), int(str(micro))
    except ValueError:
        return
    if total > 0 and each > 0:
        yield "batch_size", each, ""
        yield (
            "gradient_accumulation_steps",
            max(1, total // each),
            f"{total} pairs a step in all: with several processes divide gradient_accumulation_steps by their number",
        )


def reckoned(
    producer: ConfigProducer, given: Mapping[str, object], flat: Mapping[str, object]
) -> Iterator[tuple[str, float, str, str]]:
    """(option, value, the key it comes from, note) of what follows from several lines of a program's file."""
    rate = flat.get("learning_rate", producer.full.get("learning_rate"))
    if producer.title == "Megatron-SWIFT" and (lowest := number(given.get("min_lr"))) and isinstance(rate, float):
        yield "lr_floor", lowest / rate, "min_lr", ""
    if producer.title == "DeepSpeed-Chat" and trains_adapter(producer, given):
        own = number(given.get("lora_learning_rate", 5e-4))
        if own:
            note = f"its adapters learn at lora_learning_rate {own:g}; the rest that it trains is frozen here"
            yield "learning_rate", own, "lora_learning_rate", note
