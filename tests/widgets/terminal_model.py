"""As much of a terminal as the shadow screen relies on: moves, styles, erasing with a background, margins, scrolls."""

from __future__ import annotations

import re

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(.)", re.DOTALL)


class TerminalModel:
    """`cells[y][x]` is (text, SGR codes); the right half of a wide character is ("", …)."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.cells = [[("#", "unknown")] * width for _ in range(height)]
        self.x = self.y = 0
        self.style = ""
        self.top, self.bottom = 0, height - 1

    def feed(self, text: str) -> None:
        for parameters, command, character in _TOKEN.findall(text):
            if character:
                self._write(character)
            else:
                self._obey(command, parameters)

    def _write(self, character: str) -> None:
        width = cell_len(character)
        if width == 0:
            x = self.x - 1 if self.cells[self.y][self.x - 1][0] else self.x - 2
            self.cells[self.y][x] = (self.cells[self.y][x][0] + character, self.cells[self.y][x][1])
            return
        row = self.cells[self.y]
        if row[self.x][0] == "" and self.x > 0:
            row[self.x - 1] = (" ", row[self.x - 1][1])
        row[self.x] = (character, self.style)
        if width == 2 and self.x + 1 < self.width:
            row[self.x + 1] = ("", self.style)
        after = self.x + width
        if after < self.width and row[after][0] == "":
            row[after] = (" ", row[after][1])
        self.x = min(after, self.width - 1)

    def _obey(self, command: str, parameters: str) -> None:
        numbers = [int(part or 0) for part in parameters.split(";")] if parameters and "?" not in parameters else []
        if command == "H":
            self.y, self.x = (numbers or [1, 1])[0] - 1, (numbers or [1, 1])[1] - 1
        elif command == "G":
            self.x = numbers[0] - 1
        elif command == "m":
            self._pen(parameters)
        elif command == "K":
            self.cells[self.y][self.x :] = [(" ", self.style)] * (self.width - self.x)
        elif command == "r":
            self.top, self.bottom = (numbers[0] - 1, numbers[1] - 1) if numbers else (0, self.height - 1)
            self.x = self.y = 0
        elif command in "ST":
            self._scroll(numbers[0] if command == "S" else -numbers[0])
        else:
            assert command in "hl" and "?" in parameters, (command, parameters)

    def _pen(self, parameters: str) -> None:
        assert parameters.startswith("0"), "styles are set whole"
        self.style = parameters.removeprefix("0").removeprefix(";")

    def _scroll(self, by: int) -> None:
        block = self.cells[self.top : self.bottom + 1]
        blank = [[("?", "scrolled in")] * self.width for _ in range(abs(by))]
        self.cells[self.top : self.bottom + 1] = [*block[by:], *blank] if by > 0 else [*blank, *block[:by]]
