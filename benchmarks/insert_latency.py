"""How long an insert into the index takes with many trainings at once.

Eight processes stand in for trainings and their supervisors: each appends 50 events a second to a run folder and
ingests them every two seconds, as supervisors do, while one more process reads the list each second, as the app does.
An insert is one transaction, from asking for the write lock to the end of COMMIT.

    python benchmarks/insert_latency.py --seconds 60
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import make_run_folder, make_workspace

from rmtui.index import ingest, read_events, sqlite
from rmtui.index.index import Index
from rmtui.launch.ingester import PERIOD
from rmtui.workspace import open_workspace
from trainer.events import EventWriter

RATE = 50


def main():
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        ws = make_workspace(Path(folder) / "ws")
        runs = [make_run_folder(ws, f"run-{n}", events=[], outcome=None).path for n in range(args.runs)]
        queue = multiprocessing.Queue()
        work = [multiprocessing.Process(target=train, args=(ws.root, run, args.seconds, queue)) for run in runs]
        reader = multiprocessing.Process(target=read, args=(ws.root, args.seconds), daemon=True)
        for process in (*work, reader):
            process.start()
        told = [queue.get() for _ in work]
        for process in (*work, reader):
            process.join()
        print(json.dumps(figures(ws, told), indent=1))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=8)
    return parser.parse_args()


def train(root, run, seconds, queue):
    """Write events at the rate; beside it ingest them and time each transaction."""
    ws, spans, logs = open_workspace(root), [], []
    timed = timed_write(spans)
    ingest.write = read_events.write = timed
    end = threading.Event()
    beside = threading.Thread(target=supervise, args=(ws, run, end, logs))
    beside.start()
    written, start = 0, time.monotonic()
    with EventWriter(run / "attempt-1" / "events.jsonl") as writer:
        while time.monotonic() - start < seconds:
            written += 1
            writer.record("step", written, written / 1000, {"loss": 0.6, "learning_rate": 1e-5, "grad_norm": 1.0})
            time.sleep(max(0.0, start + written / RATE - time.monotonic()))
    end.set()
    beside.join()
    queue.put((run.name, written, spans, max(logs, default=0)))


def supervise(ws, run, end, logs):
    from rmtui.runs.folder import RunFolder

    while not end.wait(PERIOD):
        ingest.catch_up(ws, RunFolder(run))
        logs.append(ws.database.with_name(f"{ws.database.name}-wal").stat().st_size)
    ingest.catch_up(ws, RunFolder(run))


def timed_write(spans):
    """`rmtui.index.sqlite.write` with a clock around it."""
    plain = sqlite.write

    @contextmanager
    def write(connection):
        began = time.perf_counter()
        with plain(connection):
            yield
        spans.append(time.perf_counter() - began)

    return write


def read(root, seconds):
    """The app's part: catch up and list, each second."""
    ws, end = open_workspace(root), time.monotonic() + seconds
    with Index.open(ws) as index:
        while time.monotonic() < end:
            index.sync()
            index.runs(limit=40)
            time.sleep(1)


def figures(ws, told):
    spans = sorted(span for _, _, more, _ in told for span in more)
    with Index.open(ws) as index:
        index.sync()
        lost = sum(written - len(index.series_full(run, "loss")) for run, written, _, _ in told)
    return {
        "inserts": len(spans),
        "p50_ms": round(1000 * statistics.median(spans), 2),
        "p99_ms": round(1000 * spans[int(0.99 * (len(spans) - 1))], 2),
        "max_ms": round(1000 * spans[-1], 2),
        "events": sum(written for _, written, _, _ in told),
        "events_lost": lost,
        "wal_peak_mib": round(max(log for *_, log in told) / 2**20, 2),
    }


if __name__ == "__main__":
    main()
