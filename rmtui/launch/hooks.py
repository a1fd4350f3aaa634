"""Commands of workspace.toml that run when a training finished, failed or stalled, once each.

Names and reasons travel in the environment only: nothing a run carries becomes part of a shell command. The supervisor
fires at the end; where it died first, whoever finds the end does (`found_ended`).
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rmtui.runs import cgroup, identity, ownership, proc, state
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State, Status
from rmtui.runs.typed_files import number_of
from rmtui.text import log_line
from rmtui.workspace import SETTINGS_FILE, Workspace
from trainer.plain_files import read_plain

TIMEOUT = 60
"""Seconds that a command has."""
OLDEST = 86_400.0
"""Seconds after which an end is too old to notify of."""
LONGEST = 300
"""Characters of a value in a command's environment."""


def expect(ws: Workspace, run: RunFolder, n: int) -> None:
    """Note that the end of an attempt is to be announced; OSError where nothing can be written."""
    folder = _waiting(ws)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / f"{run.id}.{n}").write_text(proc.place(run.path / f"attempt-{n}"))


def expected(ws: Workspace, run: RunFolder, n: int) -> bool:
    """Whether the end of an attempt is noted as to be announced, for whoever comes first."""
    return (_waiting(ws) / f"{run.id}.{n}").exists()


def ended(ws: Workspace, run: RunFolder, n: int, noted: bool) -> None:
    """The supervisor has seen the end of an attempt. `noted`: that it was expected, so that another one may have been
    faster; where that could not be written, nobody else announces it."""
    if _claim(ws, f"{run.id}.{n}") or not noted:
        _announce(ws, run, AttemptFolder(run.path / f"attempt-{n}"))


def found_ended(ws: Workspace) -> list[str]:
    """Fire for every end that nobody announced, and return the runs; whoever comes first fires, nobody else does.

    Nothing is fired for ends older than a day, and nothing in a copy: there the original announces its own.
    """
    found: list[str] = []
    with suppress(OSError):
        for name, run, attempt in list(_unannounced(ws)):
            place = _noted_place(ws, name)
            now = state.attempt_status(run, attempt) if attempt.path.is_dir() else None
            if now is not None and not now.state.final:
                continue
            if now is not None:  # whoever would have taken its control group away died with it
                cgroup.remove(attempt.launch(), proc.place(attempt.path))
            mine = now is not None and place == proc.place(attempt.path) and not ownership.foreign(ws.root, run)
            if _claim(ws, name) and mine and time.time() - _end(attempt) < OLDEST:
                _announce(ws, run, attempt)
                found.append(run.id)
    return found


def _waiting(ws: Workspace) -> Path:
    """A file for each attempt whose end is to be announced. Few at a time, whatever the number of runs."""
    return ws.queue / "unannounced"


def _unannounced(ws: Workspace) -> Iterator[tuple[str, RunFolder, AttemptFolder]]:
    if identity.copied_from(ws.root):
        return
    for path in _waiting(ws).glob("*.*"):
        run_id, _, n = path.name.rpartition(".")
        run = RunFolder(ws.runs / run_id)
        if number_of(f"attempt-{n}", "attempt-"):
            yield path.name, run, AttemptFolder(run.path / f"attempt-{n}")


def _noted_place(ws: Workspace, name: str) -> str:
    """The place of the attempt that an end was noted for; "" where something else is in the note's place."""
    try:
        return read_plain(_waiting(ws) / name, LONGEST).decode("ascii", "replace")
    except OSError:
        return ""


def _claim(ws: Workspace, name: str) -> bool:
    """Whether this process is the one to announce: only one of several takes the file away."""
    mine = _waiting(ws) / f"taken-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        (_waiting(ws) / name).rename(mine)
        mine.unlink()
    except OSError:
        return False
    return True


def _end(attempt: AttemptFolder) -> float:
    """When an attempt ended, as well as that is known."""
    word = attempt.exit() or {}
    signs = [t for _, t in attempt.rank_steps().values()]
    return float(word.get("ended") or max(signs, default=attempt.launch().get("t", 0.0)))


def _announce(ws: Workspace, run: RunFolder, attempt: AttemptFolder) -> None:
    """Fire on_finished, or on_failed for every bad end; a stop or a kill that was asked for fires nothing."""
    if (attempt.exit() or {}).get("requeued"):
        return  # it goes on
    status = state.attempt_status(run, attempt)
    if status.state == State.FINISHED:
        _fire(ws.settings.on_finished, ws, run, status)
    elif any(request.get("now") for request in run.requests("stop", attempt.n)):
        return
    elif status.state in (State.FAILED, State.KILLED, State.INTERRUPTED):
        _fire(ws.settings.on_failed, ws, run, status)


def failed_to_start(ws: Workspace, run: RunFolder, status: Status) -> None:
    _fire(ws.settings.on_failed, ws, run, status)


def stalled(ws: Workspace, run: RunFolder, status: Status) -> None:
    _fire(ws.settings.on_stalled, ws, run, status)


def not_obeyed(ws: Workspace) -> str:
    """Why the commands of workspace.toml are not run; "" where they are: the file is the user's, or root's, and nobody
    else may write it or replace it."""
    path = ws.root / SETTINGS_FILE
    try:
        places = [(path, path.stat()), (ws.root, ws.root.stat())]
    except OSError:
        return ""
    for place, found in places:
        if found.st_uid not in (os.geteuid(), 0):
            return f"{place} is of {_user(found.st_uid)}"
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"{place} can be written by everybody"
        if found.st_mode & stat.S_IWGRP and _shared(found.st_gid, found.st_uid):
            return f"{place} can be written by a group of several users"
        if found.st_mode & stat.S_IWGRP and _has_access_list(place):
            return f"{place} can be written by whom its access control list names"
    return ""


def _has_access_list(path: Path) -> bool:
    """The group's bits are then what the list allows at most, to anybody. acl(5)"""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _shared(gid: int, uid: int) -> bool:
    """Whether a group has anybody in it but its user, whose primary group it then is."""
    try:
        return bool(set(grp.getgrgid(gid).gr_mem) - {_user(uid)}) or pwd.getpwuid(uid).pw_gid != gid
    except KeyError:
        return True


def _fire(command: str, ws: Workspace, run: RunFolder, status: Status) -> None:
    if not command:
        return
    if why := not_obeyed(ws):
        print(f"hook: {command}: not run, since {why}", file=sys.stderr, flush=True)
        return
    env = {key: value for key, value in os.environ.items() if key not in (proc.TAG, proc.SLOTS)}
    env |= {
        "RMTUI_RUN_ID": run.id,
        "RMTUI_NAME": _short(run.name()),
        "RMTUI_STATE": str(status.state),
        "RMTUI_REASON": _short(status.reason),
        "RMTUI_FOLDER": str(run.path),
    }
    bound = ["timeout", "--kill-after=5", str(TIMEOUT)] if shutil.which("timeout") else []
    line = [*bound, "sh", "-c", command]
    try:
        null = subprocess.DEVNULL
        subprocess.Popen(line, cwd=ws.root, env=env, stdin=null, stdout=null, stderr=None, start_new_session=True)
    except OSError as error:
        print(f"hook: {command}: {error}", file=sys.stderr, flush=True)


def _short(text: str) -> str:
    """One line without what a terminal or a shell would take as an order."""
    return log_line(" ".join(text.split()))[:LONGEST].replace("\0", "")
