"""What every screen shares: the typed app, its feed and index, and words for people when something failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.feed import Failed, Feed, Job
from rmtui.app.host import WorkspaceApp, WorkspaceScreen
from rmtui.app.remembered import Memory
from rmtui.app.routes import Route
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.translation import tr
from rmtui.workspace import Workspace


def breakpoints(app: App[None]) -> list[str]:
    """The classes that a screen of the terminal's size gets with its first resize."""
    found = []
    for size, marks in ((app.size.width, app.HORIZONTAL_BREAKPOINTS), (app.size.height, app.VERTICAL_BREAKPOINTS)):
        found += [name for least, name in sorted(marks or (), reverse=True) if size >= least][:1]
    return found


@dataclass
class Done(Message):
    """Something was done; `words` say what, for a toast."""

    words: str
    work: str = ""
    """The name of the long job that it ends."""


class Base(WorkspaceScreen):
    """A full screen on a workspace."""

    @property
    def rmtui(self) -> WorkspaceApp:
        assert isinstance(self.app, WorkspaceApp)
        return self.app

    @property
    def ws(self) -> Workspace:
        return self.rmtui.ws

    @property
    def feed(self) -> Feed:
        return self.rmtui.feed

    @property
    def memory(self) -> Memory:
        return self.rmtui.memory

    def ask(self, name: str, job: Job, group: str = "", target: MessagePump | None = None) -> None:
        """A named background job that answers this screen with one message."""
        self.feed.ask(target or self, name, job, group)

    def run_job(self, name: str, job: Job) -> None:
        """A long job: the top line of home names it while it lasts, and ctrl+g ends it."""
        self.rmtui.begin(name, self.feed.ask(self, name, job))

    def do(self, name: str, job: Callable[[], str]) -> None:
        """Do it in a worker; its words become a toast and the index catches up at once."""
        self.ask(name, lambda: Done(job()))

    def on_done(self, message: Done) -> None:
        message.stop()
        if message.work:
            self.rmtui.end_job(message.work)
        if message.words:
            self.toast(message.words)
        self.feed.sync()

    def go(self, route: Route) -> None:
        """Open another screen on top of this one."""
        self.rmtui.go(route)

    def on_failed(self, message: Failed) -> None:
        """Textual calls it by itself after the one of a screen that has its own."""
        message.stop()
        self.rmtui.end_job(message.job)
        self.complain(message.error)

    def complain(self, error: UserError) -> None:
        """A toast: what failed, why, what to do. It stays long enough to be read."""
        what, why, remedy = (tr(part, words=False) for part in (error.what, error.why, error.remedy))
        text = "\n".join(filter(None, (why, remedy and f"→ {remedy}")))
        self.notify(text or what, title=what if text else "", severity="error", timeout=12, markup=False)

    def toast(self, text: str, title: str = "") -> None:
        self.notify(tr(text, words=False), title=tr(title), timeout=5, markup=False)

    def action_leave(self) -> None:
        self.app.pop_screen()

    def tone(self, name: str) -> str:
        """A palette colour as text, for Rich."""
        return str(palette_of(self).tone(name))

    def heading(self, text: str) -> Text:
        return Text(tr(text), palette_of(self).accent)

    def jobs_changed(self) -> None:
        for bar in self.query(TopBar):
            bar.show_jobs(self.rmtui.jobs.summary)

    def write_again(self) -> None:
        for bar in self.query(TopBar):
            bar.renew()
        for keys in self.query(KeyLine):
            keys.renew()
