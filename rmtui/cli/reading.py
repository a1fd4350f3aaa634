"""Verbs."""

from __future__ import annotations

from rmtui.cli.verbs import Verb

VERBS: tuple[Verb, ...] = ()
