"""The workspace of the pictures: runs, data and figures that nobody trained, made so that they look like real ones."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import support

from rmtui.demo import make_pairs as demo_pairs
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan
from rmtui.operations.runs import init
from rmtui.runs import proc, queue_tickets
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace, open_workspace
from trainer.events import Event
from trainer.pairs import Row, distinct_ids, fingerprint, read_rows

NOW = 1_763_820_423.0
"""22 November 2025, 14:07:03 UTC: what the clock says in every picture."""
HOUR = 3600.0
STEPS = 148
"""An epoch."""
SECONDS = 1.3
"""A step."""
PEAK = 1.5e-5
MODEL = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def set_clock(now: float) -> None:
    """From here on it is `now`, and time goes on at its own pace from there."""
    begun = time.monotonic()
    time.time = lambda: now + time.monotonic() - begun


@dataclass(slots=True)
class Kept:
    """Locks that make a fabricated run look alive to everybody else."""

    files: list[int] = field(default_factory=list)

    def hold(self, path: Path) -> None:
        self.files.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        fcntl.flock(self.files[-1], fcntl.LOCK_EX)

    def release(self) -> None:
        for fd in self.files:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Story:
    """One fabricated run: what it was, and its val_acc, val_loss and train_loss epoch by epoch."""

    name: str
    preset: str
    hours_ago: float
    points: Sequence[tuple[float, float, float]]
    outcome: str | None = "finished"
    reason: str = ""
    steps: int = 0
    """Of a run that did not get to the end of its last epoch: the last step."""
    tags: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        return 2 if self.preset == "B" else 3


FINISHED_A = ((0.684, 0.593, 0.862), (0.705, 0.598, 0.671), (0.727, 0.578, 0.594))
FINISHED_B = ((0.690, 0.590, 0.848), (0.719, 0.579, 0.652))
FINISHED_C = ((0.693, 0.588, 0.859), (0.725, 0.581, 0.649), (0.751, 0.563, 0.571))
STOPPED_A = ((0.681, 0.594, 0.871), (0.701, 0.601, 0.683))
RUNNING_A = ((0.687, 0.592, 0.866), (0.719, 0.582, 0.655))
STORIES = (
    Story("helpful-A-1", "A", 52, FINISHED_A, tags=("first",)),
    Story("helpful-C-1", "C", 29, (), "killed", "out of memory on rank 1 at step 57", 57),
    Story("helpful-B-1", "B", 26, FINISHED_B),
    Story("helpful-C-2", "C", 8, FINISHED_C, tags=("best so far",)),
    Story("helpful-A-2", "A", 5, STOPPED_A, "stopped", "stopped by mira at step 341", 341),
    Story("helpful-A-3", "A", 0.13, RUNNING_A, None, "", 358),
)


def make(root: Path) -> Kept:
    """The workspace at `root`; keep what is returned until the pictures are drawn."""
    set_clock(NOW - 70 * HOUR)
    ws = init(root)
    set_clock(NOW)
    train, val = _data(ws)
    (ws.root / "models" / "base").mkdir(parents=True)
    (ws.root / "models" / "base" / "config.json").write_text(json.dumps(MODEL))
    (ws.root / "workspace.toml").write_text('model = "models/base"\ndata = "helpful"\nprocesses = 2\n')
    ws = open_workspace(root)
    rows = list(distinct_ids(row for row in read_rows(val) if isinstance(row, Row)))
    prints = {"train": fingerprint(train), "val": fingerprint(val)}
    kept = Kept()
    for story in STORIES:
        folder = _run(ws, story, rows, prints)
        if story.outcome is None:
            _alive(folder, story, kept)
    for number, (name, preset) in enumerate((("helpful-B-2", "B"), ("helpful-C-3", "C")), 1):
        _waiting(ws, name, preset, number, kept)
    return kept


def make_old_work(root: Path) -> None:
    """A folder as people have one before they know rmtui: logs, a YAML, pairs."""
    for number, text in enumerate(_OLD_LOGS, 1):
        log = root / "logs" / "training" / "rm" / f"helpful_2026112{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text)
    (root / "configs").mkdir()
    (root / "configs" / "rm_config.yaml").write_text("learning_rate: 1e-5\nnum_epochs: 2\nbatch_size: 4\n")
    for side in ("train", "val"):
        (root / "data" / side).mkdir(parents=True)
        (root / "data" / side / "helpful_pairs.jsonl").touch()


_OLD_LOGS = (
    "Epoch 1/1: train_loss=0.8755, val_loss=0.5928, val_acc=68.5%\n",
    "Epoch 1/2: train_loss=0.8310, val_loss=0.5911, val_acc=68.3%\nEpoch 2/2: train_loss=0.6728, val_loss=0.6050\n",
)


def _data(ws: Workspace) -> tuple[Path, Path]:
    for part, topics in zip(("train", "val"), demo_pairs.topics(), strict=True):
        lines = [json.dumps(row) + "\n" for row in demo_pairs.make(topics, part)]
        (ws.data / part / "helpful_pairs.jsonl").write_text("".join(lines))
    return ws.data / "train" / "helpful_pairs.jsonl", ws.data / "val" / "helpful_pairs.jsonl"


def _run(ws: Workspace, story: Story, rows: Sequence[Row], prints: dict[str, str]) -> RunFolder:
    created = NOW - story.hours_ago * HOUR
    return _scored(
        support.make_run_folder(
            ws,
            name=story.name,
            run_id=_run_id(created),
            created=created,
            preset=story.preset,
            events=list(_events(story, created, len(rows))),
            outcome=story.outcome,
            reason=story.reason,
            config=_config(ws, story.preset),
            fingerprints=prints,
            meta={"tags": list(story.tags)},
            log=_log(story, len(rows)),
        ),
        story,
        rows,
    )


def _config(ws: Workspace, preset: str) -> dict[str, Any]:
    """As a launch writes it."""
    return dict(plan(ws, LaunchRequest(preset, data="helpful"), check_data=False).spec["config"])


def _run_id(created: float) -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(created))}-{int(created) % 65536:04x}"


def _events(story: Story, start: float, val_pairs: int) -> list[Event]:
    epochs = story.epochs
    total, last = epochs * STEPS, story.steps or len(story.points) * STEPS
    chance = random.Random(story.name)
    derived = {"total_steps": total, "steps_per_epoch": STEPS, "effective_batch": 16, "last_step_pairs": 16}
    events = [Event("start", start, data={"world_size": 2, "resumed_from_step": 0})]
    events.append(Event("derived", start, data=derived))
    for step in range(1, last + 1):
        t, epoch = start + step * SECONDS, step / STEPS
        loss = 0.52 + 0.47 * math.exp(-epoch / 0.9) + chance.gauss(0, 0.03)
        rate = PEAK * min(step / (total * 0.1), (total - step) / (total * 0.9))
        figures = {"loss": loss, "learning_rate": rate, "grad_norm": 1.1 + 2 * math.exp(-epoch) + chance.gauss(0, 0.12)}
        speeds = {"tokens_per_s": 6100 + chance.gauss(0, 150), "pairs_per_s": 12.3 + chance.gauss(0, 0.3)}
        events.append(Event("step", t, step, epoch, figures | speeds))
        if step % STEPS == 0:
            events += _epoch(story, step // STEPS, t, val_pairs)
    return events


def _epoch(story: Story, number: int, t: float, val_pairs: int) -> list[Event]:
    accuracy, val_loss, train_loss = story.points[number - 1]
    figures = {"val_loss": val_loss, "val_acc": round(accuracy * val_pairs) / val_pairs, "val_pairs": val_pairs}
    place = (number * STEPS, float(number))
    return [Event("eval", t, *place, figures), Event("epoch", t, *place, {"train_loss": train_loss, **figures})]


def _log(story: Story, val_pairs: int) -> str:
    lines = ["loading models/base", "9.77 M of 144.3 M parameters are trained"]
    for number, (accuracy, val_loss, train_loss) in enumerate(story.points, 1):
        exact = round(accuracy * val_pairs) / val_pairs
        figures = f"train_loss={train_loss:.4f} | val_loss={val_loss:.4f} | val_acc={exact:.2%}"
        lines.append(f"Epoch {number}/{story.epochs} | {figures}")
    return "\n".join(lines) + "\n"


def _scored(folder: RunFolder, story: Story, rows: Sequence[Row]) -> RunFolder:
    """validation/epoch-N.jsonl: rewards with the epoch's accuracy and about its loss; hard pairs are hard for all."""
    (folder.path / "validation").mkdir()
    shared, own = random.Random("pairs"), random.Random(story.name)
    hard = [shared.gauss(0, 1) for _ in rows]
    for number, (accuracy, val_loss, _) in enumerate(story.points, 1):
        wanted = round(accuracy * len(rows))
        margins = [0.9 * base + 0.45 * own.gauss(0, 1) for base in hard]
        ordered = sorted(margins, reverse=True)
        edge = (ordered[wanted - 1] + ordered[wanted]) / 2
        scale = _scale([margin - edge for margin in margins], val_loss)
        with (folder.path / "validation" / f"epoch-{number}.jsonl").open("w") as file:
            for row, margin in zip(rows, margins, strict=True):
                level = own.gauss(0.1, 0.4)
                half = scale * (margin - edge) / 2
                file.write(json.dumps({"id": row.id, "chosen": level + half, "rejected": level - half}) + "\n")
    return folder


