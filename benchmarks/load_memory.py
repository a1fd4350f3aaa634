"""Host memory while a bf16 base model is loaded for a LoRA run in bf16 (r = 8, whose weights count too):
`python benchmarks/load_memory.py --ranks 2`.

Makes a Llama-like checkpoint of random weights (410 MiB by default), loads it in each rank as a training does, and
prints the highest sum of the ranks' proportional set sizes (PSS: a page that n processes share counts 1/n in each)
above what they took after their imports.
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
    parser.add_argument("--rank-of", metavar="DIR", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank_of:
        as_rank(Path(args.rank_of), args.precision)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_model(folder, args.layers)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        before, peak = measured(folder, args)
    grown = peak - before
    print(
        f"checkpoint {size / MIB:.0f} MiB; {args.ranks} ranks, {args.precision}; {before / MIB:.0f} MiB after imports, "
        f"{grown / MIB:.0f} MiB more at the peak = {grown / size:.2f} × the checkpoint"
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


def measured(folder: Path, args: argparse.Namespace) -> tuple[int, int]:
    """(bytes of all ranks after their imports, at the peak)."""
    command = [sys.executable, __file__, "--rank-of", str(folder), "--precision", args.precision]
    ranks = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(args.ranks)
    ]
    for one in ranks:
        assert one.stdout is not None and one.stdout.readline() == "imported\n"
    before = peak = sum(map(proportional, ranks))
    for one in ranks:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    while any(one.poll() is None for one in ranks):
        peak = max(peak, sum(map(proportional, ranks)))
        time.sleep(SAMPLE_SECONDS)
    assert not any(one.returncode for one in ranks)
    return before, peak


def proportional(process: subprocess.Popen[str]) -> int:
    """PSS in bytes; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def as_rank(folder: Path, precision: str) -> None:
    """Import, wait, load."""
    from transformers.models.llama import modeling_llama

    from trainer import config
    from trainer.model import reward

    assert modeling_llama.LlamaForSequenceClassification  # which transformers would import while it loads

    chosen = config.build({"model": str(folder), "mixed_precision": precision, "lora": {"r": 8}})
    print("imported", flush=True)
    sys.stdin.readline()
    loaded, _ = reward.load(chosen)
    assert sum(float(weight.detach().sum()) for weight in loaded.parameters()) != 0  # every page was read


if __name__ == "__main__":
    main()
