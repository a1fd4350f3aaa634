"""Files of trackers and trainers, written byte by byte as they lie on disk: the training of `producer_logs` in each.

Four places of ten steps each, two an epoch, with an evaluation at the end of both epochs. `upto` places are written, so
that a store can grow.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from producer_logs import EVALS, LOSSES, TRAINED

BEGAN = 1_767_607_200
"""Unix seconds of 5 January 2026, 10:00 UTC."""


def rows(upto: int) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, metrics) in the order of logging, in the names of a Trainer's integrations."""
    for at in range(upto):
        place = {"train/epoch": (at + 1) / 2, "train/global_step": 10 * (at + 1)}
        yield 10 * (at + 1), {"train/loss": LOSSES[at], "train/rewards/accuracies": TRAINED[at], **place}
        if at % 2:
            loss, accuracy = EVALS[at // 2]
            yield 10 * (at + 1), {"eval/loss": loss, "eval/rewards/accuracies": accuracy, **place}


def field(number: int, value: bytes | int) -> bytes:
    """A protobuf field: bytes behind their length, or a varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def _entry(key: str, value: object) -> bytes:
    return field(1, key.encode()) + field(16, json.dumps(value).encode())


def wandb_bytes(records: list[bytes]) -> bytes:
    """Records in LevelDB's log format: chunks that end with their block of 32 KiB."""
    out = b":W&B\xe1\xbe\x00"
    for record in records:
        kind = 1
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out += b"\0" * room
                continue
            part, record = record[: room - 7], record[room - 7 :]
            if record:
                out += struct.pack("<IHB", 0, len(part), 2 if kind == 1 else 3) + part
                kind = 2
                continue
            out += struct.pack("<IHB", 0, len(part), 1 if kind == 1 else 4) + part
            break
    return out


def wandb_history(values: dict[str, float], call: int) -> bytes:
    """A history record; `call` is W&B's own count."""
    items = b"".join(field(1, _entry(key, value)) for key, value in values.items())
    return field(2, items + field(2, field(1, call)))


def wandb_run(name: str, config: dict[str, object]) -> bytes:
    entries = b"".join(field(1, _entry(key, value)) for key, value in config.items())
    return field(17, field(4, entries) + field(8, name.encode()) + field(17, field(1, BEGAN)))


WANDB_EXIT = field(18, field(1, 0))


def wandb(folder: Path, upto: int, over: bool) -> Path:
    path = folder / "wandb" / "offline-run-20260105_100000-ab12cd34" / "run-ab12cd34.wandb"
    path.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {"learning_rate": 1e-5, "_wandb": {"framework": "huggingface"}}
    records = [wandb_run("silver-lake-7", config)]
    records += [
        wandb_history({**values, "_timestamp": BEGAN + call}, call) for call, (_, values) in enumerate(rows(upto))
    ]
    path.write_bytes(wandb_bytes([*records, *([WANDB_EXIT] if over else [])]))
    return path


def tensorboard(folder: Path, upto: int, over: bool) -> Path:
    path = folder / "out" / "runs" / "Jan05_10-00-00_host" / "events.out.tfevents.1767607200.host.1.0"
    scalars = (
        (name, step, value, number)
        for number, (step, values) in enumerate(rows(upto))
        for name, value in values.items()
    )
    write_events(path, scalars)
    return path.parent


def write_events(path: Path, scalars: Iterable[tuple[str, int, float, float]]) -> None:
    """An event file of (tag, step, value, seconds since the beginning)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b""
    for name, step, value, seconds in scalars:
        scalar = field(1, name.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", value)
        event = b"\x09" + struct.pack("<d", BEGAN + seconds) + field(2, step) + field(5, field(1, scalar))
        data += struct.pack("<QI", len(event), 0) + event + b"\0" * 4
    path.write_bytes(data)


def mlflow(folder: Path, upto: int, over: bool) -> Path:
    run = folder / "mlruns" / "417" / "0a1b2c3d"
    for number, (step, values) in enumerate(rows(upto)):
        for name, value in values.items():
            path = run / "metrics" / name.removeprefix("train/").replace("eval/", "eval_")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w" if number == 0 else "a") as file:
                file.write(f"{1000 * (BEGAN + number)} {value} {step}\n")
    meta = f"artifact_uri: ''\nend_time: null\nrun_name: silver-lake-7\nstatus: {3 if over else 1}\n"
    (run / "meta.yaml").write_text(meta)
    return folder / "mlruns"


def trackio(folder: Path, upto: int, over: bool) -> Path:
    path = folder / "rm.db"
    folder.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, run_name TEXT NOT NULL,"
        " step INTEGER NOT NULL, metrics TEXT NOT NULL)"
    )
    connection.executemany(
        "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, 'silver-lake-7', ?, ?)",
        ((f"2026-01-05T10:00:{call:02}", call, json.dumps(values)) for call, (_, values) in enumerate(rows(upto))),
    )
    connection.commit()
    connection.close()
    return path


def mlflow_database(folder: Path, upto: int, over: bool) -> Path:
    """MLflow's SQLite file; beside the run, one that was deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mlflow.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), status VARCHAR(9), start_time BIGINT,"
        " end_time BIGINT, lifecycle_stage VARCHAR(20), experiment_id INTEGER);"
        "CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,"
        " run_uuid VARCHAR(32) NOT NULL, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL);"
        "CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));"
        "INSERT INTO params VALUES ('learning_rate', '1e-05', '0a'), ('output_dir', 'out', '0a');"
        f"INSERT INTO runs VALUES ('0a', 'silver-lake-7', '{'FINISHED' if over else 'RUNNING'}', {1000 * BEGAN}, NULL,"
        f" 'active', 1), ('0b', 'thrown-away-1', 'FINISHED', {1000 * BEGAN}, NULL, 'deleted', 1);"
        f"INSERT INTO metrics VALUES ('loss', 0.9, {1000 * BEGAN}, '0b', 1, 0);"
        f"INSERT INTO metrics VALUES ('loss', 0, {1000 * BEGAN}, '0a', 5, 1);"
    )
    for number, (step, values) in enumerate(rows(upto)):
        for name, value in values.items():
            key = name.removeprefix("train/").replace("eval/", "eval_")
            facts = (key, value, 1000 * (BEGAN + number), "0a", step)
            connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", facts)
    connection.commit()
    connection.close()
    return path


