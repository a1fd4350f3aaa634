"""Optimizer steps on a GPU: python benchmarks/gpu.py 1b:8 1b:32 1b:8:long, cells of MODEL:BATCH[:long].

Models have random weights and the shapes of SmolLM2-135M, Qwen2.5-0.5B, Llama-3.2-1B and Llama-3.1-8B; pairs are random
tokens, short ones about as long as HH's (a prompt of 128 on average, answers of 44), long ones of 1,000 to 2,000 tokens
a side. Nothing is downloaded. Each cell prints one JSON line: wall time and GPU-busy time a step (the sum over kernels,
which repeats to 0.1 %), real and computed tokens a second, MFU on the needed floating-point operations against an 8192³
product of the same process, and peak memory. `--pairwise` attends pair by pair, to be measured by turns with the one
call; `--rounds 3` repeats every cell. On a CPU (toy:2) it only shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from trainer.config import TrainConfig, build
from trainer.data.batches import collate, epoch_batches
from trainer.data.pairset import TokenPair
from trainer.loop import environment
from trainer.loop.loss import pair_loss
from trainer.loop.optimizer_step import Stepper, Sums
from trainer.model import reward, toy

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
SHAPES = {  # hidden, intermediate, layers, heads, key-value heads, vocabulary
    "toy": (64, 192, 2, 4, 2, 512),
    "135m": (576, 1536, 30, 9, 3, 49_152),
    "0.5b": (896, 4864, 24, 14, 2, 151_936),
    "1b": (2048, 8192, 16, 32, 8, 128_256),
    "8b": (4096, 14_336, 32, 32, 8, 128_256),
}
WARM = 3


@dataclass(frozen=True)
class Cell:
    """MODEL:BATCH[:long]."""

    shape: str
    batch: int
    long: bool

    @classmethod
    def of(cls, text: str) -> Cell:
        shape, batch, *more = text.split(":")
        return cls(shape, int(batch), more == ["long"])


def main() -> None:
    args = parse()
    peak = matmul_tflops()
    print(json.dumps({"card": environment.device_name(DEVICE), "torch": torch.__version__, "matmul_tflops": peak}))
    for _ in range(args.rounds):
        for text in args.cells:
            try:
                found = measure(Cell.of(text), args, peak)
            except torch.OutOfMemoryError as error:
                found = {"failed": str(error).splitlines()[0]}
            print(
                json.dumps({"cell": text, "pairwise": args.pairwise, "precision": args.precision, **found}), flush=True
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="+", metavar="MODEL:BATCH[:long]")
    parser.add_argument("--precision", default="bf16", choices=("no", "bf16", "fp16"))
    parser.add_argument("--pairwise", action="store_true", help="attention pair by pair")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def measure(cell: Cell, args: argparse.Namespace, peak: float) -> dict[str, Any]:
    """One cell: load, warm up, time steps of new pairs, then profile three."""
    length = 2048 if cell.long else 512
    with TemporaryDirectory() as folder:
        make_model(cell.shape, Path(folder))
        config = build(
            {
                "model": folder,
                "batch_size": cell.batch,
                "gradient_accumulation_steps": 1,
                "max_length": length,
                "mixed_precision": args.precision,
                "token_cache": False,
                "lora": {"r": 32, "dropout": args.dropout},
            }
        )
        began = time.perf_counter()
        environment.set_up(config)
        reward_model, _ = reward.load(config)
    accelerator = Accelerator(mixed_precision=config.mixed_precision, cpu=not GPU)
    way = reward.choose_attention(reward_model, DEVICE, config.mixed_precision)
    if args.pairwise:
        reward_model.layout = replace(reward_model.layout, one_call=False)
    stepper = Stepper(accelerator, reward_model.train(), config)
    loaded = time.perf_counter() - began
    pairs = draw_pairs(cell, (WARM + args.steps) * cell.batch)
    batches = [one.micro_batches[0] for one in epoch_batches(pairs, config, 0, 1, 0, reward_model.layout)]
    for micro in batches[:WARM]:
        step(stepper, reward_model, [pairs[place] for place in micro], config)
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    seconds, computed = [], 0
    for micro in batches[WARM:]:
        synchronize()
        began = time.perf_counter()
        computed += step(stepper, reward_model, [pairs[place] for place in micro], config)
        synchronize()
        seconds.append(time.perf_counter() - began)
    used = [pairs[place] for micro in batches[WARM:] for place in micro]
    total = sum(seconds)
    return {
        "attention": way,
        "load_s": round(loaded, 1),
        "step_ms": round(1e3 * statistics.median(seconds), 2),
        "busy_ms": busy_ms(stepper, reward_model, [[pairs[p] for p in micro] for micro in batches[-3:]], config),
        "pairs_s": round(len(used) / total, 2),
        "real_tokens_s": round(sum(len(one.chosen) + len(one.rejected) for one in used) / total),
        "computed_tokens_s": round(computed / total),
        "mfu": round(flops(cell.shape, used) / total / peak / 1e12, 4),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if GPU else None,
    }


def make_model(shape: str, folder: Path) -> None:
    """A folder with random weights of a shape, and any tokenizer: pairs are tokens already."""
    hidden, wide, layers, heads, grouped, vocabulary = SHAPES[shape]
    toy.make_decoder(folder, ["a few words", "of no weight"], vocabulary=300, hidden=32, layers=1)
    sizes = {
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": wide, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": grouped, "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    }  # fmt: skip
    with DEVICE:
        made: Any = (
            Qwen2ForCausalLM(Qwen2Config(**sizes)) if shape == "0.5b" else LlamaForCausalLM(LlamaConfig(**sizes))
        )
    made.to(torch.bfloat16).save_pretrained(folder)  # 16 GB of 8B's weights are enough on the disk


def draw_pairs(cell: Cell, count: int) -> list[TokenPair]:
    """Pairs of random tokens with a shared prompt."""
    random, made = np.random.default_rng(7), []
    vocabulary = SHAPES[cell.shape][-1]
    for number in range(count):
        if cell.long:
            shared, answers = int(random.integers(600, 1200)), random.integers(400, 800, 2)
        else:
            shared, answers = 1 + int(min(400, random.exponential(127))), 1 + random.gamma(2.0, 21.5, 2).astype(int)
        ids = random.integers(0, min(vocabulary, 300), shared + int(answers.sum()), dtype=np.int32)
        chosen = ids[: shared + answers[0]]
        rejected = np.concatenate([ids[:shared], ids[shared + answers[0] :]])
        made.append(TokenPair(str(number), chosen, rejected, shared, 0))
    return made


def step(stepper: Stepper, reward_model: reward.RewardModel, held: list[TokenPair], config: TrainConfig) -> int:
    """One optimizer step as the training makes it, without events; tokens that were computed."""
    stepper.begin(1e-5)
    sums, batch = Sums(), collate(held, reward_model.layout).to(DEVICE)
    with stepper.accelerator.autocast():
        chosen, rejected = reward.rewards(stepper.model, batch)
    losses = pair_loss(chosen, rejected, batch.margin, config)
    stepper.backward(losses.sum(), len(held), True)
    sums.add([one.id for one in held], losses.detach(), (chosen - rejected).detach(), batch.tokens)
    norm = stepper.reduce(sums.fault(DEVICE))
    stepper.update(norm)
    sums.read(norm, (), len(held), DEVICE)
    return batch.tokens


def busy_ms(
    stepper: Stepper, reward_model: reward.RewardModel, batches: list[list[TokenPair]], config: TrainConfig
) -> float | None:
    """Milliseconds a step in which the GPU computes: the sum over kernels."""
    if not GPU:
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for held in batches:
            step(stepper, reward_model, held, config)
        synchronize()
    kernels = [event for event in found.events() or [] if str(event.device_type).endswith("CUDA")]
    return round(sum(event.device_time_total for event in kernels) / 1e3 / len(batches), 2)


def flops(shape: str, pairs: list[TokenPair], rank: int = 32) -> float:
    """Needed for these pairs with LoRA on all projections: a shared prefix once, frozen weights forward and to the
    input, adapters three times, causal attention with a backward of twice its forward."""
    hidden, wide, layers, heads, grouped, _ = SHAPES[shape]
    keys = grouped * (hidden // heads)
    matrices = [(hidden, hidden), (hidden, keys), (hidden, keys), (hidden, hidden)]
    matrices += [(hidden, wide), (hidden, wide), (wide, hidden)]
    frozen, adapters = sum(a * b for a, b in matrices), sum(rank * (a + b) for a, b in matrices)
    attended = 0.0
    for pair in pairs:
        own = [len(side) - pair.shared for side in (pair.chosen, pair.rejected)]
        attended += pair.shared**2 / 2 + sum(size * pair.shared + size**2 / 2 for size in own)
    tokens = sum(pair.cost for pair in pairs)
    return layers * (tokens * (4 * frozen + 6 * adapters) + 12 * attended * hidden)


def matmul_tflops() -> float:
    """Of a bf16 product of 8192³ (512³ on a CPU)."""
    size, repeats = (8192, 20) if GPU else (512, 3)
    left, right = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        left @ right
    synchronize()
    return round(2 * size**3 * repeats / (time.perf_counter() - began) / 1e12, 3)


def synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
