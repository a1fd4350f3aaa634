"""How many suspects are wrong indeed: flips 10 and 20 % of the training pairs and counts what `rmtui suspects` names.

python benchmarks/suspects.py FILE…
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from rmtui.operations.suspects import suspects


def main(files: list[str]) -> None:
    """A line a file and share: suspects, the share of them that was flipped here, and the share of flips among them."""
    for name in files:
        rows = [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]
        for share in (0.1, 0.2):
            draw = random.Random(1)
            flipped = set(draw.sample(range(len(rows)), round(share * len(rows))))
            made = [
                {**row, "id": str(place), "chosen": row["rejected"], "rejected": row["chosen"]}
                if place in flipped
                else {**row, "id": str(place)}
                for place, row in enumerate(rows)
            ]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "train.jsonl"
                path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
                found = suspects(path)
            named = [int(one["id"]) for one in found["suspects"]]
            hits = sum(key in flipped for key in named)
            right, recall = hits / len(named) if named else 0.0, hits / len(flipped)
            words = f"words {found['accuracy']:.3f}, suspects {len(named)}, flipped {right:.2f} of them"
            print(f"{name} {share:.0%}: {words}, {recall:.2f} of all flips", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