def _scale(margins: Sequence[float], loss: float) -> float:
    """The factor up to the best one at which the mean loss of the margins comes nearest to `loss`."""
    factors = [step / 50 for step in range(1, 75)]
    return min(factors, key=lambda factor: abs(_mean_loss(margins, factor) - loss))


def _mean_loss(margins: Sequence[float], factor: float) -> float:
    return sum(math.log1p(math.exp(-factor * margin)) for margin in margins) / len(margins)


def _alive(folder: RunFolder, story: Story, kept: Kept) -> None:
    attempt = folder.path / "attempt-1"
    launch = json.loads((attempt / "launch.json").read_text())
    launch |= {"host": proc.host(), "boot_id": proc.boot_id()}
    (attempt / "launch.json").write_text(json.dumps(launch))
    (attempt / "ranks").mkdir()
    for rank in (0, 1):
        (attempt / "ranks" / f"rank{rank}").write_text(f"{story.steps} 0 {NOW}\n")
    kept.hold(attempt / "supervisor.lock")


def _waiting(ws: Workspace, name: str, preset: str, number: int, kept: Kept) -> None:
    created = NOW - 300 + 100 * number
    folder = support.make_run_folder(
        ws, name=name, run_id=_run_id(created), created=created, preset=preset, outcome=None, config=_config(ws, preset)
    )
    for path in sorted((folder.path / "attempt-1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder.path / "attempt-1").rmdir()
    ticket = queue_tickets.add(ws.queue, folder.id, 1, queue_tickets.Needs())
    queue_tickets.write(ws.queue, dataclasses.replace(ticket, t=created))
    kept.hold(queue_tickets.waiter_lock(ws.queue, folder.id))
