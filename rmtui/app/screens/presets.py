"""The choice of a preset: what each is for, what it changes, what is expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import KeyLine, TopBar, in_language, short_path
from rmtui.app.jobs.launch_plan import Launched, launch
from rmtui.app.presentation.hanging_indent import Hanging, row
from rmtui.app.presentation.preset_line import brief, expectation
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.palette import palette_of
from rmtui.errors import UserError
from rmtui.operations.launch_request import LaunchRequest
from rmtui.presets import Preset, all_presets, save_as
from rmtui.translation import tr


@dataclass
class PresetsRead(Message):
    presets: Sequence[Preset]
    wrong: Sequence[UserError]


class PresetsScreen(Base):
    """A, B, C and the user's own; a letter jumps to the preset of that name."""

    CSS_PATH = "presets.tcss"
    BINDINGS = actions.bindings("back", "presets")

    def __init__(self) -> None:
        super().__init__()
        self.is_filled = False
        self._presets: Sequence[Preset] = ()
        self._wanted = ""
        """The preset to select once the presets have been read."""

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Choices(id="choice", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).show_parts("which preset?", "", short_path(self.ws.presets))
        self._fetch()

    def write_again(self) -> None:
        super().write_again()
        chosen = self.chosen()
        self._wanted = chosen.name if chosen else ""
        self._fetch()

    def _fetch(self) -> None:
        self.ask("presets", lambda: PresetsRead(*all_presets(self.ws)))

    @on(PresetsRead)
    def _read(self, message: PresetsRead) -> None:
        self._presets = message.presets
        choice = self.query_one(Choices)
        choice.clear_options()
        for preset in message.presets:
            choice.add_option(Option(self._describe(preset), id=str(preset.path)))
            choice.add_option(Option("", disabled=True))
        for error in message.wrong:
            choice.add_option(Option(self._describe_error(error), disabled=True))
        self._go(self._wanted if self._wanted in self._names() else next(iter(self._names()), ""))
        choice.focus()
        self.is_filled = True

    def _describe(self, preset: Preset) -> Hanging:
        palette = palette_of(self)
        text = Text().append(f"{tr(preset.title)}\n" if preset.title else "", "bold")
        text.append(f"{tr(preset.purpose)}\n" if preset.purpose else "").append(brief(preset), palette.quiet)
        if expected := expectation(preset):
            text.append("\n").append_text(in_language(Text(expected, palette.quiet)))
        return Hanging(row(Text(f"{preset.name}  ", palette.accent), text))

    def _describe_error(self, error: UserError) -> Hanging:
        """A file that cannot be used: its lines as they are reported, without a name to choose."""
        palette = palette_of(self)
        return Hanging(row(Text("!  ", palette.bad), Text(formats.harmless(str(error)), palette.quiet)))

    def _names(self) -> list[str]:
        return [preset.name for preset in self._presets]

    def _go(self, name: str) -> None:
        """Every second option is a blank line."""
        choice = self.query_one(Choices)
        choice.highlighted = 2 * self._names().index(name) if name in self._names() else None

    def on_key(self, event: object) -> None:
        character = getattr(event, "character", None)
        for name in self._names():
            if character and name.casefold() == character.casefold():
                self._go(name)

    def chosen(self) -> Preset | None:
        place = self.query_one(Choices).highlighted
        return None if place is None else self._presets[place // 2]

    @on(Choices.OptionSelected)
    def action_choose(self) -> None:
        preset = self.chosen()
        if preset is not None:
            self._open(preset)

    def action_duplicate(self) -> None:
        from rmtui.app.screens.dialogs import Ask

        preset = self.chosen()
        if preset is not None:
            question = f"Name of the copy of preset {preset.name}"
            self.app.push_screen(Ask(question, "", f"{preset.name}-longer"), lambda name: self._duplicate(preset, name))

    def _duplicate(self, preset: Preset, name: str | None) -> None:
        if not name:
            return

        def job() -> PresetsRead:
            self._wanted = save_as(self.ws, preset, name, {}).name
            return PresetsRead(*all_presets(self.ws))

        self.ask("duplicate", job)

    def _open(self, preset: Preset) -> None:
        from rmtui.app.screens.form import FormScreen

        self.app.switch_screen(FormScreen.of(preset))

    def action_all(self) -> None:
        from rmtui.app.screens.dialogs import Confirm
        from rmtui.operations import launch_defaults

        newest = next(iter(self.feed.index.runs("", limit=1)), None)
        requests = [launch_defaults.request(self.ws, preset, newest) for preset in self._presets]
        names = ", ".join(preset.name for preset in self._presets)
        jobs = bool(self.ws.settings.launcher)
        question = f"Submit {names} to Slurm?" if jobs else f"Train {names} one after the other?"
        data = launch_defaults.data_set(self.ws, newest)
        models = {launch_defaults.model(self.ws, preset, newest) or self.ws.settings.model for preset in self._presets}
        models -= {""}
        what = [f"data set {data}"] if data else []
        what += [f"model {self.ws.as_written(', '.join(sorted(models)))}"] if models else []
        when = "Each is a job of its own." if jobs else "Each starts when the devices are free."
        explanation = "\n".join(filter(None, (", ".join(what), when)))
        self.app.push_screen(Confirm(question, explanation), lambda yes: self._train_all(requests) if yes else None)

    def _train_all(self, requests: Sequence[LaunchRequest]) -> None:
        self.ask("launch", lambda: launch(self.ws, requests))

    @on(Launched)
    def _launched(self, message: Launched) -> None:
        self.toast(f"{len(message.run_ids)} runs queued")
        self.feed.sync()
        self.app.pop_screen()
