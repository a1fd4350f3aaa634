"""What tests and benchmarks of every room share: workspaces, and run folders as a training would leave them."""

from __future__ import annotations

import importlib
import json
import math
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace, create
from trainer.events import Event, encode

REPO = Path(__file__).resolve().parents[1]
SHARED_DATA = REPO.parent / "shared" / "data"
"""Real preference data beside a checkout; absent on most machines."""
PATIENCE = 90.0
"""Seconds that a test waits for what it expects, at most: on a busy machine the app may need half of it to start."""
START = 1_760_000_000.0
"""Unix time of the first fabricated run."""


def make_workspace(path: Path) -> Workspace:
    """A workspace without runs."""
    return create(path)


def resolves(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one: a field without a default counts."""
    parts = name.split(".")
    for place in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:place]))
        except ModuleNotFoundError:
            continue
        for part in parts[place:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of ours; Python before 3.11.4 knows no filter."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.02) -> Any:
    """Poll until `condition` gives something true, and return it; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} stayed {value!r} for {seconds} s"
        time.sleep(every)
    return value


def config(**changes: Any) -> dict[str, Any]:
    """A resolved configuration, nested; `changes` by key, nested ones as `lora={"r": 16}`."""
    whole: dict[str, Any] = {
        "model": "models/tiny",
        "data": {"train": "data/train/helpful_pairs.jsonl", "val": "data/val/helpful_pairs.jsonl"},
        "num_epochs": 3,
        "learning_rate": 1.5e-5,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "warmup_ratio": 0.1,
        "lr_scheduler": "linear",
        "lora": {"r": 32, "alpha": 64.0, "dropout": 0.1},
        "seed": 42,
    }
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, Mapping) and key in whole else value
    return whole


def training(
    epochs: int = 3,
    steps_per_epoch: int = 20,
    start: float = START,
    step_seconds: float = 1.5,
    first_step: int = 1,
    accuracy: Sequence[float] = (0.684, 0.712, 0.739, 0.751),
    val_pairs: int = 200,
    loss: Callable[[int], float] = lambda step: 0.9 * math.exp(-step / 60) + 0.05 * math.sin(step),
) -> list[Event]:
    """The events of a whole training, or of its rest from `first_step` on."""
    total = epochs * steps_per_epoch
    resumed = first_step - 1
    events = [Event("start", start, data={"world_size": 2, "resumed_from_step": resumed})]
    events.append(
        Event(
            "derived",
            start,
            data={
                "total_steps": total,
                "steps_per_epoch": steps_per_epoch,
                "effective_batch": 16,
                "last_step_pairs": 10,
            },
        )
    )
    for step in range(first_step, total + 1):
        t, epoch = start + (step - resumed) * step_seconds, step / steps_per_epoch
        figures = {"loss": loss(step), "learning_rate": 1.5e-5 * (1 - step / total), "grad_norm": 1.0 + 1 / step}
        events.append(Event("step", t, step, epoch, {**figures, "tokens_per_s": 1000.0, "pairs_per_s": 8.0}))
        if step % steps_per_epoch == 0:
            number = step // steps_per_epoch
            correct = round(accuracy[min(number, len(accuracy)) - 1] * val_pairs)
            figures = {"val_loss": 0.62 - 0.02 * number, "val_acc": correct / val_pairs, "val_pairs": val_pairs}
            events.append(Event("eval", t, step, epoch, figures))
            events.append(Event("epoch", t, step, epoch, {"train_loss": 1.0 - 0.15 * number, **figures}))
    return events


def make_run_folder(
    ws: Workspace,
    name: str = "",
    events: Sequence[Event] | None = None,
    outcome: str | None = "finished",
    reason: str = "",
    attempts: Sequence[Sequence[Event]] = (),
    run_id: str | None = None,
    created: float = START,
    meta: Mapping[str, Any] | None = None,
    log: str | None = None,
    **spec: Any,
) -> RunFolder:
    """A run folder as trainer and supervisor leave it.

    `attempts` gives several starts, else `events` (default: a whole training) is the only one. `outcome` is the last
    attempt's; None leaves it without exit.json. `spec` overrides keys of spec.toml (`preset`, `data`, `config`, …).
    """
    document = {
        "schema": 1,
        "name": name,
        "preset": "A",
        "data": "helpful",
        "config": config(),
        "launch": {"kind": "local", "processes": 2},
        "fingerprints": {"train": "aa" * 32, "val": "bb" * 32},
        **spec,
    }
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(created))
    folder = RunFolder(ws.runs / (run_id or f"{stamp}-{len(list(ws.runs.iterdir())):04x}"))
    folder.path.mkdir(parents=True)
    document |= {"id": folder.id, "name": name or folder.id, "created": created}
    (folder.path / "spec.toml").write_text(tomlkit.dumps(document))
    if meta:
        (folder.path / "meta.toml").write_text(tomlkit.dumps(meta))
    starts = list(attempts) or [training(start=created) if events is None else events]
    for n, said in enumerate(starts, start=1):
        last = n == len(starts)
        add_attempt(folder, n, said, (outcome if last else "interrupted"), reason, log)
    return folder


