"""What is wrong with the turns of message lists: whose they are, and in what order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rmtui.datacheck import text_checks
from rmtui.datacheck.kinds import found
from rmtui.datacheck.model import Finding
from trainer import pairs
from trainer.rows import message_text

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def openings(row: pairs.Row) -> Iterator[Finding]:
    """Answers as message lists that begin with a question of their own, or go on to one."""
    asking = []
    for name, side in (("chosen", row.chosen), ("rejected", row.rejected)):
        turns = [message["role"] for message in side] if isinstance(side, list) else []
        if turns and turns[0] != "assistant" and "user" in turns[:-1]:
            asking.append((name, side))
        elif "user" in turns[1:-1]:
            yield found(row.line, "role_marker", "role_marker_messages", name=name)
    for name, side in asking:
        if side[: len(row.prompt)] != row.prompt:
            yield found(row.line, "prompts_differ", "prompts_differ_answers", name=name)
            return
    for name, _ in asking[:1]:
        yield found(row.line, "prompt_in_one_answer", name=name)


def roles(row: pairs.Row) -> Iterator[Finding]:
    for name, side in (("prompt", row.prompt), ("chosen", row.chosen), ("rejected", row.rejected)):
        trouble = _wrong_roles(side, name) if isinstance(side, list) else None
        if trouble:
            key, about = trouble
            yield found(row.line, "roles", key, name=name, **about)


def _wrong_roles(side: Sequence[pairs.Message], name: str) -> tuple[str, dict[str, object]] | None:
    """The sentence about the roles of a message list, with its numbers."""
    roles = [message["role"] for message in side]
    if strange := [role for role in roles if role not in _ROLES]:
        return "roles_strange", {"role": repr(strange[0]), "known": _ROLES}
    if name != "prompt" and roles[-1] != "assistant":
        return "roles_answer", {"role": repr(roles[-1])}
    if name == "prompt" and roles[-1] == "assistant":
        return "roles_prompt", {}
    if any(first == second and first in ("user", "assistant") for first, second in itertools.pairwise(roles)):
        return "roles_twice", {}
    return ("roles_empty", {}) if any(not text_checks.visible(message_text(message)) for message in side) else None
