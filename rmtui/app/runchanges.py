"""What a person sets on runs: name, note, tags, group, pin, archive, and that they are deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.message import Message

from rmtui.app.base import Base
from rmtui.app.jobs.jobs import still_wanted
from rmtui.runs.model import Run


@dataclass
class Done(Message):
    """Something was done; `words` say what, for a toast."""

    words: str
    work: str = ""
    """The name of the long work that it ends."""


class RunChanges(Base):
    """A screen with a current run, and perhaps marked ones, that can be changed."""

    def current(self) -> Run | None:
        """The run that actions on one run mean."""
        raise TypeError(f"{type(self).__name__} shows no run")

    def chosen(self) -> list[Run]:
        """The runs that actions on several mean: the marked ones, else the current one."""
        run = self.current()
        return [run] if run else []

    def _do(self, name: str, job: Callable[[], str]) -> None:
        """Do it in a worker; its words become a toast and the index catches up at once."""
        self.ask(name, lambda: Done(job()))

    def on_done(self, message: Done) -> None:
        message.stop()
        if message.work:
            self.rmtui.end_work(message.work)
        if message.words:
            self.say(message.words)
        self.feed.sync()

    def action_rename(self) -> None:
        run = self.current()
        if run is not None:
            self._ask_text(f"New name of {run.name}", run.name, "", lambda text: self._rename(run, text))

    def _rename(self, run: Run, text: str) -> str:
        from rmtui.operations.runs import rename

        rename(self.ws, run.id, text)
        return f"renamed: {run.name} is {text.strip()}"

    def action_note(self) -> None:
        run = self.current()
        if run is not None:
            self._ask_text(
                f"Note on {run.name}", run.note, "what was tried, what was learned", lambda text: self._note(run, text)
            )

    def _note(self, run: Run, text: str) -> str:
        from rmtui.operations.runs import set_note

        set_note(self.ws, run.id, text)
        return f"note on {run.name} kept" if text.strip() else f"note on {run.name} removed"

    def action_tags(self) -> None:
        runs = self.chosen()
        if runs:
            said = ", ".join(sorted({tag for run in runs for tag in run.tags})) or "none"
            self._ask_text(f"Tags of {_name(runs)} (now: {said})", "", "good -old", lambda text: self._tags(runs, text))

    def _tags(self, runs: list[Run], text: str) -> str:
        from rmtui.operations.runs import set_tags

        words = text.replace(",", " ").split()
        add = [word for word in words if not word.startswith("-")]
        remove = [word[1:] for word in words if word.startswith("-")]
        for run in runs:
            set_tags(self.ws, run.id, add=add, remove=remove)
        return f"tags of {_name(runs)} changed" if words else ""

    def action_group(self) -> None:
        runs = self.chosen()
        if runs:
            self._ask_text(
                f"Group of {_name(runs)}", runs[0].group, "empty: no group", lambda text: self._group(runs, text)
            )

    def _group(self, runs: list[Run], text: str) -> str:
        from rmtui.operations.runs import set_group

        for run in runs:
            set_group(self.ws, run.id, text)
        return f"{_name(runs)}: group {text.strip()}" if text.strip() else f"{_name(runs)}: no group"

    def _ask_text(self, question: str, text: str, hint: str, job: Callable[[str], str]) -> None:
        from rmtui.app.screens.dialogs import Ask

        def answered(answer: str | None) -> None:
            if answer is not None:
                self._do("change", lambda: job(answer))

        self.app.push_screen(Ask(question, text, hint), answered)

    def action_pin(self) -> None:
        run = self.current()
        if run is not None:

            def job() -> str:
                from rmtui.operations.runs import pin

                pin(self.ws, run.id, not run.pinned)
                return f"{run.name} is {'no longer pinned' if run.pinned else 'pinned'}"

            self._do("pin", job)

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

        self._do("archive", job)

    def action_delete(self) -> None:
        runs = self.chosen()
        if not runs:
            return
        from rmtui.app.screens.dialogs import Confirm

        words = f"{_listed(runs)}\nThe folder with checkpoints, logs and figures is deleted. This cannot be undone."
        self.app.push_screen(Confirm(f"Delete {_name(runs)}?", words), lambda yes: self._delete(runs) if yes else None)

    def _delete(self, runs: list[Run]) -> None:
        def job() -> Done:
            from rmtui.operations.runs import remove

            for run in runs:
                still_wanted()
                remove(self.ws, run.id)
            return Done(f"{_name(runs)} deleted", name)

        name = f"deleting {_name(runs)}"
        self.work(name, job)


def _name(runs: list[Run]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs"


def _listed(runs: list[Run]) -> str:
    names = [run.name for run in runs[:6]]
    return ", ".join(names) + (f" and {len(runs) - 6} more" if len(runs) > 6 else "")
