"""The supervisor with something done to it from outside, which the program knows nothing of: WHAT VALUE its words.

With the words `launch WORKSPACE SPEC` it is the launching process instead, which makes the run folder and the ticket
and starts the supervisor.

error N, kill N   a fault at its N-th write, fsync, rename, unlink, mkdir or spawn; `control/fault` says which it was
clock FILE        its clock goes an hour back as soon as FILE is there
gpu FILE          a machine with one GPU, on which the processes compute that FILE lists
inserts FILE      appends to FILE the seconds that each transaction on the index took
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.index import ingest, read_events, sqlite
from rmtui.launch import attempt_watch, gpus, supervisor
from rmtui.launch.command import Command
from rmtui.workspace import open_workspace


class Fault:
    def __init__(self, n: int, how: str, marker: Path) -> None:
        self.n, self.how, self.marker, self.count = n, how, marker, 0

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.n:
                self.fire(name)
            return call(*args, **kwargs)

        return wrapped

    def fire(self, name: str) -> None:
        self.marker.write_text(name)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, f"injected into {name}")


def fail_at(how: str, n: int, marker: Path) -> None:
    fault = Fault(n, how, marker)
    for name in ("write", "fsync", "replace", "rename", "unlink", "mkdir"):
        setattr(os, name, fault.wrap(name, getattr(os, name)))
    spawn = fault.wrap("spawn", lambda: None)

    class Popen(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            spawn()
            super().__init__(*args, **kwargs)

    subprocess.Popen = Popen


def set_clock_back(marker: Path) -> None:
    now = time.time
    time.time = lambda: now() - 3600 * marker.exists()


def have_a_gpu(file: Path) -> None:
    """Through the real reading of a driver's answers; it is looked at often."""
    gpus.DRIVER, attempt_watch.GPU_LOOK = Path("/dev/null"), 0.2

    class Driver(types.ModuleType):
        NVMLError, NVML_DEVICE_MIG_ENABLE = RuntimeError, 1

        def nvmlDeviceGetComputeRunningProcesses(self, _: object) -> list[types.SimpleNamespace]:
            pids = file.read_text().split() if file.exists() else []
            return [types.SimpleNamespace(pid=int(pid)) for pid in pids]

        def __getattr__(self, name: str) -> Callable[..., Any]:
            facts = types.SimpleNamespace(total=1 << 36)
            answers = {"nvmlDeviceGetCount": 1, "nvmlDeviceGetMigMode": (0, 0), "nvmlDeviceGetUUID": "GPU-1",
                       "nvmlDeviceGetName": "a GPU", "nvmlDeviceGetMemoryInfo": facts,
                       "nvmlDeviceGetCudaComputeCapability": (9, 0)}  # fmt: skip
            return lambda *_: answers.get(name)

    sys.modules["pynvml"] = Driver("pynvml")


def time_inserts(file: Path) -> None:
    plain = sqlite.write

    @contextlib.contextmanager
    def write(connection: sqlite.Connection) -> Iterator[None]:
        began = time.perf_counter()
        with plain(connection):
            yield
        with file.open("a") as said:
            said.write(f"{time.perf_counter() - began}\n")

    ingest.write = read_events.write = write


def main() -> int:
    what, value, words = sys.argv[1], sys.argv[2], sys.argv[3:]
    if what == "clock":
        set_clock_back(Path(value))
    elif what == "gpu":
        have_a_gpu(Path(value))
    elif what == "inserts":
        time_inserts(Path(value))
    else:
        fail_at(what, int(value), Path(words[1]) / ("fault" if words[0] == "launch" else "control/fault"))
    return launch(Path(words[1]), json.loads(words[2])) if words[0] == "launch" else supervisor.main(words)


def launch(root: Path, spec: dict[str, Any]) -> int:
    """0: the launch said the run's id; 1: it said in words why not."""
    from rmtui.operations import launch, plan

    try:
        launch.start(open_workspace(root), plan.Plan(spec, (), Command(())))
    except UserError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
