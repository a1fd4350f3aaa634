"""What every screen shares: the typed app, its feed and index, and words for people when something failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import Screen

from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.feed import Failed, Feed, Job
from rmtui.app.remembered import Memory
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.app.app import RmtuiApp


def breakpoints(app: App[None]) -> list[str]:
    """The classes that a screen of the terminal's size gets with its first resize."""
    found = []
    for size, marks in ((app.size.width, app.HORIZONTAL_BREAKPOINTS), (app.size.height, app.VERTICAL_BREAKPOINTS)):
        found += [name for least, name in sorted(marks or (), reverse=True) if size >= least][:1]
    return found


class Base(Screen[None]):
    """A full screen on a workspace."""

    @property
    def rmtui(self) -> RmtuiApp:
        from rmtui.app.app import RmtuiApp

        assert isinstance(self.app, RmtuiApp)
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

    def work(self, name: str, job: Job) -> None:
        """A long job: its name stands in the top line of home while it lasts, and ctrl+g ends it."""
        self.rmtui.begin(name, self.feed.ask(self, name, job))

    def on_failed(self, message: Failed) -> None:
        """Textual calls it by itself after the one of a screen that has its own."""
        message.stop()
        self.rmtui.end_work(message.job)
        self.complain(message.error)

    def complain(self, error: UserError) -> None:
        """A toast: what failed, why, what to do. It stays long enough to be read."""
        words = "\n".join(filter(None, (error.why, error.remedy and f"→ {error.remedy}")))
        self.notify(words or error.what, title=error.what if words else "", severity="error", timeout=12, markup=False)

    def say(self, words: str, title: str = "") -> None:
        self.notify(words, title=title, timeout=5, markup=False)

    def action_leave(self) -> None:
        self.app.pop_screen()

    def tone(self, name: str) -> str:
        """A palette colour as text, for Rich."""
        return str(palette_of(self).tone(name))

    def heading(self, words: str) -> Text:
        return Text(words, palette_of(self).accent)

    def offers(self, action: str) -> bool:
        """Whether the footer names this action now; the key itself works all the same, or says why not."""
        return True

    def synced(self) -> None:
        """The index has something new, perhaps of the runs shown here; called for every open screen."""

    def works_changed(self) -> None:
        """Something in the background began, went on or ended."""
        for bar in self.query(TopBar):
            bar.tell_works(self.rmtui.works.words)

    def write_again(self) -> None:
        """Words are wanted in the other language, or in the colours of another theme."""
        for bar in self.query(TopBar):
            bar.renew()
        for keys in self.query(KeyLine):
            keys.renew()
