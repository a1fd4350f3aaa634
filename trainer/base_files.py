"""A base model's folder before anything is loaded: whole files, the right kind of folder, code that it would run.

No torch here: a dry run and a form ask, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
MAX_HEADER = 100_000_000
"""Bytes of a safetensors header; the format allows no more."""
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
ZIP, PICKLE = b"PK", b"\x80"
"""How a file that torch.save wrote begins."""
ZIP_END, ZIP_END_WITHIN = b"PK\x05\x06", 65_557
"""What the end of a zip archive holds, and in how many of its last bytes."""
TOKENIZERS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
)
"""Files that tokenizers are read from."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights that transformers look for, alone or, with `.index.json` behind, in parts."""
SHARD = re.compile(r"-(\d+)-of-(\d+)\.(safetensors|bin)$")
DEQUANTIZED = {"fp8": "FineGrainedFP8Config", "mxfp4": "Mxfp4Config"}
"""Formats that transformers turn into plain weights as they load them, with the configuration that asks for it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a folder, and what to do."""

    what: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def faults(name: str, trust_remote_code: bool = False, trains: bool = True) -> Iterator[Fault]:
    """Faults of a base model that is named by a folder or a hub name, the worst first; nothing is downloaded. `trains`:
    a training is to begin from it."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        yield from _not_a_folder(name, folder)
        return
    if any(folder.glob("*.gguf")) and not (folder / "config.json").is_file():
        file = min(folder.glob("*.gguf"))
        if wrong := _gguf_fault(file):
            yield Fault(f"{file} {wrong}", remedy_of(wrong))
        return
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        yield _adapter(folder)
        return
    if not (folder / "config.json").is_file():
        yield Fault(f"{name} has no config.json", "name the folder that save_pretrained wrote")
        return
    yield from _config(folder, trust_remote_code)
    if trains and (found := quantized(name, read_object(folder / "config.json"))):
        yield found
    yield from weight_faults(folder)
    for pattern in TOKENIZERS:
        for file in sorted(folder.glob(pattern)):
            if wrong := _text_fault(file):
                yield Fault(f"{file} {wrong}", remedy_of(wrong))


def _not_a_folder(name: str, folder: Path) -> Iterator[Fault]:
    if looks_like_path(name):
        kind = "is a file, not a folder" if folder.is_file() else "does not exist"
        yield Fault(f"{name} {kind}", "name a folder with config.json, or a hub name")


def looks_like_path(name: str) -> bool:
    """Whether a name without a folder was meant as one: a hub name is one or two parts, `owner/name`."""
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or name.endswith("/") or Path(name).exists():
        return True
    first, slash, _ = name.partition("/")
    return bool(slash) and Path(first).is_dir()


def _adapter(folder: Path) -> Fault:
    document = read_object(folder / "adapter_config.json")
    base = str(document.get("base_model_name_or_path", "its base model"))
    what = f"{folder} is an adapter over {base}, not a whole model"
    if document.get("task_type") == "SEQ_CLS":
        return Fault(
            what,
            f"train it on with init_from = {folder} (--init-from {folder}), or merge it first, then name DIR: "
            f"rmtui merge {folder} DIR",
        )
    kind = "AutoPeftModelForCausalLM" if document.get("task_type") == "CAUSAL_LM" else "AutoPeftModel"
    code = (
        f"from peft import {kind} as A; from transformers import AutoTokenizer as T; "
        f"A.from_pretrained('{folder}').merge_and_unload().save_pretrained('DIR'); "
        f"T.from_pretrained('{base}').save_pretrained('DIR')"
    )
    return Fault(what, f'merge it first, then name DIR: python -c "{code}"')


def read_object(path: Path) -> dict[str, object]:
    """A JSON object of a file; empty where it is missing or something else."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _config(folder: Path, trusted: bool) -> Iterator[Fault]:
    document = read_object(folder / "config.json")
    if not document:
        yield Fault(f"{folder / 'config.json'} is not a JSON object", "copy or download the file again")
        return
    code = own_code(folder)
    if trusted and code:
        yield Fault(
            f"trust_remote_code runs {', '.join(code)} of {folder}",
            "read these files first; they can do whatever you can",
            warning=True,
        )


def quantized(name: str, settings: Mapping[str, object]) -> Fault | None:
    """That the weights of a base model are quantized, by its configuration: each format is computed in a way of its
    own, which depends on the machine, and what is trained over it is not what the merged model computes."""
    held = settings.get("quantization_config")
    if not isinstance(held, dict) or not held:
        return None
    method = str(held.get("quant_method") or "quantization_config")
    what = f"{name} holds quantized weights ({method}), and a training starts from plain ones"
    if method not in (*DEQUANTIZED, "bitsandbytes"):
        return Fault(what, "name the model that it was quantized from")
    more, given, after = "", "", ".dequantize()"
    if method in DEQUANTIZED:
        more, given, after = f", {DEQUANTIZED[method]} as Q", ", quantization_config=Q(dequantize=True)", ""
    code = (
        f"from transformers import AutoModelForCausalLM as M, AutoTokenizer as T{more}; "
        f"M.from_pretrained('{name}', dtype='bfloat16'{given}){after}.save_pretrained('DIR'); "
        f"T.from_pretrained('{name}').save_pretrained('DIR')"
    )
    return Fault(
        what, f'name the model that it was quantized from, or write plain weights and name DIR: python -c "{code}"'
    )


