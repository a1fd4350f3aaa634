"""What is saved is what was trained: a fresh process with another seed loads the saved folder by plain transformers and
peft, and finds the same rewards, for texts alone and in padded batches.

It is asked before the first step (`start_check`), at the end of a training, by `verify` and by `merge`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from trainer import heartbeat as pulse
from trainer import manifest, ranks, signals
from trainer.documents import ProbePair, VerifyDocument

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.loop.session import Session

OTHER_SEED = 20_011
CHECKING = "checking the saved model"
END_SECONDS = 900.0
"""The fresh process may take so long at the end of a training; then the model counts as not verified."""
LEAST_SECONDS = 10.0
SHARE_OF_RUN = 0.05
"""At the end of a training no further pair is scored once the larger of the two is over; one always is."""
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
Probe = list[ProbePair]
"""A checkpoint's probe.json: its first validation pairs as tokens, with their rewards."""
Place = tuple[str, int, int]
"""Attempt folder, step and micro step, for signs of life."""


class Task(TypedDict):
    """What the fresh process is asked."""

    folder: str
    device: str
    probe: Probe
    facts: Mapping[str, Any]
    """Of the training, as in a checkpoint's manifest: config, threads, fingerprints."""
    place: Place | None
    seconds: float | None
    """After these no further pair is scored; None: all are."""


class PlainRewards(TypedDict):
    """What the fresh process answers: rewards in the probe's order, chosen before rejected; of its first pairs where
    the time was over."""

    alone: list[float]
    padded: dict[str, list[float] | None]
    side: str
    tokens: str
    facts: Mapping[str, Any]


class RoundTripFacts(TypedDict):
    """A round trip as its event holds it."""

    max_difference: float | None
    padded: dict[str, float | None]
    padding_side: str
    tolerance: float
    spread: float
    passed: bool
    pairs: int
    cut_short: bool


class NotComparable(RuntimeError):
    """The fresh process gave no rewards: it could not load the folder, ran out of time or memory."""

    def __init__(self, why: str, *, of_machine: bool = False) -> None:
        super().__init__(why)
        self.of_machine = of_machine
        """It was a lack of time or memory, and does not concern the folder."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How far plain transformers' rewards are from the trained model's."""

    alone: float | None
    """Largest difference of a reward with one text at a time; None where one is not finite."""
    padded: Mapping[str, float | None]
    """The same in one padded batch, by the side of the padding; None where none can be made."""
    side: str
    """The side that the saved tokenizer pads on."""
    tolerance: float
    spread: float
    """Highest less lowest reward of the probe."""
    tokens: str = ""
    """What is wrong with the saved tokenizer's tokens."""
    pairs: int = 0
    """Pairs that were scored."""
    cut: str = ""
    """That it was cut short, in words; empty where every pair was scored."""

    @property
    def right_alone(self) -> bool:
        return self.alone is not None and self.alone <= self.tolerance

    def right_padded(self, side: str) -> bool:
        """Whether batches that are padded on this side give the same rewards."""
        found = self.padded.get(side)
        return found is not None and found <= self.tolerance

    @property
    def fault(self) -> str:
        """Why this model is not verified; empty where it is."""
        if self.tokens:
            return self.tokens
        if not self.right_alone:
            gap = "NaN" if self.alone is None else f"{self.alone:.3g}"
            return (
                f"plain transformers find other rewards than were trained: they differ by {gap}, more than "
                f"{self.tolerance:.3g}, at a spread of {self.spread:.3g}"
            )
        if not self.right_padded(self.side):
            found = self.padded.get(self.side)
            gap = "no batch can be made" if found is None else f"rewards differ by {found:.3g}"
            return f"in batches padded on the {self.side}, as the saved tokenizer does, {gap} in plain transformers"
        return ""

    @property
    def summary(self) -> str:
        """The measured differences in a line."""
        sides = ", ".join(f"padded {side} {_gap(found)}" for side, found in self.padded.items())
        cut = f"; {self.cut}" if self.cut else ""
        return f"largest difference of a reward: alone {_gap(self.alone)}, {sides}; spread {self.spread:.3g}{cut}"

    def facts(self) -> RoundTripFacts:
        """Plain values, for events and result.json."""
        return {
            "max_difference": self.alone,
            "padded": dict(self.padded),
            "padding_side": self.side,
            "tolerance": self.tolerance,
            "spread": self.spread,
            "passed": not self.fault,
            "pairs": self.pairs,
            "cut_short": bool(self.cut),
        }


