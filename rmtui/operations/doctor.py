"""The doctor: check that this machine is fit to train. Looks, and changes nothing unless asked."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmtui.errors import UserError, install
from rmtui.launch import gpus as machine
from rmtui.launch import hooks, login, orphans, probe, provenance
from rmtui.operations import queue
from rmtui.runs import cgroup, identity
from rmtui.runs.files import atomic_write, check_locks
from rmtui.runs.folder import may_be_run
from rmtui.workspace import SETTINGS_FILE, Workspace, file_system, on_network

GLYPHS = {"ok": "✓", "note": "·", "warning": "▲", "error": "✗"}
FLOORS = {"torch": (2, 6), "transformers": (5, 0), "peft": (0, 18), "accelerate": (1, 10)}
"""Oldest versions that the trainer was written for, as in pyproject.toml."""
LITTLE_DISK, NO_DISK = 10 << 30, 1 << 30
SQLITE_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""Versions in which a WAL reset can corrupt a database that several processes write."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    topic: str
    level: str
    """ok, note, warning or error."""
    text: str
    remedy: str = ""


def examine(ws: Workspace | None, *, deep: bool = True, probe_slurm: bool = False) -> list[Diagnosis]:
    """Look at everything; `deep` also starts two ranks to see accelerate's real world size (some seconds).
    `probe_slurm`: submits a job of two nodes, and waits for its ranks to meet."""
    found = [*_python(), *_packages(), *_gpus(), *_sqlite(), *_login(), *_control_group(), *_orphans(ws)]
    if ws is not None:
        found += [*_disk(ws), *_files(ws), *_locks(ws), *_commands(ws), *_runs(ws), *_queue(ws)]
    if shutil.which("sbatch"):
        from rmtui.operations import cluster_doctor

        rows = [*cluster_doctor.look(ws), *(cluster_doctor.probe(ws) if probe_slurm and ws is not None else [])]
        found += [Diagnosis(*row) for row in rows]
    if deep and not any(finding.topic == "packages" and finding.level == "error" for finding in found):
        found += _world_size()
    return found


def end_orphans(ws: Workspace | None) -> list[int]:
    """End the processes of trainings that no run accounts for; returns their pids."""
    return orphans.end(ws)


def _python() -> Iterator[Diagnosis]:
    text = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever runs an older one sees this)
        yield Diagnosis("Python", "error", text, "make the environment with Python 3.11 or newer")
    else:
        yield Diagnosis("Python", "ok", text)


def _packages() -> Iterator[Diagnosis]:
    here = provenance.versions()
    missing = [name for name in FLOORS if name not in here]
    old = [f"{name} {here[name]}" for name, floor in FLOORS.items() if name in here and _numbers(here[name]) < floor]
    if missing:
        yield Diagnosis("packages", "error", f"{', '.join(missing)} not installed", install("train"))
    if old:
        wanted = ", ".join(f"{name}>={'.'.join(map(str, floor))}" for name, floor in FLOORS.items())
        yield Diagnosis("packages", "error", f"{', '.join(old)} too old", f"pip install '{wanted}'")
    if not missing and not old:
        yield Diagnosis("packages", "ok", ", ".join(f"{name} {here[name]}" for name in FLOORS))


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.partition("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _gpus() -> Iterator[Diagnosis]:
    gpus = machine.gpus()
    seen = {gpu.uuid for gpu in machine.visible(gpus)}
    if not gpus:
        yield Diagnosis("GPUs", "note", "none: runs train on the CPU", "with an NVIDIA GPU, install its driver")
    for gpu in gpus:
        text = f"GPU {gpu.index} {gpu.name}, {gpu.memory / (1 << 30):.0f} GiB"
        if gpu.uuid not in seen:
            yield Diagnosis("GPUs", "note", f"{text}: hidden by CUDA_VISIBLE_DEVICES or the scheduler")
        elif gpu.pids:
            pids = ", ".join(map(str, gpu.pids))
            yield Diagnosis("GPUs", "note", f"{text}: busy (pid {pids})", "a launch that needs it waits in the queue")
        else:
            yield Diagnosis("GPUs", "ok", f"{text}: free")


def _sqlite() -> Iterator[Diagnosis]:
    from rmtui.index.sqlite import LIBRARY_VERSION

    low, high = SQLITE_RESET_BUG
    if low <= _numbers(LIBRARY_VERSION) <= high:
        text = f"{LIBRARY_VERSION} can corrupt the index when a WAL is reset; the run folders are safe"
        yield Diagnosis("SQLite", "warning", text, "pip install pysqlite3, or SQLite 3.51.3 or newer")
    else:
        yield Diagnosis("SQLite", "ok", LIBRARY_VERSION)


def _login() -> Iterator[Diagnosis]:
    if login.kills_on_logout() and not login.lingers():
        text = "logind ends your processes when you log out (KillUserProcesses), including training"
        yield Diagnosis("logout", "warning", text, "loginctl enable-linger")
    else:
        yield Diagnosis("logout", "ok", "runs keep training after you log out")


def _orphans(ws: Workspace | None) -> Iterator[Diagnosis]:
    found = orphans.look(ws)
    lost = [each for each in found if each.why]
    for each in lost:
        text = f"pid {each.process.proc.pid} is still training: {each.why}"
        yield Diagnosis("orphans", "error", text, "end it: rmtui doctor --end-orphans")
    for run in sorted({each.process.run for each in found if not each.why and not each.supervised}):
        text = f"{run} trains without a supervisor"
        yield Diagnosis("orphans", "warning", text, f"open rmtui in its workspace, or: rmtui stop {run}")
    if not lost:
        yield Diagnosis("orphans", "ok", f"none; {len(found)} training processes are accounted for")


def _disk(ws: Workspace) -> Iterator[Diagnosis]:
    free = shutil.disk_usage(ws.root).free
    text = f"{free / (1 << 30):.1f} GiB free in {ws.root}"
    level = "error" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    yield Diagnosis("disk", level, text, "" if level == "ok" else "free some space, or lower keep_checkpoints")


def _files(ws: Workspace) -> Iterator[Diagnosis]:
    kind = file_system(ws.root) or "unknown"
    if not os.access(ws.root, os.W_OK):
        yield Diagnosis(
            "workspace", "error", f"{ws.root} cannot be written", "mount it writable, or use another folder"
        )
    elif on_network(ws.root):
        text = f"on a network file system ({kind}); the index is kept at {ws.database}"
        remedy = (
            "launch from one machine at a time, unless rmtui doctor --slurm finds that locks are seen on other nodes"
        )
        yield Diagnosis("workspace", "note", text, remedy)
    else:
        yield Diagnosis("workspace", "ok", f"{ws.root} ({kind})")


def _commands(ws: Workspace) -> Iterator[Diagnosis]:
    settings = ws.settings
    if any((settings.on_finished, settings.on_failed, settings.on_stalled)) and (why := hooks.not_obeyed(ws)):
        words = f"the commands of {ws.root / SETTINGS_FILE} are not run, since {why}"
        yield Diagnosis("commands", "warning", words, "make the file and the folder yours, writable by nobody else")


def _locks(ws: Workspace) -> Iterator[Diagnosis]:
    """Where locks are held and a supervisor writes: the queue, and the state folder, which holds the GPUs' locks."""
    for folder in (ws.queue, ws.state_folder()):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            check_locks(folder)
            _write_a_megabyte(folder)
        except UserError as error:
            yield Diagnosis("locks", "error", f"{error.what}: {error.why}", error.remedy)
        except OSError as error:
            words = f"{folder} cannot be written: {error.strerror or error}"
            yield Diagnosis("locks", "error", words, "free space there, or get write access; nothing can be launched")
        else:
            yield Diagnosis("locks", "ok", f"locks and a file of 1 MB work in {folder}")


