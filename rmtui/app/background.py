"""Long work beside the screens: its names and progress in the top line, and the key that ends it."""

from __future__ import annotations

from textual.worker import Worker

from rmtui.app.base import Base
from rmtui.app.jobs.jobs import Told, Works
from rmtui.app.terminal.output import ShadowScreen


class BackgroundApp(ShadowScreen, inherit_bindings=False):
    """An app that knows what works in the background, and lets every screen show it."""

    def __init__(self, css_path: list[str]) -> None:
        super().__init__(css_path=css_path)
        self.works = Works()

    def begin(self, name: str, worker: Worker[None]) -> None:
        self.works.begin(name, worker)
        self.notify(f"{name} …  ctrl+g cancels", timeout=3, markup=False)
        self._tell_works()

    def on_told(self, message: Told) -> None:
        self.works.tell(message.name, message.words)
        self._tell_works()

    def end_work(self, name: str) -> None:
        self.works.end(name)
        self._tell_works()

    def _tell_works(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Base):
                screen.works_changed()

    def action_cancel(self) -> None:
        names = self.works.cancel()
        self.notify(f"cancelled: {', '.join(names)}" if names else "nothing works in the background", markup=False)
        self._tell_works()
