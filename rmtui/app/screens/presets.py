"""The choice of a preset: what each is for, what it changes, what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets.option_list import Option

from rmtui.app import actions
from rmtui.app.chrome import KeyLine, TopBar, short_path
from rmtui.app.planning import Launched, Order, launch, usual_data
from rmtui.app.runactions import RunActions
from rmtui.app.widgets.choices import Choices, hanging
from rmtui.app.widgets.palette import palette_of
from rmtui.presets import Preset, all_presets
from trainer.config import flatten

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class PresetsRead(Message):
    presets: tuple[Preset, ...]


class PresetsScreen(RunActions):
    """A, B, C and the user's own; a letter jumps to the preset of that name."""

    CSS_PATH = "presets.tcss"
    BINDINGS = actions.bindings("back", "presets")

    def __init__(self) -> None:
        super().__init__()
        self._presets: tuple[Preset, ...] = ()

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Choices(id="choice", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TopBar).tell("which preset?", "", short_path(self.ws.presets))
        self.ask("presets", lambda: PresetsRead(tuple(all_presets(self.ws))))

    @on(PresetsRead)
    def _read(self, message: PresetsRead) -> None:
        self._presets = message.presets
        choice = self.query_one(Choices)
        choice.clear_options()
        choice.add_options([Option(self._told(preset)) for preset in message.presets])
        choice.highlighted = 0 if message.presets else None
        choice.focus()

    def _told(self, preset: Preset) -> Table:
        palette = palette_of(self)
        words = Text().append(f"{preset.title}\n", "bold").append(f"{preset.purpose}\n")
        words.append(brief(preset), palette.quiet)
        if expected := expectation(preset):
            words.append(f"\nexpected: {expected}", palette.quiet)
        return hanging((Text(f"{preset.name}  ", palette.accent), words.append("\n")))

    def on_key(self, event: object) -> None:
        character = getattr(event, "character", None)
        for place, preset in enumerate(self._presets):
            if character and preset.name.casefold() == character.casefold():
                self.query_one(Choices).highlighted = place

    def action_choose(self) -> None:
        place = self.query_one(Choices).highlighted
        if place is not None:
            self._open(self._presets[place])

    @on(Choices.OptionSelected)
    def _selected(self, message: Choices.OptionSelected) -> None:
        self._open(self._presets[message.option_index])

    def _open(self, preset: Preset) -> None:
        from rmtui.app.screens.form import FormScreen

        self.app.switch_screen(FormScreen.of(preset))

    def action_all(self) -> None:
        from rmtui.app.screens.dialogs import Confirm

        names = ", ".join(preset.name for preset in self._presets)
        question = f"Train {names} one after the other?"
        self.app.push_screen(Confirm(question, "Each starts when the devices are free."), self._train_all)

    def _train_all(self, yes: bool | None) -> None:
        if yes:
            newest = next(iter(self.feed.index.runs("", limit=1)), None)
            data = usual_data(self.ws, newest)
            orders = [Order(preset, data=data) for preset in self._presets]
            self.ask("launch", lambda: launch(self.ws, orders))

    @on(Launched)
    def _launched(self, message: Launched) -> None:
        self.say(f"{len(message.run_ids)} runs queued")
        self.feed.sync()
        self.app.pop_screen()


def brief(preset: Preset) -> str:
    """The figures of a preset in a line."""
    flat = flatten(preset.config)
    shown = {
        "num_epochs": "epochs",
        "learning_rate": "rate",
        "batch_size": "batch",
        "gradient_accumulation_steps": "×",
        "lora.r": "r",
        "lora.alpha": "alpha",
        "lora.dropout": "dropout",
        "lr_scheduler": "",
    }
    from rmtui.guide.catalog import value_text

    return " · ".join(f"{word} {value_text(key, flat[key])}".strip() for key, word in shown.items() if key in flat)


def expectation(preset: Preset) -> str:
    """`train_loss 0.55–0.60 · val_acc 73–76 %`; empty where no figure is given."""
    parts = []
    for metric, (low, high) in preset.expect.items():
        if metric == "val_acc":
            parts.append(f"val_acc {low * 100:g}–{high * 100:g} %")
        else:
            parts.append(f"{metric} {low:.2f}–{high:.2f}")
    return " · ".join(parts)