def _write_a_megabyte(folder: Path) -> None:
    path = folder / f".doctor-{os.getpid()}"
    try:
        atomic_write(path, bytes(1 << 20))
    finally:
        path.unlink(missing_ok=True)


def _runs(ws: Workspace) -> Iterator[Diagnosis]:
    if original := identity.copied_from(ws.root):
        words = f"{ws.root} is a copy of {original}: its runs are read-only here"
        yield Diagnosis("workspace", "warning", words, "make it a workspace of its own: rmtui workspace --own")
    names = [entry.name for entry in os.scandir(ws.runs) if entry.is_dir() and not entry.name.startswith(".")]
    for name in sorted(name for name in names if not may_be_run(name)):
        words = f"{os.fsencode(name)!r} in {ws.runs} is not listed: its name cannot be printed"
        yield Diagnosis("runs", "warning", words, "rename it")


def _control_group() -> Iterator[Diagnosis]:
    if why := cgroup.why_not():
        words = f"a run gets no control group of its own ({why}): helpers that drop their environment may outlive it"
        yield Diagnosis("processes", "ok", words)
    else:
        yield Diagnosis("processes", "ok", "each run gets a control group of its own, which catches all its helpers")


def _queue(ws: Workspace) -> Iterator[Diagnosis]:
    waiting = queue.places(ws)
    left = [place.id for place in waiting if not place.attended]
    if left:
        yield Diagnosis("queue", "warning", f"{len(left)} runs wait for a person", "rmtui queue --start")
    else:
        yield Diagnosis("queue", "ok", f"{len(waiting)} runs wait")


def _world_size() -> Iterator[Diagnosis]:
    free = [gpu.uuid for gpu in machine.visible(machine.gpus()) if not gpu.pids][: probe.RANKS]
    on_gpu = len(free) == probe.RANKS
    met, answer = probe.world_size("gpu" if on_gpu else "cpu", tuple(free) if on_gpu else ())
    where = "GPU" if on_gpu else "CPU"
    if met == probe.RANKS:
        yield Diagnosis("world size", "ok", f"accelerate starts {met} {where} ranks, and they meet")
    else:
        text = f"accelerate was asked for {probe.RANKS} {where} ranks, {met} met: {answer}"
        yield Diagnosis(
            "world size", "error", text, "reinstall the training stack; check that loopback connections work"
        )
