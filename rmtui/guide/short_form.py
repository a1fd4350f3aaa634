"""What is shown first of the answer of `advise`: verdict, three advices, the five worst readings; the rest is folded.

Screens and the command line show the same; `advise --json` holds everything.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rmtui.guide.model import SEVERITIES
from rmtui.guide.sentences import named
from rmtui.i18n import BETWEEN, title, translate, value_text
from rmtui.text import harmless, width

if TYPE_CHECKING:
    from rmtui.documents.guide import AdviceDocument, AdviseDocument, ReadingDocument

MOST_ADVICES = 3
MOST_READINGS = 5
MOST_LINES = 12
CALM = ("gap_small", "val_acc_is", "watch_unknown")
"""Readings that ask for nothing, or that the verdict has already."""
GLYPHS = {"error": "✗", "warning": "▲", "info": "·", "good": "✓"}


def first_advices(document: AdviseDocument) -> list[AdviceDocument]:
    """At most three: the recommendation, the guide's own step where that is another one, then the next best."""
    first, others = document["advice"][:1], document["advice"][1:]
    guides = [] if first and not first[0]["own"] else [row for row in others if not row["own"]][:1]
    rest = [row for row in others if row not in guides]
    return [*first, *guides, *rest][:MOST_ADVICES]


def worst_readings(document: AdviseDocument) -> list[ReadingDocument]:
    """At most five, worst first; what is read of the epochs and of the run before alike comes once."""
    once = {row["id"]: row for row in reversed(document["readings"])}
    found = [row for row in document["readings"] if once[row["id"]] is row]
    return sorted(found, key=lambda row: (SEVERITIES.index(row["severity"]), row["id"] in CALM))[:MOST_READINGS]


def split_verdict(document: AdviseDocument, lang: str) -> tuple[str, str]:
    """The verdict in two: how the run stands, and `Next: 1 epoch at 3e-5`, empty where there is none."""
    line = harmless(document["verdict"])
    marker = translate("verdict_word.next", lang, step="\0").partition("\0")[0]
    head, found, step = line.rpartition(marker)
    return (head, found + step.rstrip(".。")) if found else (line, "")


def advice_line(document: AdviseDocument, row: AdviceDocument, lang: str) -> str:
    """`A higher rate: learning_rate 1.5e-5 → 4.5e-5`; the guide's own step beside rmtui's says whose it is."""
    changes = [
        f"{change['key']} {value_text(change['key'], change['from'])} → {value_text(change['key'], change['to'])}"
        for change in row["difference"]
    ]
    line = row["text"].rstrip(".。")
    if changes:
        line = translate("phrase.changes", lang, title=title(row["id"], lang), changes=BETWEEN[lang].join(changes))
    if not row["own"] and document["advice"][0]["own"]:
        line = translate("heading.guides", lang, step=line if changes else line[:1].lower() + line[1:])
    return line[:1].upper() + line[1:]


def reading_line(row: ReadingDocument, lang: str) -> str:
    """`val_loss rose (from epoch 1 to 4: 0.5600 → 1.0500)`."""
    return named(row["id"], row["figures"], lang)


def folded_line(document: AdviseDocument, shown: int, lang: str) -> str:
    """What is left out: `6 more readings, reasons, what was expected, the path`."""
    more = len(document["readings"]) - shown
    parts = [translate("heading.more_readings", lang, n=more)] if more > 0 else []
    hidden = len(document["silenced"])
    parts += [translate("heading.hidden", lang, n=hidden)] if hidden else []
    return translate("phrase.comma", lang).join([*parts, translate("heading.folded", lang)])


def page(document: AdviseDocument, lang: str, columns: int) -> str:
    """What `rmtui advise` prints without --all: at most 12 lines of a terminal of so many columns."""
    advices = [f"{place}. {advice_line(document, row, lang)}" for place, row in enumerate(first_advices(document), 1)]
    readings = [f"{GLYPHS[row['severity']]} {reading_line(row, lang)}" for row in worst_readings(document)]
    names = [translate(f"heading.{key}", lang) for key in ("try", "metrics")]
    indent = max(map(width, names)) + 2
    command = f"rmtui advise {shlex.quote(document['run']['name'])} --all"
    verdict = harmless(document["verdict"]) or translate("heading.nothing_yet", lang)
    head = [verdict]
    head += _block(names[0], advices, indent)
    body = _block(names[1], readings, indent)
    while True:
        folded = translate("phrase.changes", lang, title=folded_line(document, len(body), lang), changes=command)
        folded = " " * indent + folded
        room = MOST_LINES - sum(_rows(line, columns) for line in (*head, *body, folded))
        if room >= 0 or not body:
            break
        body.pop()
    if room > 0:
        head.insert(1, "")
    return "\n".join((*head, *body, folded))


def _block(name: str, rows: Sequence[str], indent: int) -> list[str]:
    """Rows beside the name of what they are."""
    leads = [name, *[""] * len(rows)]
    return [lead + " " * (indent - width(lead)) + harmless(row) for lead, row in zip(leads, rows, strict=False)]


def _rows(text: str, columns: int) -> int:
    return -(-max(1, width(text)) // max(1, columns))
