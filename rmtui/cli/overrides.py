"""`--set key=value` of verbs that start trainings."""

from __future__ import annotations

from collections.abc import Iterable


def read_overrides(texts: Iterable[str]) -> dict[str, str]:
    """Dotted key → value as typed; UserError for one without a value."""
    from rmtui.errors import UserError

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text} has no value", remedy=f"write it like --set {key}=VALUE")
        found[key.strip()] = value
    return found
