"""The recipe that a small model has to pass: SmolLM2-135M, LoRA r=32, 5e-4, one epoch of HH-harmless at 256 tokens.

    python benchmarks/harmless.py --model models/smollm2 --data harmless --seeds 1 2 3 --out runs

Prints val_acc with its 95 % interval for each seed. The bag of words reaches 0.62, always the shorter answer 0.55.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from trainer.intervals import wilson

SPEC = """[config]
model = "{model}"
num_epochs = 1
learning_rate = 5e-4
batch_size = 8
gradient_accumulation_steps = 1
max_length = 256
seed = {seed}
mixed_precision = "{precision}"

[config.lora]
r = 32
alpha = 64
dropout = 0.05

[config.data]
train = "{train}"
val = "{val}"
"""


def main():
    args = parse()
    for seed in args.seeds:
        folder = args.out / f"harmless-seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spec.toml").write_text(spec(args, seed))
        subprocess.run([sys.executable, "-m", "trainer", "--config", folder / "spec.toml"], check=True)
        print(figures(folder, seed), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and val.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--precision", default="no", choices=["no", "bf16"])
    parser.add_argument("--out", type=Path, default=Path("harmless-runs"))
    return parser.parse_args()


def spec(args, seed):
    files = {name: (args.data / f"{name}.jsonl").resolve() for name in ("train", "val")}
    return SPEC.format(model=args.model.resolve(), seed=seed, precision=args.precision, **files)


def figures(folder, seed):
    records = [json.loads(line) for line in (folder / "validation" / "epoch-1.jsonl").open()]
    correct = sum(row["chosen"] > row["rejected"] for row in records)
    around = wilson(correct, len(records))
    share = f"{correct / len(records):.4f} ({correct} of {len(records)})"
    return f"seed {seed}: val_acc {share}, 95 % {around.low:.4f} to {around.high:.4f}"


if __name__ == "__main__":
    main()
