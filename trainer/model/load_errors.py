"""What goes wrong when transformers loads a model, as refusals that say what to do: its own errors speak of options
that nobody has here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import transformers

from trainer import base_files
from trainer.spec import Refused

PACKAGES = frozenset(
    (
        *("sentencepiece", "tiktoken", "protobuf", "einops", "bitsandbytes", "flash_attn", "blobfile", "sacremoses"),
        *("auto_gptq", "autoawq", "optimum", "gptqmodel", "compressed_tensors", "mamba_ssm", "causal_conv1d"),
        *("torchao", "optimum_quanto", "hqq"),
    )
)
"""What models and tokenizers need beside transformers."""
READERS = ("sentencepiece", "tiktoken")
"""Of them, those that read files of tokenizers; transformers name one where they have tried the other, too."""
NO_MEMORY = (MemoryError,)


@contextmanager
def refusing(name: str, trusted: bool, trains: bool = True) -> Iterator[None]:
    """Loading inside: what a person can fix becomes Refused, with the model's name and the remedy. `trusted` is
    whether the model's own code may run, `trains` whether a training is to begin from it."""
    for fault in base_files.faults(name, trusted, trains):
        if not fault.warning:
            raise Refused(f"model: {fault}")
    try:
        yield
    except (Refused, *NO_MEMORY):
        raise
    except Exception as error:
        if any(words in str(error).lower() for words in ("out of memory", "cannot allocate memory")):
            raise
        raise Refused(f"model: {explain(name, error)}") from error


def explain(name: str, error: Exception) -> str:
    """What failed, why, and what to do, in one line."""
    text = " ".join(str(error).split())
    missing = missing_packages(error)
    if "instantiate the backend tokenizer" in text or not set(missing).isdisjoint(READERS):
        return _no_tokenizer(Path(name), name, missing)
    if "FlashAttention" in text:
        return (
            f"the config.json of {name} asks for FlashAttention, which is not installed; take _attn_implementation out "
            "of it, or run pip install flash-attn"
        )
    if missing:
        return f"{name} needs {', '.join(missing)}, which is not installed; run pip install {' '.join(missing)}"
    if "trust_remote_code" in text:
        code = ", ".join(base_files.own_code(Path(name))) or "code of its own"
        return (
            f"{name} runs {code}, which transformers {transformers.__version__} does not hold; read that code, then "
            "set trust_remote_code = true (it can do whatever you can)"
        )
    if "Unrecognized configuration class" in text or "Unrecognized model" in text:
        kind = re.search(r"configuration class <class '[\w.]*\.(\w+)'>", text)
        what = f" of {kind[1]}" if kind else ""
        return (
            f"transformers {transformers.__version__} has no sequence classifier for the architecture{what} of {name}; "
            "choose another base model"
        )
    if "does not recognize this architecture" in text:
        return (
            f"{name} is of an architecture that transformers {transformers.__version__} does not know; "
            "upgrade it: pip install -U transformers"
        )
    if isinstance(error, OSError):
        return f"{name} cannot be loaded: {text[:300]}; name a folder with a model and its tokenizer, or a hub name"
    return (
        f"{name} cannot be loaded by transformers {transformers.__version__}: {type(error).__name__}: {text[:300]}; "
        "choose another base model, or another version of transformers"
    )


def _no_tokenizer(folder: Path, name: str, missing: list[str]) -> str:
    """Either files that need a package to be read, or none at all."""
    files = [file for pattern in ("*.model", "*.tiktoken") for file in sorted(folder.glob(pattern))]
    lacking = [one for one in map(_reader, files) if importlib.util.find_spec(one) is None] if files else missing
    if lacking:
        return f"the tokenizer of {name} needs {lacking[0]}, which is not installed; run pip install {lacking[0]}"
    return (
        f"{name} has no tokenizer that can be read (tokenizer.json, or the files that its kind is made of); copy the "
        "tokenizer's files from the model that this one comes from"
    )


def _reader(file: Path) -> str:
    """The package for a tokenizer's file: sentencepiece writes protocol buffers, tiktoken lines of text."""
    with file.open("rb") as opened:
        return "sentencepiece" if opened.read(1) == b"\n" else "tiktoken"


def missing_packages(error: Exception) -> list[str]:
    """Packages that an error of import asks for, by the name that pip knows."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return [error.name.partition(".")[0].replace("_", "-")]
    if not (isinstance(error, ImportError) or re.search(r"pip install|not installed|requires? .*installed", text)):
        return []
    lower = text.lower()
    found = [one.replace("_", "-") for one in PACKAGES if one in lower or one.replace("_", "-") in lower]
    return sorted(one for one in found if not any(other.startswith(f"{one}-") for other in found))
