"""A pretrained folder → tokenizer and sequence classifier with one output; what transformers reports of the load is
read, so that no weight is made anew unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from trainer import base_files
from trainer.data.chat import fixed_date
from trainer.model.lora import quiet
from trainer.spec import Refused

SHOWN_NAMES = 6
SPACES = "\u0120\u2581"
"""How byte-level and SentencePiece vocabularies write a space."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of the weights in a folder; names as in the classifier's state dict."""

    missing: tuple[str, ...] = ()
    """Not in the folder: drawn at random."""
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    """(name, shape in the folder, shape in the model): drawn at random too."""
    unexpected: tuple[str, ...] = ()
    """In the folder, and not used."""
    grown: range = range(0)
    """Rows of the embedding that were added for tokens beyond it."""

    @property
    def new(self) -> tuple[str, ...]:
        """Every weight that was drawn at random."""
        return tuple(sorted({*self.missing, *(name for name, _, _ in self.mismatched)}))


def load_tokenizer(name: str, trusted: bool = False) -> Any:
    """The tokenizer, with a pad token that is not an end token.

    transformers finds the scored token by looking for the last one that is not the pad token; with pad == eos that
    is the token before the end, while training and scoring here read the reward at the end itself.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=trusted, **gguf_file(name))
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        special = [str(token) for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
        used = {tokenizer.eos_token, tokenizer.bos_token, tokenizer.sep_token, tokenizer.cls_token}
        tokenizer.pad_token = next((token for token in special if token not in used), None) or _silent(tokenizer)
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = fixed_date(tokenizer.chat_template)
    return tokenizer


def _silent(tokenizer: Any) -> str:
    """A token to pad with where the end token is the only special one (GPT-2, GPT-J, Phi-2): the rarest entry whose
    name in the vocabulary (a mark for a space, and letters) no text writes out, so that texts keep their tokens."""
    vocabulary = tokenizer.get_vocab()
    marked = sorted((one for one in vocabulary if one[:1] in SPACES and len(one) > 1), key=vocabulary.__getitem__)
    return marked[-1] if marked else str(tokenizer.eos_token)


def pad_id(tokenizer: Any) -> int:
    """What fills padded rows; masks decide, so any token does."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id, 0)
    return int(next(one for one in candidates if one is not None))


def refuse_quantized(name: str, trusted: bool) -> None:
    """Raises Refused where the weights of a hub's model are quantized; those of a folder were looked at before."""
    if Path(name).expanduser().is_dir():
        return
    settings: Any = AutoConfig.from_pretrained(name, trust_remote_code=trusted)
    found = base_files.quantized(name, settings.to_dict())
    if found is not None:
        raise Refused(f"model: {found}")


def load_classifier(
    name: str, tokenizer: Any, trusted: bool = False, rows: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, LoadReport]:
    """AutoModelForSequenceClassification with one output, in this format, and what became of its weights; its embedding
    has at least so many rows. New weights are float32 in any case, and the same in every format.

    Which new weights are acceptable is the caller's question: `new_parts` for training, `refuse_new` for all else.
    """
    state = torch.get_rng_state()
    with quiet():
        model, info = AutoModelForSequenceClassification.from_pretrained(
            name,
            num_labels=1,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=trusted,
            **gguf_file(name),
        )
        if gguf_file(name):
            model = rebuilt(model)
    assert isinstance(model, PreTrainedModel)
    _refuse_without_table(model, name)
    if model.config.is_encoder_decoder and model.config.eos_token_id is None:
        raise Refused(
            f"model: {name} reads the reward at the end token of its decoder, and its config.json has no eos_token_id; "
            "set it to the token that its tokenizer ends texts with"
        )
    grown = grow(model, rows)
    _pad_below(model, tokenizer)
    model.config.pad_token_id = model.config.get_text_config().pad_token_id = pad_id(tokenizer)
    shapes = ((key, tuple(found), tuple(wanted)) for key, found, wanted in info["mismatched_keys"])
    report = LoadReport(
        tuple(sorted(info["missing_keys"])), tuple(sorted(shapes)), tuple(sorted(info["unexpected_keys"])), grown
    )
    if dtype != torch.float32:
        torch.set_rng_state(state)
        draw_again(model, [model.get_submodule(key.rpartition(".")[0]) for key in report.new])
    return model, report


def _refuse_without_table(model: PreTrainedModel, name: str) -> None:
    """Models of bytes hash them (CANINE), or keep a bare parameter (Perceiver)."""
    try:
        table: Any = model.get_input_embeddings()
    except NotImplementedError:
        table = None
    if not isinstance(getattr(table, "weight", None), torch.Tensor):
        raise Refused(
            f"model: {name} ({model.config.model_type}) has no table of token embeddings, which the checks of ids and "
            "of batches read; choose another base model"
        )


