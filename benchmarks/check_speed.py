"""How fast, and in how much memory, `rmtui check` reads a million lines.

    python benchmarks/check_speed.py [LINES] [--near]

Makes two files of distinct pairs of the usual length (about 450 bytes a line) with a few known defects, checks them in
a process of its own and prints lines a second, peak memory, and whether every defect was found.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TEXT = (
    "water light stone paper river engine garden letter window bridge number garden market doctor winter summer answer "
    "question careful quickly because without between under over bring carry build find lose open close write read "
    "simple heavy gentle bright narrow useful common strange ready early later always never often about after before"
)
WORDS = TEXT.split(" ")


def make(path: Path, lines: int, seed: int) -> dict[int, str]:
    """Write distinct pairs; returns the lines with a defect and its kind."""
    chance = random.Random(seed)
    planted: dict[int, str] = {}
    first = ""
    with path.open("w", encoding="utf-8") as file:
        for line in range(1, lines + 1):
            texts = [" ".join(chance.choices(WORDS, k=count)) for count in (18, chance.randint(15, 35), 25)]
            row = {"id": f"{seed}-{line}", **dict(zip(("prompt", "chosen", "rejected"), texts, strict=True))}
            text = json.dumps(row)
            first = first or text
            if line % 50_000 == 0:
                planted[line] = "duplicate" if line % 100_000 else "invalid_json"
                text = first if line % 100_000 else text[:-2]
            file.write(text + "\n")
    return planted


def measure(files: list[str], near: bool) -> None:
    """The check itself; prints what it took as JSON."""
    from rmtui.operations.check import check

    passes: dict[str, float] = {}

    def progress(name: str, _share: float) -> None:
        passes.setdefault(name, time.perf_counter())

    started, working = time.perf_counter(), time.process_time()
    report = check([Path(file) for file in files], look_for_near=near, progress=progress)
    ended = time.perf_counter()
    exact_until = passes.get("near-duplicates", ended)
    found = {finding.line: finding.kind for finding in report.files[0].findings if finding.line}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = sum(file.lines for file in report.files)
    facts = {"lines": lines, "exact": exact_until - started, "near": ended - exact_until, "peak": peak, "found": found}
    print(json.dumps({**facts, "cpu": time.process_time() - working}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--near", action="store_true", help="the pass for near-duplicates as well")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.near)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        train, val = Path(folder) / "train.jsonl", Path(folder) / "val.jsonl"
        planted = make(train, args.lines, seed=1)
        make(val, max(1, args.lines // 100), seed=2)
        size = train.stat().st_size + val.stat().st_size
        command = [sys.executable, __file__, *(["--near"] if args.near else []), "--measure", str(train), str(val)]
        facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {int(line): kind for line, kind in facts["found"].items()}
    print(f"{facts['lines']:,} lines, {size / 1e6:,.0f} MB, {size / facts['lines']:.0f} bytes a line")
    print(f"exact checks   {facts['exact']:6.1f} s   {facts['lines'] / facts['exact']:>9,.0f} lines/s")
    if args.near:
        print(f"near-duplicates{facts['near']:6.1f} s   {facts['lines'] / facts['near']:>9,.0f} lines/s")
    print(f"processor time {facts['cpu']:6.1f} s   (the same, were the machine idle)")
    print(f"peak memory    {facts['peak']:6.0f} MB")
    print(f"defects        {'every one found, no other line blamed' if found == planted else 'NOT AS PLANTED'}")
    return 0 if found == planted else 1


if __name__ == "__main__":
    sys.exit(main())
