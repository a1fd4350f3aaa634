"""Kinds of pairs that can be asked for; imported by the command line before anything else is."""

KINDS = ("wrong", "close", "tied", "mended", "broken", "suspect")
