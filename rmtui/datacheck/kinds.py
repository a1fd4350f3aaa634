"""Every kind of finding, in one table: severity, harm, and whether a cleaned file leaves the row out.

Errors are rows that teach nothing or something false, and validation that was trained on. Whatever a person may want on
purpose is a warning.
"""

from __future__ import annotations

from typing import Any

from rmtui.datacheck.model import Finding, Kind

_ERRORS = {
    "unreadable_file": 100,
    "no_pairs": 99,
    "leaked_pair": 95,
    "contradiction": 90,
    "misspelt_field": 88,
    "missing_field": 87,
    "prompts_differ": 86,
    "prompt_in_one_answer": 85,
    "wrong_type": 84,
    "empty_field": 83,
    "identical_answers": 82,
    "duplicate_key": 81,
    "encoding": 80,
    "invalid_json": 79,
    "not_object": 78,
    "surrogate": 77,
    "nul_character": 76,
    "bad_margin": 75,
    "line_too_long": 74,
}
"""Kind → harm, the rank of a report."""
_WARNINGS = {
    "validation_is_training": 60,
    "leaked_prompt": 58,
    "near_leak": 57,
    "label_bias": 55,
    "different_language": 54,
    "different_source": 53,
    "different_length": 52,
    "too_few_pairs": 51,
    "truncated": 50,
    "answer_cut": 49,
    "duplicate": 45,
    "near_contradiction": 46,
    "near_duplicate": 44,
    "nearly_identical_answers": 43,
    "special_token": 42,
    "role_marker": 41,
    "roles": 40,
    "mojibake": 39,
    "replacement_character": 38,
    "control_character": 37,
    "look_alike_letters": 36,
    "escaped_text": 36,
    "prompt_in_answers": 36,
    "very_short": 35,
    "very_long": 34,
    "margin_below_zero": 33,
    "duplicate_id": 32,
    "tie": 31,
    "no_preference": 30,
    "one_answer": 29,
    "several_turns": 28,
    "not_strict_json": 20,
    "bom": 15,
    "blank_line": 10,
}
_DROPPED = ("duplicate", "blank_line", "tie", "no_preference", "one_answer", "several_turns")
"""Warnings whose rows a cleaned file leaves out, as it does those with errors."""

KINDS: dict[str, Kind] = {
    **{name: Kind(name, "error", harm, True) for name, harm in _ERRORS.items()},
    "bom_inside": Kind("bom_inside", "error", 73, False),
    **{name: Kind(name, "warning", harm, name in _DROPPED) for name, harm in _WARNINGS.items()},
}

OF_BAD_LINE = {
    "blank": "blank_line",
    "encoding": "encoding",
    "json": "invalid_json",
    "object": "not_object",
    "duplicate_key": "duplicate_key",
    "missing_field": "missing_field",
    "type": "wrong_type",
    "empty": "empty_field",
    "surrogate": "surrogate",
    "prompts_differ": "prompts_differ",
    "margin": "bad_margin",
}
"""Kinds of trainer.pairs.BadLine → ours."""


def found(line: int | None, kind: str, key: str = "", /, **values: Any) -> Finding:
    """A finding with the severity of its kind; `key` names its sentence where that is not the kind's own.

    `related`, a file and a line, is not among its numbers but the finding's own.
    """
    related = values.pop("related", None)
    return Finding(line, kind, KINDS[kind].severity, key or kind, values, related)
