"""How fast, and in how much memory, `rmtui import` reads large logs, states and stores of other programs.

    python benchmarks/import_speed.py [MB] [KIND...]

Makes an invented source of each kind of about MB megabytes (200), imports it in a process of its own and prints
seconds, megabytes a second of processor time, peak memory, and whether the last evaluation came in as it was written.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

EVERY = 100
"""Steps between two evaluations."""


def loss_at(step: int) -> float:
    return round(0.5 + 0.2 * math.exp(-step / 50_000), 6)


def history(size: int, width: int) -> Iterator[dict[str, float]]:
    """Rows of a Trainer, training and validation, until `size` bytes of about `width` a row."""
    for step in range(1, size // width + 1):
        row = {"loss": loss_at(step), "learning_rate": 1e-5, "rewards/accuracies": 0.62, "rewards/margins": 0.11}
        yield {**row, "grad_norm": 1.25, "epoch": round(step / 1000, 3), "step": step}
        if step % EVERY == 0:
            evaluated = {"eval_loss": loss_at(step), "eval_rewards/accuracies": 0.625, "eval_runtime": 20.1}
            yield {**evaluated, "epoch": round(step / 1000, 3), "step": step}


def trainer_stdout(path: Path, size: int) -> None:
    with path.open("w") as file:
        for row in history(size, 160):
            file.write(str({key: value for key, value in row.items() if key != "step"}) + "\n")
            file.write(" 25%|██▌       | 1/4 [00:03<00:09,  3.05s/it]\r")


def json_lines(path: Path, size: int) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in history(size, 150))


def own_script(path: Path, size: int) -> None:
    with path.open("w") as file:
        for step in range(1, size // 110 + 1):
            file.write(
                f"2026-01-05 10:00:00 INFO step {step}: loss={loss_at(step)} lr=1e-05 | some words of the program\n"
            )
            if step % 10_000 == 0:
                last = loss_at(step)
                file.write(f"Epoch {step // 10_000}: train_loss=0.61, val_loss={last}, val_acc=62.5%\n")


def progress_bars(path: Path, size: int) -> None:
    per_epoch = 10_000
    with path.open("w", newline="") as file:
        for step in range(size // 130):
            epoch, done = divmod(step, per_epoch)
            metrics = f"loss={loss_at(step + 1)}, acc=0.62, lr=1e-5"
            file.write(
                f"Train step of epoch {epoch}:  5%|#   | {done}/{per_epoch} [00:01<00:03,  1.0it/s, {metrics}]\r"
            )
            if (step + 1) % EVERY == 0:
                metrics = f"eval_loss={loss_at(step + 1)}, acc_mean=0.625"
                file.write(f"Eval stage of steps {step + 1}:  100%|###| 3/3 [00:01<00:03,  1.0it/s, {metrics}]\r")


def table(path: Path, size: int) -> None:
    with path.open("w") as file:
        file.write("step,epoch,train/loss,train/accuracy,eval/loss,eval/accuracy\n")
        for step in range(1, size // 40 + 1):
            evaluated = f"{loss_at(step)},0.625" if step % EVERY == 0 else ","
            file.write(f"{step},{step / 1000},{loss_at(step)},0.62,{evaluated}\n")


def panel(path: Path, size: int) -> None:
    runs = [f"run-{number}" for number in range(20)]
    with path.open("w") as file:
        file.write(",".join(['"Step"', *(f'"{run} - eval/loss"' for run in runs)]) + "\n")
        for step in range(1, size // 180 + 1):
            file.write(",".join(map(str, [step * EVERY, *([loss_at(step * EVERY)] * len(runs))])) + "\n")


def trainer_state(path: Path, size: int) -> None:
    with path.open("w") as file:
        file.write('{\n  "best_metric": null,\n  "log_history": [\n    ')
        step = 0
        for number, row in enumerate(history(size, 210)):
            file.write((",\n    " if number else "") + json.dumps(row, indent=6))
            step = int(row["step"])
        file.write(f'\n  ],\n  "global_step": {step},\n  "epoch": {step / 1000},\n  "max_steps": {step}\n}}\n')


def json_list(path: Path, size: int) -> None:
    with path.open("w") as file:
        for number, row in enumerate(history(size, 150)):
            file.write(("[" if number == 0 else ",\n") + json.dumps(row))
        file.write("]")


def field(number: int, value: bytes | int) -> bytes:
    """A protobuf field: bytes with their length, or a varint."""
    kind = 2 if isinstance(value, bytes) else 0
    head = varint(number << 3 | kind)
    return head + varint(len(value)) + value if isinstance(value, bytes) else head + varint(value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def wandb(path: Path, size: int) -> None:
    """LevelDB's log format: blocks of 32 KiB, a record parted at their ends."""
    block, written = 32 << 10, 7
    with path.open("wb") as file:
        file.write(b":W&B\xe1\xbe\x00")
        for row in history(size, 260):
            named = {
                f"train/{key}" if not key.startswith("eval") else key.replace("_", "/", 1): value
                for key, value in row.items()
            }
            named["train/global_step"] = named.pop("train/step")
            items = b"".join(
                field(1, field(1, key.encode()) + field(16, str(value).encode())) for key, value in named.items()
            )
            record = field(2, items + field(2, field(1, int(row["step"]))))
            kind = 1
            while record or kind == 1:
                room = block - written % block
                if room < 7:
                    file.write(b"\x00" * room)
                    written += room
                    continue
                part, record = record[: room - 7], record[room - 7 :]
                kind = {(1, False): 1, (1, True): 2}.get((kind, bool(record)), 3 if record else 4)
                file.write(struct.pack("<IHB", 0, len(part), kind) + part)
                written += 7 + len(part)
                if not record:
                    break


