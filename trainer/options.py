"""The option table of the trainer, once: key, type, default, unit, help and range of every option.

The form, the TOML presets, `--set`, the command line and the reference in docs/ all come from here; `trainer.config`
reads and checks values by it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

SCHEMA_VERSION = 1
"""Version of the [config] table in spec.toml."""

_META = "option"


@dataclass(frozen=True, slots=True)
class Meta:
    """What a person has to know about an option, beside its name, type and default."""

    help: str
    unit: str = ""
    low: float | None = None
    """Smallest possible value; anything below is refused."""
    high: float | None = None
    open_low: bool = False
    """The range excludes `low` itself."""
    usual: tuple[float, float] | None = None
    """Outside this range a value is possible but unusual, and warned of."""
    choices: tuple[str, ...] = ()
    group: str = "training"
    advanced: bool = False
    """Hidden from the form until asked for."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the option table; `key` is dotted (`lora.r`), as in --set and TOML."""

    key: str
    type: str
    """int, float, str, bool, names (list of str) or table (str → str)."""
    default: Any
    meta: Meta


def _option(default: Any, help: str, **more: Any) -> Any:
    meta = {_META: Meta(help=help, **more)}
    if isinstance(default, (list, dict)):
        return field(default_factory=default.copy, metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFiles:
    """The pair files of a run. Paths are absolute once a run is launched."""

    train: str = _option(
        "", "training pairs: a file, a folder of shards, or hf:org/name:config@split on the hub", group="data"
    )
    val: str = _option("", "file or folder of validation pairs; this set chooses the best checkpoint", group="data")
    extra_val: dict[str, str] = _option(
        {}, "further validation sets, name → file, scored at each evaluation", group="data"
    )
    test: str = _option(
        "", "sealed test pairs: no training looks at them; rmtui test scores one finalist on them", group="data"
    )
    source: list[str] = _option(
        [],
        "several training files in place of data.train, each FILE;weight=W;limit=N: W passes over it an epoch",
        group="data",
        advanced=True,
    )
    fields: dict[str, str] = _option(
        {},
        "fields of the files, ours → theirs (chosen = good, rejected = bad), where they are not recognised",
        group="data",
        advanced=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """LoRA adapter (Hu et al. 2021, arXiv 2106.09685): W + (alpha / r) · B·A on each target module."""

    r: int = _option(32, "rank of the adapter matrices", low=1, high=1024, usual=(4, 256), group="lora")
    alpha: float = _option(
        64.0,
        "scale; the update is multiplied by alpha / r",
        low=0,
        open_low=True,
        high=4096,
        usual=(1, 512),
        group="lora",
    )
    dropout: float = _option(
        0.1, "dropout on the adapter's input while training", low=0, high=0.95, usual=(0, 0.3), group="lora"
    )
    target_parameters: list[str] = _option(
        [],
        "experts of MoE models that are parameters and not linear layers: auto, or name endings like "
        "mlp.experts.down_proj; peft computes them without dropout, so lora.dropout has to be 0",
        group="lora",
        advanced=True,
    )
    dora: bool = _option(
        False,
        "DoRA: train a weight's magnitude beside its direction (arXiv 2402.09353); slower, without fused_adapter",
        group="lora",
        advanced=True,
    )
    rslora: bool = _option(
        False,
        "rank-stabilized scale alpha / √r in place of alpha / r (arXiv 2312.03732)",
        group="lora",
        advanced=True,
    )
    target_modules: list[str] = _option(
        ["auto"],
        "modules that get an adapter: auto (projections of the layers, as modules show), all-linear, or name endings",
        group="lora",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """The whole configuration of a training. Field order is the order of forms and references."""

    model: str = _option("", "pretrained model: a local folder or a hub name", group="model")
    data: DataFiles = field(default_factory=DataFiles)
    num_epochs: int = _option(3, "passes over the training pairs", unit="epochs", low=1, high=1000, usual=(1, 10))
    learning_rate: float = _option(
        1.5e-5, "peak rate of AdamW, after warm-up", low=0, open_low=True, high=1, usual=(1e-6, 1e-3)
    )
    batch_size: int = _option(4, "pairs a process and forward pass", unit="pairs", low=1, high=4096, usual=(1, 128))
    gradient_accumulation_steps: int = _option(
        2, "forward passes summed into one optimizer step", low=1, high=4096, usual=(1, 64)
    )
    batch_tokens: int = _option(
        0,
        "tokens a process and forward pass, at most (padding counts, a shared prefix once): a step's pairs are cut by "
        "these in place of batch_size, and their number stays; a longer pair goes alone. 0: by batch_size",
        unit="tokens",
        low=0,
        high=10**8,
        group="speed",
        advanced=True,
    )
    warmup_ratio: float = _option(
        0.1, "share of the steps in which the rate rises; int(ratio × steps)", low=0, high=1, usual=(0, 0.3)
    )
    lr_scheduler: str = _option(
        "linear",
        "shape of the rate after warm-up; wsd: constant, then a linear decay over the last steps",
        choices=("linear", "cosine", "constant", "wsd"),
    )
    lr_floor: float = _option(
        0.0,
        "share of the peak rate that linear, cosine and wsd end at",
        low=0,
        high=1,
        usual=(0, 0.5),
        advanced=True,
    )
    lr_decay_ratio: float = _option(
        0.2, "share of the steps in which wsd decays; int(ratio × steps)", low=0, high=1, advanced=True
    )
    lora: Lora = field(default_factory=Lora)
    method: str = _option("lora", "train a LoRA adapter, or all weights", choices=("lora", "full"), group="model")
    init_from: str = _option(
        "",
        "weights to start from: a run (its best checkpoint), or the folder of a checkpoint, an adapter (peft) or a "
        "reward model; adapter and head go on from there, optimizer and schedule start anew",
        group="model",
        advanced=True,
    )
    fresh_head: bool = _option(
        False,
        "put a new head on the model's body, also where it has one (a classifier with several labels, say)",
        group="model",
        advanced=True,
    )
    head_init: str = _option(
        "default",
        "weights of a new head's last layer: default, as the model's own code draws them; scaled, normal with 1 / "
        "√(inputs + 1) (arXiv 2009.01325); zero",
        choices=("default", "scaled", "zero"),
        group="model",
        advanced=True,
    )
    resize_embeddings: bool = _option(
        False,
        "give the model rows for tokens that its tokenizer has beyond the embedding; they start at the mean of the "
        "others, and LoRA trains them whole",
        group="model",
        advanced=True,
    )
    trust_remote_code: bool = _option(
        False,
        "run Python files that come with the model (InternLM2-reward, say): they can do whatever you can",
        group="model",
        advanced=True,
    )
    max_length: int = _option(
        512,
        "tokens a side; longer prompts lose their left end",
        unit="tokens",
        low=8,
        high=1_048_576,
        usual=(64, 32_768),
        group="data",
    )
    overlong: str = _option(
        "drop",
        "training pairs with an answer that alone is longer than max_length: drop, as TRL does, or cut (the end token "
        "stays); evaluation cuts. cut_end loses the end token, too: runs from before this option",
        choices=("drop", "cut", "cut_end"),
        group="data",
        advanced=True,
    )
    optimizer: str = _option(
        "adamw",
        "adamw; adafactor: no first moment, factored second ones (arXiv 1804.04235); adamw8bit: 8-bit states "
        "(bitsandbytes, CUDA), whose resume is not exact to the bit",
        choices=("adamw", "adamw8bit", "adafactor"),
        advanced=True,
    )
    weight_decay: float = _option(0.0, "decoupled weight decay of AdamW", low=0, high=1, usual=(0, 0.2))
    adam_beta2: float = _option(
        0.999,
        "decay of AdamW's mean of squared gradients",
        low=0,
        high=0.999999,
        usual=(0.9, 0.9999),
        advanced=True,
    )
    max_grad_norm: float = _option(
        1.0, "gradients are scaled down to this norm; 0 switches it off", low=0, high=1e6, usual=(0, 10)
    )
    seed: int = _option(42, "seed of initialisation, order and dropout", low=0, high=2**32 - 1)
    mixed_precision: str = _option(
        "auto",
        "number format of the forward pass; auto: bf16 on GPUs that have it, else no; head and loss stay float32",
        choices=("auto", "no", "bf16", "fp16"),
        group="speed",
    )
    tf32: bool = _option(
        False,
        "float32 matrix products on GPUs in TF32: faster, three decimal digits",
        group="speed",
        advanced=True,
    )
    gradient_checkpointing: bool = _option(
        False, "recompute activations in the backward pass: less memory, more time", group="speed"
    )
    eval_steps: int = _option(
        0,
        "optimizer steps between evaluations; 0: at each epoch's end",
        unit="steps",
        low=0,
        high=10**9,
        group="evaluation",
    )
    eval_per_epoch: int = _option(
        0,
        "evaluations an epoch, in place of eval_steps; 0: as eval_steps says",
        unit="evaluations",
        low=0,
        high=1000,
        group="evaluation",
    )
    eval_at_start: bool = _option(
        False,
        "evaluate before the first step, too: what training changed is measured against it",
        group="evaluation",
    )
    eval_train: int = _option(
        0,
        "training pairs, always the same, that are scored at each epoch's end as the validation pairs are; 0: none",
        unit="pairs",
        low=0,
        high=10**6,
        group="evaluation",
        advanced=True,
    )
    eval_batch_size: int = _option(
        0,
        "pairs a process and evaluation pass; 0: twice batch_size",
        unit="pairs",
        low=0,
        high=4096,
        group="evaluation",
    )
    eval_tokens: int = _option(
        0,
        "tokens a process and evaluation pass, at most, in place of eval_batch_size; a longer pair goes alone. 0: by "
        "eval_batch_size",
        unit="tokens",
        low=0,
        high=10**8,
        group="evaluation",
        advanced=True,
    )
    best_metric: str = _option(
        "val_acc",
        "metric that chooses the best checkpoint",
        choices=("val_acc", "val_loss"),
        group="evaluation",
    )
    early_stopping_patience: int = _option(
        0,
        "evaluations without a better value before the run ends; 0: never",
        unit="evaluations",
        low=0,
        high=10_000,
        group="evaluation",
    )
    save_steps: int = _option(
        0,
        "optimizer steps between checkpoints; 0: at each epoch's end",
        unit="steps",
        low=0,
        high=10**9,
        group="checkpoints",
    )
    save_minutes: float = _option(
        0.0,
        "minutes after which a checkpoint is saved, whatever the steps; 0: never (jobs of a cluster: 15)",
        unit="minutes",
        low=0,
        high=10**6,
        group="checkpoints",
        advanced=True,
    )
    keep_checkpoints: int = _option(
        2, "newest checkpoints that are kept, beside the best", low=1, high=10_000, group="checkpoints"
    )
    start_check: bool = _option(
        True,
        "before the first step, save the model and load it in a fresh process by plain transformers and peft",
        group="checkpoints",
        advanced=True,
    )
    use_margin: bool = _option(
        False,
        "subtract the pair's `margin` field inside the loss (Llama 2, arXiv 2307.09288)",
        group="loss",
        advanced=True,
    )
    label_smoothing: float = _option(
        0.0, "share of labels taken as swapped", low=0, high=0.49, usual=(0, 0.2), group="loss", advanced=True
    )
    center_rewards_coefficient: float = _option(
        0.0,
        "weight of (r_chosen + r_rejected)², which keeps rewards near 0 (arXiv 2312.09244)",
        low=0,
        high=100,
        usual=(0, 0.1),
        group="loss",
        advanced=True,
    )
    chat_template: str = _option(
        "auto",
        "auto: the tokenizer's template for message lists; none: plain text",
        choices=("auto", "none"),
        group="data",
        advanced=True,
    )
    score_at: str = _option(
        "last",
        "token of a dialogue in a chat template that is scored: last, whatever the template writes last (a line "
        "break, say), as TRL does; end, its end token: what follows is left off, and where the template writes none "
        "the tokenizer's is added",
        choices=("last", "end"),
        group="data",
        advanced=True,
    )
    doubled_bos: str = _option(
        "drop",
        "plain text that begins with the tokenizer's first token (BOS) itself: drop the one that the tokenizer adds, "
        "or keep both: runs from before this option",
        choices=("drop", "keep"),
        group="data",
        advanced=True,
    )
    share_prefix: bool = _option(
        True,
        "compute the tokens both answers share once (decoder models; arXiv 2410.20305)",
        group="speed",
        advanced=True,
    )
    unpadded: bool = _option(
        True, "lay sequences end to end instead of padding them to one length", group="speed", advanced=True
    )
    fused_adapter: bool = _option(
        True, "compute a layer and its adapter as one function: less memory and time", group="speed", advanced=True
    )
    fused_norm: bool = _option(
        True, "compute a frozen RMSNorm as one function: less memory and time", group="speed", advanced=True
    )
    trim_last_layer: bool = _option(
        True, "compute the last layer for the scored tokens only", group="speed", advanced=True
    )
    group_by_length: bool = _option(
        True, "draw batches of similar length from shuffled windows", group="speed", advanced=True
    )
    token_cache: bool = _option(True, "keep tokenized pairs by content hash between runs", group="speed", advanced=True)
    deterministic: bool = _option(
        False, "deterministic kernels on GPUs: slower, resumes to the bit", group="speed", advanced=True
    )
    trackers: list[str] = _option(
        [], "live mirrors through accelerate: tensorboard, wandb, trackio", group="speed", advanced=True
    )


def options() -> tuple[Option, ...]:
    """The table, in field order, nested tables flattened to dotted keys."""
    return tuple(_walk(TrainConfig, ""))


def _walk(cls: Any, prefix: str) -> Iterator[Option]:
    hints = typing.get_type_hints(cls)
    for item in fields(cls):
        kind = hints[item.name]
        if is_dataclass(kind):
            yield from _walk(kind, f"{prefix}{item.name}.")
            continue
        factory = item.default_factory
        default = item.default if factory is dataclasses.MISSING else factory()
        yield Option(f"{prefix}{item.name}", _type_name(kind), default, item.metadata[_META])


def _type_name(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is list:
        return "names"
    if origin is dict:
        return "table"
    assert not isinstance(kind, types.UnionType), kind
    return str(kind.__name__)


OPTIONS: dict[str, Option] = {option.key: option for option in options()}
