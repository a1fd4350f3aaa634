"""A run in a line or two: the header above its curves and beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from rmtui import text as formats
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.app.widgets.table.columns import done, ends_at
from rmtui.runs.model import Run, State, state_text
from rmtui.translation import tr

LEAST_REASON = 24
"""Cells of state and reason that a head keeps, whatever else gives way."""
BARS = (14, 8, 0)
"""Cells of the bar of progress, as far as there is room."""


class _Part(NamedTuple):
    """A few words of a head; those of the greatest `worth` number give way first."""

    words: str
    tone: str
    worth: int


def head(run: Run, glyphs: Glyphs, palette: Palette, width: int) -> Text:
    """Name, state, progress and end. Where room is short the bar goes first, then the reason's end, then parts."""
    now = time.time()
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{glyphs.states[run.state]} ", palette.state(run.state))
    room = width - 2
    name = formats.clean(run.name or run.id)
    name = fit(name, min(cell_len(name), max(8, room)), ellipsis=glyphs.ellipsis)
    line.append(name, "bold")
    for part in _fitting(run, glyphs, now, room - cell_len(name)):
        line.append("   ").append(part.words, palette.tone(part.tone))
    return line


def _fitting(run: Run, glyphs: Glyphs, now: float, room: int) -> list[_Part]:
    state = _Part(_state_label(run), _state_tone(run), 0)
    for bar in BARS:
        parts = [state, *_head_parts(run, glyphs, now, bar)]
        if _length(parts) <= room:
            return parts
    if len(state.words) > LEAST_REASON:
        least = max(LEAST_REASON, room - 3 - _length(parts[1:]))
        parts[0] = state._replace(words=fit(state.words, least, ellipsis=glyphs.ellipsis).rstrip())
    while parts and _length(parts) > room:
        parts.remove(max(parts, key=lambda part: part.worth))
    return parts


def cut_reason(run: Run, head: Text, palette: Palette) -> Text | None:
    """Why it is in its state, where the head has no room for all of it; None where it has."""
    label = _state_label(run)
    return None if label in head.plain else Text(label, palette.tone(_state_tone(run)))


def _length(parts: Sequence[_Part]) -> int:
    return sum(cell_len(part.words) + 3 for part in parts)


def _state_label(run: Run) -> str:
    return tr(state_text(run.state, formats.clean(run.reason)))


def _state_tone(run: Run) -> str:
    bad = run.state in (State.FAILED, State.KILLED)
    return "bad" if bad else "live" if run.state.alive else "quiet"


def _head_parts(run: Run, glyphs: Glyphs, now: float, bar: int) -> Iterator[_Part]:
    share = done(run)
    if run.state.alive:
        if run.num_epochs and run.epochs_done is not None:
            yield _Part(tr(f"epoch {min(int(run.epochs_done) + 1, run.num_epochs)}/{run.num_epochs}"), "text", 3)
        if share is not None:
            yield _Part(f"{_bar(share, bar, glyphs)}{int(100 * share)} %", "live", 2)
        if end := ends_at(run, now):
            yield _Part(tr(f"ends {formats.clock(end, now)}"), "text", 1)
        return
    if share is not None and share < 1:
        yield _Part(f"{_bar(share, bar, glyphs)}{int(100 * share)} %", "quiet", 2)
    moment = run.ended or run.started or run.created
    yield _Part(formats.clock(moment, now), "quiet", 1)
    if run.started is not None and run.ended is not None:
        yield _Part(formats.span(run.ended - run.started), "quiet", 3)


def _bar(share: float, width: int, glyphs: Glyphs) -> str:
    return formats.bar(share, width, glyphs.bar_full, glyphs.bar_empty) + (" " if width else "")


def pulse(run: Run) -> list[str]:
    """How far it is and how fast: `step 812/1,200`, `1.3 s a step`, `last event 14:07:03`."""
    parts = []
    if run.step:
        total = f"/{formats.count(run.total_steps)}" if run.total_steps else ""
        parts.append(f"step {formats.count(run.step)}{total}")
    if run.last_event and run.state.alive:
        parts.append(f"last event {formats.clock(run.last_event, time.time(), seconds=True)}")
    if run.seconds_per_step and run.state.alive:
        parts.append(f"{run.seconds_per_step:.2g} s a step")
    if run.processes:
        parts.append(f"{run.processes} process{'es' if run.processes > 1 else ''}")
    return list(map(tr, parts))


def run_on(parts: Sequence[str], width: int, lines: int = 1) -> str:
    """The parts one after the other in so many lines; a part that does not fit is left out, none is cut."""
    found = [""]
    for part in parts:
        joined = f"{found[-1]} · {part}" if found[-1] else part
        if cell_len(joined) <= width:
            found[-1] = joined
        elif len(found) < lines and cell_len(part) <= width:
            found.append(part)
    return "\n".join(found)


def epoch_table(run: Run, glyphs: Glyphs, palette: Palette, most: int = 1000) -> list[Text]:
    """An epoch a line below a heading, metrics on their decimal points, the best marked; of many, the last and best."""
    best = run.best.epoch if run.best else None
    shown = [one for one in run.epochs[:-most] if one.epoch == best] + list(run.epochs[-most:])
    heads = (("epoch", 5), ("train", 6), ("val", 6), ("val_acc", 7))
    heading = "  ".join(fit(tr(title), width, right=True) for title, width in heads)
    lines = [Text(heading, palette.quiet)] if shown else []
    for one in shown:
        train, val = (formats.loss(value, glyphs.dash) for value in (one.train_loss, one.val_loss))
        text = f"{one.epoch:>5}  {train:>6}  {val:>6}  {formats.percent(one.val_acc, glyphs.dash):>7}"
        mark = glyphs.entered if one.entered else " "
        lines.append(Text(text + mark).append(f"{glyphs.best}" if one.epoch == best else "", palette.accent))
    return lines
