"""What one can do to runs, from the list and from a run's own screen alike: stop, resume, ask what the metrics mean;
name, note, tags, group, pin, archive, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from textual.message import Message

from rmtui.app.base import Base, Done
from rmtui.app.jobs.jobs import JobProgress, still_wanted
from rmtui.app.routes import AdviceOf, AgainForm, PairsOf
from rmtui.runs.model import RESUMES, Run, State
from rmtui.workspace import Workspace


@dataclass
class ToConfirm(Message):
    """What a person is asked before it is done, and what does it."""

    question: str
    text: str
    confirmed: Callable[[RunCommands], None]


def resumed(ws: Workspace, run: Run, own: bool = False) -> Message:
    """Resume, unless the run was out of memory, where the same again would be, too, or came by copy and its command
    was not seen (`own`: it was); runs in a worker."""
    from rmtui.operations.resume import check_owned, memory_suggestion, relaunch_smaller, resume, unseen_command
    from rmtui.runs.folder import RunFolder

    if own:
        check_owned(ws, RunFolder(run.folder), own)
    elif unseen := unseen_command(ws, run.id):

        def seen(screen: RunCommands) -> None:
            screen.ask("resume", lambda: resumed(ws, run, own=True))

        return ToConfirm(unseen.question, unseen.command, seen)
    if suggestion := memory_suggestion(ws, run.id):

        def smaller(screen: RunCommands) -> None:
            screen.do("relaunch", lambda: f"launched: {relaunch_smaller(ws, run.id)}")

        changes = ", ".join(f"{key} {value}" for key, value in suggestion.items())
        return ToConfirm(f"{run.name} ran out of memory. Launch it again with {changes}?", "", smaller)
    done = resume(ws, run.id)
    return Done("\n".join((f"{run.name} resumes from step {done.step}", *done.warnings)))


def foreseen(ws: Workspace, run: Run, against: str, lang: str) -> Message:
    """What the sealed pairs said of these models, or what a look would cost; runs in a worker."""
    from rmtui.operations.sealed_test import sealed_set, take_look

    at = sealed_set(ws, run.id, against)
    if at.seen:
        return Done(take_look(ws, at, lang=lang)["text"])
    names = [one.name for one, _ in at.models]
    question = f"Test {names[0]} beside {names[1]} on sealed pairs?" if against else f"Test {names[0]} on sealed pairs?"
    cost = (
        f"A further look is number {len(at.known) + 1}: it widens every interval, and choosing by it unseals the set."
        if at.known
        else "It is the first look. Choose before it, not by it: each further look widens every interval."
    )
    return ToConfirm(question, f"{at.path}\n{cost}", lambda screen: look_taken(screen, run, against, lang))


def look_taken(screen: RunCommands, run: Run, against: str, lang: str) -> None:
    """Take a look at the sealed pairs, as a long job of the screen."""

    def job(tell: Callable[[str], object], cancelled: Callable[[], bool]) -> str:
        from rmtui.operations.sealed_test import sealed_set, take_look

        at = sealed_set(screen.ws, run.id, against)
        return take_look(screen.ws, at, again=True, lang=lang, progress=tell, cancelled=cancelled)["text"]

    screen.run_scoring(f"testing {run.name}", job)


def curve_read(ws: Workspace, run: Run, lang: str) -> Message:
    """What more training pairs would bring; the runs that would tell more are offered. Runs in a worker."""
    from rmtui.operations.learning_curve import learning_curve, page, start

    found = learning_curve(ws, run.id, lang)
    if not found["missing"]:
        return Done(page(found, lang))
    parts = ", ".join(f"{count:,}" for count in found["missing"])

    def agreed(screen: RunCommands) -> None:
        screen.do("learning curve", lambda: f"launched: {', '.join(start(ws, run.id))}")

    return ToConfirm(f"Train {run.name} again on {parts} of its pairs?", page(found, lang), agreed)


def deleted(screen: RunCommands, runs: list[Run]) -> None:
    """Delete runs, as a long job of the screen."""

    def job() -> Done:
        from rmtui.operations.runs import remove

        for run in runs:
            still_wanted()
            remove(screen.ws, run.id)
        return Done(f"{_name(runs)} deleted", name)

    name = f"deleting {_name(runs)}"
    screen.run_job(name, job)


BY_STATE = ("stop", "resume", "again")
"""Keys of which the footer names what the run's state allows."""