def own_code(folder: Path) -> list[str]:
    """Files with the model's own code that config.json or tokenizer_config.json name."""
    named: set[str] = set()
    for file in ("config.json", "tokenizer_config.json"):
        held = read_object(folder / file).get("auto_map")
        for value in held.values() if isinstance(held, dict) else ():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str):
                    named.add(one.rpartition("--")[2].rpartition(".")[0] + ".py")
    return sorted(named)


def weight_faults(folder: Path) -> Iterator[Fault]:
    """Weight files that are missing, cut off, or pointers of Git LFS in their place; each is named."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    for index in sorted(folder.glob("*.index.json")):
        held = read_object(index).get("weight_map")
        if not isinstance(held, dict):
            yield Fault(f"{index} is cut off or damaged", "download or copy it again")
        for name in sorted(set(map(str, held.values()))) if isinstance(held, dict) else ():
            if not (folder / name).is_file():
                yield Fault(f"{folder / name} is missing, and {index.name} names it", "download or copy it")
    yield from _without_an_index(folder, files)
    names = {file.name for file in files} | {file.name for file in folder.glob("*.index.json")}
    if files and not names & {*WEIGHTS, *(f"{one}.index.json" for one in WEIGHTS)} and not SHARD.search(files[0].name):
        what = f"{folder} has no model.safetensors, the name that transformers look for, but {files[0].name}"
        yield Fault(what, "in a copy of the folder, name that file model.safetensors if it holds the weights")
    if not files:
        yield Fault(f"{folder} has no weights (*.safetensors or pytorch_model.bin)", "download or copy them")
    for file in files:
        wrong = file_fault(file)
        if wrong:
            yield Fault(f"{file} {wrong}", remedy_of(wrong))


def _without_an_index(folder: Path, files: list[Path]) -> Iterator[Fault]:
    """Shards are found through an index alone."""
    parts = [found for file in files if (found := SHARD.search(file.name))]
    if len(parts) < max(1, len(files)):
        return
    first, count = parts[0], int(parts[0][2])
    lost = sorted({*range(1, count + 1)} - {int(one[1]) for one in parts})
    if lost:
        numbers = ", ".join(map(str, lost[:5]))
        yield Fault(f"{folder} lacks part {numbers} of {count} of its weights", "download or copy what is missing")
    index = f"{files[0].name[: first.start()]}.{first[3]}.index.json"
    if not (folder / index).is_file():
        what = f"{folder} has its weights in {len(files)} parts and no {index}, which says what is in which"
        yield Fault(what, "download or copy that file")


def remedy_of(wrong: str) -> str:
    """What to do about a weight file with a `file_fault`."""
    return "run git lfs pull there" if "Git LFS" in wrong else "download or copy it again"


def _text_fault(file: Path) -> str:
    """What is wrong with a tokenizer's file; empty where nothing is."""
    if not file.exists():
        return NOWHERE
    state = file.stat()
    return _text_fault_of(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _text_fault_of(file: Path, _changed: int, size: int) -> str:
    """A large vocabulary takes a third of a second to be read, and a form asks at each change."""
    with file.open("rb") as opened:
        if opened.read(len(LFS_POINTER)) == LFS_POINTER:
            return "is a pointer of Git LFS, not the file"
    try:
        if size and file.suffix == ".json":
            json.loads(file.read_bytes())
    except ValueError:
        return "is cut off or damaged"
    return "" if size else "is empty"


NOWHERE = "is a link to a file that is not there"


def _gguf_fault(file: Path) -> str:
    """What is wrong with a GGUF file by its head; empty where nothing is."""
    if not file.exists():
        return NOWHERE
    with file.open("rb") as opened:
        head = opened.read(len(LFS_POINTER))
    if head == LFS_POINTER:
        return "is a pointer of Git LFS, not the weights"
    return "" if head.startswith(b"GGUF") else "is not a GGUF file"


def file_fault(file: Path) -> str:
    """What is wrong with a weight file, by its head and its size; empty where nothing is."""
    if not file.exists():
        return NOWHERE
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(8)
        if (head + opened.read(len(LFS_POINTER))).startswith(LFS_POINTER):
            return "is a pointer of Git LFS, not the weights"
        if file.suffix != ".safetensors":
            opened.seek(max(0, size - ZIP_END_WITHIN))
            if head.startswith(ZIP) and ZIP_END not in opened.read():
                return f"is cut off: it has {size:,} bytes, and no end"
            return "" if head.startswith((ZIP, PICKLE)) else "is not a file that torch.save wrote"
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(MAX_HEADER, size):
            return f"is cut off or damaged: it has {size:,} bytes, and no whole header"
        opened.seek(8)
        try:
            header = json.loads(opened.read(length))
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "is damaged: its header is not readable"
    wanted = 8 + length + int(end)
    if size > wanted:
        return f"is damaged: it has {size:,} bytes, and its header names {wanted:,}"
    return "" if size == wanted else f"is cut off: it has {size:,} bytes of {wanted:,}"


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Name → shape of every tensor, from the headers of the folder's safetensors files; the data is not read."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: shape for file in files for name, shape in file_shapes(file).items()}


def tensor_formats(folder: Path) -> set[str]:
    """Number formats of the tensors in a folder's safetensors files, as these name them: F32, BF16, …"""
    return {entry["dtype"] for file in folder.glob("*.safetensors") for entry in _header(file).values()}


def file_shapes(file: Path) -> dict[str, list[int]]:
    """Name → shape of every tensor in a safetensors file that is whole."""
    return {name: entry["shape"] for name, entry in _header(file).items()}


class _Tensor(TypedDict):
    dtype: str
    shape: list[int]


def _header(file: Path) -> dict[str, _Tensor]:
    """Name → {dtype, shape, data_offsets}."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(min(size, MAX_HEADER)))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}
