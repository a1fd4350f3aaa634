"""The application: workspace, theme, key map, feed, and which screen comes first. What is shown lives in screens."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from rmtui.app import actions, keys, remembered, routes, themes
from rmtui.app.feed import ALIVE, ALIVE_SECONDS, IDLE_SECONDS, Failed, ReadingFolders, Synced
from rmtui.app.host import READY_SECONDS, WorkspaceApp, WorkspaceScreen
from rmtui.app.jobs.jobs import JobProgress
from rmtui.app.widgets.glyphs import ASCII_CLASS
from rmtui.errors import UserError
from rmtui.runs.model import Run
from rmtui.translation import colon, speak, tr
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from textual.command import Provider

    from rmtui.app.jobs.importing import Imported
    from rmtui.app.notifications import Devices

STYLES = ["app.tcss", "screens/home.tcss", "screens/empty.tcss"]  # a default screen loads none of its own
RESUME_SECONDS = 0.2
FIRST_SYNC_SECONDS = 0.5
"""An app that knows runs already draws them, curves and all, before it looks at the files."""
RETRY_SECONDS = 10.0
"""After the index could not be brought up to date."""


def collect_again() -> None:
    """What is loaded now stays: a later collection that walks through all of it would hold up a key."""
    gc.freeze()
    gc.enable()


def _home(app: WorkspaceApp, route: routes.Home) -> Screen[None]:
    from rmtui.app.screens.home import HomeScreen

    return HomeScreen()


def _data(app: WorkspaceApp, route: routes.Data) -> Screen[None]:
    from rmtui.app.screens.data import DataScreen

    return DataScreen()


def _advice(app: WorkspaceApp, route: routes.AdviceOf) -> Screen[None]:
    from rmtui.app.screens.advice import AdviceScreen

    return AdviceScreen(route.run)


def _again(app: WorkspaceApp, route: routes.AgainForm) -> Screen[None]:
    from rmtui.app.screens.form import FormScreen

    return FormScreen.again(route.run, app.ws, route.changes, route.launch)


def _pairs(app: WorkspaceApp, route: routes.PairsOf) -> Screen[None]:
    from rmtui.app.screens.pairs import PairsScreen

    return PairsScreen(list(route.runs))


def _palette() -> type[Provider]:
    from rmtui.app.palette_search import ActionSearch

    return ActionSearch


def _suspects(app: WorkspaceApp, route: routes.SuspectsOf) -> Screen[None]:
    from rmtui.app.screens.suspects import SuspectsScreen

    return SuspectsScreen(route.train)


class RmtuiApp(WorkspaceApp, inherit_bindings=False):
    """One app on one folder; `workspace` is None while the folder is not a workspace."""

    screens: ClassVar[Mapping[type[routes.Route], Callable[[WorkspaceApp, Any], Screen[None]]]] = {
        routes.Home: _home,
        routes.Data: _data,
        routes.AdviceOf: _advice,
        routes.AgainForm: _again,
        routes.PairsOf: _pairs,
        routes.SuspectsOf: _suspects,
    }

    TITLE = "rmtui"
    depth = themes.Depth.TRUE
    BINDINGS = actions.bindings("app")
    COMMANDS = {_palette}
    COMMAND_PALETTE_BINDING = "colon"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (180, "-vast")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall"), (38, "-high")]

    def __init__(self, workspace: Workspace | None, folder: Path, ascii_mode: bool = False, lang: str = "") -> None:
        super().__init__([*STYLES, "ascii.tcss"] if ascii_mode else STYLES, workspace, folder, lang)
        self.animation_level = "none"
        self._trouble_told = ""
        self._alive: dict[str, Run] = {}
        self._version = 0
        """Of the index, as the screens show it; a supervisor or a verb may have written to it, too."""
        self.depth = themes.depth_of(self.console._color_system)
        for theme in themes.themes(self.depth):
            self.register_theme(theme)
        self.theme = themes.NAMES[0]
        self.set_class(ascii_mode, ASCII_CLASS)
        if workspace is not None:
            self.adopt(workspace)

    def adopt(self, workspace: Workspace) -> None:
        super().adopt(workspace)
        wanted = self.memory.theme or workspace.settings.theme
        self.theme = wanted if wanted in themes.NAMES else themes.NAMES[0]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.themes(self.depth)[0].variables

    def refresh_css(self, animate: bool = True) -> None:
        """A theme that is chosen before there is a screen: no rule was read yet, so that none is read again."""
        if self._screen_stack:
            super().refresh_css(animate)
        else:
            self.stylesheet.set_variables(self.get_css_variables())

    # Start and end

    def get_default_screen(self) -> Screen[None]:
        if self._workspace is None:
            from rmtui.app.screens.empty import EmptyScreen

            return EmptyScreen()
        return _home(self, routes.Home())

    def on_mount(self) -> None:
        # Frames drawn while the terminal still changes hands are lost: once more when it has settled.
        self.app_resume_signal.subscribe(self, lambda _: self.set_timer(RESUME_SECONDS, self.action_redraw))
        self.set_timer(FIRST_SYNC_SECONDS, collect_again)
        mine = keys.read(self.folder)
        self.set_keymap(mine.keymap)
        for trouble in mine.troubles:
            self.notify(tr(trouble), severity="warning", timeout=10, markup=False)
        self.set_timer(FIRST_SYNC_SECONDS, self._tell_of_copy)
        if self._feed is not None:
            if self._feed.index.count(""):
                self._feed.rest(FIRST_SYNC_SECONDS)
            else:
                self.call_after_refresh(self._feed.sync)

    def _tell_of_copy(self) -> None:
        """Whether this workspace is a copy, which a look at its files tells: after the first frame."""
        from rmtui.runs import identity

        if self._workspace is not None and (copy := identity.format_copy(self._workspace.root)):
            self.notify(tr(copy), severity="warning", timeout=15, markup=False)

    def remember(self) -> None:
        """Write down selection, filter, sort and theme."""
        if self._workspace is not None:
            remembered.store(self.memory, self._workspace.state_dir / "app.json")

    def on_unmount(self) -> None:
        self.remember()

    # Live updates

    def on_synced(self, message: Synced) -> None:
        if (message.alive, message.queued) != (self.counts.alive, self.counts.queued) or not self._alive:
            self._notify_ended()
        before, self.counts = self.counts, message
        version_before, self._version = self._version, self.feed.index.version()
        self.remark = message.remark
        self._notify_trouble(message.trouble if self.feed.index.trouble is None else None)
        if message.changed or before != message or version_before != self._version:
            self._renew()
        self.feed.rest(ALIVE_SECONDS if message.alive or message.queued else IDLE_SECONDS)

    def on_reading_folders(self, message: ReadingFolders) -> None:
        """A first look at thousands of run folders: the list grows, and the top line says how far it is."""
        self.remark = message.label
        self._renew()

    def _renew(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, WorkspaceScreen):
                screen.synced()

    def _notify_trouble(self, trouble: UserError | None) -> None:
        """Once, until it is another one or over."""
        text = str(trouble or "")
        if text and text != self._trouble_told:
            self.notify(text, severity="error", timeout=15, markup=False)
        self._trouble_told = text

    def _notify_ended(self) -> None:
        """A toast for each run that ended, the bell where the workspace wants it; devices are counted anew."""
        from rmtui.app import notifications

        index = self.feed.index
        before, self._alive = self._alive, {run.id: run for run in index.runs(ALIVE)}
        for item in notifications.endings(index, before, self._alive):
            self.notify(tr(item.words, words=False), severity=item.severity, timeout=10, markup=False)
            if self.ws.settings.bell:
                self.bell()
        self.feed.ask(self, "devices", notifications.devices, group="devices-free")

    def on_devices(self, message: Devices) -> None:
        self.devices = message.words

    def on_failed(self, message: Failed) -> None:
        """Trouble of an import is reported; that of `sync` once, then it is tried again in silence."""
        if message.job != "sync":
            self.end_job(message.job)
            self.notify(str(message.error), severity="error", timeout=12, markup=False)
            return
        self._notify_trouble(message.error)
        self.feed.rest(RETRY_SECONDS)

    # Actions of every pane

    def action_help(self) -> None:
        from rmtui.app.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_palette(self) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        from textual.command import CommandPalette

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder=tr("Search for commands…"), id="--command-palette"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        return (command for command, _ in self.palette_commands(screen))

    def palette_commands(self, screen: Screen[object]) -> Iterable[tuple[SystemCommand, str]]:
        """The palette: what the focused pane can do now, what can be done elsewhere, then themes by name; each with its
        id, empty for themes."""
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.action in seen or not active.enabled or not actions.in_palette(binding):
                continue
            seen.add(binding.action)
            text = f"{tr(binding.description)}  ({self.get_key_display(binding)})"
            command = SystemCommand(text, tr(binding.tooltip), partial(self.run_action, binding.action, active.node))
            yield command, binding.id or ""
        if self._workspace is not None:
            for action in actions.elsewhere(seen):
                text = f"{tr(action.word)}  ({self.get_key_display(action.binding())})"
                place = f"{tr(action.help)} · {tr(actions.PANES[action.pane])}"
                yield SystemCommand(text, place, partial(self.reach, action)), action.id
        for name in themes.NAMES:
            yield SystemCommand(tr(f"theme: {name}"), tr("Change the colours"), partial(self.use_theme, name)), ""

    def reach(self, action: actions.Action) -> None:
        """Go where an action is, and say its key: what it does there is seen before it is done."""
        ways, key = actions.PLACES[action.pane], self.get_key_display(action.binding())
        if self.screen.id != "_default":
            self.go_home("")
        self.go_on(ways, f"{tr(action.word)}{colon()}{key}")

    def go_on(self, ways: Sequence[str], last: str) -> None:
        """The actions one after the other, each when the screen before it is there."""
        if not self.is_ready:
            self.set_timer(READY_SECONDS, partial(self.go_on, ways, last))
            return
        if not ways:
            self.notify(last, timeout=6, markup=False)
            return
        found = next((one for one in self.screen.active_bindings.values() if one.binding.id == ways[0]), None)
        if found is not None:
            self.call_later(self.run_action, found.binding.action, found.node)
            self.call_later(self.go_on, ways[1:], last)

    def use_theme(self, name: str) -> None:
        self.theme = self.memory.theme = name
        self.call_next(self._write_again)  # after the colours were worked out

    def action_theme(self) -> None:
        self.use_theme(themes.following(self.theme))
        self.notify(tr(f"theme: {self.theme}"), timeout=2)

    def action_language(self) -> None:
        self.memory.lang, self.wanted_lang = "en" if self.lang == "zh" else "zh", ""
        speak(self.memory.lang)
        self._write_again()
        self.notify({"en": "English", "zh": "中文"}[self.memory.lang], timeout=2)

    def _write_again(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, WorkspaceScreen):
                screen.write_again()
            for widget in screen.walk_children():
                widget.refresh()

    def action_queue(self) -> None:
        from rmtui.app.screens.queue import QueueScreen

        self._open_once(QueueScreen)

    def action_tune(self) -> None:
        from rmtui.app.screens.tune import TuneScreen

        self._open_once(TuneScreen)

    def action_data(self) -> None:
        from rmtui.app.screens.data import DataScreen

        self._open_once(DataScreen)

    def action_import_runs(self) -> None:
        from rmtui.app.screens.dialogs import Ask
        from rmtui.app.widgets.path_input import first_there

        question = "Import past runs: a log, a folder, a glob such as logs/training/rm/helpful_*.log"
        there = first_there(self.folder, ("logs/training/rm/", "logs/training/", "logs/", "outputs/"))
        self.push_screen(Ask(question, there, "logs/training/rm", root=self.folder), self._import)

    def _import(self, path: str | None) -> None:
        from rmtui.app.jobs.importing import import_paths

        if path and self._workspace is not None:
            tell = partial(JobProgress, "importing")
            job = partial(
                import_paths, self.ws, self.folder, path, lambda words: self.post_message(tell(words)), self.lang
            )
            self.begin("importing", self.feed.ask(self, "importing", job))

    def on_imported(self, message: Imported) -> None:
        self.end_job("importing")
        self.notify(tr(message.words, words=False), title=tr("import"), timeout=10, markup=False)
        self.feed.sync()

    def _open_once(self, kind: type[WorkspaceScreen]) -> None:
        if self._workspace is not None and not any(isinstance(screen, kind) for screen in self.screen_stack):
            self.push_screen(kind())

    def action_redraw(self) -> None:
        """The terminal may show anything: send every cell again."""
        self.forget_screen()
        self.screen.refresh(layout=True, repaint=True)

    def get_key_display(self, binding: Binding) -> str:
        """Several keys side by side; in ASCII mode keys have names, not signs."""
        if "," in binding.key:
            alone = (replace(binding, key=key) for key in binding.key.split(","))
            return " ".join(map(self.get_key_display, alone))
        shown = super().get_key_display(binding)
        return shown if shown.isascii() or not self.has_class(ASCII_CLASS) else binding.key

    async def action_quit(self) -> None:
        open_screens = [screen for screen in self.screen_stack if isinstance(screen, WorkspaceScreen)]
        if not any(screen.holds_back(self.exit) for screen in reversed(open_screens)):
            self.exit()
