"""What the tests on a real Slurm share: the cluster, runs of the stand-in trainer as jobs, looking and waiting."""

from __future__ import annotations

import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import launch_kit as kit

from rmtui.launch.slurm import calls
from rmtui.launch.slurm.slurm import Slurm
from rmtui.operations import launch
from rmtui.runs import state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace
from trainer.files import replace_file

SCRIPT = Path(__file__).with_name("one_machine.sh")
LAUNCH = {
    "kind": "slurm",
    "processes": 1,
    "nodes": 1,
    "device": "cpu",
    "devices": [],
    "grace": 20.0,
    "cpus": 1,
    "memory_mb": 500,
    "gpus": 0,
    "gpu_option": "",
    "partition": "",
    "time": "",
    "account": "",
    "sbatch": [],
    "srun": [],
    "wrap": "",
    "prologue": "",
    "warn": 30,
    "chain": 0,
    "accelerate_config": "",
}


class NoCluster(Exception):
    """Slurm's own words on why it does not start."""


class Cluster:
    """Two nodes on this machine, each with process ids of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = os.environ | {"SLURM_TEST_PORT": str(20_000 + os.getpid() % 20_000)}

    def do(self, verb: str, node: str = "") -> str:
        words = ["bash", str(SCRIPT), verb, str(self.folder), node]
        done = subprocess.run(words, env=self._env, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise NoCluster((done.stderr or done.stdout).strip())
        return done.stdout

    def start(self) -> None:
        if "idle" not in self.do("start"):
            self.do("stop")
            raise NoCluster("its nodes did not come up")

    def lose_controller(self) -> None:
        """SIGKILL, once it has written down what it was told so far; it does so every five seconds, where there is
        something new: a job that waits."""
        told = time.time()
        calls.call(["sbatch", "--hold", "--output=/dev/null", "--wrap=true"])
        kit.until(lambda: (self.folder / "state" / "job_state").stat().st_mtime > told, "the controller's own record")
        self.do("kill-ctld")

    def find_controller(self) -> None:
        self.do("start-ctld")
        kit.until(
            lambda: "UP" in subprocess.run(["scontrol", "ping"], capture_output=True, text=True).stdout, "an answer"
        )

    @contextmanager
    def setting(self, line: str) -> Iterator[None]:
        """A line of slurm.conf more, for a while."""
        before = (self.folder / "slurm.conf").read_text()
        try:
            self._reconfigure(f"{before}{line}\n")
            yield
        finally:
            self._reconfigure(before)

    def _reconfigure(self, text: str) -> None:
        """The nodes read the file after scontrol has answered: it is replaced whole, as half a file ends a slurmd."""
        replace_file(self.folder / "slurm.conf", text.encode())
        calls.call(["scontrol", "reconfigure"])

    def clear(self) -> None:
        """No job is left, both nodes are idle: what one test did is over before the next one begins. A cluster that
        does not come to rest is started anew, so that the trouble of one test is not that of all after it."""
        subprocess.run(["scancel", "--me"], check=False, capture_output=True)
        try:
            kit.until(self._idle, "idle nodes")
        except AssertionError:
            jobs, nodes = self._said("squeue", "-h"), self._said("sinfo", "-N", "-l")
            logs = [
                f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(self.folder.glob("*.log"))
            ]
            self.do("stop")
            self.start()
            assert not jobs, f"jobs that nothing cancelled: {jobs}"
            warnings.warn("\n".join(["the cluster itself did not come to rest", nodes, *logs]), stacklevel=2)

    @staticmethod
    def _said(*words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def _idle(self) -> bool:
        said = self._said("sinfo", "-h", "-N", "-p", "main", "-o", "%t").split()
        if any(word.startswith(("down", "drain")) for word in said):
            self.resume_nodes()
        return said == ["idle", "idle"]

    def resume_nodes(self) -> None:
        for name in ("n1", "n2"):
            subprocess.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"], check=False)


def start(ws: Workspace, trainer: str = "direct", nodes: int = 1, how: Any = None, **asked: Any) -> RunFolder:
    """A stand-in training as a job, one rank a node; `how` is the stand-in's, the rest the job's."""
    document = kit.spec(trainer, nodes, 20.0, **(how or {}))
    document["launch"] = {**LAUNCH, "processes": nodes, "nodes": nodes, **asked}
    run = RunFolder.create(ws.runs, document)
    launch.enqueue(ws, run)
    return run


def look(ws: Workspace, run: RunFolder) -> Status:
    """Where a run stands, Slurm asked now."""
    Slurm().look(ws, at_once=True)
    return state.status(run)


def until(ws: Workspace, run: RunFolder, *wanted: State, words: str = "", seconds: float = 60.0) -> Status:
    """Wait until a run is in one of these states with these words in its reason, Slurm asked all the time."""
    deadline = time.monotonic() + seconds
    while True:
        now = look(ws, run)
        if now.state in wanted and words in now.reason:
            return now
        assert time.monotonic() < deadline, f"{run.id} is {now.state}: {now.reason}; {log(run)}"
        time.sleep(0.1)


def log(run: RunFolder) -> str:
    """What the job's own output says, for a failing test."""
    paths = [*run.path.glob("attempt-*/logs/slurm.log"), *run.path.glob("attempt-*/logs/launch*.log")]
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in paths)


def job(run: RunFolder) -> str:
    from rmtui.runs import cluster_jobs

    found = cluster_jobs.read(run)
    assert found is not None
    return found.id


def warn(run: RunFolder) -> None:
    """Slurm's warning before the time limit, sent now: USR1 to the batch shell alone, as --signal=B: does."""
    slurm("scancel", "--batch", "--signal=USR1", job(run))


def slurm(*words: str) -> str:
    return calls.call(list(words))


def preempt(ws: Workspace, seconds: int = 2) -> str:
    """A job of a higher partition that takes both nodes for a moment; its id."""
    words = ["sbatch", "--parsable", "-p", "urgent", "--nodes=2", "--exclusive", "-o", "/dev/null"]
    return slurm(*words, "--wrap", f"sleep {seconds}").strip()
