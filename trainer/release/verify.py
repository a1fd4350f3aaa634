"""`python -m trainer verify RUN`: the closing check of a training once more, on the model that it left."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from trainer import manifest
from trainer.documents import VerifyDocument
from trainer.files import replace_file
from trainer.loop import round_trip
from trainer.spec import Refused

FILE = "verification.json"
"""In the run's folder; what it says counts before result.json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, with model/ in it")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """0 where plain transformers find the rewards of the training, 1 where they do not. Raises Refused."""
    facts = verify(args.run)
    replace_file(args.run / FILE, json.dumps({**facts, "t": time.time()}, indent=1).encode() + b"\n")
    if args.json:
        print(json.dumps(facts))
    elif facts["verified"]:
        print(f"{args.run / 'model'}: verified, largest difference of a reward {facts['round_trip']:.1e}")
    else:
        print(f"rmtui: {args.run / 'model'}: not verified: {facts['unverified']}", file=sys.stderr)
    return 0 if facts["verified"] else 1


def verify(folder: Path) -> VerifyDocument:
    """{verified, round_trip, padded, unverified} of the run's model/."""
    model, source = folder / "model", manifest.chosen(folder)
    if not model.is_dir() or source is None:
        raise Refused(f"{folder} has no model to verify: its training has not finished; rmtui resume goes on with it")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return round_trip.result_facts(*round_trip.compare_with_checkpoint(model, source, str(device)))
    except round_trip.NotComparable as error:
        return {"verified": False, "unverified": str(error)}
