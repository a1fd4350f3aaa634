"""Keeps the index up to date beside a training: a thread of its own, so that a locked database delays no stop."""

from __future__ import annotations

import sys
import threading

from rmtui.errors import UserError
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

PERIOD = 2.0


class Ingester:
    """Calls `catch_up` every two seconds. A faulty database is said once in the log; files are the truth."""

    def __init__(self, ws: Workspace, run: RunFolder) -> None:
        self._ws, self._run = ws, run
        self._end = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._loop, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def follow(self, ws: Workspace, run: RunFolder) -> None:
        """The workspace was renamed."""
        self._ws, self._run = ws, run

    def finish(self, seconds: float) -> None:
        """One more round with the last words, for at most so long; the next reader would catch up as well."""
        self._end.set()
        self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._end.wait(PERIOD):
            self._round()
        self._round()

    def _round(self) -> None:
        from rmtui.index import ingest

        try:
            ingest.catch_up(self._ws, self._run)
        except UserError as error:
            self._log(str(error))
        except Exception as error:
            self._log(f"{type(error).__name__}: {error}")

    def _log(self, text: str) -> None:
        if text != self._said:
            self._said = text
            print(f"index: {text}", file=sys.stderr, flush=True)
