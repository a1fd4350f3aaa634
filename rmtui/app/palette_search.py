"""What the palette finds for what one types: actions by their word, then by what is said of them and by their id."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider

from rmtui.app.host import WorkspaceApp

PER_LETTER = 2.0
"""Score of a letter that is found in the help alone: below one in a word's own run of letters, above scattered ones."""


class ActionSearch(Provider):
    """Every action of the palette; without a query all of them, by their word."""

    async def discover(self) -> Hits:
        for command, _ in sorted(self._found(), key=lambda found: found[0].title):
            yield DiscoveryHit(command.title, command.callback, help=command.help)

    async def search(self, query: str) -> Hits:
        """`tune` finds the search (app.tune), `best` what speaks of the best: words need not be those of the title."""
        matcher = self.matcher(query)
        words = query.casefold().split()
        for command, name in self._found():
            said = f"{command.title} {command.help} {name}".casefold()
            score = PER_LETTER * len(query) if all(word in said for word in words) else 0.0
            if (score := max(score, matcher.match(command.title))) > 0:
                yield Hit(score, matcher.highlight(command.title), command.callback, help=command.help)

    def _found(self) -> Iterable[tuple[SystemCommand, str]]:
        return self.app.palette_commands(self.screen) if isinstance(self.app, WorkspaceApp) else ()
