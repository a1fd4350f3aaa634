"""Host memory while a bf16 base model is loaded for a LoRA run in bf16 (r = 8, whose weights count too):
`python benchmarks/load_memory.py --ranks 2`; or while such a run is merged: `--work merge`.

Makes a Llama-like checkpoint of random weights (410 MiB by default), loads it in each rank as a training does, and
prints the highest sum of the ranks' proportional set sizes (PSS: a page that n processes share counts 1/n in each)
above what they took after their imports; of it, what is not a file's (and so cannot be given back when memory is
short). Processes that they start count, their imports too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_SECONDS = 0.01
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--layers", type=int, default=17)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--work", choices=("load", "merge"), default="load")
    parser.add_argument("--rank-of", metavar="DIR", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank_of:
        as_rank(Path(args.rank_of), args)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_model(folder / "base", args.layers)
        if args.work == "merge":
            make_adapter(folder)
        size = sum(file.stat().st_size for file in (folder / "base").glob("*.safetensors"))
        before, peak, anonymous, own = measured(folder, args)
    grown = peak - before
    print(
        f"{args.work}: checkpoint {size / MIB:.0f} MiB; {args.ranks} ranks, {args.precision}; {before / MIB:.0f} MiB "
        f"after imports, {grown / MIB:.0f} MiB more at the peak = {grown / size:.2f} × the checkpoint; "
        f"{anonymous / MIB:.0f} MiB more that are not a file's = {anonymous / size:.2f} ×; without "
        f"processes that they start {own / MIB:.0f} MiB = {own / size:.2f} ×"
    )


def make_model(folder: Path, layers: int) -> None:
    """Random weights in bf16, a thirteenth of them in the embedding, with a tokenizer of a few words."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainer.model import toy

    toy.make_decoder(folder, ["a few words"], vocabulary=300, hidden=32)
    tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).config
    config.update({"vocab_size": 16_000, "hidden_size": 1024, "intermediate_size": 2816})
    config.update({"num_hidden_layers": layers})
    config.update({"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64})
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_adapter(folder: Path) -> None:
    """An adapter and a head over the base, moved from where they start, as a training would save them."""
    import torch

    from trainer import config
    from trainer.loop import checkpoint, start_check
    from trainer.model import reward

    chosen = config.build({"model": str(folder / "base"), "mixed_precision": "bf16", "lora": {"r": 8}})
    loaded, tokenizer = reward.load(chosen)
    with torch.no_grad(), start_check.nudged(loaded, 0):
        checkpoint.write_weights(loaded, folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")


def measured(folder: Path, args: argparse.Namespace) -> tuple[int, int, int, int]:
    """Bytes of all ranks after their imports, at the peak, at most more of them that are not a file's, and at most more
    of these in the ranks themselves, without the processes that they start."""
    command = [sys.executable, __file__, "--rank-of", str(folder), "--precision", args.precision, "--work", args.work]
    ranks = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(args.ranks)
    ]
    for one in ranks:
        assert one.stdout is not None and one.stdout.readline() == "imported\n"
    before, anonymous, _ = taken(ranks)
    peak, most, alone = before, anonymous, anonymous
    for one in ranks:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    while any(one.poll() is None for one in ranks):
        now, not_files, own = taken(ranks)
        peak, most, alone = max(peak, now), max(most, not_files), max(alone, own)
        time.sleep(SAMPLE_SECONDS)
    assert not any(one.returncode for one in ranks)
    return before, peak, most - anonymous, alone - anonymous


def taken(ranks: list[subprocess.Popen[str]]) -> tuple[int, int, int]:
    """PSS of the ranks and of what they started in bytes, how much of it is no file's, and of that the ranks' own."""
    of_ranks = [proportional(one.pid) for one in ranks]
    found = [*of_ranks, *(proportional(pid) for one in ranks for pid in children(one.pid))]
    return sum(all_of_it for all_of_it, _ in found), sum(own for _, own in found), sum(own for _, own in of_ranks)


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def proportional(pid: int) -> tuple[int, int]:
    """(PSS, anonymous part of it) in bytes; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss")}
    return found.get("Pss", 0), found.get("Pss_Anon", 0)


def as_rank(folder: Path, args: argparse.Namespace) -> None:
    """Import, wait, work."""
    from transformers.models.llama import modeling_llama

    from trainer import config
    from trainer.model import reward
    from trainer.release import merge

    assert modeling_llama.LlamaForSequenceClassification  # which transformers would import while it loads

    base = str(folder / "base")
    chosen = config.build({"model": base, "mixed_precision": args.precision, "lora": {"r": 8}})
    print("imported", flush=True)
    sys.stdin.readline()
    if args.work == "merge":
        merge.merge(folder / "adapter", folder / "merged")
        return
    loaded, _ = reward.load(chosen)
    assert sum(float(weight.detach().sum()) for weight in loaded.parameters()) != 0  # every page was read


if __name__ == "__main__":
    main()
