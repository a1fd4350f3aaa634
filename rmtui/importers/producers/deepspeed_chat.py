"""DeepSpeed-Chat: `***** Evaluating reward, Epoch 1/2 *****`, `Epoch 1/2 with loss 0.62`, DeepSpeed's steps.

Read against `applications/DeepSpeed-Chat/training/step{1,2}_*/main.py` of 2023 to 2026, step 2 by DPO, and forks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, number, whole

_EVALUATING = re.compile(r"\*{3,} Evaluating \w+, Epoch (?P<epoch>\d+)/(?P<of>\d+)")
_BEGIN = re.compile(r"Beginning of Epoch (?P<epoch>\d+)/(?P<of>\d+)")
_LOSS = re.compile(r"Epoch (?P<epoch>\d+)/(?P<of>\d+) with loss (?P<loss>[-+.\w]+)")
_INSIDE = re.compile(r"\bIter (?P<step>\d+): (?=\w+: )")
"""An evaluation inside an epoch (`--eval_interval`): `Iter 40: c_scores: 0.9, r_scores: 0.2, diff: 0.7, acc: 0.63`."""
_SCORE = re.compile(
    r"(?P<name>[A-Za-z][\w ]*?)(?: \((?:higher|lower|bigger) is better\))?\s*: (?P<value>[-+]?[\d.]+(?:e[-+]?\d+)?)"
)
_STEP = re.compile(r"\bstep=(?P<step>\d+), skipped=\d+, lr=\[(?P<rate>[-+.\de]+)")
_SAVED = re.compile(r"saving (?:the final )?model", re.IGNORECASE)
_OTHERS = re.compile(r"^\[|[|\]]|^\w+=")
"""Lines of DeepSpeed, of bars and of other programs between an evaluation's heading and its scores."""


class _Reader:
    """Where the log is."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._evaluating: float | None = None
        """The epoch whose evaluation has begun; its scores are to come."""
        self._begun = 0
        self._last: float | None = None
        """The last epoch that was evaluated."""

    def rows(self, line: str) -> Iterator[SourceRow]:
        if found := _EVALUATING.search(line):
            self._evaluating = self._epoch(int(found["epoch"]))
            self._said.num_epochs = whole(found["of"])
        elif found := _LOSS.search(line):
            self._evaluating, self._said.num_epochs = None, whole(found["of"])
            if (loss := number(found["loss"])) is not None:
                yield SourceRow({"train_loss": loss}, epoch=float(found["epoch"]))
        elif found := _BEGIN.search(line):
            self._begun, self._evaluating, self._said.num_epochs = int(found["epoch"]), None, whole(found["of"])
        elif found := _STEP.search(line):
            self._evaluating = None
            if (rate := number(found["rate"])) is not None:
                yield SourceRow({"lr": rate}, step=float(found["step"]))
        elif found := _INSIDE.search(line):
            if scores := _scores(line[found.end() :]):
                yield SourceRow(scores, step=float(found["step"]), split=Split.VALIDATION)
        elif self._evaluating is not None and not _OTHERS.search(line) and (scores := _scores(line)):
            self._last, self._evaluating = self._evaluating, None
            yield SourceRow(scores, epoch=self._last, split=Split.VALIDATION)
        elif _SAVED.search(line) and self._last is not None and self._last == self._said.num_epochs:
            self._said.over = "the log says that the model is saved"
            yield SourceRow(epoch=self._last)

    def _epoch(self, written: int) -> float:
        """DPO's heading before the first epoch says 1, as the one after it does."""
        return float(written) if self._begun else 0.0


def _scores(line: str) -> dict[str, float]:
    found = {match["name"].strip(): number(match["value"]) for match in _SCORE.finditer(line)}
    return {name: value for name, value in found.items() if value is not None}


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Optimizer steps with their rate, each epoch's loss, each evaluation's scores, accuracy or perplexity."""
    reader = _Reader(said)
    for line in lines:
        yield from reader.rows(line)


DEEPSPEED_CHAT = Producer(
    "deepspeed-chat",
    "DeepSpeed-Chat log",
    re.compile(
        r"\*{3,} Evaluating (?:rewards?|perplexity), Epoch \d+/\d+|Beginning of Epoch \d+/\d+, Total Micro Batches \d+"
    ),
    ("*** Evaluating", "Beginning of Epoch"),
    read,
)
