"""Time limits of a real Slurm, which counts in whole minutes: `python benchmarks/slurm_limits.py`, as root.

A cluster of two nodes on this machine; stand-in trainings that wait at a step. For each: how long before the limit the
warning came, what was asked for, what became of the run.
"""

# ruff: noqa: E402
from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/launch"))
sys.path.insert(0, str(ROOT / "tests/slurm"))

import launch_kit as kit
import slurm_kit
from slurm_kit import State

HELD = {"steps": 4, "hold_at": 2}


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="rmtui-limits-"))
    os.environ |= {"XDG_STATE_HOME": str(folder / "state"), "SLURM_CONF": str(folder / "slurm.conf")}
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    cluster = slurm_kit.Cluster(folder)
    cluster.start()
    ws = kit.make_workspace(folder)
    try:
        cases = (warned_and_requeued, deaf_and_not_requeued, goes_on_in_its_chain)
        return sum(not passed(case, ws, cluster) for case in cases)
    finally:
        cluster.do("stop")


def passed(case, ws, cluster) -> bool:
    began = time.monotonic()
    try:
        words = case(ws)
    except AssertionError as error:
        words, ok = f"FAILED: {error}", False
    else:
        ok = True
    cluster.clear()
    print(f"{case.__name__.replace('_', ' ')} ({time.monotonic() - began:.0f} s): {words}", flush=True)
    return ok


def warned_and_requeued(ws) -> str:
    run = started(ws, warn=30)
    now = slurm_kit.until(ws, run, State.QUEUED, words="requeued", seconds=150)
    assert now.reason.startswith("timed out at step 2; a checkpoint of step 2 is there, requeued"), now
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED, seconds=240)
    assert steps(run) == [1, 2, 3, 4]
    return f"{warning(run)}; requeued, and finished with each step once"


def deaf_and_not_requeued(ws) -> str:
    run = started(ws, how=HELD | {"deaf": True}, grace=1.0, warn=50)
    now = slurm_kit.until(ws, run, State.INTERRUPTED, seconds=150)
    assert now.reason.startswith("timed out") and now.resumable and len(run.attempts()) == 1, now
    return f"{warning(run)}; {now.reason}"


def goes_on_in_its_chain(ws) -> str:
    run = started(ws, warn=30, chain=1)
    kit.until(lambda: len(run.attempts()) == 2, "the next job", seconds=180)
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED)
    assert steps(run) == [1, 2, 3, 4]
    return f"{warning(run)}; went on in the next job, and finished with each step once"


def started(ws, how=HELD, **asked):
    run = slurm_kit.start(ws, how=how, time="1", **asked)
    kit.until_step(run, 2)
    return run


def steps(run) -> list[int]:
    return [event["step"] for event in kit.events(run) if event["kind"] == "step"]


def warning(run) -> str:
    """When the stop was asked for, by the limit of a minute and the first job's start."""
    first = run.attempts()[0]
    began, (asked, *_) = first.launch()["t"], [each["t"] for each in run.requests("stop", first.n)]
    wanted = int((first.path / "job.sbatch").read_text().partition("USR1@")[2].split()[0])
    return f"asked for {wanted} s, warned {60 - (asked - began):.0f} s before the limit"


if __name__ == "__main__":
    sys.exit(main())
