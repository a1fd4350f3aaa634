"""One line of a pair file: the pair in it, and what is wrong with it.

Lines of plain text, and of message lists with nothing unusual, take a short way of their own (`short_way`); every other
one is read by trainer.pairs, whose word on what is no pair always holds.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence

from rmtui.datacheck import chat_checks, short_way, text_checks
from rmtui.datacheck.kinds import KINDS, OF_BAD_LINE, found
from rmtui.datacheck.model import Finding
from rmtui.datacheck.short_way import Pair
from trainer import pairs
from trainer.rows import LEFT_OUT, message_text

FIELDS = ("prompt", "chosen", "rejected")
LONG = 16_000
"""Characters of prompt and answer; about eight times the default max_length of 512 tokens."""
ECHO = 60
"""A shorter prompt without turns, at the beginning of an answer, may be a manner of speaking."""
MUCH = 40
"""Characters beside which a word or two of nothing look lost."""
NOTHING = frozenset(("nan", "null", "none", "undefined", "n/a", "[deleted]", "[removed]"))
"""What programs and sites write where a text is missing."""
_LONGEST = max(map(len, NOTHING))
_NO = ("no", "ja", "si")


def examine(raw: bytes, line: int) -> tuple[Pair | None, Sequence[Finding]]:
    """The pair of a line (None if it holds none that can be trained on) and everything found on it."""
    pair = short_way.read(raw, line)
    if pair is None:
        return _thorough(raw, line)
    findings = _content(raw, pair)
    return _kept(pair, findings) if findings else (pair, ())


def _content(raw: bytes, pair: Pair) -> list[Finding]:
    """What is wrong with the texts of a pair."""
    suspicious = text_checks.suspicious(raw)
    if not suspicious and _spotless(raw, pair):
        return []
    findings = _judge(pair)
    if suspicious:
        for name, text in zip(FIELDS, (pair.prompt, pair.chosen, pair.rejected), strict=True):
            findings.extend(text_checks.inspect(pair.line, name, text, name != "prompt"))
    return findings


def _kept(pair: Pair, findings: list[Finding]) -> tuple[Pair | None, list[Finding]]:
    lost = any(finding.severity == "error" for finding in findings)
    return None if lost else pair, findings


def _spotless(raw: bytes, pair: Pair) -> bool:
    """Whether `_judge` surely has nothing to say: cheap tests that most pairs pass, and that decide the speed."""
    prompt, chosen, rejected = pair.prompt.strip(), pair.chosen.strip(), pair.rejected.strip()
    return (
        len(raw) <= LONG
        and len(chosen) > 2
        and (len(chosen) > _LONGEST or chosen.lower() not in NOTHING)
        and (len(rejected) > _LONGEST or rejected.lower() not in NOTHING)
        and rejected != ""
        and prompt != ""
        and (chosen[0] != rejected[0] or chosen[-1] != rejected[-1])
        and chosen[0].isalnum()
        and rejected[0].isalnum()
        and ("!" <= prompt[-1] <= "~" or prompt[0].isalnum())
        and not (chosen.startswith(prompt) or rejected.startswith(prompt))
        and not (chosen.startswith(text_checks.TURNS) or rejected.startswith(text_checks.TURNS))
        and ("\n" not in chosen or not text_checks.turn_inside(chosen))
        and ("\n" not in rejected or not text_checks.turn_inside(rejected))
    )


def _judge(pair: Pair) -> list[Finding]:
    """What is wrong with three texts, whatever layout they came in."""
    prompt, chosen, rejected = pair.prompt, pair.chosen, pair.rejected
    for name, text in (("chosen", chosen), ("rejected", rejected), ("prompt", prompt)):
        if not text_checks.visible(text):
            if not text:
                return [found(pair.line, "empty_field", name=name)]
            return [found(pair.line, "empty_field", "empty_field_shows", name=name, text=repr(text[:20]))]
    if chosen == rejected or chosen.split() == rejected.split():
        key = "identical_answers" if chosen == rejected else "identical_answers_spaces"
        return [found(pair.line, "identical_answers", key, text=short(chosen))]
    findings = list(_echo(pair))
    if not findings:
        markers = (text_checks.role_marker(pair.line, *side) for side in (("chosen", chosen), ("rejected", rejected)))
        findings = [marker for marker in markers if marker]
    findings.extend(_sizes(pair))
    return findings


def _echo(pair: Pair) -> Iterator[Finding]:
    """The prompt repeated at the beginning of the answers; a question said again in words of one's own is none."""
    prompt = pair.prompt.strip()
    dialogue = pairs.ASSISTANT in pair.prompt
    sides = (("chosen", pair.chosen), ("rejected", pair.rejected))
    for name, text in sides:
        if text.strip() == prompt:
            yield found(pair.line, "prompt_in_answers", "prompt_in_answers_whole", name=name)
            return
    if len(prompt) < (15 if dialogue else ECHO):
        return
    inside = [name for name, text in sides if text.startswith(prompt) or text.lstrip().startswith(prompt)]
    if len(inside) == 1 and dialogue:
        yield found(pair.line, "prompt_in_one_answer", name=inside[0])
    elif inside:
        key = "prompt_in_answers" if len(inside) == 1 else "prompt_in_answers_both"
        yield found(pair.line, "prompt_in_answers", key, name=inside[0])


