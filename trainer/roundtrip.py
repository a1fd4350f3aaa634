"""The last check of a training: a fresh process with another seed loads model/ and finds the same rewards."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import manifest, signals

if TYPE_CHECKING:
    from trainer.setup import Ready

TOLERANCE = 1e-6
OTHER_SEED = 20_011
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


class RoundTripFailed(RuntimeError):
    """The saved model scores otherwise than the trained one."""


def check(ready: Ready, folder: Path) -> float:
    """Largest difference of a reward; raises RoundTripFailed above the tolerance. Rank 0 alone does it."""
    source = manifest.chosen(ready.request.run)
    assert source is not None
    probe = json.loads((source / "trainer_state" / "probe.json").read_bytes())
    found = fresh_scores(ready, folder)
    difference: float = max(
        abs(one[side] - there[side]) for one, there in zip(probe, found, strict=True) for side in ("chosen", "rejected")
    )
    ready.reporter.line(f"round trip: {len(probe)} pairs, largest difference of a reward {difference:.1e}")
    if not difference <= TOLERANCE:
        ready.reporter.say("round_trip", ready.progress.step, max_difference=difference, passed=False)
        raise RoundTripFailed(
            f"{folder} loads with other rewards than were trained: they differ by {difference:.3g}, "
            f"more than {TOLERANCE}"
        )
    return difference


def fresh_scores(ready: Ready, folder: Path) -> list[dict[str, Any]]:
    """Start `python -m trainer check-round-trip` on the same device; its answer."""
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER}
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "scores.json"
        arguments = [str(folder), str(ready.spec.path), str(answer), "--device", str(ready.device)]
        done = subprocess.run(
            [sys.executable, "-m", "trainer", "check-round-trip", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RoundTripFailed(f"a fresh process could not load {folder}:\n{done.stdout}")
        found: list[dict[str, Any]] = json.loads(answer.read_bytes())
        return found


def main(argv: Sequence[str]) -> int:
    """The fresh process."""
    parser = argparse.ArgumentParser(prog="trainer check-round-trip")
    parser.add_argument("folder", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    # A stop asked for in these seconds concerns the training, which is over; the check ends by itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signals.die_with_parent(signal.SIGKILL)
    args.answer.write_text(json.dumps(scores(args.folder, args.config, args.device)))
    return 0


def scores(folder: Path, config_path: Path, device: str) -> list[dict[str, Any]]:
    """Rewards of the first validation pairs by the model in `folder`."""
    import torch

    from trainer import checkpoint, data, evaluate, model, spec

    config = spec.read(config_path).config
    torch.manual_seed(OTHER_SEED)
    reward_model, tokenizer = model.load_trained(folder, config)
    limit = model.position_limit(reward_model)
    pairs = data.load_pairs(config.data.val, tokenizer, config, limit).pairs[: checkpoint.PROBE_PAIRS]
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(config.mixed_precision)
    with torch.autocast(torch.device(device).type, dtype=precision, enabled=precision is not None):
        found = evaluate.score(reward_model.to(device), pairs, reward_model.layout, checkpoint.PROBE_PAIRS)
    return [{"chosen": chosen, "rejected": rejected} for chosen, rejected in found]
