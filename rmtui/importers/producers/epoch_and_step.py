"""Own scripts that write epoch and step in brackets: minimind's `Epoch:[1/2](20/100), loss: 0.69`, and
`Epoch [1/2], Step [20/100], Loss: 0.69` as in many PyTorch tutorials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rmtui.importers.metric_names import split_in
from rmtui.importers.producers.producer import Producer
from rmtui.importers.source_rows import Said, SourceRow, figures_of, whole

_PLACE = re.compile(
    r"Epoch\s{0,4}:?\s{0,4}\[(?P<epoch>\d+)/(?P<epochs>\d+)\]\s{0,4},?\s{0,4}"
    r"(?:\(|(?:Step|Batch|Iter(?:ation)?)\s{0,4}:?\s{0,4}[\[(])(?P<step>\d+)/(?P<steps>\d+)[\])]",
    re.IGNORECASE,
)
_ENTRY = re.compile(
    r"(?P<name>[^\W\d][\w /.-]{0,60}?)\s*[:=]\s*(?P<value>[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)%?)(?!\w)", re.I
)


def read(lines: Iterable[str], said: Said) -> Iterator[SourceRow]:
    """A row a line; the step counts over all epochs. Epochs and steps that begin with 0 are counted from 1."""
    zero = False
    for line in lines:
        found = _PLACE.search(line)
        if found is None:
            continue
        epoch, step, steps = (int(found[name]) for name in ("epoch", "step", "steps"))
        zero = zero or epoch == 0
        if not steps or step > steps:
            continue
        said.num_epochs, said.steps_per_epoch = whole(found["epochs"]), float(steps)
        said.total_steps = steps * said.num_epochs if said.num_epochs else None
        rest = line[found.end() :]
        entries = {" ".join(entry["name"].split()): entry["value"] for entry in _ENTRY.finditer(rest)}
        done = (epoch + zero - 1) * steps + step
        if said.total_steps and done >= said.total_steps:
            said.over = f"step {done} of {said.total_steps}"
        row = SourceRow(figures_of(entries, (), said), float(done), done / steps, split_in(line[: found.start()]))
        yield row


EPOCH_AND_STEP = Producer("epoch-and-step", "log with epoch and step in brackets", _PLACE, ("[",), read)
