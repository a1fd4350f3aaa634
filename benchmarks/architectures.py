"""Which base models are exact: type × {LoRA, full} × {float32, bf16} × {train, reload, score, merge, resume}.

`python benchmarks/architectures.py [TYPE…]` makes each type with one or two layers and random weights from
transformers' own classes, without a network, trains it for three steps through `python -m trainer`, and prints of each
column `right`, or the sentence it is refused with. Anything else is a fault: exit code 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from trainer.model import toy

STAGES = ("train", "reload", "score", "merge", "resume")
RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Row:
    """One way of training one type, and what came of each stage: `right`, `refused: …` or `WRONG: …`."""

    kind: str
    method: str
    precision: str
    stages: dict[str, str]

    @property
    def faults(self) -> list[str]:
        return [text for text in self.stages.values() if text.startswith("WRONG")]


def write_pairs(path: Path, count: int = 24) -> Path:
    """Pairs of different lengths."""
    rows = (
        {
            "prompt": f"how do I do thing {n}?",
            "chosen": " take it and stir" * (1 + n % 4),
            "rejected": " do not ask" * (1 + n % 3),
        }
        for n in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trainer(*argv: object) -> tuple[int, str]:
    """`python -m trainer …`: (exit code, last line)."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *map(str, argv)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def spec(run: Path, base: Path, pairs: Path, method: str, precision: str, epochs: int) -> Path:
    run.mkdir(exist_ok=True)
    (run / "spec.toml").write_text(
        f'[config]\nmodel = "{base}"\nmethod = "{method}"\nmixed_precision = "{precision}"\nnum_epochs = {epochs}\n'
        "learning_rate = 0.001\nmax_length = 128\ntoken_cache = false\nkeep_checkpoints = 10\n"
        f'[config.data]\ntrain = "{pairs}"\nval = "{pairs}"\n'
    )
    return run / "spec.toml"


def result(run: Path) -> dict[str, Any]:
    last = sorted(run.glob("attempt-*/result.json"))[-1]
    found: dict[str, Any] = json.loads(last.read_bytes())
    return found


def stages(base: Path, place: Path, pairs: Path, method: str, precision: str) -> Iterator[tuple[str, str]]:
    """Each stage and what came of it; a refusal of the training ends the row."""
    run = place / "run"
    code, line = trainer("--config", spec(run, base, pairs, method, precision, 2))
    if code == 2:
        yield "train", f"refused: {line}"
        return
    found = result(run)
    yield "train", RIGHT if (code, found["outcome"]) == (0, "finished") else f"WRONG: {code}, {found['reason']}"
    if code:
        return
    yield "reload", RIGHT if found["verified"] else f"WRONG: {found['unverified']}"
    yield "score", scored(run, pairs, precision)
    code, line = trainer("merge", run, place / "merged")
    yield "merge", RIGHT if code == 0 else f"refused: {line}" if code == 2 else f"WRONG: {line}"
    first = sorted((run / "checkpoints").glob("step-*"))[0]
    code, line = trainer("--config", run / "spec.toml", "--resume", first)
    again = result(run)
    yield "resume", RIGHT if (code, again.get("verified")) == (0, True) else f"WRONG: {code}, {again['reason']}"


def scored(run: Path, pairs: Path, precision: str) -> str:
    """`score` finds the rewards of the best checkpoint's evaluation; bf16 to its rounding."""
    code, line = trainer("score", run, pairs, "--json", "--out", run / "scores.jsonl")
    if code:
        return f"{'refused' if code == 2 else 'WRONG'}: {line}"
    best = json.loads((run / "checkpoints" / "best").read_bytes())["step"]
    epoch = 1 if best == sorted(int(one.name[5:]) for one in (run / "checkpoints").glob("step-*"))[0] else 2
    trained = {row["id"]: row for row in map(json.loads, (run / f"validation/epoch-{epoch}.jsonl").open())}
    mine = [json.loads(one) for one in (run / "scores.jsonl").open()]
    both = [(row[side], trained[row["id"]][side]) for row in mine for side in ("chosen", "rejected")]
    gap = max(abs(one - other) for one, other in both)
    spread = max(other for _, other in both) - min(other for _, other in both)
    allowed = max(1e-5, (1e-3 if precision == "no" else 0.1) * spread)
    return RIGHT if gap <= allowed else f"WRONG: rewards differ by {gap:.2g} at a spread of {spread:.2g}"


def rows(kinds: Sequence[str], methods: Sequence[str], precisions: Sequence[str]) -> Iterator[Row]:
    """The matrix, a row at a time."""
    for kind in kinds:
        for method in methods:
            for precision in precisions:
                with tempfile.TemporaryDirectory() as made:
                    place = Path(made)
                    base = toy.make_family(kind, place / "base", **toy.MOST_USED.get(kind, {}))
                    found = dict(stages(base, place, write_pairs(place / "pairs.jsonl"), method, precision))
                    shutil.rmtree(place / "run", ignore_errors=True)
                yield Row(kind, method, precision, found)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the matrix; 1 where anything is neither right nor refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("types", nargs="*", default=list(toy.MOST_USED), help="model types (default: the most used)")
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--precisions", default="no,bf16")
    args = parser.parse_args(argv)
    versions = f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    print(f"{date.today().isoformat()}, {versions}\n\n| type | method | precision | {' | '.join(STAGES)} |")
    print("|---" * (3 + len(STAGES)) + "|")
    faults = 0
    for row in rows(args.types, args.methods.split(","), args.precisions.split(",")):
        cells = [row.stages.get(stage, "–") for stage in STAGES]
        print(f"| {row.kind} | {row.method} | {row.precision} | {' | '.join(cells)} |", flush=True)
        faults += len(row.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
