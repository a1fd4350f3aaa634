"""A held-out part of a file: its name, and which pairs are in it. By prompt, never by row; no files.

`pairs.jsonl#split=0.05,seed=42,part=val` is the held-out part of pairs.jsonl, `part=train` the rest. Prompts of one
family, those that open with the same question, are on one side whatever follows, in every layout and order of the file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.rows import Row, plain_text

SEED = 42
"""Of a split where nobody names one. It is not the run's: runs of several seeds are compared on one validation set."""
MOST = 0.5
_VIEW = re.compile(r"(?P<file>.+)#split=(?P<share>[0-9.]+),seed=(?P<seed>\d{1,10}),part=(?P<part>train|val)")
_WORD = re.compile(r"\w+")
_TURN = re.compile(r"\n\nHuman:(.*?)(?:\n\nAssistant:|\Z)", re.S)


@dataclass(frozen=True, slots=True)
class Part:
    """One side of a split."""

    share: float
    """Of the prompts that are held out, on average; above 0, at most 0.5."""
    seed: int
    side: Literal["train", "val"]

    def holds(self, row: Row) -> bool:
        """Whether a pair is on this side."""
        number = hashlib.sha256(f"{self.seed} {family(row)}".encode("utf-8", "surrogatepass")).digest()[:8]
        held_out = int.from_bytes(number, "big") < self.share * 2**64
        return held_out is (self.side == "val")

    def __str__(self) -> str:
        what = "held out" if self.side == "val" else "all but the held-out part"
        return f"{what}: {self.share:.3g} of the prompts, seed {self.seed}"


def view(path: Path | str, part: Part) -> str:
    """The name of one side of a file."""
    return f"{path}#split={part.share!r},seed={part.seed},part={part.side}"


def parse(path: Path | str) -> tuple[Path, Part | None]:
    """A name → the file, and which part of it is meant; None: the whole. A file of just this name is that file."""
    found = _VIEW.fullmatch(str(path))
    if found is None or Path(path).exists():
        return Path(path), None
    try:
        share = float(found["share"])
    except ValueError:
        return Path(path), None
    if not 0 < share <= MOST:
        return Path(path), None
    side: Literal["train", "val"] = "val" if found["part"] == "val" else "train"
    return Path(found["file"]), Part(share, int(found["seed"]), side)


def family(row: Row) -> str:
    """The question that a dialogue opens with, its words alone: case, spacing and punctuation do not count."""
    if isinstance(row.prompt, str):
        opening = _TURN.search(row.prompt)
        text = opening[1] if opening else row.prompt
    else:
        text = next((turn["content"] for turn in row.prompt if turn["role"] == "user"), plain_text(row.prompt))
    return " ".join(_WORD.findall(text.casefold())) or text or plain_text(row.chosen)
