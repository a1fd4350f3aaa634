"""A stand-in for the trainer: the same arguments, files and manners, without torch.

The tests of launching start dozens of trainings, and some of them kill one at an exact moment; a real one takes ten
seconds to import its libraries and cannot be held at a step. Its [stand_in] table in spec.toml says how it behaves:

steps          optimizer steps to make
hold_at        wait at this step until `control/go` exists (a stop request ends the wait)
save_seconds   what it says a checkpoint took
slow_save      wait inside a checkpoint, temporary folder made, until `control/go` exists
crash          {rank, step, how}: exit N, "kill", "stop" (SIGSTOP), "raise"; "oom": as torch tells it
deaf           ignore SIGTERM
child          have a helper process, which only notes a SIGTERM and outlives its parent
rate           events a second
clock_back_at  from this step on the clock shows an hour less
eat_memory     take a gigabyte after the wait at `hold_at`, then wait for the end
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import tomli

from trainer import files, manifest, ranks
from trainer.events import EventWriter

RANK = int(os.environ.get("RANK", "0"))
TICK = 0.01
HELPER = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path(sys.argv[1]).touch())
while True: signal.pause()
"""


class Training:
    def __init__(self, args: argparse.Namespace) -> None:
        spec = tomli.loads(args.config.read_text())
        self.how = spec.get("stand_in", {})
        self.launcher = spec["trainer"]["launcher"]
        self.run, self.attempt = args.run_dir, args.attempt_dir
        ranks.hold_lock(self.attempt, RANK)
        self.log = (self.attempt / "logs" / f"rank{RANK}.log").open("a", buffering=1)
        self.stopping = False
        self.began = 0.0
        self.step = manifest.read(args.resume).step if args.resume else 0
        self.events = EventWriter(self.attempt / "events.jsonl") if RANK == 0 else None

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if self.how.get("deaf") else self.stop)
        faulthandler.register(signal.SIGUSR1, file=self.log)
        if self.launcher == "accelerate":  # alone, its parent is the supervisor, whose death must not end it
            ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)

    def stop(self, number: int, frame: object) -> None:
        self.stopping = True
        print("asked to stop", file=self.log)

    def main(self) -> int:
        self.listen()
        if self.how.get("child"):
            subprocess.Popen(
                [sys.executable, "-c", HELPER, self.run / "control" / "helper-asked"], start_new_session=True
            )
        self.say("start", resumed_from_step=self.step or None)
        self.beat()
        while self.step < int(self.how.get("steps", 3)):
            if self.stopping:
                return self.end("stopped", f"SIGTERM at step {self.step}")
            self.one_step()
        self.say("epoch", metrics={"train_loss": 0.6, "val_loss": 0.5, "val_acc": 0.75, "val_pairs": 8.0})
        return self.end("finished", "epochs")

    def one_step(self) -> None:
        self.step += 1
        if self.step == self.how.get("clock_back_at"):
            now = time.time
            time.time = lambda: now() - 3600
        self.crash()
        if rate := self.how.get("rate"):
            self.began = self.began or time.monotonic() - self.step / rate
            time.sleep(max(0.0, self.began + self.step / rate - time.monotonic()))
        self.say("step", metrics={"loss": 1 / self.step, "learning_rate": 1e-5})
        print(f"step {self.step}", file=self.log)
        self.beat()
        if self.step == self.how.get("hold_at"):
            self.wait_for_go()
        if self.step == self.how.get("save_at"):
            self.save()

    def wait_for_go(self) -> None:
        while not self.stopping and not (self.run / "control" / "go").exists():
            time.sleep(TICK)
        if self.how.get("eat_memory") and not self.stopping:
            bytearray(b"x") * (1 << 30)
            while not self.stopping:  # a real rank waits in the step for the one that is killed
                time.sleep(TICK)

    def crash(self) -> None:
        plan = self.how.get("crash", {})
        if not plan or plan["rank"] != RANK or plan["step"] != self.step:
            return
        how = plan["how"]
        print(f"about to crash: {how}", file=self.log)
        if isinstance(how, int):
            os._exit(how)
        if how in ("kill", "stop"):
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
            return
        failure = {"type": "ValueError", "text": "the data ended early", "step": self.step, "t": time.time()}
        if how == "oom":
            suggest = {"batch_size": 2, "gradient_accumulation_steps": 4, "max_length": 512}
            failure |= {"type": "MemoryError", "text": "out of memory", "suggest": suggest}
        files.replace_file(self.attempt / f"failure-rank{RANK}.json", json.dumps(failure).encode())
        os._exit(1)

    def save(self) -> None:
        if RANK:
            return
        final = self.run / "checkpoints" / manifest.folder_name(self.step)
        temporary = final.with_name(f"{manifest.TEMPORARY}{final.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.parent.mkdir(exist_ok=True)  # as the trainer does: never the run itself
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"w" * 1000)
        if self.how.get("slow_save"):
            (self.run / "control" / "saving").touch()
            while not (self.run / "control" / "go").exists():
                time.sleep(TICK)
        facts = {
            "step": self.step,
            "epoch": 0.5,
            "reason": "stop",
            "created": time.time(),
            "world_size": 1,
            "facts": {},
        }
        manifest.seal(temporary, facts)
        manifest.publish(temporary, final)
        self.say("checkpoint", folder=str(final), seconds=self.how.get("save_seconds", 0.01))

    def end(self, outcome: str, reason: str) -> int:
        self.save()
        if RANK == 0:
            self.say("end", outcome=outcome, reason=reason)
            document = {"outcome": outcome, "reason": reason, "step": self.step}
            files.replace_file(self.attempt / "result.json", json.dumps(document).encode())
        return 0

    def say(self, kind: str, **what: object) -> None:
        if self.events:
            self.events.record(kind, self.step, self.step / 10, **what)

    def beat(self) -> None:
        path = self.attempt / "ranks" / f"rank{RANK}"
        path.parent.mkdir(exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(fd, f"{self.step:>10} {self.step:>10} {time.time():>17.6f}\n".encode(), 0)
        os.close(fd)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("--config", "--run-dir", "--attempt-dir", "--resume", "--init-from"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--force", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(Training(parse()).main())
