"""For widgets in which one types: their own bindings run in the order of the keys."""

from __future__ import annotations

from textual import events
from textual.widget import Widget


class OrderedKeys(Widget):
    """Textual runs a binding after its key has bubbled up to the app. Of keys typed ahead over a slow link, those for
    editing would overtake it, and end up in the field before."""

    def take_key(self, event: events.Key) -> bool:
        """A key for what is being typed; False leaves it to the bindings."""
        return False

    async def on_key(self, event: events.Key) -> None:
        if not self.take_key(event):
            own = self.screen.active_bindings.get(event.key)
            if own is None or own.node is not self:
                return
            await self.run_action(own.binding.action)
        event.stop()
        event.prevent_default()
