"""Sizes before anything is loaded: parameters, memory, steps and time from a model folder and a configuration.

No torch here: forms ask while a person types.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import base_files
from trainer.config import TrainConfig

PROJECTIONS = frozenset(
    (
        *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "Wo"),
        *("gate_proj", "up_proj", "down_proj", "gate_up_proj", "c_proj", "c_fc", "fc1", "fc2", "Wi"),
        *("query", "key", "value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        *("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"),
    )
)
"""Names of attention and MLP projections in the families of transformers: what target modules `auto` looks for first;
where they are too few, it takes every projection of the layers."""
ENOUGH = 0.8
"""Share of a model's weights beside its embeddings below which an adapter misses much of it."""
HEADS = ("score", "classifier")
STATE_BYTES = {"adamw": 8, "adamw8bit": 2, "adafactor": 0}
"""What an optimizer keeps for each trained weight; Adafactor's rows and columns of a matrix are few."""


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that follows from a configuration, the number of training pairs and the processes."""

    train_pairs: int
    world_size: int
    effective_batch: int
    """Pairs an optimizer step: batch_size × gradient_accumulation_steps × processes."""
    steps_per_epoch: int
    last_step_pairs: int
    """Pairs in an epoch's last step, at most the effective batch; its gradient is the mean over these."""
    total_steps: int
    warmup_steps: int
    evaluations: int
    checkpoints: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Estimated parameters and peak memory of a training. Bytes are of one process."""

    parameters: int
    trainable: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int

    @property
    def total_bytes(self) -> int:
        """Peak memory of one process, without what the runtime itself takes."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes


def derive(config: TrainConfig, train_pairs: int, world_size: int) -> Derived:
    """Steps, warm-up and counts; the trainer itself uses these numbers."""
    effective = config.batch_size * config.gradient_accumulation_steps * world_size
    per_epoch = max(1, math.ceil(train_pairs / effective))
    total = per_epoch * config.num_epochs
    return Derived(
        train_pairs=train_pairs,
        world_size=world_size,
        effective_batch=effective,
        steps_per_epoch=per_epoch,
        last_step_pairs=train_pairs - (per_epoch - 1) * effective,
        total_steps=total,
        warmup_steps=int(config.warmup_ratio * total),
        evaluations=_times(eval_every(config, per_epoch), per_epoch, config.num_epochs),
        checkpoints=_times(config.save_steps, per_epoch, config.num_epochs),
    )


def eval_every(config: TrainConfig, per_epoch: int) -> int:
    """Optimizer steps between evaluations, of an epoch of `per_epoch` steps; 0: at its end only."""
    return max(1, per_epoch // config.eval_per_epoch) if config.eval_per_epoch else config.eval_steps


def _times(every: int, per_epoch: int, epochs: int) -> int:
    """How often something happens that is due each `every` steps (0: never) and at each epoch's end."""
    if not every:
        return epochs
    total = per_epoch * epochs
    return epochs + total // every - total // math.lcm(every, per_epoch)


def seconds(derived: Derived, num_epochs: int, seconds_per_pair: float) -> float:
    """Training time from the seconds that a pair took in an earlier run on the same machine."""
    return derived.train_pairs * num_epochs * seconds_per_pair


@dataclass(frozen=True, slots=True)
class Linear:
    """One weight matrix, or a group of `copies` equal ones (a layer's, in every layer)."""

    name: str
    """The last part of the module's name: what target modules are matched with."""
    rows: int
    columns: int
    copies: int = 1

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.copies


@dataclass(frozen=True, slots=True)
class Shape:
    """A model folder's sizes, without its language-model head."""

    parameters: int
    linears: tuple[Linear, ...]
    hidden: int
    intermediate: int
    layers: int
    causal: bool


def model_shape(folder: Path | str) -> Shape | None:
    """Sizes from the safetensors headers, else from config.json (Llama-like and BERT-like models); None when neither
    tells, for a hub name, say."""
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_bytes())
        tensors = base_files.tensor_shapes(folder)
        if tensors:
            return _shape_of_tensors(config, tensors)
        return _bert(config) if config.get("model_type") == "bert" else _llama(config)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shape_of_tensors(config: Mapping[str, object], tensors: Mapping[str, list[int]]) -> Shape:
    body = {name: shape for name, shape in tensors.items() if not name.startswith(("lm_head", "cls."))}
    linears = []
    for name, shape in body.items():
        module, _, kind = name.rpartition(".")
        if kind == "weight" and len(shape) == 2 and "embed" not in module and not module.endswith(("wte", "wpe")):
            linears.append(Linear(module.rpartition(".")[2], *shape))
    return _shape(config, sum(math.prod(shape) for shape in body.values()), tuple(linears))


