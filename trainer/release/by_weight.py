"""A merged model, written weight by weight: the base stays mapped where its files are, and one adapted layer at a time
is float32 in memory. The files are those that merging the whole model and `save_pretrained` would write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from trainer.model.stored import posing
from trainer.spec import Refused

FORMATS = {torch.float32: "F32", torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL"}
"""What a classifier's float32 state dict holds, as safetensors names it."""
FILE, INDEX, SHARD = "model{suffix}.safetensors", "model.safetensors.index.json", "50GB"
"""As in save_pretrained."""
AT_ONCE = 1 << 22
"""Numbers that are widened at a time."""
GIB = 1 << 30

Weights = Mapping[str, Tensor]
"""Name → weight in the format that it is held in, or, on `meta`, that it is written in."""
Ready = Callable[[str], Tensor]
"""Name in the file → the weight that belongs there, merged."""


def write(inner: nn.Module, out: Path) -> None:
    """Write weights and configuration of a classifier, or of a PeftModel around one, whose adapter is merged. `inner`
    is used up. Raises Refused where the disk has no room for them."""
    if isinstance(inner, PeftModel) and not _plain(inner):
        inner.merge_and_unload(safe_merge=True).save_pretrained(out)
        return
    classifier: Any = inner.get_base_model() if isinstance(inner, PeftModel) else inner
    adapted = {name: layer for name, layer in classifier.named_modules() if isinstance(layer, LoraLayer)}
    if isinstance(inner, PeftModel):
        classifier = inner.unload()
    held = _in_files(classifier)
    if held is None:
        _whole(classifier, adapted.values()).save_pretrained(out)
        return
    layers = {f"{name}.{part}": layer for name, layer in adapted.items() for part in ("weight", "bias")}
    state = classifier.state_dict()

    def ready(name: str) -> Tensor:
        own = held[name]
        return _merged(layers[own], own) if own in layers else state[own]

    with posing(one for one in classifier.parameters() if one.is_floating_point()):
        classifier.save_pretrained(out, state_dict={})  # first: it clears away files of weights
    _write_files(classifier, {name: _as_written(state[own]) for name, own in held.items()}, ready, out)


def _plain(inner: PeftModel) -> bool:
    """Whether each part of the adapter is merged into the weight of one layer by itself."""
    found: list[Any] = [one for one in inner.modules() if isinstance(one, BaseTunerLayer)]
    return all(
        isinstance(one, LoraLayer)
        and type(one) is not ParamWrapper
        and not isinstance(one.get_base_layer(), (nn.Embedding, nn.MultiheadAttention))
        for one in found
    )


def _in_files(classifier: Any) -> dict[str, str] | None:
    """Name in a saved file → name in the model, as save_pretrained has it; None where a file's weight is not one of the
    model's (experts that are stacked as they are loaded, say), or of a format that is not known here."""
    state = classifier.state_dict()
    names = {id(weight): name for name, weight in state.items()}
    ignored = {*(classifier._keys_to_ignore_on_save or ())}
    saved = remove_tied_weights_from_state_dict(
        {name: weight for name, weight in state.items() if name not in ignored}, classifier
    )
    kept = len(saved)
    found = {name: names.get(id(weight), "") for name, weight in revert_weight_conversion(classifier, saved).items()}
    known = all(own and _as_written(state[own]).dtype in FORMATS for own in found.values())
    return found if known and len(found) == kept else None


def _as_written(weight: Tensor) -> Tensor:
    """Shape and format in the file."""
    return torch.empty(weight.shape, dtype=torch.float32 if weight.is_floating_point() else weight.dtype, device="meta")


def _merged(layer: Any, name: str) -> Tensor:
    """The adapted layer's weight of this name (its ending) with its adapter in it, float32; the layer is as before."""
    base, part = layer.get_base_layer(), name.rpartition(".")[2]
    kept = {one: weight.data for one, weight in base.named_parameters(recurse=False)}
    try:
        for weight in base.parameters(recurse=False):
            weight.data = weight.data.float()
        layer.merge(safe_merge=True)
        found: Tensor = getattr(base, part).data
    finally:
        layer.merged_adapters.clear()
        for one, before in kept.items():
            getattr(base, one).data = before
    return found


def _whole(classifier: Any, adapted: Iterable[Any]) -> Any:
    """The whole model merged in memory as float32."""
    classifier.float()
    for layer in adapted:
        layer.merge(safe_merge=True)
    return classifier


def _write_files(classifier: Any, weights: Weights, ready: Ready, out: Path) -> None:
    size = sum(_bytes(weight) for weight in weights.values())
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < size:
        raise Refused(
            f"{out}: the merged model takes {size / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free there; name a "
            "folder on another disk, or make room"
        )
    split = split_torch_state_dict_into_shards(dict(weights), filename_pattern=FILE, max_shard_size=SHARD)
    for file, names in split.filename_to_tensors.items():
        _write_file(out / file, {name: weights[name] for name in names}, ready)
    if split.is_sharded:
        facts = {"total_parameters": classifier.num_parameters(), **split.metadata}
        index = {"metadata": facts, "weight_map": split.tensor_to_filename}
        (out / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_file(path: Path, weights: Weights, ready: Ready) -> None:
    """One safetensors file: the length of its header, the header (names, formats, shapes, places), the numbers."""
    order = sorted(weights, key=lambda name: (-weights[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        one = weights[name]
        begin, end = end, end + _bytes(one)
        header[name] = {"dtype": FORMATS[one.dtype], "shape": list(one.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for part in _parts(ready(name), weights[name].dtype):
                file.write(part.numpy().data)


def _parts(weight: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """The numbers in order and in the file's format, some at a time."""
    flat = weight.detach().contiguous().view(-1)
    for begin in range(0, len(flat), AT_ONCE):
        yield flat[begin : begin + AT_ONCE].to(dtype)


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()
