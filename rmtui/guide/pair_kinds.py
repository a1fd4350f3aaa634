"""Kinds of pairs that can be asked for; imported by the command line before anything else is."""

from typing import Literal

Kind = Literal["wrong", "close", "tied", "mended", "broken", "suspect"]
KINDS: tuple[Kind, ...] = ("wrong", "close", "tied", "mended", "broken", "suspect")