class RunCommands(Base):
    """A screen with a current run, and perhaps marked ones; it says which by `current` and `chosen`."""

    def current(self) -> Run | None:
        """The run that actions on one run mean."""
        raise TypeError(f"{type(self).__name__} shows no run")

    def chosen(self) -> list[Run]:
        """The runs that actions on several mean: the marked ones, else the current one."""
        run = self.current()
        return [run] if run else []

    def offers(self, action: str) -> bool:
        """Stop while there is something to stop; then what goes on: resume where that is possible, else again."""
        if action not in BY_STATE:
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
            self.toast("only a running or queued run can be stopped")
            return
        from rmtui.app.screens.dialogs import Confirm

        at_once = run.state is State.STOPPING
        plain = f"Take {run.name} out of the queue?" if run.state is State.QUEUED else f"Stop {run.name}?"
        question = f"Kill {run.name} at once?" if at_once else plain
        text = (
            "It is already stopping; steps after its last checkpoint will be lost." if at_once else _stop_message(run)
        )
        self.app.push_screen(Confirm(question, text), lambda yes: self._stop(run, at_once) if yes else None)

    def _stop(self, run: Run, now: bool) -> None:
        def job() -> str:
            from rmtui.operations.stop import stop

            status = stop(self.ws, run.id, now=now)
            return f"{run.name}: {status.reason or status.state.value}"

        self.do("stop", job)

    def action_resume(self) -> None:
        run = self.current()
        if run is None:
            return
        if run.state.alive:
            self.toast(f"{run.name} is running")
            return

        self.ask("resume", lambda: resumed(self.ws, run))

    def on_to_confirm(self, message: ToConfirm) -> None:
        message.stop()
        from rmtui.app.screens.dialogs import Confirm

        self.app.push_screen(
            Confirm(message.question, message.text), lambda yes: message.confirmed(self) if yes else None
        )

    def action_again(self) -> None:
        run = self.current()
        if run is not None:
            self.go(AgainForm(run, {}))

    # What the metrics mean

    def action_advise(self) -> None:
        run = self.current()
        if run is not None:
            self.go(AdviceOf(run))

    def action_pairs(self) -> None:
        runs = self.chosen()[:2]
        if runs:
            self.go(PairsOf(runs))

    def action_evaluate(self) -> None:
        run = self.current()
        if run is not None:

            def job(tell: Callable[[str], object], cancelled: Callable[[], bool]) -> str:
                from rmtui.operations.score import score_run

                return score_run(self.ws, run, tell, cancelled)

            self.run_scoring(f"scoring {run.name}", job)

    def run_scoring(self, name: str, job: Callable[[Callable[[str], object], Callable[[], bool]], str]) -> None:
        """A long job of the trainer's: it is given where to tell its progress, and whether it was cancelled."""
        app = self.app

        def whole() -> Done:
            from textual.worker import get_current_worker

            worker = get_current_worker()
            told = job(lambda text: app.post_message(JobProgress(name, text)), lambda: worker.is_cancelled)
            return Done(told, name)

        self.run_job(name, whole)

    def action_take_look(self) -> None:
        """The current run is the finalist, one marked run beside it the comparator."""
        run = self.current()
        if run is None:
            return
        others = [other for other in self.chosen() if other.id != run.id]
        if len(others) > 1:
            self.toast("one finalist is tested beside one other run: mark no more than that one")
            return
        against, lang = others[0].id if others else "", self.rmtui.lang
        self.ask("test", lambda: foreseen(self.ws, run, against, lang))

    def action_learning_curve(self) -> None:
        run, lang = self.current(), self.rmtui.lang
        if run is not None:
            self.ask("learning curve", lambda: curve_read(self.ws, run, lang))

    def action_copy(self) -> None:
        run = self.current()
        if run is not None:
            self.app.copy_to_clipboard(str(run.folder))
            self.toast(str(run.folder), "copied")

    # What a person sets on runs

    def action_edit(self, what: str) -> None:
        """Ask for a name, note, tags, group or val_acc; an empty answer takes it away."""
        runs = self.chosen() if what in ("tags", "group") else [run for run in [self.current()] if run]
        if not runs:
            return
        from rmtui.app.screens.dialogs import Ask

        edit = EDITS[what]

        def answered(answer: str | None) -> None:
            if answer is not None:
                self.do("change", lambda: edit.apply(self.ws, runs, answer))

        self.app.push_screen(Ask(edit.question(runs), edit.text(runs[0]), edit.hint), answered)

    def action_pin(self) -> None:
        run = self.current()
        if run is not None:

            def job() -> str:
                from rmtui.operations.runs import pin

                pin(self.ws, run.id, not run.pinned)
                return f"{run.name} is no longer pinned" if run.pinned else f"{run.name} is pinned"

            self.do("pin", job)

    def action_archive(self) -> None:
        runs = self.chosen()
        if not runs:
            return
        on = not all(run.archived for run in runs)

        def job() -> str:
            from rmtui.operations.runs import archive

            for run in runs:
                archive(self.ws, run.id, on)
            return (
                f"{_name(runs)} archived; is:archived shows {'them' if len(runs) > 1 else 'it'}"
                if on
                else f"{_name(runs)} back in the list"
            )

        self.do("archive", job)

    def action_delete(self) -> None:
        runs = self.chosen()
        if not runs:
            return

        def job() -> ToConfirm:
            from rmtui.operations.runs import deletion_notes

            notes = deletion_notes(self.ws, {run.id for run in runs})
            text = f"{_listed(runs)}\nThe folder with checkpoints, logs and metrics is deleted. This cannot be undone."
            question = f"Delete {_name(runs)}?"
            return ToConfirm(question, f"{text}\n{notes}" if notes else text, lambda screen: deleted(screen, runs))

        self.ask("delete", job)


