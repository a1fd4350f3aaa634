"""The last check of a training: a fresh process with another seed loads model/ and finds the same rewards.

Rounding must not blur it: the fresh process scores the same pairs in the same batch, on the same device, with as many
threads and by the same program; a best checkpoint that was made elsewhere is scored anew here first.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from trainer import heartbeat as pulse
from trainer import manifest, signals
from trainer.documents import ProbePair

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.data.pairset import TokenPair
    from trainer.loop.session import Session

TOLERANCE = 1e-6
OTHER_SEED = 20_011
CHECKING = "checking the saved model"
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
Probe = list[ProbePair]
"""A checkpoint's probe.json: `id`, `chosen` and `rejected` (rewards), `chosen_tokens` and `rejected_tokens`."""
Scores = list[tuple[float, float]]


class FreshScores(TypedDict):
    """What the fresh process answers."""

    scores: Scores
    facts: Mapping[str, object]
    """What computed them."""


class RoundTripFailed(RuntimeError):
    """The saved model scores otherwise than the trained one."""


def check(session: Session, folder: Path) -> float:
    """Largest difference of a reward; raises RoundTripFailed above the tolerance. Rank 0 alone does it, last of all:
    the trained model makes room for the fresh one."""
    session.beat(CHECKING)
    source = manifest.chosen(session.request.run)
    assert source is not None
    probe = read_probe(source)
    trained = trained_scores(session, source, probe)
    session.stepper.make_room()
    found = fresh_scores(session, folder, probe)
    difference: float = max(
        abs(one - other)
        for sides in zip(trained, found["scores"], strict=True)
        for one, other in zip(*sides, strict=True)
    )
    session.reporter.line(f"round trip: {len(probe)} pairs, largest difference of a reward {difference:.1e}")
    if not difference <= TOLERANCE:
        session.reporter.report("round_trip", session.progress.step, max_difference=difference, passed=False)
        raise RoundTripFailed(
            f"{folder} loads with other rewards than were trained: they differ by {difference:.3g}, "
            f"more than {TOLERANCE}{because(session.facts, found['facts'])}"
        )
    return difference


def read_probe(source: Path) -> Probe:
    """What a checkpoint says of its first validation pairs."""
    found: Probe = json.loads((source / "trainer_state" / "probe.json").read_bytes())
    return found


def trained_scores(session: Session, source: Path, probe: Probe) -> Scores:
    """The rewards of the training process: as saved with the checkpoint, unless another machine, library, number of
    threads or configuration made it, which rounds differently; then its weights score anew here."""
    from trainer.loop import checkpoint

    sealed = manifest.read(source)
    assert sealed is not None
    if session.sharded or checkpoint.compare(sealed.facts, session.facts) == checkpoint.Differences():
        return [(one["chosen"], one["rejected"]) for one in probe]
    checkpoint.load_weights(session.model, source)
    return checkpoint.score_probe(session, tokens_of(probe))


def tokens_of(probe: Probe) -> list[TokenPair]:
    """The probe's pairs, as they were tokenized and cut."""
    import numpy as np

    from trainer.data.pairset import TokenPair
    from trainer.data.truncate import shared_length

    made = []
    for one in probe:
        chosen, rejected = (np.asarray(side, np.int32) for side in (one["chosen_tokens"], one["rejected_tokens"]))
        made.append(TokenPair(one["id"], chosen, rejected, shared_length(chosen, rejected), 0))
    return made


def because(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    """What changed on disk while the training ran: nothing, as a rule."""
    from trainer.loop import environment as machine

    changed = "; ".join(machine.differences(then, now))
    return f". While it ran its surroundings changed, which may be all there is to it: {changed}" if changed else ""


def fresh_scores(session: Session, folder: Path, probe: Probe) -> FreshScores:
    """Start `python -m trainer check-round-trip` on the same device; its answer: {scores, facts}."""
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER}
    task = {
        "folder": str(folder),
        "device": str(session.device),
        "probe": probe,
        "facts": session.facts,
        "place": [str(session.request.attempt), session.progress.step, session.micro_step],
    }
    session.beat(CHECKING)
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place) / "task.json", Path(place) / "scores.json"
        asked.write_text(json.dumps(task))
        done = subprocess.run(
            [sys.executable, "-m", "trainer", "check-round-trip", str(asked), str(answer)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise RoundTripFailed(f"a fresh process could not score with {folder}: {last}\n{done.stdout}")
        found: FreshScores = json.loads(answer.read_bytes())
        return found


def main(argv: Sequence[str]) -> int:
    """The fresh process."""
    parser = argparse.ArgumentParser(prog="trainer check-round-trip")
    parser.add_argument("task", type=Path)
    parser.add_argument("answer", type=Path)
    args = parser.parse_args(argv)
    # A stop asked for in these seconds concerns the training, which is over; the check ends by itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signals.die_with_parent(signal.SIGKILL)
    args.answer.write_text(json.dumps(scores(json.loads(args.task.read_bytes()))))
    return 0


def scores(task: Mapping[str, Any]) -> FreshScores:
    """Rewards of the task's probe by the model in its folder, and what computed them."""
    beat = heart(task)
    beat()
    import torch

    from trainer import config
    from trainer.loop import checkpoint, evaluate
    from trainer.loop import environment as machine
    from trainer.model import reward

    beat()
    options, device, pairs = (
        config.build(task["facts"]["config"]),
        torch.device(task["device"]),
        tokens_of(task["probe"]),
    )
    torch.set_num_threads(task["facts"]["threads"])
    torch.use_deterministic_algorithms(options.deterministic)
    torch.manual_seed(OTHER_SEED)
    reward_model, tokenizer = reward.load_trained(Path(task["folder"]), options)
    beat()
    limit, fingerprint = reward.position_limit(reward_model), task["facts"]["fingerprints"]["val"]
    same_tokens(pairs, tokenizer, options, limit, fingerprint)
    beat()
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.mixed_precision)
    with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
        found = evaluate.score(reward_model.to(device), pairs, reward_model.layout, checkpoint.PROBE_PAIRS)
    return {"scores": found, "facts": machine.facts(device)}


def heart(task: Mapping[str, Any]) -> Callable[[], None]:
    """Signs of life in place of rank 0, which waits."""
    attempt, step, micro_step = task["place"]
    heartbeat = pulse.Heartbeat(Path(attempt), 0)
    return lambda: heartbeat.beat(step, micro_step, CHECKING)


def same_tokens(
    trained: Sequence[TokenPair], tokenizer: Any, options: TrainConfig, limit: int | None, fingerprint: str
) -> None:
    """The saved tokenizer makes the tokens that were trained on, else RoundTripFailed. A validation file that has
    changed since then, or is gone, is no fault of the model: then there is nothing to compare."""
    import numpy as np

    from trainer.data import pairset

    try:
        found = pairset.load_pairs(options.data.val, tokenizer, options, limit)
    except (OSError, pairset.DataError):
        return
    if found.report.fingerprint != fingerprint:
        return
    for one, other in zip(trained, found.pairs, strict=False):
        if not (np.array_equal(one.chosen, other.chosen) and np.array_equal(one.rejected, other.rejected)):
            raise RoundTripFailed(f"the saved tokenizer makes other tokens of pair {one.id} than were trained on")
