"""What one can do to runs, from the list and from a run's own screen alike: stop, go on, ask what the figures say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.message import Message

from rmtui.app.jobs.jobs import Told
from rmtui.app.runchanges import Done, RunChanges
from rmtui.runs.model import Run, State
from rmtui.workspace import Workspace


@dataclass
class Suggested(Message):
    """What a run that was out of memory could be launched with."""

    run: Run
    changes: Mapping[str, int]


def resumed(ws: Workspace, run: Run) -> Message:
    """Resume, unless the run was out of memory; runs in a worker."""
    from rmtui.operations.resume import memory_suggestion, resume

    if suggestion := memory_suggestion(ws, run.id):
        return Suggested(run, suggestion)
    done = resume(ws, run.id)
    return Done("\n".join((f"{run.name} goes on from step {done.step}", *done.warnings)))


class RunActions(RunChanges):
    """A screen with a current run, and perhaps marked ones."""

    def offers(self, action: str) -> bool:
        """Stop while there is something to stop; then what goes on: resume where that is possible, else again."""
        if action not in ("stop", "resume", "again"):
            return True
        run = self.current()
        goes_on = run is not None and (run.state.alive or run.state is State.QUEUED)
        can_resume = run is not None and run.resumable and not goes_on
        offered = {"stop": goes_on, "resume": can_resume, "again": run is not None and not goes_on and not can_resume}
        return offered[action]

    # Life of a run

    def action_stop(self) -> None:
        run = self.current()
        if run is None or not (run.state.alive or run.state is State.QUEUED):
            self.say("only a running or queued run can be stopped")
            return
        from rmtui.app.screens.dialogs import Confirm

        at_once = run.state is State.STOPPING
        plain = f"Take {run.name} out of the queue?" if run.state is State.QUEUED else f"Stop {run.name}?"
        question = f"Kill {run.name} at once?" if at_once else plain
        words = "It is stopping already; what came after its last checkpoint is lost." if at_once else _stop_words(run)
        self.app.push_screen(Confirm(question, words), lambda yes: self._stop(run, at_once) if yes else None)

    def _stop(self, run: Run, now: bool) -> None:
        def job() -> str:
            from rmtui.operations.stop import stop

            status = stop(self.ws, run.id, now=now)
            return f"{run.name}: {status.reason or status.state.value}"

        self._do("stop", job)

    def action_resume(self) -> None:
        run = self.current()
        if run is None:
            return
        if run.state.alive:
            self.say(f"{run.name} is running")
            return

        self.ask("resume", lambda: resumed(self.ws, run))

    def on_suggested(self, message: Suggested) -> None:
        """The run was out of memory: the same again would be, too."""
        message.stop()
        from rmtui.app.screens.dialogs import Confirm

        smaller = ", ".join(f"{key} {value}" for key, value in message.changes.items())
        question = f"{message.run.name} ran out of memory. Launch it anew with {smaller}?"
        self.app.push_screen(Confirm(question), lambda yes: self._smaller(message.run) if yes else None)

    def _smaller(self, run: Run) -> None:
        def job() -> str:
            from rmtui.operations.resume import relaunch_smaller

            return f"launched: {relaunch_smaller(self.ws, run.id)}"

        self._do("relaunch", job)

    def action_again(self) -> None:
        run = self.current()
        if run is not None:
            from rmtui.app.screens.form import FormScreen

            self.app.push_screen(FormScreen.again(run, self.ws))

    # What the figures say

    def action_advise(self) -> None:
        run = self.current()
        if run is not None:
            from rmtui.app.screens.advice import AdviceScreen

            self.app.push_screen(AdviceScreen(run))

    def action_pairs(self) -> None:
        runs = self.chosen()[:2]
        if runs:
            from rmtui.app.screens.pairs import PairsScreen

            self.app.push_screen(PairsScreen(runs))

    def action_evaluate(self) -> None:
        run = self.current()
        if run is not None:

            def job() -> Done:
                from rmtui.app.jobs.score import score_now

                return Done(score_now(self.ws, run, tell), name)

            name = f"scoring {run.name}"

            app = self.app

            def tell(words: str) -> None:
                app.post_message(Told(name, words))

            self.work(name, job)

    def action_copy(self) -> None:
        run = self.current()
        if run is not None:
            self.app.copy_to_clipboard(str(run.folder))
            self.say(str(run.folder), "copied")


def _stop_words(run: Run) -> str:
    if run.state is State.QUEUED:
        return "It has not started; its settings stay in the list."
    return "It saves a checkpoint first and can be resumed later."
