"""Kinds of pairs that can be asked for; imported by the command line before anything else is."""

from typing import Literal

Kind = Literal["wrong", "close", "tied", "fixed", "regressed", "suspect"]
KINDS: tuple[Kind, ...] = ("wrong", "close", "tied", "fixed", "regressed", "suspect")
JsonKind = Literal["wrong", "close", "tied", "mended", "broken", "suspect"]
IN_JSON: dict[Kind, JsonKind] = {
    "wrong": "wrong",
    "close": "close",
    "tied": "tied",
    "fixed": "mended",
    "regressed": "broken",
    "suspect": "suspect",
}
"""What `pairs --json` calls each kind: the first names, which scripts know. `--kind` takes both."""


def kind_of(name: str) -> str:
    """The kind of a name, which may be the one that JSON has for it."""
    return next((kind for kind, published in IN_JSON.items() if name == published), name)