def _gap(found: float | None) -> str:
    return "not possible" if found is None else f"{found:.1e}"


def check(session: Session, folder: Path) -> VerifyDocument:
    """The check at the end: facts for result.json, `verified` among them. Rank 0 alone does it, last of all: the
    trained model makes room for the fresh one. A model that fails is kept, and is said to be not verified."""
    session.beat(CHECKING)
    source = manifest.chosen(session.request.run)
    assert source is not None
    session.stepper.make_room()
    place = (str(session.request.attempt), session.progress.step, session.micro_step)
    try:
        found, fault = compare_with_checkpoint(
            folder, source, str(session.device), place, bound(time.monotonic() - session.moment.began)
        )
    except NotComparable as error:
        session.reporter.line(f"round trip: {error}")
        session.reporter.report("round_trip", session.progress.step, max_difference=None, passed=False, text=str(error))
        return {"verified": False, "unverified": str(error)}
    session.reporter.line(f"round trip: {found.summary}")
    session.reporter.report("round_trip", session.progress.step, text=fault, **found.facts())
    return result_facts(found, fault)


def bound(run_seconds: float) -> float:
    """Seconds that the check at the end of a run may take."""
    return max(LEAST_SECONDS, SHARE_OF_RUN * run_seconds)


def result_facts(found: RoundTrip, fault: str) -> VerifyDocument:
    """What result.json and verification.json keep of it."""
    padded = {side: found.right_padded(side) for side in found.padded}
    facts: VerifyDocument = {"verified": not fault, "round_trip": found.alone, "padded": padded}
    if fault:
        facts["unverified"] = fault
    return facts


def compare_with_checkpoint(
    folder: Path, source: Path, device: str, place: Place | None = None, seconds: float | None = None
) -> tuple[RoundTrip, str]:
    """`folder` held against the rewards in the checkpoint `source`; with why it is not verified, empty where it is.

    Raises NotComparable."""
    sealed = manifest.read(source)
    assert sealed is not None
    task: Task = {
        "folder": str(folder),
        "device": device,
        "probe": read_probe(source),
        "facts": sealed.facts,
        "place": place,
        "seconds": seconds,
    }
    found, answer = compare(task, END_SECONDS)
    return found, f"{found.fault}{because(sealed.facts, answer['facts'])}" if found.fault else ""


def compare(task: Task, seconds: float) -> tuple[RoundTrip, PlainRewards]:
    """Ask a fresh process for the probe's rewards, and hold them against those in the probe. Raises NotComparable."""
    from trainer.model import plain

    answer = ask(task, seconds)
    count, of = len(answer["alone"]) // 2, len(task["probe"])
    trained = [reward for one in task["probe"][:count] for reward in (one["chosen"], one["rejected"])]
    cut = f"cut short after {task['seconds']:.0f} s: {count} of {of} pairs were scored" if count < of else ""
    config = task["facts"]["config"]
    found = RoundTrip(
        alone=plain.largest_difference(trained, answer["alone"]),
        padded={side: plain.largest_difference(trained, answer["padded"][side]) for side in plain.SIDES},
        side=answer["side"],
        tolerance=plain.tolerance(
            trained, str(config.get("mixed_precision", "no")), bool(config.get("tf32")) and task["device"] != "cpu"
        ),
        spread=max(trained) - min(trained),
        tokens=answer["tokens"],
        pairs=count,
        cut=cut,
    )
    return found, answer


def read_probe(source: Path) -> Probe:
    """What a checkpoint says of its first validation pairs."""
    found: Probe = json.loads((source / "trainer_state" / "probe.json").read_bytes())
    return found


