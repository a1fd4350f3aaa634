"""Rewards as plain transformers and peft compute them, which is what a saved folder promises to its users.

Nothing of the trainer's own computing is in the way; the round trip and merge run this in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainer.model import stored
from trainer.model.fused_lora import FORMATS
from trainer.model.lora import format_to_read
from trainer.model.pretrained import gguf_file

SIDES = ("right", "left")
OF_SPREAD = {"no": 1e-3, "bf16": 0.1, "fp16": 0.05}
"""Share of the rewards' spread by which another path of the same sum may differ, by mixed precision."""
TF32 = 0.02
"""The same as the first with TF32 products."""
OF_SIZE = {"no": 5e-6, "bf16": 0.02, "fp16": 0.004}
"""The same as a share of the largest reward: some units in the last place of the format."""


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A saved folder, loaded as its users load it."""

    model: Any
    tokenizer: Any
    device: torch.device

    def alone(self, sides: Sequence[Sequence[int]]) -> list[float]:
        """The reward of each token sequence, one at a time."""
        with torch.inference_mode():
            return [self._rewards(torch.tensor([list(side)]), None)[0] for side in sides]

    def padded(self, sides: Sequence[Sequence[int]], padding_side: str) -> list[float] | None:
        """The rewards of all sequences in one batch; None where the model or tokenizer cannot make one."""
        try:
            batch = self.tokenizer.pad(
                {"input_ids": [list(side) for side in sides]}, padding_side=padding_side, return_tensors="pt"
            )
            with torch.inference_mode():
                return self._rewards(batch["input_ids"], batch["attention_mask"])
        except (ValueError, RuntimeError, IndexError, TypeError):
            return None

    def _rewards(self, ids: torch.Tensor, mask: torch.Tensor | None) -> list[float]:
        more = {} if mask is None else {"attention_mask": mask.to(self.device)}
        logits: torch.Tensor = self.model(input_ids=ids.to(self.device), **more).logits
        return [float(one) for one in logits[:, 0].float()]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A forward pass in `no`, `bf16` or `fp16`."""
    return torch.autocast(device.type, dtype=FORMATS.get(precision), enabled=precision in FORMATS)


def load(folder: Path, device: torch.device, trusted: bool = False, mapped: bool = False) -> PlainModel:
    """The recipe of the model card: for an adapter its base, the adapter over it, and the tokenizer's pad token.
    `mapped`: such a base in half precision stays as its files are where it can, and is float32 in calls."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
    settings = folder / "adapter_config.json"
    base = str(json.loads(settings.read_bytes())["base_model_name_or_path"]) if settings.is_file() else str(folder)
    kept = format_to_read(Path(base), folder) if mapped else None
    model = _classifier(base, trusted, kept or torch.float32)
    if kept and not (hasattr(model, "score") and stored.computes(model)):
        kept, model = None, _classifier(base, trusted, torch.float32)
    if settings.is_file():
        if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:  # as peft's AutoPeftModel does
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        if kept:
            stored.read_only(model)
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        model = PeftModel.from_pretrained(model, folder)
    return PlainModel(model.to(device).eval(), tokenizer, device)


def _classifier(base: str, trusted: bool, dtype: torch.dtype) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, dtype=dtype, trust_remote_code=trusted, **gguf_file(base)
    )


def tolerance(rewards: Sequence[float], precision: str, tf32: bool = False) -> float:
    """How far the same rewards may differ when they are computed on another path: relative to their spread and
    size, since that is what rounding is relative to, and what a wrong head is not."""
    spread, size = max(rewards) - min(rewards), max(map(abs, rewards))
    of_spread = max(OF_SPREAD[precision], TF32 if tf32 else 0.0)
    return max(of_spread * spread, OF_SIZE[precision] * size, 1e-7)


def largest_difference(one: Sequence[float], other: Sequence[float] | None) -> float | None:
    """Between two lists of rewards; None where one of them is missing or not finite."""
    if other is None:
        return None
    gaps = [abs(left - right) for left, right in zip(one, other, strict=True)]
    return max(gaps) if all(gap == gap for gap in gaps) else None
