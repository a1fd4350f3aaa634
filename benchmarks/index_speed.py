"""How fast the index is: reading curves of ten million points, lists of 10,000 and 100,000 runs, catching up.

    python benchmarks/index_speed.py [--points 10000000] [--runs 10000 100000]

Prints medians of seven in milliseconds. Rows are made in the index itself; folders only where folders are measured.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import START, append_events, config, make_run_folder, make_runs, make_workspace, training

from rmtui.index.index import Index
from rmtui.index.sqlite import open_database, write
from rmtui.index.write_curves import CurveWriter
from rmtui.workspace import Workspace
from trainer.events import Event


def median_ms(work: Callable[[], object], times: int = 7) -> float:
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begun) * 1000)
    return statistics.median(spent)


def say(what: str, ms: float, note: str = "") -> None:
    print(f"{what:<58} {ms:>10.2f} ms  {note}", flush=True)


def points(folder: Path, count: int) -> None:
    """One run whose loss has `count` points."""
    ws = make_workspace(folder / "points")
    run = make_run_folder(ws, "long")
    with Index.open(ws) as index:
        index.sync()
    connection = open_database(ws.database)
    begun = time.perf_counter()
    for first in range(61, count, 10_000):
        with write(connection):
            curves = CurveWriter(connection, 1)
            for step in range(first, min(first + 10_000, count)):
                curves.add(step, {"loss": 1 / step + 0.01 * math.sin(step)})
                curves.beside(step, step / 1000, float(step), None)
            curves.flush()
    spent = time.perf_counter() - begun
    connection.close()
    print(f"{count:,} points written in {spent:.1f} s ({count / spent:,.0f} a second)")
    print(f"the index is {ws.database.stat().st_size / 1e6:.0f} MB")
    with Index.open(ws) as index:
        for columns in (80, 160, 320):
            ms = median_ms(lambda n=columns: index.series(run.id, "loss", n))
            say(f"whole curve in {columns} columns", ms)
        middle = count / 2
        say("a hundredth of it", median_ms(lambda: index.series(run.id, "loss", 160, "step", middle, middle * 1.02)))
        say("whole curve by epoch", median_ms(lambda: index.series(run.id, "loss", 160, "epoch")))
        say("a window by time", median_ms(lambda: index.series(run.id, "loss", 160, "time", middle, middle * 1.02)))
        append_events(run, [Event("step", START + 999, count + 1, 3.5, {"loss": 0.1})])
        say("one new point read from the folder", median_ms(lambda: index.refresh(run.id), 1))


def fill(ws: Workspace, count: int) -> None:
    """`count` rows of the list, without folders."""
    connection = open_database(ws.database)
    keys = ("learning_rate", "lora.r", "num_epochs", "batch_size", "seed")
    with write(connection):
        connection.executemany("INSERT INTO setting_keys (key) VALUES (?)", [(key,) for key in keys])
        for n in range(1, count + 1):
            accuracy = 0.6 + (n * 7919 % 1000) / 5000
            name, created = f"helpful-{'ABC'[n % 3]}-{n}", START + n * 60
            connection.execute(
                """INSERT INTO runs (n, id, name, state, preset, data, created, val_acc, val_loss, train_loss, gap,
                epochs_done, words, pinned, archived, settled, best_epoch, best_val_acc)
                VALUES (?, ?, ?, ?, ?, 'helpful', ?, ?, 0.6, 0.55, 0.05, 3, ?, 0, 0, 1, 3, ?)""",
                (n, f"{n:08d}", name, "failed" if n % 10 == 0 else "finished", "ABC"[n % 3], created, accuracy, name,
                 accuracy),
            )  # fmt: skip
            connection.execute("INSERT INTO documents VALUES (?, ?, '[]', NULL)", (n, json.dumps(config(seed=n))))
            values = (1e-5 * (1 + n % 3 / 2), (16, 32)[n % 2], 3, 4, n)
            connection.executemany(
                "INSERT INTO settings VALUES (?, ?, ?, '')",
                [(k, n, float(value)) for k, value in enumerate(values, start=1)],
            )
    connection.close()


def lists(folder: Path, count: int) -> None:
    """Windows of a long list."""
    ws = make_workspace(folder / f"list-{count}")
    fill(ws, count)
    print(f"\n{count:,} runs; the index is {ws.database.stat().st_size / 1e6:.0f} MB")
    with Index.open(ws) as index:
        say("count", median_ms(index.count))
        say("first 45 by age", median_ms(lambda: index.runs(limit=45)))
        say("45 from the middle by val_acc", median_ms(lambda: index.runs(sort="val_acc", limit=45, offset=count // 2)))
        say("45 from the end by name", median_ms(lambda: index.runs(sort="name", limit=45, offset=count - 45)))
        for query in ("state:failed", "lr>=1.5e-5 lora.r=32", "val_acc>0.75", "B-77", "-state:failed | since:2d"):
            say(f"first 45 of {query}", median_ms(lambda q=query: index.runs(q, limit=45)))
            say(f"count of {query}", median_ms(lambda q=query: index.count(q)), f"{index.count(query):,}")
        say("place of a run by val_acc", median_ms(lambda: index.position(f"{count // 3:08d}", sort="val_acc")))


def folders(folder: Path, count: int = 200) -> None:
    """Catching up with real folders."""
    ws = make_workspace(folder / "folders")
    made = make_runs(ws, count)
    with Index.open(ws) as index:
        begun = time.perf_counter()
        index.sync()
        print(f"\n{count} folders read for the first time in {time.perf_counter() - begun:.2f} s")
        say(f"sync, nothing new, {count} runs", median_ms(index.sync))
        made[0].set_meta(note="x")
        say("sync, one note changed", median_ms(index.sync, 1))
        live = make_run_folder(ws, "live", events=training()[:9], outcome=None, created=START + 9e6)
        index.sync()
        say("sync, one run alive", median_ms(index.sync))
        append_events(live, training()[9:])
        say("sync, 52 events", median_ms(index.sync, 1))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=10_000_000)
    options.add_argument("--runs", type=int, nargs="*", default=[10_000, 100_000])
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders(Path(name))
        for count in args.runs:
            lists(Path(name), count)
        if args.points:
            print()
            points(Path(name), args.points)


if __name__ == "__main__":
    main()
