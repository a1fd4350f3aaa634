"""What only a person can know: that a run does not run anywhere, whatever machine it was started on."""

from __future__ import annotations

import getpass
import time

from rmtui.errors import UserError
from rmtui.runs import life
from rmtui.runs.files import lock_held, write_json
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State


def person() -> str:
    """Who asks."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "you"


def not_running(run: RunFolder) -> None:
    """Write down that the last attempt is dead. UserError while a lock of it is held or a process of it is seen."""
    last = run.last_attempt()
    if last is None:
        return
    launch = last.launch()
    if lock_held(last.lock) or life.training_held(last) or life.processes(last, launch):
        raise UserError(
            f"{run.id} is running, despite what was declared",
            "a process of it holds its locks",
            f"stop it where it runs: rmtui stop {run.id}",
        )
    reason = f"declared not running by {person()}"
    document = {"outcome": str(State.INTERRUPTED), "reason": reason, "ended": time.time()}
    try:
        if (last.path / "exit.json").is_dir():  # no rename replaces a folder
            (last.path / "exit.json").rename(last.path / f"exit.json-put-aside-{time.time_ns()}")
        write_json(last.path / "exit.json", document)
    except OSError as error:
        raise UserError(
            f"{last.path / 'exit.json'} was not written", str(error), "check that you may write there", 1
        ) from error
