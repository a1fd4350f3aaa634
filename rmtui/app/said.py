"""A run in a line or two: what stands above its curves and beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from rmtui.app.widgets import figures
from rmtui.app.widgets.columns import done, ends_at
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.records.facts import Run, State

LEAST_REASON = 24
"""Cells of state and reason that a head keeps, whatever else gives way."""


def head(run: Run, glyphs: Glyphs, palette: Palette, width: int) -> Text:
    """Name, state, progress and end; what does not fit gives way from the right, a long reason first."""
    now = time.time()
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{glyphs.states[run.state]} ", palette.state(run.state))
    line.append(figures.clean(run.name or run.id), "bold")
    rest = list(_head_parts(run, glyphs, now))
    room = width - line.cell_len - sum(cell_len(words) + 3 for words, _ in rest)
    for words, tone in [(_state_words(run, glyphs, room), _state_tone(run)), *rest]:
        if line.cell_len + cell_len(words) + 3 > width:
            break
        line.append("   ").append(words, palette.tone(tone))
    return line


def _state_words(run: Run, glyphs: Glyphs, room: int) -> str:
    """The state and why; the reason is cut to the room, but never to less than says something."""
    if not run.reason:
        return run.state.value
    words = f"{run.state.value}: {figures.clean(run.reason)}"
    return figures.fit(words, max(LEAST_REASON, min(room - 3, cell_len(words))), ellipsis=glyphs.ellipsis).rstrip()


def _state_tone(run: Run) -> str:
    bad = run.state in (State.FAILED, State.KILLED)
    return "bad" if bad else "live" if run.state.alive else "quiet"


def _head_parts(run: Run, glyphs: Glyphs, now: float) -> Iterator[tuple[str, str]]:
    share = done(run)
    if run.state.alive:
        if run.num_epochs:
            yield f"epoch {min(int(run.epochs_done) + 1, run.num_epochs)}/{run.num_epochs}", "text"
        if share is not None:
            yield f"{_bar(share, 14, glyphs)} {int(100 * share)} %", "live"
        if end := ends_at(run, now):
            yield f"ends {figures.clock(end, now)}", "text"
        return
    if share is not None and share < 1:
        yield f"{_bar(share, 10, glyphs)} {int(100 * share)} %", "quiet"
    moment = run.ended or run.started or run.created
    yield figures.clock(moment, now), "quiet"
    if run.started is not None and run.ended is not None:
        yield figures.span(run.ended - run.started), "quiet"


def _bar(share: float, width: int, glyphs: Glyphs) -> str:
    full = int(share * width)
    return glyphs.bar_full * full + glyphs.bar_empty * (width - full)


def pulse(run: Run) -> str:
    """Where it stands and how fast: `step 812/1 200 · 1.3 s a step · last event 14:07:03`."""
    parts = []
    if run.step:
        total = f"/{figures.count(run.total_steps)}" if run.total_steps else ""
        parts.append(f"step {figures.count(run.step)}{total}")
    if run.seconds_per_step and run.state.alive:
        parts.append(f"{run.seconds_per_step:.2g} s a step")
    if run.last_event and run.state.alive:
        parts.append(f"last event {figures.clock(run.last_event, time.time(), seconds=True)}")
    if run.processes:
        parts.append(f"{run.processes} process{'es' if run.processes > 1 else ''}")
    return " · ".join(parts)


def epoch_lines(run: Run, glyphs: Glyphs) -> list[str]:
    """`epoch 2   train 0.673   val 0.605   val_acc 71.0`, an epoch a line; the best marked."""
    lines = []
    for row in run.epochs:
        train, val = (figures.loss(value, glyphs.dash) for value in (row.train_loss, row.val_loss))
        star = f" {glyphs.best}" if run.best and run.best.epoch == row.epoch else ""
        accuracy = figures.percent(row.val_acc, glyphs.dash)
        lines.append(f"epoch {row.epoch}   train {train}   val {val}   val_acc {accuracy}{star}")
    return lines
