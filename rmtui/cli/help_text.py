"""argparse in the language that is spoken: help, usage and errors; Chinese lines are as wide as they look."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from typing import NoReturn

from rmtui.text import harmless, wrap
from rmtui.translation import colon, spoken, tr


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Lines are broken by cells: a Chinese letter takes two, and Chinese has no blanks to break at."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(" ".join(text.split()), width) if spoken() == "zh" else super()._split_lines(text, width)


class Parser(argparse.ArgumentParser):
    """Its errors quote what was typed, which a script may have taken from a file."""

    def format_help(self) -> str:
        return self._in_language(super().format_help())

    def format_usage(self) -> str:
        return self._in_language(super().format_usage())

    @staticmethod
    def _in_language(text: str) -> str:
        """argparse begins both with a word of its own, and ends headings with a colon of its own."""
        if spoken() == "en":
            return text
        return re.sub(r"(?m)^([^\x00-\x7f]+):$", r"\1：", f"{tr('usage')}：" + text.removeprefix("usage: "))

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {tr('error')}{colon()}{harmless(tr(message))}\n")

    def translate(self) -> None:
        """Once every argument was added: its help and the headings in the language that is spoken."""
        width = shutil.get_terminal_size().columns - 2
        self.description = "\n".join(wrap(tr(self.description or ""), width))
        for group in self._action_groups:
            group.title = tr(group.title or "")
        for action in self._actions:
            if action.help and action.help != argparse.SUPPRESS:
                action.help = tr(action.help)
