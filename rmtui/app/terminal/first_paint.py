"""A screen that is drawn for the first time when all of its first picture is there, rather than in four pieces."""

from __future__ import annotations

from textual import events, on
from textual.screen import Screen

LONGEST = 0.25
"""Seconds after which the screen is shown as far as it is."""


class Curtain(Screen[None]):
    """Mixin: put it before `Screen` in the bases. The screen's `lift` says that its first picture is complete."""

    is_down = True
    """Nothing was drawn yet."""

    def lift(self) -> None:
        """Draw now, and whatever changes from now on."""
        if self.is_down:
            self.is_down = False
            self._repaint_required = False  # laying out draws all that was held back: once is enough
            self.refresh(repaint=False, layout=True)
            self.call_later(self._on_timer_update)  # at once, not at the next beat of sixty in a second

    def on_mount(self) -> None:
        self.set_timer(LONGEST, self.lift)

    @on(events.ScreenResume)
    def _styles_stand(self, event: events.ScreenResume) -> None:
        if self.is_down:
            event.refresh_styles = False  # every widget has just got its styles

    def _compositor_refresh(self) -> None:
        if not self.is_down:
            super()._compositor_refresh()
