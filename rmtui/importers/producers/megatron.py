"""Megatron-LM and what is built on it (Megatron-DeepSpeed, MindSpeed): ` iteration 50/ 200 | … | lm loss: 6.9E-01 | …`.

Read against `training_log` and `evaluate_and_print_results` of `megatron/training/training.py` and public logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, figures_of, whole

_STEP = re.compile(r"\biteration\s+(?P<step>\d+)/\s*(?P<of>\d+)\s*\|(?P<rest>[^\n]*\|)")
_EVALUATED = re.compile(
    r"\bvalidation loss at iteration (?P<step>\d+)(?P<last> on (?P<set>\w+) set)? \|(?P<rest>[^\n]*)"
)
_ENTRY = re.compile(
    r"\s*(?P<name>[A-Za-z][^:|]{0,60}?):\s*(?P<value>[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf))\s*\|", re.I
)
_NAMES = {"lm loss": "loss", "lm loss PPL": "perplexity"}
_LEFT_OUT = (
    *("consumed samples", "consumed tokens", "global batch size", "loss scale", "actual seqlen"),
    *("number of skipped iterations", "number of nan iterations", "samples per second", "TFLOPs"),
)


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """A row an iteration that is printed, and one an evaluation.

    After the last iteration it evaluates once more, on other batches, `on validation set`: that counts where nothing
    was evaluated at this iteration before.
    """
    evaluated: int | None = None
    for line in lines:
        if found := _STEP.search(line):
            step = int(found["step"])
            said.total_steps = whole(found["of"])
            if said.total_steps and step >= said.total_steps:
                said.over = f"iteration {step} of {said.total_steps}"
            yield SourceRow(_figures(found["rest"], said), float(step), split=Split.TRAIN)
        elif found := _EVALUATED.search(line):
            step, test = int(found["step"]), found["set"] == "test"
            if found["last"] and not test and evaluated == step:
                continue
            evaluated = evaluated if test else step
            split = Split.TEST if test else Split.VALIDATION
            yield SourceRow(_figures(found["rest"].rstrip() + "|", said), float(step), split=split)


def _figures(rest: str, said: Said) -> dict[str, float]:
    entries = {entry["name"].strip().removesuffix(" value"): entry["value"] for entry in _ENTRY.finditer(rest)}
    return {_NAMES.get(name, name): value for name, value in figures_of(entries, _LEFT_OUT, said).items()}


MEGATRON = Producer(
    "megatron",
    "Megatron-LM log",
    re.compile(r"\biteration\s+\d+/\s*\d+\s*\|[^\n]*\b(?:consumed samples|loss scale|global batch size):"),
    ("iteration ",),
    read,
)
