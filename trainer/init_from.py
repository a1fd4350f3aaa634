"""The weights of an earlier training that a run starts from (`init_from`): an adapter with its head, or a whole reward
model. Whether they fit the configuration is found in their files, before anything is loaded.

No torch here: a dry run and a form ask, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli

from trainer import base_files, manifest
from trainer.base_files import Fault
from trainer.options import TrainConfig

ADAPTER = "adapter_config.json"
TRAINING = "training.json"
"""In a merged folder: what is known of its training."""
KINDS = "name a run, or the folder of a checkpoint, an adapter (peft) or a reward model"
KEPT = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
        *("inference_mode", "runtime_config", "megatron_core", "qalora_group_size", "fan_in_fan_out"),
        *("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "modules_to_save"),
        *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "init_lora_weights"),
        *("use_dora", "use_rslora", "target_parameters", "trainable_token_indices"),
    )
)
"""Settings of an adapter that training goes on with as they are; any other that is set is refused."""
PLAIN_STARTS = (None, True, False, "gaussian", "orthogonal")
"""`init_lora_weights` that leave the base's weights as they are."""
HEADS = ("score.weight", "classifier.weight", "classifier.out_proj.weight", "score.out_proj.weight")
WITHOUT_HEAD = ("ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration", "ForPreTraining")


def faults(config: TrainConfig) -> Iterator[Fault]:
    """What keeps `config.init_from` from being the start of this training; nothing where none is asked for."""
    if not config.init_from:
        return
    folder = Path(config.init_from).expanduser()
    if not folder.is_dir():
        yield Fault(f"{config.init_from} does not exist", KINDS)
    elif (folder / ADAPTER).is_file():
        yield from _adapter_faults(folder, config)
    elif (folder / "config.json").is_file():
        yield from _model_faults(folder, config)
    else:
        yield Fault(f"{folder} has neither {ADAPTER} nor config.json", KINDS)


