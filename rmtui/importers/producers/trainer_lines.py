"""Dictionaries a line: transformers' Trainer and all that is built on it (TRL, LLaMA-Factory, ms-swift, axolotl,
RLHFlow, MedicalGPT), and JSON lines of others.

Read against transformers 4.36–5.23 (`ProgressCallback`, `Trainer.log`, `log_metrics`), LLaMA-Factory's
`LogCallback`, ms-swift's `logging.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rmtui.importers.dictionaries import dictionary
from rmtui.importers.dictionary_rows import dictionary_row, flat
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, number, place, whole

_HEAD = re.compile(r"\*{3,} (?P<part>train|eval|predict|test) metrics \*{3,}")
_ENTRY = re.compile(r"^\s+(?P<name>[\w/.-]+)\s+=\s+(?P<value>\S+)\s*$")
_COUNTS = re.compile(r"(?P<name>Num [Ee]pochs|Total(?: optimization)? steps)\s*=\s*(?P<value>[\d,]+)")


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Rows of all dictionaries, and of the tables `***** eval metrics *****` where no dictionary gave the same."""
    table: dict[str, str] | None = None
    part = ""
    given: dict[str, Any] = {}
    for line in lines:
        if table is not None and (entry := _ENTRY.match(line)):
            table[entry["name"]] = entry["value"]
            continue
        if table:
            yield from _table_row(part, table, given, said)
        head = _HEAD.search(line)
        table, part = ({}, head["part"]) if head else (None, "")
        for counts in _COUNTS.finditer(line):
            _count(counts["name"], counts["value"], said)
        values = dictionary(line)
        if values and (row := dictionary_row(dict(flat(values)), said)):
            given |= values
            yield row
    if table:
        yield from _table_row(part, table, given, said)


def _same(text: str, given: object) -> bool:
    """Whether a table's figure, of four digits, is the one that was given before."""
    written, before = number(text), number(given)
    return written is not None and before is not None and abs(written - before) <= 6e-5 * max(1.0, abs(before))


def _count(name: str, value: str, said: Said) -> None:
    if name.startswith("Total"):
        said.total_steps = whole(value.replace(",", "")) or said.total_steps
    else:
        said.num_epochs = whole(value.replace(",", "")) or said.num_epochs


def _table_row(part: str, table: Mapping[str, str], given: Mapping[str, object], said: Said) -> Iterator[SourceRow]:
    """A table repeats at the end, rounded, what a dictionary gave; alone it is all there is."""
    new = {name: value for name, value in table.items() if name == "epoch" or not _same(value, given.get(name))}
    if any(number(value) is not None for name, value in new.items() if name != "epoch"):
        row = dictionary_row({"split": part, **new}, said)
        if row is not None and (row.figures or place(new.get("epoch")) is not None):
            yield row


def _read_swift(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """The same; ms-swift 2 calls the share of right tokens `acc`."""
    for row in read(lines, said):
        yield replace(row, figures={_OF_TOKENS.get(name, name): value for name, value in row.figures.items()})


_OF_TOKENS = {"acc": "token_acc", "eval_acc": "eval_token_acc"}
_PLACED = r"""^[^{\n]*\{(?=[^\n]*["'](?:epoch|step|global_step)["']\s*:)"""
"""The first brace of a line with an epoch or a step behind it: anchored, so that a line is searched once."""

SWIFT = Producer(
    "ms-swift",
    "ms-swift log",
    re.compile(
        r"""["'](?:global_step/max_steps|iteration)["']\s*:\s*["']\d+/\d+["']|["']train_speed\(iter/s\)["']\s*:"""
    ),
    ("global_step/max_steps", "iteration", "train_speed(iter/s)"),
    _read_swift,
    means=True,
)
LLAMA_FACTORY = Producer(
    "llama-factory",
    "LLaMA-Factory log",
    re.compile(r"""\{\s*"current_steps"\s*:"""),
    ("current_steps",),
    read,
    means=True,
)
TRAINER = Producer(
    "trainer-log",
    "log of a transformers Trainer",
    re.compile(
        rf"""{_PLACED}[^\n]*["'](?:eval_runtime|train_runtime|learning_rate|eval_loss|eval_samples_per_second
        |objective/kl)["']
        |^(?>[^\n]*?\{{\s*'(?:loss|eval_loss)'\s*:)[^\n]*'epoch'\s*:|\*\*\*\*\*\ (?:train|eval)\ metrics\ \*\*\*\*\*""",
        re.VERBOSE,
    ),
    ("{", " metrics *****"),
    read,
    means=True,
)
JSON_LINES = Producer("json-lines", "JSON lines", re.compile(r"^\s*\{"), ("{",), read)
