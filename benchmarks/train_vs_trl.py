"""This trainer beside TRL's RewardTrainer: the same pairs, interleaved runs, ratios of medians.

Both sides run as processes of their own, in turn, and the order of the two swaps with every round. Example:

    python benchmarks/train_vs_trl.py --bench-trl bench_trl.py --trl-python trl-venv/bin/python \
        --model smollm2=models/smollm2 --model minilm=models/minilm \
        --train harmless/train.jsonl --val harmless/val.jsonl --repeats 5 --out results.jsonl

A cell is MODEL:LENGTH, with :bf16 for autocast on both sides. Both sides are timed over every step of an epoch, so over
the same pairs whatever their order; at 256 tokens over their second one, at more over their first, where a step is long
beside the start. TRL's batch of 8 takes up to 19.7 GB at 512 tokens, and of pairs near 1024 half of it takes 21 GB. So
a cell can name how TRL makes its step of 8 pairs: `:split2` from two batches of 4 by accumulation, `:split4` from four
of 2, which spare it padding, `:gc` from one batch with gradient checkpointing, which is TRL's default. Every run is
appended to --out at once, so one that is cut off loses nothing, and `--report` prints the table of a file without
measuring.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

CELLS = {
    "smollm2:256": (2.0, 2.7),
    "smollm2:256:bf16": (2.0, 3.0),
    "smollm2:512:split2": (2.7, 3.7),
    "smollm2:1024:gc": (3.0, 3.9),
    "smollm2:1024:split2": (3.0, 3.9),
    "smollm2:1024:split4": (3.0, 3.9),
    "minilm:256": (1.4, 1.8),
}
"""Floor and aim of the ratio to TRL."""
PAIRS = {"256": 16, "512": 8, "1024": 8}
VAL_PAIRS = {"256": 16, "512": 8, "1024": 8}
SMALL = {"minilm": (64, 128)}
"""Training and validation pairs of models whose steps are short."""
SPLIT = {"split2": 2, "split4": 4}
"""Batches that TRL's step is made of."""
ONCE = Path(__file__).with_name("train_once.py")


def main():
    args = parse()
    models = dict(named.split("=", 1) for named in args.model)
    for _ in range(0 if args.report else args.repeats):
        for cell in args.cells:
            sides, turn = [ours, trl], finished(args.out, cell)
            for side in sides if turn % 2 == 0 else reversed(sides):
                keep(args.out, {"cell": cell, "turn": turn, "side": side.__name__} | side(args, models, cell))
    print(table([json.loads(line) for line in args.out.read_text().splitlines()]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench-trl", type=Path, help="the script that trains with TRL and prints JSON")
    parser.add_argument("--trl-python", default=sys.executable, help="a Python that has TRL")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--val", type=Path)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), metavar="CELL")
    parser.add_argument("--pairs", type=int, help="training pairs a run (default: by cell, a few minutes for TRL)")
    parser.add_argument("--val-pairs", type=int, help="validation pairs a run (default: by cell)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0, help="of this side; TRL always computes without")
    parser.add_argument("--out", type=Path, default=Path("train_vs_trl.jsonl"))
    parser.add_argument("--report", action="store_true", help="only print the table of --out")
    return parser.parse_args()


def common(args, models, cell):
    name, length, *more = cell.split(":")
    flags = ["--model", models[name], "--data", str(args.train), "--val", str(args.val)]
    flags += ["--pairs", str(pairs_of(args, cell)), "--threads", str(args.threads)]
    return [*flags, *(["--bf16"] if "bf16" in more else [])], length


def pairs_of(args, cell):
    name, length, *_ = cell.split(":")
    return args.pairs or SMALL.get(name, [PAIRS.get(length, 16)])[0]


def held_out(args, cell):
    name, length, *_ = cell.split(":")
    return str(args.val_pairs or SMALL.get(name, [VAL_PAIRS.get(length, 16)])[-1])


def rehearsals(cell):
    """Epochs before the measured one."""
    return 1 if cell.split(":")[1] == "256" else 0


def ours(args, models, cell):
    flags, length = common(args, models, cell)
    more = ["--max-length", length, "--val-pairs", held_out(args, cell), "--dropout", str(args.dropout)]
    more += ["--rehearsals", str(rehearsals(cell))]
    return last_json([sys.executable, str(ONCE), *flags, *more])


def trl(args, models, cell):
    flags, length = common(args, models, cell)
    parts = SPLIT.get(cell.rpartition(":")[2], 1)
    more = ["--max_length", length, "--val_pairs", held_out(args, cell), "--truncate", "--out", "/tmp/bench-trl-out"]
    more += ["--batch", str(8 // parts), "--grad_accum", str(parts), "--eval_batch", str(8 // parts)]
    more += ["--gc"] if cell.endswith(":gc") else []
    steps = rehearsals(cell) * -(-pairs_of(args, cell) // 8)
    more += ["--epochs", str(1 + rehearsals(cell)), "--warmup_steps_excluded", str(steps)]
    found = last_json([args.trl_python, str(args.bench_trl), *flags, *more])
    return found | {"val_pairs_per_s": found["val_pairs"] / found["eval_s"]}


def last_json(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def finished(path, cell):
    """Rounds of a cell that the file holds: a later call goes on from there."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return min(sum((row["cell"], row["side"]) == (cell, side) for row in rows) for side in ("ours", "trl"))


def keep(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def table(rows):
    """Markdown: medians of each side, and ratios of the medians."""
    names = ["cell", "runs", "pairs/s", "TRL", "ratio", "floor and aim", "per CPU s", "peak MiB", "share of TRL"]
    names += ["matmul, fastest", "sustained", "val ratio"]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for cell in dict.fromkeys(row["cell"] for row in rows):
        sides = {side: [row for row in rows if (row["cell"], row["side"]) == (cell, side)] for side in ("ours", "trl")}
        if all(sides.values()):
            lines.append(line(cell, sides))
    return "\n".join(lines)


def line(cell, sides):
    def middle(side, key):
        return statistics.median(row[key] for row in sides[side])

    def ratio(key):
        return middle("ours", key) / middle("trl", key)

    floor, aim = CELLS.get(cell, (float("nan"), float("nan")))
    return (
        f"| {cell} | {len(sides['ours'])} | {middle('ours', 'pairs_per_s'):.2f} | {middle('trl', 'pairs_per_s'):.2f} "
        f"| {ratio('pairs_per_s'):.2f} × | {floor:g} and {aim:g} | {ratio('pairs_per_cpu_s'):.2f} × "
        f"| {middle('ours', 'peak_rss_mib'):.0f} | {ratio('peak_rss_mib'):.2f} × "
        f"| {middle('ours', 'matmul_share'):.0%} | {middle('ours', 'sustained_share'):.0%} "
        f"| {ratio('val_pairs_per_s'):.2f} × |"
    )


if __name__ == "__main__":
    main()