def draw_again(model: PreTrainedModel, modules: Iterable[nn.Module]) -> None:
    """New float32 weights for these modules, as the model's own code draws them."""
    draw: Any = model._init_weights
    for module in dict.fromkeys(modules):
        module.float()
        vars(module).pop("_is_hf_initialized", None)
        for parameter in module.parameters(recurse=False):
            vars(parameter).pop("_is_hf_initialized", None)
        draw(module)


def grow(model: PreTrainedModel, rows: int) -> range:
    """An embedding of fewer rows gets new ones, each the mean of those that it has; returns which."""
    table: Any = model.get_input_embeddings()
    before = table.weight.shape[0]
    if before >= rows:
        return range(0)
    with quiet(), torch.random.fork_rng(devices=[]):  # transformers draws what is overwritten here
        model.resize_token_embeddings(rows, mean_resizing=False)
    grown: Any = model.get_input_embeddings()
    with torch.no_grad():
        grown.weight[before:] = grown.weight[:before].mean(dim=0)
    return range(before, rows)


def tokens(tokenizer: Any) -> int:
    """Rows that an embedding needs for every token of this tokenizer."""
    return int(max(tokenizer.get_vocab().values())) + 1


def _pad_below(model: PreTrainedModel, tokenizer: Any) -> None:
    """A pad token beyond the embedding (added without resizing, as in many fine-tuned Llama 2) gives way to another."""
    table: Any = model.get_input_embeddings()
    if pad_id(tokenizer) >= table.weight.shape[0]:
        tokenizer.pad_token = _silent(tokenizer)


def rebuilt(model: Any) -> Any:
    """The same weights in a model that does not call itself quantized, which could not be saved."""
    settings = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    fresh = type(model)(type(model.config)(**settings))
    fresh.load_state_dict(model.state_dict())
    return fresh


def gguf_file(name: str) -> dict[str, str]:
    """A folder with a GGUF file and no config.json is loaded from that file."""
    folder = Path(name)
    found = sorted(folder.glob("*.gguf")) if folder.is_dir() and not (folder / "config.json").exists() else []
    return {"gguf_file": found[0].name} if found else {}


def new_parts(classifier: PreTrainedModel, report: LoadReport, name: str, fresh_head: bool) -> tuple[str, ...]:
    """Modules of the head with weights that were drawn at random: what a training has to train whole and save.

    `fresh_head` allows a head of another shape to be replaced, and draws the whole head anew. Raises Refused where
    anything but the head is new, since a random layer inside a pretrained model is a broken model.
    """
    prefix = f"{classifier.base_model_prefix}." if classifier.base_model is not classifier else ""
    outside = [key for key in report.new if not prefix or not key.startswith(prefix)]
    _refuse_other_shapes(report, name, fresh_head, {*outside} if prefix else set())
    found = {key.partition(".")[0] for key in outside}
    if fresh_head:
        found |= redraw_head(classifier)
    if prefix:
        found |= _new_inside(classifier, report, prefix, name)
    return tuple(sorted(found))


def left_out(classifier: PreTrainedModel, unused: Sequence[str], parts: Sequence[str], name: str) -> Iterator[str]:
    """What a person would not expect among the weights of a folder that are not used: layers beyond those that its
    configuration names, and a reward head that is called otherwise than the one that is drawn for it."""
    lists = {key: len(one) for key, one in classifier.named_modules() if isinstance(one, nn.ModuleList)}
    lists |= {key.removeprefix(f"{classifier.base_model_prefix}."): size for key, size in lists.items()}
    more = [key for key in unused if any(_beyond(key, stack, size) for stack, size in lists.items())]
    if more:
        yield (
            f"{name} holds layers that its config.json does not count, and they are left out: {first_names(more)}; "
            "where that is not meant, take the config.json that belongs to the weights"
        )
    shapes = base_files.tensor_shapes(Path(name)) if parts and Path(name).is_dir() else {}
    matrices = [key for key in unused if len(shapes.get(key, ())) > 1]
    heads = [key for key in matrices if shapes[key][0] == 1]
    wide = {key.partition(".")[0] for key in matrices if shapes[key][0] > 1}
    named = [key for key in heads if key.partition(".")[0] not in wide]
    if named:
        yield (
            f"{name} holds what may be a reward head under a name that transformers do not read: {first_names(named)}. "
            f"It is left out, and {', '.join(parts)} is drawn at random; to go on from it, rename it in a copy of the "
            "weights"
        )


def _beyond(key: str, stack: str, size: int) -> bool:
    """Whether this is the name of a weight of a layer that the stack does not have."""
    number = key.removeprefix(f"{stack}.").partition(".")[0]
    return key.startswith(f"{stack}.") and number.isdigit() and int(number) >= size


