"""verl's console logger: `step:10 - train/loss:0.69 - train/lr(1e-3):0.005`, a line a step, often behind a bar.

Read against `verl/utils/logger/aggregate_logger.py`, `verl/trainer/fsdp_sft_trainer.py`, `verl/trainer/sft_trainer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, figures_of, number, place, whole

_LINE = re.compile(r"(?:^|[\s\]])step:(?P<step>\d+)(?P<rest>(?: - [^\s:][^:\n]{0,120}:\s*(?:np\.\w+\()?[-+.\w]+\)?)+)")
_ENTRY = re.compile(r" - (?P<name>[^\s:][^:\n]{0,120}?):\s*(?:np\.\w+\()?(?P<value>[-+.\w]+)")
_RATE = "train/lr(1e-3)"
_TOTAL = re.compile(r"[Tt]otal (?:training|number of) steps:?\s*(\d+)")
_EPOCHS = re.compile(r"(?:^|\s)Epoch \d+/(?P<epochs>\d+):\s*\d+%\|[^|]*\|\s*\d+/(?P<steps>\d+) \[")


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """Every line's figures; the rate is written in thousandths."""
    for line in lines:
        if total := _TOTAL.search(line):
            said.total_steps = whole(total[1])
        if "%|" in line and (epochs := _EPOCHS.search(line)):
            said.num_epochs, said.steps_per_epoch = whole(epochs["epochs"]), float(epochs["steps"]) or None
        found = _LINE.search(line)
        if found is None:
            continue
        entries = {entry["name"]: entry["value"] for entry in _ENTRY.finditer(found["rest"])}
        rate, epoch = number(entries.pop(_RATE, None)), place(entries.pop("training/epoch", None))
        figures = figures_of(entries, ("training/global_step",), said)
        if rate is not None:
            figures["train/lr"] = rate / 1000
        step = float(found["step"])
        if said.total_steps and step >= said.total_steps:
            said.over = f"step {step:.0f} of {said.total_steps}"
        yield SourceRow(figures, step, epoch)


VERL = Producer("verl", "verl log", _LINE, ("step:",), read)
