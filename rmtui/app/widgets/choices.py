"""Lists to choose from, on the ground of their screen."""

from __future__ import annotations

from textual.strip import Strip
from textual.widgets import OptionList

from rmtui.app import actions
from rmtui.app.widgets.palette import on_bar, palette_of


class Choices(OptionList, inherit_bindings=False):
    """Moves the cursor; what enter does is its screen's affair, so that the footer can say it.

    The gutter is stable: options are measured before the scroll bar is there, and one that fits without it by a cell
    would lose its last line."""

    DEFAULT_CSS = """
    Choices { border: none; padding: 0 1; background: $background; scrollbar-gutter: stable; }
    Choices:focus { border: none; background-tint: $foreground 0%; }
    Choices > .option-list--option-highlighted {
        color: $block-cursor-blurred-foreground; background: $block-cursor-blurred-background; text-style: none;
    }
    Choices:focus > .option-list--option-highlighted {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: none;
    }
    Choices > .option-list--option-disabled { color: $foreground; }
    Choices.-lines { text-wrap: nowrap; text-overflow: ellipsis; scrollbar-gutter: auto; }
    """
    BINDINGS = actions.bindings("choices")

    def render_line(self, y: int) -> Strip:
        """Of what is selected, the words lose their colours where these could not be read on its ground."""
        strip, bar = super().render_line(y), palette_of(self).bar(self.has_focus)
        if bar.color is None or not any(part.style and part.style.bgcolor == bar.bgcolor for part in strip):
            return strip
        return on_bar(strip, bar)

    def action_cursor_down(self) -> None:
        """What is below the last choice (more to read) comes into view before the cursor starts anew."""
        if self._at_edge(-1) and self.scroll_y < self.max_scroll_y:
            self.scroll_relative(y=1, animate=False)
        else:
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        """Likewise above the first choice."""
        if self._at_edge(0) and self.scroll_y > 0:
            self.scroll_relative(y=-1, animate=False)
        else:
            super().action_cursor_up()

    def action_first(self) -> None:
        """The first choice, and the top of the list."""
        super().action_first()
        self.call_after_refresh(self.scroll_home, animate=False)

    def action_last(self) -> None:
        """The last choice, and the end of the list."""
        super().action_last()
        self.call_after_refresh(self.scroll_end, animate=False)

    def _at_edge(self, place: int) -> bool:
        """Whether the cursor is on the first (0) or last (-1) of what can be chosen."""
        open_to = [number for number, option in enumerate(self.options) if not option.disabled]
        return bool(open_to) and self.highlighted == open_to[place]