def mlflow(path: Path, size: int) -> None:
    (path / "metrics").mkdir(parents=True)
    (path / "meta.yaml").write_text("run_name: large\nstatus: 3\n")
    with (
        (path / "metrics" / "train_loss").open("w") as trained,
        (path / "metrics" / "eval_loss").open("w") as evaluated,
    ):
        for step in range(1, size // 32 + 1):
            trained.write(f"{1_700_000_000_000 + step} {loss_at(step)} {step}\n")
            if step % EVERY == 0:
                evaluated.write(f"{1_700_000_000_000 + step} {loss_at(step)} {step}\n")


def tensorboard(path: Path, size: int) -> None:
    def framed(data: bytes) -> bytes:
        return struct.pack("<QI", len(data), 0) + data + b"\x00" * 4

    def event(step: int, tag: str, value: float) -> bytes:
        scalar = field(1, tag.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value)
        return framed(
            bytes([1 << 3 | 1]) + struct.pack("<d", 1.7e9 + step) + field(2, step) + field(5, field(1, scalar))
        )

    with path.open("wb") as file:
        for step in range(1, size // 60 + 1):
            file.write(event(step, "train/loss", loss_at(step)))
            if step % EVERY == 0:
                file.write(event(step, "eval/loss", loss_at(step)))


def trackio(path: Path, size: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, "
        "run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
    )
    connection.executemany(
        "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('a', '2026-01-05', 'one', ?, ?)",
        ((int(row["step"]), json.dumps(row)) for row in history(size, 200)),
    )
    connection.commit()
    connection.close()


KINDS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "trainer-stdout": ("train.log", trainer_stdout),
    "json-lines": ("logging.jsonl", json_lines),
    "own-script": ("own.log", own_script),
    "bars": ("openrlhf.log", progress_bars),
    "csv": ("metrics.csv", table),
    "wandb-panel": ("panel.csv", panel),
    "trainer-state": ("trainer_state.json", trainer_state),
    "json-list": ("history.json", json_list),
    "wandb": ("run-a.wandb", wandb),
    "mlflow": ("mlruns/1/abc", mlflow),
    "tensorboard": ("events.out.tfevents.1.host", tensorboard),
    "trackio": ("project.db", trackio),
}


def measure(path: Path, workspace: Path) -> None:
    """The import itself; prints what it took as JSON."""
    from rmtui.operations import imports
    from rmtui.operations.runs import reading, show
    from rmtui.workspace import create

    ws = create(workspace)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, working = time.perf_counter(), time.process_time()
    report = imports.import_paths(ws, [path])
    took, cpu = time.perf_counter() - started, time.process_time() - working
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    last = None
    with reading(ws) as index:
        for run in report.runs:
            evaluations = show(index, run.id)["evaluations"]
            last = (evaluations[-1]["step"], evaluations[-1]["val_loss"]) if evaluations else None
    facts = {"took": took, "cpu": cpu, "before": before, "peak": peak, "last": last, "unread": report.unread}
    print(json.dumps(facts))


def size_of(path: Path) -> int:
    return (
        path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mb", type=int, nargs="?", default=200)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(*map(Path, args.measure))
        return 0
    wrong = 0
    for kind in args.kinds or KINDS:
        name, make = KINDS[kind]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "source" / name
            path.parent.mkdir(parents=True)
            make(path, args.mb << 20)
            size = size_of(path) / (1 << 20)
            command = [sys.executable, __file__, "--measure", str(path), str(Path(folder) / "ws")]
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
            if ran.returncode:
                print(f"{kind:15} {size:5.0f} MB  failed: {ran.stderr.strip().splitlines()[-1:]}", flush=True)
                wrong += 1
                continue
            facts = json.loads(ran.stdout)
        step, loss = facts["last"] or (None, None)
        right = loss is not None and (step is None or abs(loss - loss_at(step)) < 1e-6)
        wrong += not right
        verdict = "right" if right else f"WRONG: {facts['last']} {facts['unread']}"
        print(
            f"{kind:15} {size:5.0f} MB  {facts['took']:6.1f} s, {facts['cpu']:6.1f} s of the processor, "
            f"{size / facts['cpu']:5.1f} MB/s; peak {facts['peak']:5.0f} MB (before {facts['before']:.0f})  {verdict}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
