"""Chaos: signals at random moments to everything that belongs to a training, adopters and readers beside it.

    python benchmarks/chaos.py [--rounds 200] [--seed 1]

Each round starts a stand-in training of one or two ranks that saves now and then, sends one to five signals (KILL,
TERM, STOP and CONT, INT, HUP, QUIT, USR1) at random moments to supervisor, launcher or a rank, while three threads
adopt and list, and settles it as a person with the app open would. Then nothing may be lost: every step that a rank
logged is an event, no process is left, the state is final and the run, if it can be resumed, finishes. Prints a line
a bad round, and the sum; exit code 1 if any round was bad. Signals go to processes of the round's own workspace only.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests" / "faults"), str(REPO / "tests" / "launch"), str(REPO / "tests"), str(REPO)]

import fault_kit
import launch_kit as kit

from rmtui.operations import adopt, resume, runs
from rmtui.runs import life, proc, state
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

SIGNALS = (
    *(signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGINT, signal.SIGHUP),
    *(signal.SIGQUIT, signal.SIGUSR1),
)
ADOPTERS = 3


def targets(run: RunFolder) -> list[proc.Proc]:
    """Supervisor, launcher and ranks of a run that live."""
    last = run.last_attempt()
    if last is None:
        return []
    beat = life.supervisor_beat(last)
    found = [each.proc for each in proc.tagged(run.id)] + ([beat.process] if beat else [])
    return [each for each in found if proc.alive(each)]


def strike(run: RunFolder, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 5)):
        time.sleep(dice.random() * 0.6)
        if found := targets(run):
            hit, number = dice.choice(found), dice.choice(SIGNALS)
            proc.signal(hit, number)
            if number == signal.SIGSTOP:
                threading.Timer(dice.random() * 2, proc.signal, (hit, signal.SIGCONT)).start()


def watch(ws: Workspace, over: threading.Event, wrong: list[str]) -> None:
    while not over.wait(0.1):
        try:
            adopt.adopt_all(ws)
            with runs.reading(ws) as index:
                index.runs()
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")


def one_round(ws: Workspace, dice: random.Random) -> tuple[str, list[str]]:
    """(the state it came to, what was wrong)."""
    wrong: list[str] = []
    over = threading.Event()
    watchers = [threading.Thread(target=watch, args=(ws, over, wrong)) for _ in range(ADOPTERS)]
    ranks = dice.choice((1, 1, 1, 2))
    how = {"launcher": "accelerate", "processes": 2} if ranks == 2 else {}
    run = kit.start(ws, steps=dice.randint(3, 40), rate=20, save_at=dice.randint(1, 20), grace=3.0, **how)
    for watcher in watchers:
        watcher.start()
    try:
        strike(run, dice)
        now = fault_kit.settle(ws, run)
        if now.resumable and dice.random() < 0.5:
            resume.resume(ws, run.id)
            now = fault_kit.settle(ws, run)
    except AssertionError as error:
        wrong.append(f"not settled: {error}")
        now = state.status(run)
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    if lost := fault_kit.acknowledged(run) - set(fault_kit.steps(run)):
        wrong.append(f"events lost: {sorted(lost)}")
    if left := proc.tagged(run.id):
        wrong.append(f"processes left: {left}")
    if not now.state.final:
        wrong.append(f"{now.state}: {now.reason}")
    return str(now.state), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(REPO)
    ended: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        for number in range(args.rounds):
            ws = kit.make_workspace(Path(folder) / str(number))
            outcome, wrong = one_round(ws, random.Random(f"{args.seed}:{number}"))
            kit.clean_up(ws)
            ended[outcome] += 1
            bad += bool(wrong)
            for text in wrong:
                print(f"round {number} of seed {args.seed}: {text}", flush=True)
    print(f"{args.rounds} rounds, seed {args.seed}: {bad} bad; {dict(ended)}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
