"""What screens know of their app: workspace, feed, memory, language, running jobs, and the way to others.

No screen is imported here: `screens` is filled in by `rmtui.app.app`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import SystemCommand
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker

from rmtui.app import remembered, routes
from rmtui.app.feed import Feed, Synced
from rmtui.app.jobs.jobs import JobProgress, Jobs
from rmtui.app.terminal.output import ShadowScreen
from rmtui.errors import UserError
from rmtui.translation import colon, default_lang, speak, tr
from rmtui.workspace import Workspace, renewed, settings_stamp

READY_SECONDS = 0.02
"""Between two looks whether a screen has come."""
UNTIL_KEY = 86400.0
LEAST_SECONDS = 1.0
"""An error is shown this long at least."""
PATIENCE = 2.0
"""Keys wait for a screen no longer than this."""


@dataclass
class KeyDone(Message):
    """Follows a key through the same queues: when it arrives, what the key did has been done."""


class WorkspaceScreen(Screen[None]):
    """What the app may tell or ask any full screen; each hook may stay as it is."""

    is_filled = True
    """Whether what keys act on is there; a screen that has to fetch it first says no until then."""

    is_list = False
    """The list of runs, where every launch ends."""

    def await_run(self, run_id: str) -> None:
        """Put the cursor on a run that was launched just now, as soon as it is known."""

    def offers(self, action: str) -> bool:
        """Whether the footer names this action now; the key itself works all the same, or says why not."""
        return True

    def holds_back(self, then: Callable[[], object]) -> bool:
        """Whether something would be lost: then a person was asked, and `then` is called after a yes."""
        return False

    def synced(self) -> None:
        """The index has something new, perhaps of the runs shown here; called for every open screen."""

    def jobs_changed(self) -> None:
        """A background job began, went on or ended."""

    def write_again(self) -> None:
        """Text is wanted in the other language, or in the colours of another theme."""


class WorkspaceApp(ShadowScreen, inherit_bindings=False):
    """An app on one folder; it has no feed while the folder is not a workspace."""

    screens: ClassVar[Mapping[type[routes.Route], Callable[[WorkspaceApp, Any], Screen[None]]]] = {}
    """The screen of each route."""

    def __init__(self, css_path: list[str], workspace: Workspace | None, folder: Path, lang: str = "") -> None:
        super().__init__(css_path=css_path)
        self.folder = folder
        self.memory = remembered.Memory()
        self.counts = Synced((), 0, 0, 0)
        self.jobs = Jobs()
        self.awaited = ""
        """Id of the run to open on, whatever the cursor was on when the app was left."""
        self.devices = ""
        """What the top line says of GPUs or CPU slots."""
        self.remark = ""
        """In the top line: why the list may not be what it is on disk."""
        self.wanted_lang = lang
        """The language that the command line asks for; it goes before what is remembered."""
        self._workspace = workspace
        self._stamp: tuple[int, ...] = ()
        """Of workspace.toml when it was read last."""
        self._feed: Feed | None = None
        self._typed: list[events.Key] = []
        self._key_timer: Timer | None = None
        """While a key is on its way."""
        self._waits_since = 0.0
        self._last_key = ""
        speak(self.lang)

    def palette_commands(self, screen: Screen[object]) -> Iterable[tuple[SystemCommand, str]]:
        """What the palette offers, each with the id of its action."""
        return ()

    # Keys that are typed while the screen changes reach the new one

    async def on_event(self, event: events.Event) -> None:
        """One key at a time: the next one goes to the screen that the one before has opened, when that is there."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._drop_errors()
            self._typed.append(event)
            await self._next_key()
        else:
            await super().on_event(event)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """A toast; an error stays until a key is pressed."""
        lasts = UNTIL_KEY if severity == "error" else timeout
        super().notify(message, title=title, severity=severity, timeout=lasts, markup=markup)

    def _drop_errors(self) -> None:
        """Those that were there to be read: a key that was on its way takes nothing away."""
        for notification in list(self._notifications):
            if notification.severity == "error" and time.time() - notification.raised_at > LEAST_SECONDS:
                self._unnotify(notification)

    async def _next_key(self) -> None:
        if not self._typed or (self._key_timer is not None and not self._repeats(self._typed[0])):
            return
        if not self.is_ready and self._patient():
            self._key_timer = self.set_timer(READY_SECONDS, self.on_key_done)
            return
        self._waits_since = 0.0
        target, key = self.focused or self.screen, self._typed.pop(0)
        self._last_key = key.key
        await super().on_event(key)
        if self._key_timer is not None:
            return
        self._key_timer = self.set_timer(PATIENCE / 4, self.on_key_done)  # should the widget be gone by then
        target.post_message(KeyDone())

    async def on_key_done(self) -> None:
        if self._key_timer is not None:
            self._key_timer.stop()
            self._key_timer = None
        await self._next_key()

    def _repeats(self, key: events.Key) -> bool:
        """A key that is held moves on: it does not wait for its own frames. Those that change screens do."""
        return key.key == self._last_key and key.key not in ("enter", "escape") and self.is_ready

    def _patient(self) -> bool:
        self._waits_since = self._waits_since or time.monotonic()
        return time.monotonic() - self._waits_since < PATIENCE

    @property
    def is_ready(self) -> bool:
        """The screen in front is there, has its focus, and what keys act on."""
        screen = self.screen
        filled = not isinstance(screen, WorkspaceScreen) or screen.is_filled
        return filled and screen.is_mounted and (screen.focused is not None or not screen.focus_chain)

    @property
    def ws(self) -> Workspace:
        """With its settings as they are on disk now; as they were last while workspace.toml is wrong."""
        assert self._workspace is not None, "screens with runs open on a workspace only"
        stamp = settings_stamp(self._workspace.root)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._workspace = renewed(self._workspace)
            except UserError as error:
                what, why, remedy = (tr(part, words=False) for part in (error.what, error.why, error.remedy))
                self.notify(f"{why}\n→ {remedy}", title=what, severity="error", markup=False)
        return self._workspace

    @property
    def feed(self) -> Feed:
        assert self._feed is not None, "screens with runs open on a workspace only"
        return self._feed

    @property
    def lang(self) -> str:
        """en or zh: what was asked for or chosen here, else the workspace's, else the locale's."""
        settings = "" if self._workspace is None else self.ws.settings.lang
        return default_lang(self.wanted_lang or self.memory.lang or settings)

    def adopt(self, workspace: Workspace) -> None:
        """This is the workspace from now on."""
        self._workspace, self._stamp = workspace, settings_stamp(workspace.root)
        self.memory = remembered.recall(workspace.state_dir / "app.json")
        self._feed = Feed(self, workspace)
        speak(self.lang)

    # From screen to screen

    def go(self, route: routes.Route) -> None:
        """Open the screen of a route on top of the others."""
        self.push_screen(self.screens[type(route)](self, route))

    async def enter(self, workspace: Workspace) -> None:
        """Go on in a workspace that was made or chosen just now."""
        self.adopt(workspace)
        await self.push_screen(self.screens[routes.Home](self, routes.Home()))
        self.feed.sync()

    def go_home(self, run_id: str) -> None:
        """Back to the list, with this run under the cursor once the index knows it."""
        while len(self.screen_stack) > 1 and not (isinstance(self.screen, WorkspaceScreen) and self.screen.is_list):
            self.pop_screen()
        if isinstance(self.screen, WorkspaceScreen):
            self.screen.await_run(run_id)

    # Background jobs

    def begin(self, name: str, worker: Worker[None]) -> None:
        self.jobs.begin(name, worker)
        self.notify(f"{tr(name)} …  {tr('ctrl+g cancels')}", timeout=3, markup=False)
        self._show_jobs()

    def on_job_progress(self, message: JobProgress) -> None:
        self.jobs.report(message.name, message.words)
        self._show_jobs()

    def end_job(self, name: str) -> None:
        self.jobs.end(name)
        self._show_jobs()

    def _show_jobs(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, WorkspaceScreen):
                screen.jobs_changed()

    def action_cancel(self) -> None:
        names = self.jobs.cancel()
        done = f"{tr('cancelled')}{colon()}{', '.join(map(tr, names))}"
        self.notify(done if names else tr("no jobs running"), markup=False)
        self._show_jobs()