def _sizes(pair: Pair) -> Iterator[Finding]:
    chosen, rejected = len(pair.chosen), len(pair.rejected)
    longest = len(pair.prompt) + max(chosen, rejected)
    if longest > LONG:
        yield found(pair.line, "very_long", characters=longest, tokens=longest // 4)
    for name, text, other in (("chosen", pair.chosen, rejected), ("rejected", pair.rejected, chosen)):
        if other >= MUCH and text.strip().lower() in NOTHING:
            yield found(pair.line, "very_short", "very_short_nothing", name=name, text=repr(text), characters=other)
            return
    word = pair.chosen.strip()
    if rejected >= MUCH and len(word) < 4 and word.isascii() and not _answers(word, pair.prompt):
        yield found(pair.line, "very_short", text=repr(word), characters=rejected)


def _answers(word: str, prompt: str) -> bool:
    """Whether a very short answer may well be one: a number, a no, a letter the prompt offers."""
    if not word.isalpha():
        return any(map(str.isalnum, word))
    return len(word) > 2 or word.lower() in _NO or re.search(rf"\b{word}[).:]", prompt) is not None


def short(text: str, width: int = 40) -> str:
    """The beginning of a text, quoted, on one line."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def _thorough(raw: bytes, line: int) -> tuple[Pair | None, Sequence[Finding]]:
    """Every layout, by trainer.pairs."""
    row = pairs.read_line(raw, line)
    if isinstance(row, pairs.BadLine):
        return None, [_bad(raw, row)]
    source = row.fields.get("source")
    texts = (_side_text(row.prompt), _side_text(row.chosen), _side_text(row.rejected))
    pair = Pair(line, *texts, row.id, short_way.source_of(source))
    return _kept(
        pair,
        [
            *_constants(raw, line),
            *_margin(row),
            *chat_checks.openings(row),
            *chat_checks.roles(row),
            *_content(raw, pair),
        ],
    )


def _side_text(side: pairs.Side) -> str:
    return side if isinstance(side, str) else "\n\n".join(map(message_text, side))


def _bad(raw: bytes, bad: pairs.BadLine) -> Finding:
    about = dict(bad.about)
    case = about.pop("case", "")
    if bad.kind == LEFT_OUT:
        return found(bad.line, case if case in KINDS else "no_preference")
    kind = OF_BAD_LINE[bad.kind]
    if kind == "missing_field" and (near := _misspelt(raw)):
        there, wanted = near
        return found(bad.line, "misspelt_field", name=repr(wanted), there=repr(there))
    if kind == "invalid_json":
        text = raw.decode("utf-8", "replace").strip()
        if case == "cells":
            return found(bad.line, kind, "row_cells", **about)
        key = "json_deep" if case == "deep" else _why_no_json(text, about["error"])
        return found(bad.line, kind, key, text=short(text, 24), **about)
    if isinstance(about.get("name"), str):
        about["name"] = repr(about["name"])
    return found(bad.line, kind, f"{kind}_{case}" if case else kind, **about)


def _misspelt(raw: bytes) -> tuple[str, str] | None:
    """(the key that is there, the field it was meant to be): another case, a space, a typo, look-alike letters."""
    row = json.loads(raw)
    strange = [key for key in row if key not in FIELDS]
    for wanted in FIELDS:
        if wanted in row:
            continue
        for key in strange:
            plain = key.translate(text_checks.LOOK_ALIKES).strip(text_checks.INVISIBLE + " _-\t\n").casefold()
            alike = plain == wanted or wanted in plain or difflib.SequenceMatcher(None, plain, wanted).ratio() > 0.75
            if alike or plain in _OTHER_NAMES[wanted]:
                return key, wanted
    return None


_OTHER_NAMES = {
    "prompt": ("question", "instruction", "query", "input", "context"),
    "chosen": ("preferred", "accepted", "accept", "winner", "win", "positive", "better", "good"),
    "rejected": ("dispreferred", "refused", "reject", "loser", "lose", "negative", "worse", "bad"),
}


def _why_no_json(text: str, error: str) -> str:
    """The sentence that says best why this is not JSON."""
    if not text.startswith(("{", "[", '"')):
        return "json_begins"
    if text.startswith("{'"):
        return "json_quotes"
    if text.startswith("{") and text.endswith(","):
        return "json_comma_behind" if text.endswith("},") else "json_cut"
    if text.startswith("{") and "}" in text and text.rstrip("} \t").endswith(","):
        return "json_comma"
    if "Extra data" in error and text.startswith("{"):
        return "json_two"
    if text.startswith("{") and not text.endswith("}"):
        return "json_cut"
    return "json_control" if "control character" in error else "json_other"


def _constants(raw: bytes, line: int) -> Iterator[Finding]:
    seen: list[str] = []
    if b"NaN" not in raw and b"Infinity" not in raw:
        return
    json.loads(raw, parse_constant=lambda name: seen.append(name))
    if seen:
        yield found(line, "not_strict_json", constant=seen[0])


def _margin(row: pairs.Row) -> Iterator[Finding]:
    if row.margin is not None and row.margin < 0:
        yield found(row.line, "margin_below_zero", margin=row.margin)
