"""Run folders: what is on disk of a run, read and written safely. The layout is in docs/DESIGN.md.

Nothing here judges a state (`rmtui.runs.state`) or looks at processes (`rmtui.runs.proc`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.errors import UserError
from rmtui.runs import identity, typed_files
from rmtui.runs.files import atomic_write, locked, write_json, write_toml
from rmtui.runs.typed_files import Read, number_of
from trainer.files import fsync_path
from trainer.plain_files import read_plain

if TYPE_CHECKING:
    from trainer.heartbeat import Beat

SPEC_SCHEMA = 1
"""Version of spec.toml; a newer one is shown, never changed."""
MOST_REQUESTS = 1000
"""Requests of a kind that are read of a run."""
META_PATIENCE = 10.0
LARGEST_BEAT = 4096
"""Bytes of a rank's sign of life."""
ROOM = 1 << 18
"""Bytes that must be free for an attempt to begin: for what is written before the training writes anything."""


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """One start of a run: `attempt-N`."""

    path: Path

    @property
    def n(self) -> int:
        return number_of(self.path.name, "attempt-") or 0

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def ranks(self) -> Path:
        return self.path / "ranks"

    @property
    def lock(self) -> Path:
        return self.path / "supervisor.lock"

    @property
    def launcher_lock(self) -> Path:
        """Held by the launcher, and by whatever inherited its descriptor, while it lives."""
        return self.path / "launcher.lock"

    def machine_script(self, number: int) -> Path:
        """What another machine of the training runs to join it; `number` counts from 1."""
        return self.path / f"machine-{number}.sh"

    def read_lock(self) -> bytes:
        """The content of supervisor.lock: its holder's last beat."""
        return read_plain(self.lock, LARGEST_BEAT)

    def read_launch(self) -> Read:
        """launch.json, or why it is unreadable."""
        return typed_files.read(self.path / "launch.json", typed_files.LAUNCH)

    def launch(self) -> dict[str, Any]:
        """launch.json; empty while the supervisor has not written it, or where it is unreadable."""
        return self.read_launch().document or {}

    def read_result(self) -> Read:
        """result.json, or why it is unreadable."""
        return typed_files.read(self.path / "result.json", typed_files.RESULT)

    def result(self) -> dict[str, object] | None:
        """The trainer's last word: {outcome, reason, step, epoch, round_trip}."""
        return self.read_result().document

    def read_exit(self, again: bool = False) -> Read:
        """exit.json, or why it is unreadable; `again`: it may have been written since it was looked at."""
        return typed_files.read(self.path / "exit.json", typed_files.EXIT, again)

    def exit(self) -> dict[str, Any] | None:
        """The supervisor's last word: {outcome, reason, exit_code, ended, resumable, step}."""
        return self.read_exit().document

    def failures(self) -> list[dict[str, object]]:
        """failure-rankN.json of every rank that wrote one, in order of time, `rank` filled in."""
        found = []
        for path in self.path.glob("failure-rank*.json"):
            if (document := typed_files.read(path, typed_files.FAILURE).document) is not None:
                rank = number_of(path.stem, "failure-rank") or 0
                found.append({"rank": rank, "t": path.stat().st_mtime, **document})
        return sorted(found, key=lambda failure: failure["t"])

    def beats(self) -> dict[int, Beat]:
        """Per rank its last sign of life."""
        from trainer import heartbeat

        found = {}
        for path in self.ranks.glob("rank*"):
            rank = number_of(path.name, "rank")
            with contextlib.suppress(OSError):
                if rank is not None and (beat := heartbeat.read(read_plain(path, LARGEST_BEAT))):
                    found[rank] = beat
        return found

    def starting(self) -> Beat | None:
        """What its start is, or was last, busy with."""
        from trainer import heartbeat

        try:
            return heartbeat.read(read_plain(self.path / heartbeat.STARTING, LARGEST_BEAT))
        except OSError:
            return None

    def rank_steps(self) -> dict[int, tuple[int, float]]:
        """Per rank its last optimizer step and when it gave its last sign of life."""
        return {rank: (beat.step, beat.t) for rank, beat in self.beats().items()}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run: `runs/<id>`. Cheap to make; every method reads the disk anew."""

    path: Path

    @classmethod
    def create(cls, runs: Path, spec: Mapping[str, object], files: Mapping[str, bytes] | None = None) -> RunFolder:
        """A new folder under `runs` with its spec.toml on disk.

        `id`, `schema`, `created`, `workspace` and `order` are filled in, `files` go beside it. It appears under its
        name only when it is complete, so no reader sees half a run. UserError in a copy of a workspace.
        """
        identity.refuse_copy(runs.parent)
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = identity.ensure(runs.parent) if "origin" in spec else identity.next_launch(runs.parent)
        own = {"workspace": made.id} | ({} if "origin" in spec else {"order": made.launches})
        while True:
            created = time.time()
            run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(created))}-{os.urandom(2).hex()}"
            temp = runs / f".new-{run_id}-{os.urandom(3).hex()}"
            temp.mkdir(mode=0o700)
            document = {"schema": SPEC_SCHEMA, **spec, "id": run_id, "created": created, **own}
            try:
                _fill(temp, document, files or {})
                temp.rename(runs / run_id)
            except BaseException as error:
                _discard(temp)
                if isinstance(error, OSError) and (runs / run_id).exists():
                    continue
                raise
            fsync_path(runs)
            return cls(runs / run_id)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def control(self) -> Path:
        return self.path / "control"

    def spec(self) -> dict[str, Any]:
        """spec.toml; empty when it is missing or broken (such a folder is listed, and says so)."""
        return self.read_spec().document or {}

    def read_spec(self) -> Read:
        """spec.toml, or why it is unreadable."""
        return typed_files.read(self.path / "spec.toml", typed_files.SPEC)

    def verified(self) -> bool | None:
        """Whether plain transformers found the trained rewards in model/: by the last `rmtui verify`, else by the
        training's closing check; None where neither was made (an older run, or one that has not finished)."""
        again = typed_files.read(self.path / "verification.json", typed_files.VERIFICATION).document
        last = self.last_attempt()
        found = (again or (last.result() if last else None) or {}).get("verified")
        return found if isinstance(found, bool) else None

    def meta(self) -> dict[str, object]:
        """meta.toml: name, note, tags, pinned, archived, group, silenced; empty when nobody set anything."""
        return self.read_meta().document or {}

    def read_meta(self) -> Read:
        """meta.toml, or why it is unreadable."""
        return typed_files.read(self.path / "meta.toml", typed_files.META)

    def set_meta(self, **changes: Any) -> None:
        """Change what a person set; None removes a key. Two at once follow each other.

        UserError where meta.toml is unreadable, since what it holds would be lost, and in a copy of a workspace.
        """
        identity.refuse_copy(self.path.parent.parent)
        self.control.mkdir(mode=0o700, exist_ok=True)
        with locked(self.control / "meta.lock", META_PATIENCE, f"meta.toml of {self.id}"):
            before = self.read_meta()
            if before.why:
                path = self.path / "meta.toml"
                raise UserError(f"{path} was not changed", f"it is unreadable: {before.why}", "correct or remove it")
            write_toml(self.path / "meta.toml", {**(before.document or {}), **changes})

    @property
    def watched(self) -> Path:
        """A lock that `rmtui watch` holds while it follows a training elsewhere that is not over."""
        return self.path / "watched.lock"

    @property
    def origin(self) -> Path:
        """What an import came with; a run that has it was trained elsewhere, and its command is never run here."""
        return self.path / "origin.json"

    def origin_facts(self) -> dict[str, object]:
        """origin.json; empty for a run that was launched here."""
        return typed_files.read(self.origin, typed_files.ORIGIN).document or {}

    def name(self) -> str:
        """The name a person gave, else the one it was launched with, else the id."""
        return str(self.meta().get("name") or self.spec().get("name") or self.id)

    def attempts(self) -> list[AttemptFolder]:
        """Every start of the run, oldest first."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208  (several times for each of thousands of runs)
        except OSError:
            return []
        numbers = [n for name in names if (n := number_of(name, "attempt-")) and name == f"attempt-{n}"]
        found = [AttemptFolder(self.path / f"attempt-{n}") for n in sorted(numbers)]
        return [attempt for attempt in found if attempt.path.is_dir()]

    def last_attempt(self) -> AttemptFolder | None:
        attempts = self.attempts()
        return attempts[-1] if attempts else None

    def new_attempt(self, n: int) -> tuple[AttemptFolder, int]:
        """Make `attempt-n` with its lock held: (attempt, descriptor of the lock); FileExistsError if it is there.

        The folder is made aside and renamed, so nobody ever sees an attempt without the holder of its lock. On a full
        disk, where folders may still be made, there is none: OSError.
        """
        temp = self.path / f".new-attempt-{n}-{os.urandom(3).hex()}"
        fd = -1
        try:
            for folder in (temp, temp / "logs", temp / "ranks"):
                folder.mkdir(mode=0o700)
            _need_room(temp / "room")
            fd = os.open(temp / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            temp.rename(self.path / f"attempt-{n}")
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            _discard(temp)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise FileExistsError(f"attempt-{n} of {self.id}") from error
            raise
        try:
            fsync_path(self.path)
        except OSError:
            os.close(fd)
            raise
        return AttemptFolder(self.path / f"attempt-{n}"), fd

    def request_stop(self, now: bool, by: str, attempt: int | None = None) -> Path:
        """Ask the supervisor to stop; `now` kills at once. `attempt` None: the last one, or the wait in the queue."""
        if attempt is None:
            last = self.last_attempt()
            attempt = last.n if last else 0
        return self._request("stop", {"now": now, "by": by, "attempt": attempt})

    def request_stacks(self, by: str) -> Path:
        """Ask for the Python stacks of every rank in its log."""
        last = self.last_attempt()
        return self._request("stacks", {"by": by, "attempt": last.n if last else 0})

    def note_failed_start(self, attempt: int, why: str) -> None:
        """Leave word that an attempt was given up before its folder could be made."""
        self.control.mkdir(mode=0o700, exist_ok=True)
        write_json(self.control / "failed-start.json", {"t": time.time(), "attempt": attempt, "reason": why})

    def failed_start(self) -> dict[str, Any]:
        """{t, attempt, reason} of the latest attempt that was given up before its folder could be made, else empty."""
        return typed_files.read(self.control / "failed-start.json", typed_files.FAILED_START).document or {}

    def requests(self, kind: str, attempt: int) -> list[dict[str, object]]:
        """What was asked of an attempt, oldest first; kind: stop or stacks."""
        paths = itertools.islice(self.control.glob(f"{kind}-*.json"), MOST_REQUESTS)
        found = [typed_files.read(path, typed_files.REQUEST).document for path in paths]
        fitting = [document for document in found if document is not None and document.get("attempt") == attempt]
        return sorted(fitting, key=lambda document: float(document.get("t") or 0))

    def _request(self, kind: str, document: Mapping[str, object]) -> Path:
        self.control.mkdir(mode=0o700, exist_ok=True)
        path = self.control / f"{kind}-{os.urandom(4).hex()}.json"
        write_json(path, {"t": time.time(), **document})
        return path

    def checkpoints(self) -> list[Path]:
        """Checkpoint folders, newest step first, unverified (`trainer.manifest` verifies)."""
        found = [
            path
            for path in (self.path / "checkpoints").glob("step-*")
            if number_of(path.name, "step-") is not None and path.is_dir()
        ]
        return sorted(found, key=lambda path: number_of(path.name, "step-") or 0, reverse=True)


def _fill(temp: Path, document: Mapping[str, object], files: Mapping[str, bytes]) -> None:
    (temp / "control").mkdir(mode=0o700)
    write_toml(temp / "spec.toml", document)
    for name, data in files.items():
        atomic_write(temp / name, data)


def _need_room(path: Path) -> None:
    """OSError unless the disk has room for what an attempt writes first."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, ROOM)
    path.unlink()


def _discard(temp: Path) -> None:
    for path in sorted(temp.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if temp.exists():
        temp.rmdir()


def run_folders(runs: Path) -> Iterator[RunFolder]:
    """Every run folder, oldest id first; folders that begin with a dot are not runs."""
    try:
        names = sorted(entry.name for entry in os.scandir(runs) if may_be_run(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return
    for name in names:
        yield RunFolder(runs / name)


def may_be_run(name: str) -> bool:
    """Whether a folder of this name can be a run: it begins with no dot, and every program can print the name."""
    return not name.startswith(".") and name.isprintable()


def checked_name(text: str) -> str:
    """A name, tag or group a person typed: one line of visible characters. It never becomes a path."""
    name = " ".join(text.split())
    if not name or len(name) > 100 or not name.isprintable():
        raise UserError(
            f"{text!r} cannot be a name", "names are 1 to 100 visible characters on one line", "choose another"
        )
    return name
