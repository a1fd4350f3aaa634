"""Driving a search: launch what was decided, wait, read how it came out, decide again. Whatever ends this process, the
next one goes on from the documents and the run folders.

A trial is written down before its run is made, and its run carries the trial's mark, so that neither is made twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.launch import gpus, launchers
from rmtui.operations import launch, queue, resume, stop
from rmtui.operations.estimates import past_time
from rmtui.operations.runs import reading
from rmtui.runs import state
from rmtui.runs.files import locked
from rmtui.runs.folder import RunFolder, run_folders
from rmtui.runs.model import State, state_text
from rmtui.tune import order as orders
from rmtui.tune import results, search_report
from rmtui.tune.course import Course, Folder, Order, with_trial
from rmtui.tune.decide import decide
from rmtui.tune.model import Decision, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rmtui.index.index import Index
    from rmtui.workspace import Workspace

POLL = 0.3
Hear = Callable[[str], None]


def drive(ws: Workspace, folder: Folder, hear: Hear) -> Course:
    """Until the search is done, or a person stops it; `hear` gets a sentence for everything that happens.

    UserError where another process drives it, and where a run of it failed for a reason that a person has to remove.
    """
    order = folder.order()
    if order is None:
        raise UserError(f"{folder.path} holds no readable search", remedy="begin anew: rmtui tune --new …")
    with _alone(folder):
        folder.forget_requests()
        return _Drive(ws, folder, order, hear).run()


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    try:
        with locked(folder.lock, 0.5, f"search {folder.id}"):
            yield
    except TimeoutError as error:
        raise UserError(f"search {folder.id} is under way", str(error), "follow it: rmtui tune --show") from error


class _Drive:
    """One process's work on a search."""

    def __init__(self, ws: Workspace, folder: Folder, order: Order, hear: Hear) -> None:
        self.ws = ws
        self.folder = folder
        self.order = order
        self.hear = hear
        self.course = replace(folder.course(), done="", trouble="")
        self.clusters: Mapping[str, str] = {}

    def run(self) -> Course:
        try:
            self._load_losses()
            self._revive()
            while not self.course.done:
                if not self._wait() or self._paused():
                    return self.course
                self._decide()
        except UserError as error:
            self._save(trouble=str(error))
            raise
        search_report.write(self.ws, self.folder, self.order, self.course)
        return self.course

    def _save(self, **changes: object) -> None:
        self.course = replace(self.course, **changes)  # type: ignore[arg-type]
        self.folder.write_course(self.course)

    def _put(self, trial: Trial) -> None:
        self._save(trials=with_trial(self.course.trials, trial))

    def _load_losses(self) -> None:
        """Losses of single pairs are kept in the runs' folders alone."""
        with reading(self.ws) as index:
            for trial in self.course.trials:
                if trial.score is not None and (run := orders.run_of(index, trial)) is not None:
                    found = trial.score._replace(losses=results.losses(self.ws, run))
                    self.course = replace(
                        self.course, trials=with_trial(self.course.trials, trial._replace(score=found))
                    )

    def _paused(self) -> bool:
        """Whether a person wants no further run for now: those that trained have ended."""
        if not self.folder.pause_asked():
            return False
        self.folder.forget_requests()
        self.hear("paused; it goes on with: rmtui tune")
        return True

    def _decide(self) -> None:
        self.order = self.folder.order() or self.order  # its budget may have been raised
        with reading(self.ws) as index:
            found = decide(
                self.order.search,
                self.course.trials,
                self._clusters(index),
                width=self._width(),
                seconds_per_epoch=self._pace(index),
            )
        self._note(found)
        if found.done:
            self._save(done=found.done)
            self.hear(found.done)
        first = len(self.course.trials) + 1
        new = tuple(Trial(number, *each) for number, each in enumerate(found.proposals, first))
        self._save(trials=(*self.course.trials, *new))
        for trial in new:
            self._launch(trial)

    def _clusters(self, index: Index) -> Mapping[str, str]:
        """Of the validation pairs, which all trials share: known once one has ended."""
        ended = [trial for trial in self.course.trials if trial.sound]
        if not self.clusters and ended and (run := orders.run_of(index, ended[0])) is not None:
            self.clusters = results.clusters(self.ws, run)
        return self.clusters

    def _note(self, found: Decision) -> None:
        notes = [note for note in found.notes if note not in self.course.notes]
        if notes:
            self._save(notes=(*self.course.notes, *notes))
        for note in notes:
            self.hear(note)

    def _width(self) -> int:
        """Runs that the devices hold at once."""
        placed = self.order.spec["launch"]
        if placed.get("device") != "gpu":
            return self.ws.settings.cpu_runs
        usable = len(placed.get("devices", ())) or len(gpus.visible(gpus.gpus()))
        return max(1, usable // int(placed["processes"]))

    def _pace(self, index: Index) -> float | None:
        made = orders.trial_plan(self.ws, self.order, Trial(0, "bracket", self.order.search.settings, 1, 0, ""))
        past = past_time(index, made.derived, made.spec)
        return past.seconds if past is not None else None

    def _launch(self, trial: Trial) -> None:
        made = orders.trial_plan(self.ws, self.order, trial)
        parent = next((other for other in self.course.trials if other.n == trial.parent), None)
        with reading(self.ws) as index:
            facts = orders.launch_facts(self.order, trial, index, parent)
        run = launch.start(self.ws, made, facts=facts, remedy="correct that, then: rmtui tune")
        self._put(trial._replace(run=run))
        text = orders.settings_text(trial, self.order.search.settings)
        self.hear(f"trial {trial.n}: {text}, {_epochs(trial.epochs)} ({trial.why}); run {run}")

    def _revive(self) -> None:
        """Find runs that were made by a process that ended before it noted them, and go on with those that ended
        early."""
        unknown = {orders.mark(self.order.id, trial): trial for trial in self.course.trials if not trial.run}
        if unknown:
            for run in run_folders(self.ws.runs):
                trial = unknown.pop(str(run.spec().get("tune", "")), None)
                if trial is not None:
                    self._put(trial._replace(run=run.id))
        for trial in unknown.values():
            self._launch(trial)
        for trial in self.course.trials:
            if trial.score is None and trial.run and not self._take_in(trial):
                self._go_on(trial)

    def _go_on(self, trial: Trial) -> None:
        """Resume a run that is not over and that nobody attends; one that waits gets a process that waits for it."""
        now = state.status(RunFolder(self.ws.runs / trial.run))
        if now.state is State.QUEUED:
            if not now.supervised and queue.start_again(self.ws, trial.run):
                self.hear(f"trial {trial.n} waits again: run {trial.run}")
        elif not now.state.alive:
            resumed = resume.resume(self.ws, trial.run)
            self.hear(f"trial {trial.n} goes on: run {trial.run} from step {resumed.step}")

    def _wait(self) -> bool:
        """Until every trial has ended; false where a person stopped the search."""
        while open_trials := [trial for trial in self.course.trials if trial.score is None]:
            if self.folder.stop_asked():
                self._stop(open_trials)
                return False
            for trial in open_trials:
                self._look(trial)
            time.sleep(POLL if any(trial.score is None for trial in self.course.trials) else 0)
        return True

    def _look(self, trial: Trial) -> None:
        run = RunFolder(self.ws.runs / trial.run)
        launcher = launchers.of(run)
        launcher.look(self.ws)
        now = state.status(run)
        if now.state.alive:
            if not now.supervised:
                launcher.attend(self.ws, run)
            return
        if (now.state is State.QUEUED and now.supervised) or self._take_in(trial):
            return
        what = f"trial {trial.n} did not end by itself: run {trial.run} is {state_text(now.state, now.reason)}"
        raise UserError(what, remedy="remove the cause, then the search goes on with: rmtui tune", exit_code=1)

    def _take_in(self, trial: Trial) -> bool:
        """Whether the trial's run ended by itself; then its score is noted."""
        if not state.status(RunFolder(self.ws.runs / trial.run)).state.final:
            return False
        with reading(self.ws) as index:
            found = results.score(self.ws, index, trial, self.course.trials)
        if found is None:
            return False
        self._put(trial._replace(score=found))
        search_report.write(self.ws, self.folder, self.order, self.course)
        self.hear(
            f"trial {trial.n} broke: {found.broken}"
            if found.broken
            else f"trial {trial.n}: val_loss {found.val_loss:.4f}, val_acc {found.val_acc:.1%}"
        )
        return True

    def _stop(self, open_trials: list[Trial]) -> None:
        for trial in open_trials:
            stop.stop(self.ws, trial.run)
        self.folder.forget_requests()
        self.hear("stopped; it goes on with: rmtui tune")


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' if count > 1 else ''}"
