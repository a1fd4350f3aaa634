"""What the widget tests share: an app around one widget, its lines as text, and runs to show."""

from __future__ import annotations

from pathlib import Path

from textual.app import App
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

from rmtui.runs.model import Best, Epoch, Run, State


class Stage(App):
    """One widget, focused; every message that it posts to the app is kept."""

    def __init__(self, *widgets: Widget, ascii_mode: bool = False) -> None:
        super().__init__()
        self.widgets = widgets
        self.said: list[Message] = []
        self.set_class(ascii_mode, "-ascii")

    def compose(self):
        yield from self.widgets

    def on_mount(self) -> None:
        self.widgets[0].focus()

    async def _on_message(self, message: Message) -> None:
        if type(message).__module__.startswith("rmtui."):
            self.said.append(message)
        await super()._on_message(message)

    def heard(self, kind: type[Message]) -> list:
        return [message for message in self.said if isinstance(message, kind)]


def lines(widget: Widget) -> list[str]:
    """What stands on the widget's lines now, blanks at their ends removed."""
    return [strip.text.rstrip() for strip in widget.render_lines(Region(0, 0, *widget.size))]


def page(widget: Widget) -> str:
    return "\n".join(lines(widget))


def run(number: int, **more) -> Run:
    """A finished run with three epochs."""
    epochs = tuple(Epoch(n, 0.9 - 0.1 * n, 0.6 - 0.01 * n, 0.65 + 0.02 * n, 200) for n in (1, 2, 3))
    plain = Run(
        id=f"run-{number:06d}",
        name=f"helpful-{number}",
        folder=Path("/nowhere"),
        state=State.FINISHED,
        preset="A",
        data="helpful",
        created=1_760_000_000.0 + number,
        started=1_760_000_000.0 + number,
        ended=1_760_003_600.0 + number,
        processes=2,
        step=300,
        total_steps=300,
        epochs_done=3,
        num_epochs=3,
        train_loss=0.6,
        val_loss=0.57,
        val_acc=0.71,
        val_pairs=200,
        best=Best(3, 0.71, 0.57),
        epochs=epochs,
    )
    return plain._replace(**more)


class Rows:
    """A row source over a list, which counts what is asked of it."""

    def __init__(self, rows) -> None:
        self.rows = list(rows)
        self.fetched = 0

    def count(self) -> int:
        return len(self.rows)

    def fetch(self, offset: int, limit: int):
        found = self.rows[offset : offset + limit]
        self.fetched += len(found)
        return found

    def position(self, run_id: str) -> int | None:
        return next((n for n, row in enumerate(self.rows) if isinstance(row, Run) and row.id == run_id), None)


class Made:
    """A source of any length whose rows are made when they are asked for."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.fetched = 0

    def count(self) -> int:
        return self.length

    def fetch(self, offset: int, limit: int):
        last = min(self.length, offset + limit)
        self.fetched += max(0, last - offset)
        return [run(number) for number in range(offset, last)]

    def position(self, run_id: str) -> int | None:
        return int(run_id.removeprefix("run-"))
