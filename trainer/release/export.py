"""Leaving with the model: `python -m trainer merge` and `python -m trainer score`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from trainer.config import TrainConfig
from trainer.data.batches import collate
from trainer.data.pairset import TokenPair
from trainer.data.texts import DataError
from trainer.model import reward as model
from trainer.model.reward import RewardModel
from trainer.release import card, scoring, verify
from trainer.release.origin import find_origin
from trainer.spec import Refused

PROBES = 8
PROBE_TOKENS = 48
TOLERANCE = 1e-5


class ExportError(ValueError):
    """A merge or a scoring that cannot be done; the message says why and what to do."""


def main(argv: Sequence[str]) -> int:
    """merge, verify or score. Exit code 1: the check failed, 2: wrong files or usage."""
    parser = argparse.ArgumentParser(prog="trainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    merging = commands.add_parser("merge", help="adapter and base model → one plain folder for transformers")
    merging.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint, model/ or a run's folder")
    merging.add_argument("out", type=Path, metavar="OUT", help="the folder to make; it must not exist, or be empty")
    merging.add_argument("--json", action="store_true", help="print one JSON document")
    verify.add_arguments(commands.add_parser("verify", help="does plain transformers find the training's rewards?"))
    scoring.add_arguments(commands.add_parser("score", help="rewards of pairs, or of prompt/response lines"))
    args = parser.parse_args(argv)
    try:
        return {"merge": _merge, "verify": verify.run, "score": scoring.run}[args.command](args)
    except OSError as error:
        print(f"rmtui: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (ExportError, DataError, Refused) as error:
        print(f"rmtui: {error}", file=sys.stderr)
        return 2


def _merge(args: argparse.Namespace) -> int:
    difference = merge(args.checkpoint, args.out)
    facts = {"folder": str(args.out), "max_difference": difference}
    print(json.dumps(facts) if args.json else f"{args.out}: merged, largest difference of a reward {difference:.1e}")
    return 0


def merge(checkpoint: Path, out: Path) -> float:
    """Write a plain AutoModelForSequenceClassification folder with tokenizer and model card.

    Returns the largest difference of a probe's reward, as a share of max(1, |reward|), after loading the folder again;
    above 1e-5 the folder is not kept and ExportError is raised.
    """
    source = scoring.model_folder(checkpoint)
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out} is not empty; name a new folder")
    origin = find_origin(source)
    config = origin.config or TrainConfig()
    trained, tokenizer = model.load_trained(source, config)
    probes = model.probe_pairs(len(tokenizer), PROBES, PROBE_TOKENS)
    before = _probe_rewards(trained, probes)
    whole = _merged(trained)
    whole.save_pretrained(out)
    tokenizer.save_pretrained(out)
    origin.write(out)
    (out / "README.md").write_text(card.text(origin, whole.config.model_type), encoding="utf-8")
    after = _probe_rewards(model.load_trained(out, config)[0], probes)
    difference = float(((after - before).abs() / before.abs().clamp(min=1)).max())
    if not difference <= TOLERANCE:
        shutil.rmtree(out)
        raise ExportError(f"{out}: the merged model's rewards differ by {difference:.2e}, more than {TOLERANCE}")
    return difference


def _merged(trained: RewardModel) -> Any:
    whole: Any = trained.inner
    if isinstance(whole, PeftModel):
        whole = whole.merge_and_unload(safe_merge=True)
    whole.config.num_labels = 1
    whole.set_attn_implementation("sdpa")
    return whole


def _probe_rewards(trained: RewardModel, probes: Sequence[TokenPair]) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = trained(collate(probes, trained.layout))
    return found
