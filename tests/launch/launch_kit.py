"""What the tests of launching and faults share: a workspace, runs of the stand-in trainer, waiting with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import support

from rmtui import workspace
from rmtui.launch import slots
from rmtui.operations import launch, runs
from rmtui.runs import proc, state
from rmtui.runs.files import write_json, write_toml
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace

__all__ = ["RunFolder", "State", "Status", "launch", "proc", "slots", "state", "write_json", "write_toml"]

STAND_IN = Path(__file__).with_name("stand_in.py")


def make_workspace(root: Path, settings: str = "") -> Workspace:
    """As `rmtui init --bare` leaves one, its index made; each supervisor would else start another process for it."""
    ws = runs.init(root / "ws", bare=True)
    (ws.root / "workspace.toml").write_text(settings)
    return workspace.open_workspace(ws.root)


def spec(
    launcher: str = "direct", processes: int = 1, grace: float = 20.0, device: str = "cpu", **how: Any
) -> dict[str, Any]:
    """spec.toml of a stand-in training."""
    return {
        "name": "stand-in",
        "preset": "A",
        "config": {"num_epochs": 1, "batch_size": 4, "gradient_accumulation_steps": 2},
        "trainer": {"command": [*_interpreter(launcher), str(STAND_IN)], "launcher": launcher},
        "launch": {"kind": "local", "processes": processes, "device": device, "grace": grace},
        "stand_in": how,
    }


def _interpreter(launcher: str) -> list[str]:
    import sys

    return [sys.executable] if launcher == "direct" else []


def start(ws: Workspace, launcher: str = "direct", processes: int = 1, grace: float = 20.0, **how: Any) -> RunFolder:
    """Queue a stand-in training; it starts when the CPU is free."""
    run = RunFolder.create(ws.runs, spec(launcher, processes, grace, **how))
    launch.enqueue(ws, run)
    return run


def cluster_run(ws: Workspace, **launch: Any) -> RunFolder:
    """A run whose first attempt, job 4242 of a Slurm, has begun; `launch` is what else its launch.json says."""
    document = spec()
    made = RunFolder.create(ws.runs, document | {"launch": document["launch"] | {"kind": "slurm"}})
    attempt, lock = made.new_attempt(1)
    os.close(lock)
    facts = {"kind": "slurm", "job": "4242", "restart": 0, "nonce": "n", "folder": str(attempt.path)}
    write_json(attempt.path / "launch.json", facts | launch)
    return made


def until(condition: Callable[[], Any], what: str = "", seconds: float = support.PATIENCE) -> Any:
    """Wait for a condition to hold; fails with words when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what or condition}"
        time.sleep(0.02)
    return value


def until_state(run: RunFolder, *wanted: State) -> Status:
    """Wait for one of these states; fails when the run ends in another."""

    def there() -> Status | None:
        now = state.status(run)
        assert now.state in wanted or not now.state.final, f"{now.state}: {now.reason}"
        return now if now.state in wanted else None

    return until(there, f"{run.id} to be {' or '.join(wanted)}, is {state.status(run)}")


def until_ended(run: RunFolder) -> Status:
    return until(lambda: (now := state.status(run)).state.final and now, "the run's end")


def until_step(run: RunFolder, step: int, ranks: int = 1) -> None:
    """Wait until every rank has made a step."""

    def there() -> bool:
        last = run.last_attempt()
        steps = last.rank_steps() if last else {}
        return len(steps) >= ranks and all(made >= step for made, _ in steps.values())

    until(there, f"step {step} of {ranks} ranks; {state.status(run)}")


def go(run: RunFolder) -> None:
    """Let a held stand-in go on."""
    (run.control / "go").touch()


def supervisor(run: RunFolder) -> proc.Proc:
    launched = run.last_attempt().launch()
    return proc.Proc(launched["pid"], launched["started"])


def attended(run: RunFolder) -> bool:
    """Whether a process still waits for the run's turn, supervises it or adopts it: also before and after its lock."""
    return bool(_attendants(str(run.path)))


def kill(process: proc.Proc) -> None:
    """SIGKILL, and wait until it is dead."""
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not proc.alive(process), f"the death of {process}")


def stop_waiting(ws: Workspace, run: RunFolder) -> None:
    """Let a run be done with the queue and its processes, however far it came."""
    from rmtui.operations import stop

    stop.stop(ws, run.id, now=True, wait=True)


def descriptors(pid: int) -> list[str]:
    """What a process holds open."""
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]


def none_left(run: RunFolder) -> bool:
    return not proc.tagged(run.id)


def events(run: RunFolder) -> list[dict[str, Any]]:
    """Every event of every attempt, as written."""
    import json

    lines = [line for attempt in run.attempts() for line in attempt.events.read_bytes().splitlines()]
    return [json.loads(line) for line in lines]


def clean_up(ws: Workspace) -> None:
    """End whatever a failed test left: supervisors and waiting processes of this workspace, then tagged processes."""
    for pid in _attendants(str(ws.root)):
        os.kill(pid, signal.SIGKILL)
    for run in ws.runs.glob("2*"):
        for process in proc.tagged(run.name):
            proc.signal(process.proc, signal.SIGKILL)


def _attendants(path: str) -> list[int]:
    """Processes of `rmtui.launch.supervisor` that were started for something at or below a path."""
    here, found = path.encode(), []
    for pid in [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(b"supervisor" in word for word in words[:3]) and any(word.startswith(here) for word in words[3:]):
                found.append(pid)
    return found


def spoken_losses(run: RunFolder) -> dict[int, str]:
    """Step → loss in hex, of the last attempt that spoke of it."""
    return {event["step"]: float(event["metrics"]["loss"]).hex() for event in events(run) if event["kind"] == "step"}


def tiny_workspace(ws: Workspace) -> None:
    """A few-layer model and a few pairs."""
    from trainer.model import toy

    toy.make_decoder(ws.root / "base", ["certainly, here is how", "no, go away", "please help me"] * 5)
    for part, count in (("train", 16), ("val", 7)):
        rows = [
            {"prompt": f"{part} {n}: please help", "chosen": f"certainly, here is how {n}", "rejected": f"no {n}"}
            for n in range(count)
        ]
        (ws.root / f"data/{part}/tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "workspace.toml").write_text('model = "base"\ndata = "tiny"\nprocesses = 2\n')
