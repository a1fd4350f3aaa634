"""The columns of the run table: what they say of a run, how wide they are, and which give way first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rmtui import text as formats
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.runs.model import NOTHING, Landmarks, Run, State, state_text, state_words
from rmtui.translation import tr

GAP = 2
"""Cells between columns."""
NAME = "name"
STATE = "state"
REASON = "created"
"""When, and why a run ended."""
NOW = "now"
"""No column: in `needs`, what REASON holds of live runs. It passes, and the panel has it."""
DEAR = 7
"""Columns of more than this worth number come in only where names and reasons have all the room that they can use."""
FIRM = 8
"""Columns up to this worth give way to names and to reasons that last, but not to what a live run does now."""
LONG = 40
"""Cells beside its own that a column may ask of the screen; what is longer is read beside the list."""
RECOGNISED = 10
"""Cells beside its own that a reason asks for at the cost of the panel beside the list, which has it in full."""


class Setting(NamedTuple):
    """What the table knows beside a row."""

    glyphs: Glyphs
    now: float
    landmarks: Landmarks = Landmarks()
    """The best runs are marked in val_acc."""
    baseline: Run | None = None
    slots: Mapping[str, int] = NOTHING
    spells_state: bool = True
    """The state has a column of its own; else its word comes first in the last column."""


class TableCell(NamedTuple):
    """Text with a tone of the palette."""

    text: str
    tone: str = "text"
    short: str = ""
    """Shown where the text has no room."""


class RunColumn(NamedTuple):
    """`worth`: the smaller it is, the later the column gives way. `grow`: how many cells more it may take."""

    key: str
    title: str
    width: int
    worth: int
    say: Callable[[Run, Setting], TableCell]
    right: bool = False
    grow: int = 0


def layout(
    width: int, columns: Sequence[RunColumn], sort: str = "", needs: Mapping[str, int] = NOTHING
) -> list[tuple[RunColumn, int]]:
    """The columns that fit in `width` cells, in their order, each with its width. Spare cells go to those that can
    grow and have more to show (`needs`: cells of their longest text), names first; columns of little worth come in only
    where no text is cut for them, but that of `sort` always."""
    kept: list[RunColumn] = []
    lasting, needs = needs, _with_now(needs)
    left = width + GAP
    for column in sorted(columns, key=lambda column: (column.key not in (NAME, sort), column.worth)):
        asked = lasting if column.worth <= FIRM else needs
        wanted = sum(_missing(other, asked) for other in kept) if column.worth > DEAR and column.key != sort else 0
        if column.width + GAP + wanted > left and column.key != sort:
            if column.worth > DEAR:
                break
            continue
        kept.append(column)
        left -= column.width + GAP
    widths = {column.key: column.width for column in kept}
    for column in kept:
        extra = max(0, min(_missing(column, needs), left))
        widths[column.key] += extra
        left -= extra
    return [(column, widths[column.key]) for column in columns if column.key in widths]


def _with_now(needs: Mapping[str, int]) -> Mapping[str, int]:
    """What a live run does now counted with the reasons."""
    return {**needs, REASON: max(needs.get(REASON, 0), needs[NOW])} if NOW in needs else needs


def _missing(column: RunColumn, needs: Mapping[str, int]) -> int:
    """Cells that a column would like to have beside its own."""
    return max(0, min(column.grow, needs.get(column.key, 0) - column.width))


def natural_width(columns: Sequence[RunColumn], needs: Mapping[str, int], half: int) -> int:
    """Cells in which the columns that matter show all they have; beyond `half` of the screen only what a reason needs
    to be recognised."""
    needs = _with_now(needs)
    dear = [column for column in columns if column.worth <= FIRM]
    wishes = {column.key: min(_missing(column, needs), LONG) for column in dear}
    most = sum(column.width + GAP + wishes[column.key] for column in dear) - GAP
    return max(min(most, half), most - max(0, wishes.get(REASON, 0) - RECOGNISED))


WEEKDAY = 9
"""Cells of `Fri 02:10`: before a longer time, a shorter word."""


def state_label(run: Run, now: float, spelled: bool = False) -> str:
    """What matters of a run's state now: when it ends, or what it does instead of steps, why it ended, how long ago
    that was; `spelled`: after its word. What is starting or stopping says since when by its reason alone: the run's own
    start may be hours before that of this attempt."""
    if run.state is State.STOPPING:
        return run.state.value if spelled or not run.reason else formats.clean(run.reason).partition("; ")[0]
    if run.state.alive and run.reason:
        return formats.clean(run.reason)
    if run.state is State.STARTING:
        return run.state.value
    if run.state is State.RUNNING:
        end = ends_at(run, now)
        at = formats.clock(end, now)
        return f"{'ends' if spelled or len(at) < WEEKDAY else 'by'} {at}" if end else "running"
    if run.state in (State.FAILED, State.KILLED, State.INTERRUPTED, State.UNKNOWN, State.STOPPED) and run.reason:
        return state_text(run.state, run.reason) if spelled else run.reason
    head, _ = state_words(run.state, run.reason)
    if head != run.state:
        return head if spelled else run.reason.partition("; ")[0]
    passed = formats.ago(run.ended or run.started or run.created, now)
    return (
        f"{tr(run.state.value)} {passed.removesuffix(' ago').replace(' min', 'm').replace(' ', '')}"
        if spelled
        else passed
    )


def ends_at(run: Run, now: float) -> float | None:
    """Unix time of the last step, from the median one; None while that is not known, after it, and once the run is
    asked to stop before it."""
    if run.state is State.STOPPING or not run.seconds_per_step or not run.total_steps or run.step >= run.total_steps:
        return None
    end = (run.last_event or now) + (run.total_steps - run.step) * run.seconds_per_step
    return end if end > now else None


def done(run: Run) -> float | None:
    """The share of the steps that are done, 0–1."""
    return min(1.0, run.step / run.total_steps) if run.total_steps else None


def _name(run: Run, setting: Setting) -> TableCell:
    return TableCell(run.name or run.id, "quiet" if run.archived else "text")


def _state(run: Run, setting: Setting) -> TableCell:
    return TableCell(tr(run.state.value), f"state:{run.state.value}")


def _state_now(run: Run, setting: Setting) -> TableCell:
    bad = run.state in (State.FAILED, State.KILLED)
    at_step = run.state in (State.STOPPED, State.KILLED) and run.reason.endswith(f" at step {run.step}")
    label = tr(state_label(run, setting.now, not setting.spells_state))
    short = tr(f"{run.state.value} at step {run.step}") if at_step else label.removesuffix("前")
    return TableCell(label, "bad" if bad else "live" if run.state.alive else "quiet", short)


def _epochs(run: Run, setting: Setting) -> TableCell:
    if run.epochs_done is None:
        return TableCell(setting.glyphs.dash, "quiet")
    if run.num_epochs is None:
        return TableCell(f"{run.epochs_done:g}" if run.epochs_done else setting.glyphs.dash, "quiet")
    if run.state is State.FINISHED and run.epochs_done >= run.num_epochs:
        return TableCell(str(run.num_epochs))
    return TableCell(f"{int(run.epochs_done)}/{run.num_epochs}")


def _progress(run: Run, setting: Setting) -> TableCell:
    share = done(run)
    if share is None or run.state is State.FINISHED:
        return TableCell("")
    return TableCell(f"{int(100 * share)} %", "live" if run.state.alive else "quiet")


def _val_acc(run: Run, setting: Setting) -> TableCell:
    """`72.5~★`: measured, as all rows are, and the best of many: the panel says what it is worth on other pairs."""
    text, starred = formats.percent(run.val_acc, setting.glyphs.dash), run.id in setting.landmarks.best
    sign = setting.glyphs.best if starred else _trend(run, setting.glyphs)
    mark = setting.glyphs.entered if run.entered else "~" if starred else " "
    return TableCell(f"{text}{mark}{sign}", "text" if run.val_acc is not None else "quiet")


def _trend(run: Run, glyphs: Glyphs) -> str:
    known = [epoch.val_acc for epoch in run.epochs if epoch.val_acc is not None]
    if len(known) < 2 or known[-1] == known[-2]:
        return " "
    return glyphs.up if known[-1] > known[-2] else glyphs.down


def _spread(run: Run, setting: Setting) -> TableCell:
    """Half of the 95 % interval, in points; its ends in per cent where val_acc is off its middle."""
    if run.val_acc is None or not run.val_pairs:
        return TableCell("")
    from rmtui.i18n import interval_text
    from trainer.intervals import accuracy_interval

    around = accuracy_interval(run.val_acc, run.val_pairs, run.val_clusters, run.val_effective)
    if not interval_text(around.value, around.low, around.high).startswith("±"):
        return TableCell(f"{100 * around.low:.0f}{setting.glyphs.dash}{100 * around.high:.0f}", "quiet")
    return TableCell(f"{setting.glyphs.plus_minus}{100 * around.half:.1f}", "quiet")


def _best(run: Run, setting: Setting) -> TableCell:
    return _number(formats.percent(run.best.val_acc if run.best else None, setting.glyphs.dash))


def _delta(run: Run, setting: Setting) -> TableCell:
    base = setting.baseline
    if base is not None and base.id == run.id:
        return TableCell(tr("base"), "quiet")
    if base is None or not _comparable(base, run) or run.val_acc is None or base.val_acc is None:
        return TableCell("", "quiet")
    points = 100 * (run.val_acc - base.val_acc)
    return TableCell(formats.fixed(points, 1, sign=True, minus=setting.glyphs.minus), "good" if points > 0 else "warn")


def _comparable(one: Run, other: Run) -> bool:
    """On the same validation pairs; where one of them does not know its pairs, on data of the same name."""
    if one.val_fingerprint and other.val_fingerprint:
        return one.val_fingerprint == other.val_fingerprint
    return bool(one.data) and one.data == other.data


def _number(text: str) -> TableCell:
    return TableCell(text, "text" if text[:1].isdigit() else "quiet")


def _took(run: Run, setting: Setting) -> TableCell:
    if run.started is None:
        return TableCell(setting.glyphs.dash, "quiet")
    end = run.ended or (setting.now if run.state.alive else run.last_event)
    return TableCell(formats.span(end - run.started) if end else setting.glyphs.dash, "quiet")


LETTERS = {
    NAME: "r", STATE: "s", "preset": "p", "epochs": "e", "progress": "d", "val_acc": "a", "best": "b", "val_loss": "l",
    "train_loss": "t", "gap": "g", "data": "n", "tags": "m", "duration": "k", "created": "w", "group": "f",
}  # fmt: skip
"""The key after S that sorts by a column."""
ASCENDING = (NAME, STATE, "preset", "val_loss", "train_loss", "data", "tags", "group")
"""Columns whose best or first is the least: sorted from below at first."""

COLUMNS = (
    RunColumn(NAME, "run", 13, 0, _name, grow=47),
    RunColumn(STATE, "state", 11, 6, _state),
    RunColumn(
        "preset",
        "preset",
        6,
        5,
        lambda run, s: TableCell(run.preset or s.glyphs.dash, "text" if run.preset else "quiet"),
    ),
    RunColumn("epochs", "epochs", 6, 2, _epochs, right=True),
    RunColumn("progress", "done", 5, 13, _progress, right=True),
    RunColumn("val_acc", "val_acc", 7, 1, _val_acc, right=True),
    RunColumn("spread", "±", 5, 8, _spread),
    RunColumn("best", "best", 5, 12, _best, right=True),
    RunColumn(
        "val_loss", "val_loss", 8, 3, lambda run, s: _number(formats.loss(run.val_loss, s.glyphs.dash)), right=True
    ),
    RunColumn(
        "train_loss", "train", 6, 9, lambda run, s: _number(formats.loss(run.train_loss, s.glyphs.dash)), right=True
    ),
    RunColumn(
        "gap",
        "gap",
        6,
        10,
        lambda run, s: _number(formats.fixed(run.gap, 3, s.glyphs.dash, minus=s.glyphs.minus)),
        right=True,
    ),
    RunColumn("delta", "Δ", 5, 5, _delta, right=True),
    RunColumn("group", "group", 8, 7, lambda run, s: TableCell(run.group, "quiet")),
    RunColumn("data", "data", 9, 11, lambda run, s: TableCell(run.data or s.glyphs.dash, "quiet"), grow=6),
    RunColumn("tags", "tags", 8, 14, lambda run, s: TableCell(" ".join(run.tags), "quiet"), grow=12),
    RunColumn("duration", "took", 8, 15, _took, right=True),
    RunColumn(REASON, "when", 12, 4, _state_now, grow=60),
)