def because(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed on disk while the training ran: nothing, as a rule."""
    from trainer.loop import environment as machine

    changed = "; ".join(machine.differences(then, now))
    return f". While it ran its surroundings changed, which may be all there is to it: {changed}" if changed else ""


def ask(task: Task, seconds: float) -> PlainRewards:
    """Start `python -m trainer check-round-trip`; its answer: {alone, padded, side, tokens, facts}."""
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER}
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place) / "task.json", Path(place) / "scores.json"
        asked.write_text(json.dumps(task))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "trainer", "check-round-trip", str(asked), str(answer)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            why = f"a fresh process had not scored with the saved model after {seconds:g} s"
            raise NotComparable(why, of_machine=True) from None
        if done.returncode:
            raise _no_answer(done)
        found: PlainRewards = json.loads(answer.read_bytes())
        return found


def _no_answer(done: subprocess.CompletedProcess[str]) -> NotComparable:
    print(done.stdout, file=sys.stderr, flush=True)
    last = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    killed = done.returncode == -signal.SIGKILL
    short = killed or any(words in done.stdout.lower() for words in ranks.OUT_OF_MEMORY)
    what = "was killed, for lack of memory perhaps" if killed else f"could not score: {last}"
    return NotComparable(f"a fresh process with the saved model {what}", of_machine=short)


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


def scores(task: Task) -> PlainRewards:
    """Rewards of the task's probe by the model in its folder, and what computed them."""
    began, beat = time.monotonic(), heart(task)
    beat()
    import torch

    from trainer import config
    from trainer.loop import environment as machine
    from trainer.model import plain

    beat()
    facts, device = task["facts"], torch.device(task["device"])
    options = config.build(config.recorded(facts["config"]))
    torch.set_num_threads(facts["threads"])
    machine.set_up(options)
    torch.manual_seed(OTHER_SEED)
    loaded = plain.load(Path(task["folder"]), device, options.trust_remote_code, mapped=True)
    beat()
    sides: list[list[int]] = []
    alone: list[float] = []
    until = math.inf if task["seconds"] is None else began + task["seconds"]
    with plain.autocast(device, options.mixed_precision):
        for one in task["probe"]:
            if alone and time.monotonic() > until:
                break
            sides += [one["chosen_tokens"], one["rejected_tokens"]]
            alone += loaded.alone(sides[-2:])
            beat()
        padded = {side: loaded.padded(sides, side) for side in plain.SIDES}
    beat()
    return {
        "alone": alone,
        "padded": padded,
        "side": str(loaded.tokenizer.padding_side),
        "tokens": other_tokens(task["probe"], loaded.tokenizer, options, facts["fingerprints"].get("val", "")),
        "facts": machine.facts(device),
    }


def heart(task: Task) -> Callable[[], None]:
    """Signs of life in place of rank 0, which waits."""
    if task["place"] is None:
        return lambda: None
    attempt, step, micro_step = task["place"]
    heartbeat = pulse.Heartbeat(Path(attempt), 0)
    return lambda: heartbeat.beat(step, micro_step, CHECKING)


def other_tokens(probe: Probe, tokenizer: Any, options: TrainConfig, fingerprint: str) -> str:
    """Which pair the saved tokenizer makes other tokens of than were trained on. A validation file that has changed
    since then, or is gone, is not the model's fault: then there is nothing to compare."""
    from trainer import pairs as files
    from trainer.data.texts import DataError, encode
    from trainer.data.truncate import edges, truncate

    try:
        val, fields = options.data.val, options.data.fields
        if files.fingerprint(val, fields) != fingerprint:
            return ""
        rows = files.distinct_ids(row for row in files.read_rows(val, fields) if isinstance(row, files.Row))
        by_id = {row.id: row for row in rows}
        asked = [by_id[one["id"]] for one in probe if one["id"] in by_id]
        made = encode(asked, tokenizer, options)
    except (OSError, DataError):
        return ""
    longest, kept = max(map(_longest, probe)), edges(tokenizer, options)
    cut = {row.id: truncate(one, longest, kept) for row, one in zip(asked, made, strict=True)}
    for one in probe:
        chosen, rejected, _ = cut[one["id"]]
        if (one["chosen_tokens"], one["rejected_tokens"]) != (chosen.tolist(), rejected.tolist()):
            return f"the saved tokenizer makes other tokens of pair {one['id']} than were trained on"
    return ""


def _longest(one: ProbePair) -> int:
    return max(len(one["chosen_tokens"]), len(one["rejected_tokens"]))
