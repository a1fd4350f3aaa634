"""DeepSpeed-Chat's step 2: `***** Evaluating reward, Epoch 1/2 *****`, `Epoch 1/2 with loss 0.62`, DeepSpeed's steps.

Read against `applications/DeepSpeed-Chat/training/step2_reward_model_finetuning/main.py` and its forks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import Split
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, number, whole

_EVALUATING = re.compile(r"\*{3,} Evaluating reward, Epoch (?P<epoch>\d+)/(?P<of>\d+)")
_BEGIN = re.compile(r"Beginning of Epoch (?P<epoch>\d+)/(?P<of>\d+)")
_LOSS = re.compile(r"Epoch (?P<epoch>\d+)/(?P<of>\d+) with loss (?P<loss>[-+.\w]+)")
_SCORE = re.compile(r"(?P<name>\w+) \((?:higher|lower|bigger) is better\)\s*:\s*(?P<value>[-+]?[\d.]+(?:e[-+]?\d+)?)")
_STEP = re.compile(r"\bstep=(?P<step>\d+), skipped=\d+, lr=\[(?P<rate>[-+.\de]+)")
_SAVED = re.compile(r"saving (?:the final )?model", re.IGNORECASE)


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Optimizer steps with their rate, each epoch's loss, each evaluation's scores and accuracy."""
    evaluating = False
    epoch: float | None = None
    for line in lines:
        if found := _EVALUATING.search(line):
            evaluating, epoch = True, float(found["epoch"])
            said.num_epochs = whole(found["of"])
        elif found := _LOSS.search(line):
            evaluating, said.num_epochs = False, whole(found["of"])
            if (loss := number(found["loss"])) is not None:
                yield SourceRow({"train_loss": loss}, epoch=float(found["epoch"]))
        elif found := _BEGIN.search(line):
            evaluating, said.num_epochs = False, whole(found["of"])
        elif found := _STEP.search(line):
            evaluating = False
            if (rate := number(found["rate"])) is not None:
                yield SourceRow({"lr": rate}, step=float(found["step"]))
        elif evaluating and (scores := _scores(line)):
            yield SourceRow(scores, epoch=epoch, split=Split.VALIDATION)
        elif _SAVED.search(line) and epoch is not None and epoch == said.num_epochs:
            said.over = "the log says that the model is saved"
            yield SourceRow(epoch=epoch)


def _scores(line: str) -> dict[str, float]:
    found = {match["name"]: number(match["value"]) for match in _SCORE.finditer(line)}
    return {name: value for name, value in found.items() if value is not None}


DEEPSPEED_CHAT = Producer(
    "deepspeed-chat",
    "DeepSpeed-Chat log",
    re.compile(r"\*{3,} Evaluating reward, Epoch \d+/\d+|Beginning of Epoch \d+/\d+, Total Micro Batches \d+"),
    read,
)
