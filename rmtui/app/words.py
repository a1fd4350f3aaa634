"""Figures and states as people read them: glyph + word, aligned digits, absolute times. No Textual here."""

from __future__ import annotations

import locale
import os
import time
from collections.abc import Mapping

from rmtui.records.facts import Run


def ascii_only(environment: Mapping[str, str] = os.environ) -> bool:
    """RMTUI_ASCII=1, a Linux console, or a locale without UTF-8: no braille, no boxes, no glyphs beyond ASCII."""
    if environment.get("RMTUI_ASCII"):
        return environment["RMTUI_ASCII"] != "0"
    return environment.get("TERM") == "linux" or "UTF" not in locale.getpreferredencoding(False).upper()


def percent(share: float | None, digits: int = 1) -> str:
    """0.7120 → `71.2`; unknown → `–`."""
    return "–" if share is None else f"{share * 100:.{digits}f}"


def loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None, digits: int = 1) -> str:
    """With its sign and a true minus; unknown → `–`."""
    if value is None:
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def count(number: int) -> str:
    """12345 → `12 345` (a narrow space would not align in a terminal)."""
    return f"{number:,}".replace(",", " ")


def span(seconds: float) -> str:
    """A duration in at most two units: `41 s`, `12 min`, `3 h 05`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def clock(moment: float, now: float | None = None, seconds: bool = False) -> str:
    """An absolute local time: `14:32`, `Tue 14:32` within six days, else the date."""
    then = time.localtime(moment)
    present = time.localtime(now if now is not None else time.time())
    pattern = "%H:%M:%S" if seconds else "%H:%M"
    if then[:3] == present[:3]:
        return time.strftime(pattern, then)
    days = abs(time.mktime(present) - moment) / 86_400
    return time.strftime(f"%a {pattern}" if days < 6 else "%Y-%m-%d", then)


def epochs(run: Run) -> str:
    """`2/3` while it is not all done, else `3`."""
    if run.num_epochs is None:
        return f"{run.epochs_done:.0f}" if run.epochs_done else "–"
    done = int(run.epochs_done + 1e-9)
    return str(run.num_epochs) if done >= run.num_epochs else f"{done}/{run.num_epochs}"


def seconds_left(run: Run) -> float | None:
    """From the steps left and the median seconds a step; None when either is not known or nothing runs."""
    if not run.state.alive or run.seconds_per_step is None or not run.total_steps or not run.step:
        return None
    return max(0, run.total_steps - run.step) * run.seconds_per_step


def ends(run: Run) -> str:
    """`ends 14:32`, counted from the last event so that a frozen run does not promise a later end each second."""
    left = seconds_left(run)
    return "" if left is None or run.last_event is None else f"ends {clock(run.last_event + left)}"


def age(run: Run) -> str:
    """When it ended, or how it goes on: one short absolute expression."""
    if run.state.alive:
        return ends(run) or (f"since {clock(run.started)}" if run.started else run.state.value)
    moment = run.ended or run.started or run.created
    return clock(moment) if moment else "–"


def duration(run: Run) -> str:
    if run.started is None:
        return "–"
    end = run.ended if run.ended is not None else run.last_event
    return "–" if end is None else span(end - run.started)


def state_words(run: Run) -> str:
    """`running`, or `failed: out of memory on rank 1`."""
    return f"{run.state.value}: {run.reason}" if run.reason else run.state.value


def progress(run: Run) -> float | None:
    """Share of the steps done, 0–1."""
    return min(1.0, run.step / run.total_steps) if run.total_steps else None
