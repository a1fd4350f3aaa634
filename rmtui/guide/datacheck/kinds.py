"""Every kind of finding, in one table: severity, harm, and whether a cleaned file leaves the row out.

Errors are rows that teach nothing or something false, and validation that was trained on. Whatever a person may want on
purpose is a warning.
"""

from __future__ import annotations

from rmtui.guide.datacheck.facts import Finding, Kind

_ERRORS = (
    ("unreadable_file", 100, "no pair of the file can be read"),
    ("no_pairs", 99, "there is nothing to train on"),
    ("leaked_pair", 95, "the same pair is in the training data, so val_acc counts what was learnt by heart"),
    ("contradiction", 90, "the same two answers are ranked both ways, so one of the labels is false"),
    ("misspelt_field", 88, "the row is not read, because a field has another name"),
    ("missing_field", 87, "the row is not read"),
    ("prompts_differ", 86, "the two answers belong to different questions"),
    ("prompt_in_one_answer", 85, "the label can be told from the layout alone, without reading the answer"),
    ("wrong_type", 84, "the row is not read"),
    ("empty_field", 83, "there is nothing to judge"),
    ("identical_answers", 82, "both answers are the same, so the label is chance"),
    ("duplicate_key", 81, "two values claim one field, and which of them counts is chance"),
    ("encoding", 80, "the row is not read, or as other characters than were meant"),
    ("invalid_json", 79, "the row is not read"),
    ("not_object", 78, "the row is not read"),
    ("surrogate", 77, "half a character, which no tokenizer takes"),
    ("nul_character", 76, "a NUL is binary data, not text"),
    ("bad_margin", 75, "the margin is no finite number"),
    ("line_too_long", 74, "the row is not read"),
)
_WARNINGS = (
    ("validation_is_training", 60, False, "val_acc says how well the training data is known by heart, and no more"),
    ("leaked_prompt", 58, False, "the question is in the training data with other answers"),
    ("near_leak", 57, False, "nearly the same question is in the training data"),
    ("label_bias", 55, False, "the label can be guessed from the length"),
    ("different_language", 54, False, "training and validation are of different kinds"),
    ("different_source", 53, False, "training and validation are of different kinds"),
    ("different_length", 52, False, "training and validation are of different kinds"),
    ("too_few_pairs", 51, False, "only large differences between runs can be shown"),
    ("truncated", 50, False, "long prompts lose their beginning"),
    ("answer_cut", 49, False, "the answer alone is longer than max_length, so its end is never seen"),
    ("duplicate", 45, True, "the pair counts twice"),
    ("near_contradiction", 46, False, "nearly the same answers are ranked both ways"),
    ("near_duplicate", 44, False, "nearly the same pair counts twice"),
    ("nearly_identical_answers", 43, False, "the answers differ in case, spacing or punctuation only"),
    ("special_token", 42, False, "the text is taken for the end of the answer, or of a turn"),
    ("role_marker", 41, False, "the answer goes on with somebody else's turn"),
    ("roles", 40, False, "a chat template may refuse or garble these roles"),
    ("mojibake", 39, False, "characters were read in a wrong encoding before they got here"),
    ("replacement_character", 38, False, "a character was lost before it got here"),
    ("control_character", 37, False, "invisible characters reach the tokenizer"),
    ("prompt_in_answers", 36, False, "the question is read twice"),
    ("very_short", 35, False, "a swapped or lost answer looks like this"),
    ("very_long", 34, False, "most of it is cut off"),
    ("margin_below_zero", 33, False, "the margin asks for the rejected answer to win"),
    ("duplicate_id", 32, False, "the trainer falls back on ids of its own"),
    ("not_strict_json", 20, False, "other programs refuse the line"),
    ("bom", 15, False, "other programs choke on the first character"),
    ("blank_line", 10, True, "nothing; it is passed over"),
)

KINDS: dict[str, Kind] = {
    **{name: Kind(name, "error", harm, True, meaning) for name, harm, meaning in _ERRORS},
    "bom_inside": Kind("bom_inside", "error", 73, False, "the row is not read; a cleaned copy has it without the mark"),
    **{name: Kind(name, "warning", harm, drops, meaning) for name, harm, drops, meaning in _WARNINGS},
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


def found(line: int | None, kind: str, message: str, related: tuple[str, int] | None = None) -> Finding:
    """A finding with the severity of its kind."""
    return Finding(line, kind, KINDS[kind].severity, message, related)