def panel(folder: Path, upto: int, over: bool) -> Path:
    """W&B's export of a chart: two runs, of which the second is never evaluated; ranges of groups beside."""
    path = folder / "wandb_export_2026-01-05.csv"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['"Step","rm-a - eval/loss","rm-a - eval/loss__MIN","rm-a - eval/loss__MAX","rm-b - train/loss"']
    for step, values in rows(upto):
        if "eval/loss" in values:
            lines.append(f'"{step}","{values["eval/loss"]}","0.1","0.9",""')
        else:
            lines.append(f'"{step}","","","","{values["train/loss"]}"')
    path.write_text("\n".join(lines) + "\n")
    return path


def trainer_state(folder: Path, upto: int, over: bool) -> Path:
    """Checkpoints of a Trainer's output folder, each with the whole history so far."""
    history: list[dict[str, float]] = []
    for step, values in rows(upto):
        named = {name.removeprefix("train/").replace("eval/", "eval_"): value for name, value in values.items()}
        named["step"] = named.pop("global_step")
        history.append(named)
        checkpoint = folder / "out" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        state = {"global_step": step, "max_steps": 40, "epoch": step / 20, "log_history": history}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return folder / "out"


def csv_logger(folder: Path, upto: int, over: bool) -> Path:
    """Lightning's metrics.csv: an evaluation has a row of its own."""
    path = folder / "lightning_logs" / "silver-lake-7" / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for _, values in rows(4) for name in values))
    text = [",".join(names), *(",".join(str(values.get(name, "")) for name in names) for _, values in rows(upto))]
    path.write_text("\n".join(text) + "\n")
    return path


class TrackerStore(NamedTuple):
    """A store, and what is in it."""

    kind: str
    write: Callable[[Path, int, bool], Path]
    """(folder, places, over) → what is imported."""
    name: str = "silver-lake-7"
    over: bool = True
    """It can say that the run is over."""
    timed: bool = True
    """It has the time of each value."""


STORES = (
    TrackerStore("wandb", wandb),
    TrackerStore("tensorboard", tensorboard, name="out", over=False),
    TrackerStore("mlflow", mlflow),
    TrackerStore("mlflow", mlflow_database),
    TrackerStore("trackio", trackio, over=False),
    TrackerStore("trainer-state", trainer_state, name="out", timed=False),
    TrackerStore("csv", csv_logger, over=False, timed=False),
)