def _shape(config: Mapping[str, Any], parameters: int, linears: tuple[Linear, ...]) -> Shape:
    hidden = int(config.get("hidden_size") or config["n_embd"])
    causal = config.get("model_type") not in ("bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert")
    head = 0 if any(linear.name in HEADS for linear in linears) else hidden + (0 if causal else 1)
    return Shape(
        parameters=parameters + head,
        linears=linears,
        hidden=hidden,
        intermediate=int(config.get("intermediate_size") or 4 * hidden),
        layers=int(config.get("num_hidden_layers") or config["n_layer"]),
        causal=causal,
    )


def _llama(config: Mapping[str, Any]) -> Shape:
    """Llama, Mistral, Qwen and their like: gated MLP, grouped-query attention, RMS norms."""
    hidden, wide, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    keys = size * (config.get("num_key_value_heads") or heads)
    linears = (
        Linear("q_proj", size * heads, hidden, layers),
        Linear("k_proj", keys, hidden, layers),
        Linear("v_proj", keys, hidden, layers),
        Linear("o_proj", hidden, size * heads, layers),
        Linear("gate_proj", wide, hidden, layers),
        Linear("up_proj", wide, hidden, layers),
        Linear("down_proj", hidden, wide, layers),
    )
    biased = config.get("attention_bias", config.get("model_type") == "qwen2")
    biases = layers * (size * heads + 2 * keys) if biased else 0
    norms = (2 * layers + 1) * hidden
    total = config["vocab_size"] * hidden + sum(linear.parameters for linear in linears) + norms + biases
    return _shape(config, total, linears)


def _bert(config: Mapping[str, Any]) -> Shape:
    hidden, wide, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    linears = (
        *(Linear(name, hidden, hidden, layers) for name in ("query", "key", "value", "dense")),
        Linear("dense", wide, hidden, layers),
        Linear("dense", hidden, wide, layers),
        Linear("dense", hidden, hidden),  # the pooler
    )
    tables = (config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"] + 2) * hidden
    biases = layers * (5 * hidden + wide) + hidden
    norms = layers * 4 * hidden
    return _shape(config, tables + sum(linear.parameters for linear in linears) + biases + norms, linears)


def sizes(config: TrainConfig, shape: Shape) -> Sizes:
    """Parameters, and an estimate of one process's peak memory, float32 where `auto` is not resolved. Sharding over
    processes is not reckoned with.

    Activations follow what a Llama-like layer keeps for its backward pass: about 5 × hidden + 4 × intermediate numbers
    a token; with gradient checkpointing hidden numbers a token and one layer whole. A shared prefix saves more.
    """
    trainable = shape.parameters if config.method == "full" else _adapter(config, shape) + _head(shape)
    total = shape.parameters + (trainable if config.method == "lora" else 0)  # peft keeps the head's first weights too
    tokens = 2 * config.batch_size * config.max_length
    if config.batch_tokens:
        longest = 2 * config.max_length
        step = config.batch_size * config.gradient_accumulation_steps * longest
        tokens = min(step, max(config.batch_tokens, longest))
    layer = 5 * shape.hidden + 4 * shape.intermediate
    numbers = shape.layers * shape.hidden + layer if config.gradient_checkpointing else shape.layers * layer
    half = config.mixed_precision in ("bf16", "fp16")
    frozen = sum(linear.parameters for linear in shape.linears) if config.method == "lora" and half else 0
    return Sizes(
        parameters=total,
        trainable=trainable,
        weights_bytes=4 * total - 2 * frozen,
        gradients_bytes=4 * trainable,
        optimizer_bytes=STATE_BYTES[config.optimizer] * trainable,
        activations_bytes=tokens * numbers * (2 if half else 4),
    )


def _head(shape: Shape) -> int:
    return shape.hidden + (0 if shape.causal else 1)


def _adapter(config: TrainConfig, shape: Shape) -> int:
    """r × (in + out) for each target module, and with DoRA its out magnitudes."""
    names = config.lora.target_modules
    body = [linear for linear in shape.linears if linear.name not in HEADS]
    if names == ["auto"]:
        known = [linear for linear in body if linear.name in PROJECTIONS]
        enough = sum(linear.parameters for linear in known) >= ENOUGH * sum(linear.parameters for linear in body)
        chosen = known if known and enough else body
    elif names == ["all-linear"]:
        chosen = body
    else:
        chosen = [linear for linear in body if any(name.rpartition(".")[2] == linear.name for name in names)]
    magnitudes = sum(linear.rows * linear.copies for linear in chosen) if config.lora.dora else 0
    return sum(config.lora.r * (linear.rows + linear.columns) * linear.copies for linear in chosen) + magnitudes