def base_for(folder: Path, method: str) -> str:
    """The base model that a training from this folder needs: the adapter's; of a whole reward model the one that it
    was trained on where all weights are trained again and that base is known, else the folder itself."""
    if (folder / ADAPTER).is_file():
        return str(base_files.read_object(folder / ADAPTER).get("base_model_name_or_path") or "")
    known = recorded(folder).model
    if method == "full" and known and not any(base_files.faults(known)):
        return known
    return str(folder)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of the training that left a folder; empty where nothing is."""

    model: str = ""
    targets: tuple[str, ...] = ()
    """`lora.target_modules` as they were asked for."""


def recorded(folder: Path) -> Recorded:
    """By the run around a folder, or by its own record."""
    config = base_files.read_object(folder / TRAINING).get("config")
    run = manifest.run_around(folder)
    if not isinstance(config, dict) and run is not None:
        try:
            document = tomli.loads((run / "spec.toml").read_text("utf-8"))
        except (OSError, ValueError):
            document = {}
        config = document.get("config", document)
    if not isinstance(config, dict):
        return Recorded()
    lora = config.get("lora")
    targets = lora.get("target_modules") if isinstance(lora, dict) else None
    return Recorded(str(config.get("model") or ""), _names(targets))


def _names(found: object) -> tuple[str, ...]:
    return tuple(map(str, found)) if isinstance(found, list) else (found,) if isinstance(found, str) else ()


def same_model(one: str, other: str) -> bool:
    """Whether two names mean one base: equal hub names, or paths of one folder."""
    return one == other or Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _adapter_faults(folder: Path, config: TrainConfig) -> Iterator[Fault]:
    document = base_files.read_object(folder / ADAPTER)
    if not document:
        yield Fault(f"{folder / ADAPTER} is not a JSON object", "copy or download the file again")
        return
    torn = list(_torn_adapter(folder))
    if torn:
        yield from torn
        return
    merged = f"merge it first: rmtui merge {folder} DIR, then start from DIR"
    if config.method != "lora":
        yield Fault(f"{folder} is an adapter, and method = {config.method} trains whole models", merged)
        return
    wrong = next(_kind_faults(folder, document), None)
    if wrong is not None:
        yield wrong
        return
    base = str(document.get("base_model_name_or_path") or "")
    if config.model and base and not same_model(config.model, base):
        yield Fault(
            f"{folder} is an adapter over {base}, not over {config.model}",
            f"leave model out or set model = {base}; if both are one model, write its path into {ADAPTER}",
        )
    yield from _setting_faults(folder, document, config)


def _torn_adapter(folder: Path) -> Iterator[Fault]:
    file = next((folder / name for name in base_files.ADAPTER_WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        names = " or ".join(base_files.ADAPTER_WEIGHTS)
        yield Fault(f"{folder} has no weights ({names})", "download or copy them")
    elif wrong := base_files.file_fault(file):
        yield Fault(f"{file} {wrong}", base_files.remedy_of(wrong))


def _kind_faults(folder: Path, document: Mapping[str, object]) -> Iterator[Fault]:
    """Adapters that hold no reward model's head, or compute in a way that is not LoRA's."""
    kind, task = document.get("peft_type"), document.get("task_type")
    merged = "merge it into its base with peft (merge_and_unload), then train that folder: --model DIR"
    if kind != "LORA":
        yield Fault(f"{folder} is a {kind} adapter, and training goes on with LoRA only", merged)
    file = folder / base_files.ADAPTER_WEIGHTS[0]  # a .bin file shows nothing before it is loaded
    shapes = base_files.file_shapes(file) if file.is_file() else {}
    if task not in (None, "SEQ_CLS") or (shapes and all("lora_" in name for name in shapes)):
        what = f"{folder} has no reward head: it is an adapter for {task or 'another task'}"
        yield Fault(what, merged)
    outputs = head_outputs(shapes)
    if outputs not in (None, 1):
        yield Fault(f"{folder} is a classifier with {outputs} outputs, and a reward model has one", merged)
    for key, value in document.items():
        if value and value != "none" and key not in KEPT:
            yield Fault(f"{folder} was trained with {key} = {value}, with which no training goes on here", merged)
    if document.get("init_lora_weights") not in PLAIN_STARTS:
        how = document["init_lora_weights"]
        yield Fault(f"{folder} began with {how}, which changes the base's weights, too", merged)


def _setting_faults(folder: Path, document: Mapping[str, object], config: TrainConfig) -> Iterator[Fault]:
    """Rank, scale and target modules decide what the saved matrices mean."""
    for key, name, asked in (("lora.r", "r", config.lora.r), ("lora.alpha", "lora_alpha", config.lora.alpha)):
        held = document.get(name)
        if held != asked:
            yield Fault(f"{folder} has {key} = {held}, not {asked:g}", f"set {key} = {held} (--set {key}={held})")
    for key, name, on in (
        ("lora.dora", "use_dora", config.lora.dora),
        ("lora.rslora", "use_rslora", config.lora.rslora),
    ):
        held_on = bool(document.get(name))
        if held_on != on:
            word = str(held_on).lower()
            yield Fault(f"{folder} has {key} = {word}", f"set {key} = {word} (--set {key}={word})")
    experts, asked_experts = sorted(_names(document.get("target_parameters"))), sorted(config.lora.target_parameters)
    if experts != asked_experts and not (experts and asked_experts == ["auto"]):
        word = ", ".join(experts) or "no experts"
        remedy = "set lora.target_parameters = auto" if experts else "leave lora.target_parameters out"
        yield Fault(f"{folder} has an adapter on {word}, not on {', '.join(asked_experts) or 'none'}", remedy)
    names, wanted = sorted(_names(document.get("target_modules"))), config.lora.target_modules
    if wanted == ["auto"] or recorded(folder).targets == tuple(wanted):
        return
    if sorted(wanted) != names:
        what = f"{folder} has an adapter on {', '.join(names)}, not on {', '.join(wanted)}"
        yield Fault(what, "set lora.target_modules = auto, which takes the adapter's own")


def _model_faults(folder: Path, config: TrainConfig) -> Iterator[Fault]:
    found = [one for one in base_files.faults(str(folder), config.trust_remote_code) if not one.warning]
    if found:
        yield from found
        return
    document = base_files.read_object(folder / "config.json")
    named = document.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if architecture.endswith(WITHOUT_HEAD):
        yield Fault(f"{folder} is a {architecture}: it has no reward head", f"train one on it: --model {folder}")
        return
    outputs = head_outputs(base_files.tensor_shapes(folder))
    if outputs not in (None, 1):
        what = f"{folder} is a classifier with {outputs} outputs, and a reward model has one"
        yield Fault(what, f"train a new head on its body: --model {folder} --fresh-head")
        return
    if config.model and not same_model(config.model, str(folder)):
        yield from _other_base(folder, config)
    elif config.fresh_head:
        yield Fault(f"the head of {folder} goes on, and fresh_head would draw a new one", "leave one of them out")


def _other_base(folder: Path, config: TrainConfig) -> Iterator[Fault]:
    known = recorded(folder).model
    if config.method == "lora":
        what = f"{folder} is a whole reward model: an adapter goes over it, and not over {config.model}"
        yield Fault(what, f"leave model out, or set model = {folder}")
    elif not known:
        yield Fault(f"{folder} is a whole reward model of its own, not a training of {config.model}", "leave model out")
    elif not same_model(config.model, known):
        yield Fault(f"{folder} was trained on {known}, not on {config.model}", "leave model out")


def head_outputs(shapes: Mapping[str, list[int]]) -> int | None:
    """Outputs of the head among a folder's weights; None where none of the usual names is there."""
    rows = (shape[0] for name, shape in shapes.items() if name.endswith(HEADS) and "lora_" not in name and shape)
    return next(rows, None)


def describe(folder: str) -> str:
    """The folder as people know it: `helpful-A-1 after step 120`, else its path."""
    place = Path(folder)
    run = manifest.run_around(place)
    sealed = manifest.read(place)
    try:
        name = str(tomli.loads((run / "spec.toml").read_text("utf-8")).get("name", "")) if run else ""
    except (OSError, ValueError):
        name = ""
    return f"{name} after step {sealed.step}" if name and sealed else name or folder
