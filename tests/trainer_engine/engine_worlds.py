"""Starts real trainings in forked processes: as many ranks as asked for, over gloo, without paying imports again."""

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

# Imported here, so that a forked rank starts at once.
from accelerate.state import AcceleratorState

import trainer.loop.setup
import trainer.loop.train
from trainer import __main__ as program
from trainer import config as options
from trainer.events import Event, read_from
from trainer.model import toy

torch.set_num_threads(1)
TIMEOUT = 120
Patch = Callable[[int], None]
"""Runs in each rank before the program starts, with the rank's number."""

GOOD = [
    "boil the water first",
    "check the cable, then the plug",
    "use warm soap",
    "paris, on the seine",
    "ask your doctor",
]
BAD = ["no idea", "who cares", "whatever you say", "go away", "that is a silly thing to ask"]


@dataclass(frozen=True)
class Bench:
    """What the trainings share."""

    folder: Path
    model: Path
    train: Path
    val: Path

    def options(self, **changes) -> dict:
        document = {
            "model": str(self.model),
            "data": {"train": str(self.train), "val": str(self.val)},
            "num_epochs": 2,
            "learning_rate": 1e-3,
            "batch_size": 2,
            "gradient_accumulation_steps": 2,
            "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
            "max_length": 64,
            "token_cache": False,
            "start_check": False,
        }
        flat = options.flatten(document) | {key.replace("__", "."): value for key, value in changes.items()}
        return options.nest(flat)


def make_bench(folder: Path, train_pairs: int = 27, val_pairs: int = 9) -> Bench:
    folder.mkdir(exist_ok=True)
    rows = make_rows(train_pairs + val_pairs)
    write_rows(folder / "train.jsonl", rows[:train_pairs])
    write_rows(folder / "val.jsonl", rows[train_pairs:])
    texts = [row["prompt"] + row["chosen"] + row["rejected"] for row in rows]
    toy.make_decoder(folder / "model", texts, vocabulary=400, hidden=32, layers=2)
    return Bench(folder, folder / "model", folder / "train.jsonl", folder / "val.jsonl")


def make_rows(count: int) -> list[dict]:
    draw = random.Random(7)
    return [
        {
            "id": f"p{number}",
            "prompt": f"question {number} about {draw.choice(['tea', 'cats', 'maps'])}: ",
            "chosen": " ".join(draw.choices(GOOD, k=draw.randint(1, 3))),
            "rejected": " ".join(draw.choices(BAD, k=draw.randint(1, 3))),
        }
        for number in range(count)
    ]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass
class World:
    """The ranks of one launch, and what they left behind."""

    run: Path
    attempt: Path
    pids: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    """Exit codes by rank; a signal is negative."""
    ended: dict[int, int] = field(default_factory=dict)

    def wait(self) -> "World":
        """Until every rank has ended; a rank that outlasts its peers' death by far is killed, as a launcher would."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.ended) < len(self.pids):
            for pid in set(self.pids) - set(self.ended):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.ended[pid] = os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline or any(code < 0 for code in self.ended.values()):
                self.signal(signal.SIGKILL)
            time.sleep(0.005)
        self.codes = [self.ended[pid] for pid in self.pids]
        return self

    def signal(self, number: int, rank: int | None = None) -> None:
        for pid in self.pids if rank is None else [self.pids[rank]]:
            if pid not in self.ended:
                os.kill(pid, number)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.002)

    @property
    def events(self) -> list[Event]:
        path = self.attempt / "events.jsonl"
        return read_from(path)[0] if path.exists() else []

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def losses(self) -> dict[int, str]:
        """Step → loss in hex."""
        return {event.step: event.metrics["loss"].hex() for event in self.of("step")}

    @property
    def result(self) -> dict:
        return json.loads((self.attempt / "result.json").read_text())

    def log(self, rank: int = 0) -> str:
        path = self.attempt / "logs" / f"rank{rank}.log"
        return path.read_text() if path.exists() else ""


def start(run: Path, config: dict, ranks: int = 1, patch: Patch | None = None, arguments: tuple = ()) -> World:
    """Launch as rmtui does: a run folder, a new attempt in it, a process a rank."""
    run.mkdir(parents=True, exist_ok=True)
    attempt = run / f"attempt-{len(list(run.glob('attempt-*'))) + 1}"
    attempt.mkdir()
    (run / "spec.toml").write_text(toml(config))
    world = World(run, attempt)
    port = free_port()
    command = [
        "--config",
        str(run / "spec.toml"),
        "--run-dir",
        str(run),
        "--attempt-dir",
        str(attempt),
        *map(str, arguments),
    ]
    for rank in range(ranks):
        pid = os.fork()
        if pid == 0:
            become_rank(rank, ranks, port, command, patch)
        world.pids.append(pid)
    return world


def train(run: Path, config: dict, ranks: int = 1, patch: Patch | None = None, arguments: tuple = ()) -> World:
    """`start`, and wait for the end."""
    return start(run, config, ranks, patch, arguments).wait()


def become_rank(rank: int, ranks: int, port: int, command: list[str], patch: Patch | None) -> None:
    """In the forked child: the launcher's environment, then the program; never returns."""
    code = 70
    try:
        # torch makes its thread pool anew at the first call after a fork, without a lock: two threads of a loader, both
        # the first, end in "Invalid thread pool!" (caffe2/utils/threadpool/pthreadpool-cpp.cc).
        torch.set_num_threads(1)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        os.environ["ACCELERATE_USE_CPU"] = "true"
        if ranks > 1:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(ranks),
                "LOCAL_WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # of a test that made one in the process this is forked of
        if patch is not None:
            patch(rank)
        code = program.main(command)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def quick_end(rank: int) -> None:
    """Leave out the fresh process at the end, which has a test of its own."""
    trainer.loop.train.round_trip.check = lambda ready, folder: {"verified": True, "round_trip": 0.0}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def toml(config: dict) -> str:
    return "[config]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in options.flatten(config).items())


def toml_value(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)
