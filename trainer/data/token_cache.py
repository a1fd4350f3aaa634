"""The token cache: untruncated tokens of a pair file, by content hash, in the user's cache folder.

Whatever goes wrong with it only costs time: an unreadable entry counts as none, on a full disk there is no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.files import PRIVATE, replace_file
from trainer.pairs import Row, content_hash

VERSION = "1"
Ids = NDArray[np.int32]
Entry = tuple[Ids, Ids, int]


def folder() -> Path:
    """RMTUI_TOKEN_CACHE, else rmtui/tokens in the user's cache folder."""
    named = os.environ.get("RMTUI_TOKEN_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rmtui" / "tokens"


def key(rows: Iterable[Row], tokenizer: Any, *options: str) -> str:
    """What the tokens depend on: the rows' content, the tokenizer and its template, the options."""
    total = hashlib.sha256("\0".join([VERSION, fingerprint(tokenizer), *options]).encode())
    for row in rows:
        total.update(content_hash(row).encode())
    return total.hexdigest()


def fingerprint(tokenizer: Any) -> str:
    """SHA-256 of the tokenizer's whole definition, special tokens and chat template."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    definition = inner.to_str() if inner is not None else repr(sorted(tokenizer.get_vocab().items()))
    parts = [definition, str(tokenizer.chat_template), str(tokenizer.special_tokens_map), type(tokenizer).__name__]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def read(name: str) -> list[Entry] | None:
    """The entry, or None when there is none that can be read."""
    try:
        with np.load(folder() / f"{name}.npz", allow_pickle=False) as held:
            ids, bounds, prompts = held["ids"], held["bounds"], held["prompts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sides = [ids[start:end] for start, end in itertools.pairwise(bounds)]
    return [(sides[2 * n], sides[2 * n + 1], int(prompt)) for n, prompt in enumerate(prompts)]


def write(name: str, entries: Sequence[Entry]) -> None:
    """Keep the tokens; written beside and renamed, so a reader never sees half an entry."""
    sides = [side for chosen, rejected, _ in entries for side in (chosen, rejected)]
    bounds = np.cumsum([0, *(len(side) for side in sides)])
    ids = np.concatenate(sides) if sides else np.empty(0, np.int32)
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        prompts = np.asarray([entry[2] for entry in entries])
        replace_file(
            folder() / f"{name}.npz", lambda file: np.savez(file, ids=ids, bounds=bounds, prompts=prompts), PRIVATE
        )