def _stop_message(run: Run) -> str:
    if run.state is State.QUEUED:
        resumed = run.reason.startswith(RESUMES)
        return (
            "It stays as it was and can be resumed later."
            if resumed
            else "It has not started; its settings stay in the list."
        )
    return "It saves a checkpoint first and can be resumed later."


def _name(runs: list[Run]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs"


def _listed(runs: list[Run]) -> str:
    names = [run.name for run in runs[:6]]
    return ", ".join(names) + (f" and {len(runs) - 6} more" if len(runs) > 6 else "")


class Edit(NamedTuple):
    """Something a person types about runs."""

    question: Callable[[list[Run]], str]
    text: Callable[[Run], str]
    """What the field begins with."""
    hint: str
    apply: Callable[[Workspace, list[Run], str], str]
    """Write the answer; returns what was done, for a toast."""


def _rename(ws: Workspace, runs: list[Run], text: str) -> str:
    from rmtui.operations.runs import rename

    rename(ws, runs[0].id, text)
    return f"renamed: {runs[0].name} is {text.strip()}"


def _note(ws: Workspace, runs: list[Run], text: str) -> str:
    from rmtui.operations.runs import set_note

    set_note(ws, runs[0].id, text)
    return f"note on {runs[0].name} saved" if text.strip() else f"note on {runs[0].name} removed"


def _tag(ws: Workspace, runs: list[Run], text: str) -> str:
    from rmtui.operations.runs import set_tags

    words = text.replace(",", " ").split()
    add = [word for word in words if not word.startswith("-")]
    remove = [word[1:] for word in words if word.startswith("-")]
    for run in runs:
        set_tags(ws, run.id, add=add, remove=remove)
    return f"tags of {_name(runs)} changed" if words else ""


def _group(ws: Workspace, runs: list[Run], text: str) -> str:
    from rmtui.operations.runs import set_group

    for run in runs:
        set_group(ws, run.id, text)
    return f"{_name(runs)}: group {text.strip()}" if text.strip() else f"{_name(runs)}: no group"


def _accuracy(ws: Workspace, runs: list[Run], text: str) -> str:
    from rmtui.operations.enter_accuracy import enter

    return enter(ws, runs[0].id, text, cwd=ws.root)


def _accuracy_question(runs: list[Run]) -> str:
    epochs = runs[0].epochs
    return f"val_acc of {runs[0].name}" + (f" at epoch {epochs[-1].epoch}" if epochs else "")


def _tags_question(runs: list[Run]) -> str:
    present = ", ".join(sorted({tag for run in runs for tag in run.tags})) or "none"
    return f"Tags of {_name(runs)} (now: {present})"


EDITS = {
    "name": Edit(lambda runs: f"New name of {runs[0].name}", lambda run: run.name, "", _rename),
    "note": Edit(
        lambda runs: f"Note on {runs[0].name}", lambda run: run.note, "what was tried, what was learned", _note
    ),
    "tags": Edit(_tags_question, lambda run: "", "good -old", _tag),
    "val_acc": Edit(
        _accuracy_question, lambda run: "", "71.2 %, 0.712, 71.2 % of 2354, or a log that has it", _accuracy
    ),
    "group": Edit(lambda runs: f"Group of {_name(runs)}", lambda run: run.group, "empty: no group", _group),
}
