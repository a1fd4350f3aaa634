"""One measured training of this project's trainer, in a process of its own; the last line on stdout is JSON.

The loop is the trainer's (its model, batches, loss and optimizer) without events and checkpoints. The last epoch is
measured. `matmul_gflops` is what this machine's matrix product does at its fastest in the same process, before and
after; `sustained_gflops` what it does over two seconds, interruptions by others included, as the training is timed.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

GFLOP = 2 * 2048 * 576 * 1536 / 1e9
"""Of the product that the matrix bound is measured with."""


def main():
    args = parse()
    import torch

    torch.set_num_threads(args.threads)
    from trainer.config import build
    from trainer.data import batches as packing
    from trainer.data import pairset
    from trainer.loop import evaluate, loss
    from trainer.model import reward

    precision = "bf16" if args.bf16 else "no"
    options = dict.fromkeys(args.without, False)
    lora = {"r": args.lora_r, "alpha": 2 * args.lora_r, "dropout": args.dropout}
    config = build(
        {"model": args.model, "batch_size": args.batch, "max_length": args.max_length, "mixed_precision": precision}
        | {"lora": lora, "gradient_accumulation_steps": 1, "token_cache": False}
        | options
    )
    before = matmul_gflops(torch, args.bf16), sustained_gflops(torch, args.bf16)
    reward_model, tokenizer = reward.load(config)
    limit = reward.position_limit(reward_model)
    train = first_rows(args.data, args.pairs, lambda path: pairset.load_pairs(path, tokenizer, config, limit).pairs)
    trained = [parameter for parameter in reward_model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)

    def step(micro):
        batch = packing.collate([train[place] for place in micro], reward_model.layout)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            chosen, rejected = reward.rewards(reward_model, batch)
        total = loss.pair_loss(chosen, rejected, None, config).mean()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(total.detach()), batch.tokens

    reward_model.train()
    steps = packing.epoch_batches(train, config, 0, 1, 0, reward_model.layout)
    batches = [one.micro_batches[0] for one in steps]
    for micro in batches * args.rehearsals:
        step(micro)
    began = (time.perf_counter(), time.process_time())
    losses, tokens = zip(*map(step, batches), strict=True)
    ended = (time.perf_counter(), time.process_time())
    wall, cpu = (after - start for start, after in zip(began, ended, strict=True))
    pairs = len(train)
    figures = {"pairs_per_s": pairs / wall, "pairs_per_cpu_s": pairs / cpu, "tokens_per_pair": sum(tokens) / pairs}
    figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if args.val:
        held = first_rows(
            args.val, args.val_pairs, lambda path: pairset.load_pairs(path, tokenizer, config, limit).pairs
        )
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            evaluate.score(reward_model, held, reward_model.layout, 2 * args.batch)
        figures["val_pairs_per_s"] = len(held) / (time.perf_counter() - began)
    after = matmul_gflops(torch, args.bf16), sustained_gflops(torch, args.bf16)
    speed, sustained = map(statistics.mean, zip(before, after, strict=True))
    work = gflop_per_token(torch, reward_model) * figures["tokens_per_pair"]
    figures |= {"matmul_gflops": speed, "gflop_per_pair": work, "matmul_share": figures["pairs_per_s"] * work / speed}
    figures |= {"sustained_gflops": sustained, "sustained_share": figures["pairs_per_s"] * work / sustained}
    figures |= {"threads": args.threads, "dropout": args.dropout, "loss": statistics.mean(losses)}
    print(json.dumps(figures))


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--val")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--val-pairs", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lora-r", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.0, help="TRL computes with 0, whatever it is told")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rehearsals", type=int, default=1, help="epochs before the measured one")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument(
        "--without", action="append", default=[], metavar="OPTION", help="switch a trick off, by its key"
    )
    return parser.parse_args()


def first_rows(path, count, use):
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as part, Path(path).open("rb") as whole:
        part.writelines(line for line, _ in zip(whole, range(count), strict=False))
        part.flush()
        return use(part.name)


def matmul_gflops(torch, bf16):
    """Best of several runs of four products, per wall second."""
    product = product_of(torch, bf16)
    return 4 * GFLOP / min([seconds(product, 4) for _ in range(12)][2:])


def sustained_gflops(torch, bf16, during=2.0):
    """Products one after the other for some seconds, per wall second."""
    product, began, count = product_of(torch, bf16), time.perf_counter(), 0
    while time.perf_counter() - began < during:
        product()
        count += 1
    return GFLOP * count / (time.perf_counter() - began)


def product_of(torch, bf16):
    """A product of the shape of an MLP projection over a batch's tokens."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    rows, weight = torch.randn(2048, 576, dtype=dtype), torch.randn(1536, 576, dtype=dtype)
    return lambda: torch.nn.functional.linear(rows, weight)


def seconds(call, times):
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


def gflop_per_token(torch, reward_model):
    """Matrix products of forward and backward: frozen weights twice (no gradient of their own), trained ones thrice."""
    total = 0
    for name, module in reward_model.classifier.base_model.named_modules():
        if isinstance(module, torch.nn.Linear) and "pooler" not in name:
            total += module.weight.numel() * (6 if module.weight.requires_grad else 4)
    return total / 1e9


if __name__ == "__main__":
    main()