def init_head(classifier: PreTrainedModel, parts: Iterable[str], how: str, name: str) -> None:
    """Draw the last layer of a new head as the option `head_init` says. Raises Refused where the head is not new."""
    if how == "default":
        return
    new = [classifier.get_submodule(part) for part in parts]
    linears = [one for part in new for one in part.modules() if isinstance(one, nn.Linear) and one.out_features == 1]
    if not linears:
        raise Refused(
            f"head_init = {how}: {name} has a head of its own, which goes on as it is; leave head_init out, or launch "
            "with --fresh-head"
        )
    for linear in linears:
        nn.init.normal_(linear.weight, std=(linear.in_features + 1) ** -0.5 if how == "scaled" else 0.0)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


def redraw_head(classifier: PreTrainedModel) -> set[str]:
    """Draw everything outside the pretrained body anew; returns the names of these parts."""
    parts = {
        key: part
        for key, part in classifier.named_children()
        if part is not classifier.base_model and any(True for _ in part.parameters())
    }
    draw_again(classifier, (module for part in parts.values() for module in part.modules()))
    return set(parts)


def _refuse_other_shapes(report: LoadReport, name: str, fresh_head: bool, of_head: set[str]) -> None:
    other = [one for one in report.mismatched if one[0] not in of_head]
    if other:
        raise Refused(
            f"model: {name}: its config.json and its weights do not fit together: {_shapes(other)}; "
            "save the model again with the configuration that it was trained with"
        )
    if report.mismatched and not fresh_head:
        raise Refused(
            f"model: {name} is a classifier with {report.mismatched[0][1][0]} outputs, and a reward model has one; "
            f"launch with --fresh-head (fresh_head = true) to put a new head on its body. Its own head is dropped "
            f"then: {_shapes(report.mismatched)}"
        )


def _shapes(found: Iterable[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> str:
    return first_names(f"{key} is {list(there)}, not {list(wanted)}" for key, there, wanted in found)


def _new_inside(classifier: PreTrainedModel, report: LoadReport, prefix: str, name: str) -> set[str]:
    """New parts of the body that belong to the head all the same: a pooler, which reads what the last layer gives."""
    inside = [key.removeprefix(prefix) for key in report.new if key.startswith(prefix)]
    if not inside:
        return set()
    parts = {key.partition(".")[0] for key in inside}
    modules = dict(classifier.base_model.named_children())
    poolers = {part for part in parts if part in modules and _may_pool(modules[part])}
    new = {f"{prefix}{part}" for part in parts}
    last = poolers - _read_before_the_end(classifier, new, prefix) if poolers else set()
    wrong = [key for key in inside if key.partition(".")[0] not in last]
    if wrong:
        body = sum(1 for key in classifier.base_model.state_dict())
        raise Refused(
            f"model: {name} lacks {len(wrong)} of the {body} weights of its body, which would be random numbers: "
            f"{first_names(prefix + key for key in wrong)}; its files are incomplete or belong to another config.json: "
            "download or save the model again"
        )
    return {prefix + part for part in last}


def _may_pool(part: nn.Module) -> bool:
    """A projection, and no stack of layers or table."""
    held = list(part.modules())
    return any(isinstance(one, nn.Linear) for one in held) and not any(
        isinstance(one, (nn.ModuleList, nn.Embedding)) for one in held
    )


def _read_before_the_end(classifier: PreTrainedModel, new: set[str], prefix: str) -> set[str]:
    """Parts among `new` that run before the last of the loaded modules does; found by running the body once."""
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: order.append(name))
        for name, module in classifier.base_model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        with torch.inference_mode():
            classifier.base_model(input_ids=torch.ones(1, 4, dtype=torch.long))
    finally:
        for hook in hooks:
            hook.remove()
    names = {part.removeprefix(prefix) for part in new}
    loaded = [place for place, name in enumerate(order) if name.partition(".")[0] not in names]
    end = max(loaded, default=-1)
    return {name.partition(".")[0] for name in order[:end]} & names


def refuse_new(report: LoadReport, name: str, held: Iterable[str] = ()) -> None:
    """Raises Refused where a weight that decides rewards would be drawn at random; `held` are names that come from
    elsewhere (an adapter's file)."""
    there = set(held)
    lost = [key for key in report.new if key not in there]
    if not lost:
        return
    if report.mismatched:
        raise Refused(
            f"{name} is not a reward model with one output: {_shapes(report.mismatched)}; to train one from it, launch "
            "with --fresh-head"
        )
    raise Refused(
        f"{name} cannot be scored: it has no {first_names(lost)}, which would be random numbers. A pretrained "
        "model has to be trained first (rmtui launch PRESET --model …); a training that saved only a part of its head "
        "has to be run again"
    )


def first_names(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - SHOWN_NAMES} more" if len(found) > SHOWN_NAMES else ""
    return ", ".join(found[:SHOWN_NAMES]) + more
