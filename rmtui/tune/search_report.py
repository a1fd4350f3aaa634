"""The report of a search: every trial with what was decided and why, the best with its interval, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rmtui import text as formats
from rmtui.exporters import html_report
from rmtui.operations.candidates import choice_of
from rmtui.operations.exchange import document, write_file
from rmtui.operations.runs import reading
from rmtui.runs.model import Run
from rmtui.tune import order as orders
from rmtui.tune.course import Course, Folder, Order, tree
from rmtui.tune.decide import Costs, repeats_of
from rmtui.tune.model import Trial, best
from rmtui.workspace import Workspace
from trainer.intervals import Interval, accuracy_interval

if TYPE_CHECKING:
    from rmtui.documents.runs import ChosenDocument, ExportDocument
    from rmtui.index.index import Index

COLUMNS = ("trial", "run", "settings", "epochs", "seed", "val_loss", "val_acc", "why")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a search has found so far."""

    best: Trial | None
    interval: Interval | None
    """Of the best's val_acc on the validation pairs, as if it were the only one: choosing makes it look better."""
    pairs: int
    repeats: tuple[Trial, ...]
    """The best's settings with other seeds, those that have ended; nobody chose them by their metrics."""
    tried: int
    spent: float
    """In the budget's unit."""
    chosen: ChosenDocument | None = None
    """What the best's last evaluation is worth as one chosen among all on these pairs; of a search that is done."""


def summary(order: Order, course: Course, index: Index, lang: str = "en") -> Summary:
    """What the trials' runs show so far."""
    found = best(course.trials, order.search.goal)
    run = orders.run_of(index, found) if found is not None else None
    last = run.epochs[-1] if run is not None and run.epochs else None
    pairs, interval = (last.val_pairs or 0) if last is not None else 0, None
    if last is not None and last.val_acc is not None and pairs:
        interval = accuracy_interval(last.val_acc, pairs, last.val_clusters, last.val_effective, order.search.level)
    again = tuple(trial for trial in (repeats_of(found, course.trials) if found else ()) if trial.sound)
    tried = sum(trial.sound and trial.role != "repeat" for trial in course.trials)
    spent = Costs(order.search.budget).spent(course.trials)
    chosen = _chosen(order, course, index, run, lang) if course.done and run is not None else None
    return Summary(found, interval, pairs, again, tried, spent, chosen)


_CHOSEN: dict[tuple[str, str, int, str], ChosenDocument | None] = {}
"""What a done search's best is worth: the app looks at it again and again, and nothing of it changes."""


def _chosen(order: Order, course: Course, index: Index, run: Run, lang: str) -> ChosenDocument | None:
    key = order.id, run.id, len(course.trials), lang
    if key not in _CHOSEN:
        _CHOSEN[key] = choice_of(index.workspace, index, run, lang, "last")
    return _CHOSEN[key]


def lines(order: Order, course: Course, found: Summary) -> Iterator[str]:
    """The findings in sentences, the most important first."""
    top = found.best
    if top is None or top.score is None:
        yield course.done or "no trial has ended yet"
    else:
        text = orders.settings_text(top, order.search.settings)
        yield f"best: trial {top.n}, {text}, {top.epochs} epoch{'s' if top.epochs > 1 else ''}"
        around = found.interval
        if around is not None:
            yield (
                f"val_loss {top.score.val_loss:.4f}, val_acc {top.score.val_acc:.1%} "
                f"({order.search.level:.0%} interval {around.low:.1%} to {around.high:.1%} on {found.pairs} pairs)"
            )
        if found.chosen is not None:
            yield found.chosen["text"]
        elif found.tried > 1:
            yield f"chosen among {found.tried} trials on these pairs: a new set will show somewhat less"
        for trial in found.repeats:
            assert trial.score is not None
            yield f"seed {trial.seed}: val_loss {trial.score.val_loss:.4f}, val_acc {trial.score.val_acc:.1%}"
    yield f"spent: {found.spent:.3g} of {order.search.budget}"
    if course.trouble:
        yield course.trouble
    elif course.done:
        yield f"ended: {course.done}"


def markdown(order: Order, course: Course, found: Summary) -> str:
    """The whole report."""
    table = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    table += [f"| {' | '.join(map(_cell, row.cells))} |" for row in rows(order, course.trials)]
    parts = [f"# {_title(order)}", "", *_listed(lines(order, course, found)), "", *table, ""]
    if course.notes:
        parts += ["## Decided at the rungs", "", *_listed(course.notes), ""]
    return "\n".join([*parts, "## Rules", "", *_listed(_rules(order))]) + "\n"


def page(order: Order, course: Course, found: Summary, documents: Sequence[ExportDocument]) -> str:
    """The same as one HTML file, with every run's curves and configuration."""
    table = html_report.table(COLUMNS, [row.cells for row in rows(order, course.trials)])
    before = [html_report.listed(list(lines(order, course, found))), "<h2>Trials</h2>", table]
    if course.notes:
        before += ["<h2>Decided at the rungs</h2>", html_report.listed(course.notes)]
    before += ["<h2>Rules</h2>", html_report.listed(list(_rules(order)))]
    return html_report.html(documents, _title(order), before)


def _title(order: Order) -> str:
    return f"Search {order.id}: {order.data}"


def _listed(items: Iterable[str]) -> list[str]:
    return [f"- {item}" for item in items]


def _rules(order: Order) -> Iterator[str]:
    search = order.search
    yield f"space {', '.join(search.space)}; goal {search.goal}; rungs at {', '.join(map(str, search.rungs))} epochs"
    yield (
        f"a trial is out where its val_loss is higher than the leader's by more than {search.margin:g}: lower bound at "
        f"{search.level:.0%}, over prompts (Miller 2024, arXiv 2411.00640), Holm over the trials of a rung"
    )
    yield "all trials see the same pairs at the same steps; losses are compared after the rate has decayed"


class TrialRow(NamedTuple):
    """A trial as it is listed."""

    trial: Trial
    depth: int
    """How many trials it came from, one from the other."""
    settings: str
    val_loss: str
    val_acc: str
    why: str

    @property
    def cells(self) -> tuple[str, ...]:
        """As tables have it, under COLUMNS."""
        trial, name = self.trial, f"{'› ' * self.depth}{self.trial.n}"
        figures = (str(trial.epochs), str(trial.seed), self.val_loss, self.val_acc)
        return (name, trial.run, self.settings, *figures, self.why)


def rows(order: Order, trials: Sequence[Trial]) -> Iterator[TrialRow]:
    """A row a trial, extensions and repeats below the one that they came from."""
    for depth, trial in tree(trials):
        score = trial.score
        figures = ("–", "–") if score is None or score.broken else (f"{score.val_loss:.4f}", f"{score.val_acc:.2%}")
        why = f"{trial.why}; broke: {score.broken}" if score is not None and score.broken else trial.why
        text = orders.settings_text(trial, order.search.settings)
        yield TrialRow(trial, depth, text, *figures, why)


def _cell(value: str) -> str:
    return formats.clean(value).replace("|", "\\|")


def write(ws: Workspace, folder: Folder, order: Order, course: Course) -> None:
    """report.md and report.html in the search's folder; the page has every run's curves."""
    with reading(ws) as index:
        runs = [run for trial in course.trials if (run := orders.run_of(index, trial)) is not None]
        documents: list[ExportDocument] = [document(index, run) for run in runs]
        found = summary(order, course, index)
    write_file(folder.path / "report.md", markdown(order, course, found))
    write_file(folder.path / "report.html", page(order, course, found, documents))