def add_attempt(
    folder: RunFolder,
    n: int,
    events: Sequence[Event],
    outcome: str | None = "finished",
    reason: str = "",
    log: str | None = None,
) -> Path:
    """`attempt-n` with its events, logs and, unless `outcome` is None, its exit.json."""
    path = folder.path / f"attempt-{n}"
    (path / "logs").mkdir(parents=True)
    (path / "events.jsonl").write_bytes(b"".join(map(encode, events)))
    begun = events[0].t if events else START
    resumed = events[0].data.get("resumed_from_step") if events else None
    launch = {"kind": "local", "host": "box", "boot_id": "b", "t": begun, "processes": 2, "resumed_from_step": resumed}
    (path / "launch.json").write_text(json.dumps(launch))
    (path / "logs" / "rank0.log").write_text(log if log is not None else _log(events))
    if outcome is not None:
        ended = events[-1].t if events else begun
        word = {"outcome": outcome, "reason": reason, "exit_code": int(outcome == "failed"), "ended": ended}
        (path / "exit.json").write_text(json.dumps(word))
    return path


def _log(events: Sequence[Event]) -> str:
    """One line an epoch, as the trainer prints it."""
    lines = []
    for event in events:
        if event.kind == "epoch":
            m = event.metrics
            lines.append(
                f"Epoch {event.epoch:.0f}/3 | train_loss={m['train_loss']:.4f} | val_loss={m['val_loss']:.4f}"
                f" | val_acc={m['val_acc']:.2%}\n"
            )
    return "".join(lines)


def append_events(folder: RunFolder, events: Sequence[Event], n: int = 1) -> None:
    """The training says more."""
    with (folder.path / f"attempt-{n}" / "events.jsonl").open("ab") as file:
        file.write(b"".join(map(encode, events)))


def make_runs(ws: Workspace, count: int, epochs: int = 3, steps_per_epoch: int = 20) -> list[RunFolder]:
    """`count` finished runs, an hour apart, of the three presets in turn, with rates, ranks and outcomes that vary."""
    made = []
    for number in range(count):
        created = START + 3600 * number
        accuracy = [0.6 + 0.001 * (number % 150) + 0.02 * epoch for epoch in range(epochs)]
        made.append(
            make_run_folder(
                ws,
                name=f"helpful-{'ABC'[number % 3]}-{number}",
                run_id=f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(created))}-{number % 65536:04x}",
                created=created,
                preset="ABC"[number % 3],
                events=training(epochs, steps_per_epoch, created, accuracy=accuracy),
                outcome="failed" if number % 10 == 9 else "finished",
                reason="ValueError: boom (rank 0)" if number % 10 == 9 else "",
                config=config(learning_rate=(1e-5, 1.5e-5, 2e-5)[number % 3], lora={"r": (16, 32)[number % 2]}),
                tags=["night"] if number % 4 == 0 else [],
            )
        )
    return made


def index_content(ws: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the index with names in place of its own numbers: two indexes over the same folders are equal."""
    from rmtui.index.sqlite import open_database

    connection = open_database(ws.database)
    try:
        run = dict(connection.execute("SELECT n, id FROM runs"))
        metric = dict(connection.execute("SELECT id, name FROM metric_names"))
        setting = dict(connection.execute("SELECT id, key FROM setting_keys"))
        names = {
            "runs": {"n": run},
            "documents": {"run": run},
            "attempts": {"run": run},
            "progress": {"run": run},
            "tags": {"run": run},
            "steps": {"run": run},
            "points": {"run": run, "metric": metric},
            "rollups": {"run": run, "metric": metric},
            "summaries": {"run": run, "metric": metric},
            "settings": {"run": run, "setting": setting},
        }
        return {table: _named_rows(connection, table, numbers) for table, numbers in names.items()}
    finally:
        connection.close()


def _named_rows(connection: Any, table: str, numbers: Mapping[str, Mapping[int, str]]) -> list[tuple[Any, ...]]:
    found = connection.execute(f"SELECT * FROM {table}")
    columns = [column[0] for column in found.description]
    rows = [
        tuple(numbers.get(name, {}).get(value, value) for name, value in zip(columns, row, strict=True))
        for row in found
    ]
    return sorted(rows, key=repr)
