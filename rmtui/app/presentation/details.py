"""A run's facts as rows: attempts, epochs, configuration, files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from rmtui import text as formats
from rmtui.app.chrome import in_language
from rmtui.app.presentation import run_header
from rmtui.app.presentation.hanging_indent import Row, row
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.palette import Palette
from rmtui.operations.runs import origin_lines, origin_of
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Attempt, Run, state_text
from rmtui.translation import tr
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.runs import EvaluationDocument


def render_details(
    run: Run,
    ws: Workspace,
    attempts: Sequence[Attempt],
    evaluation: Mapping[str, EvaluationDocument],
    sealed: Sequence[str],
    glyphs: Glyphs,
    palette: Palette,
    lang: str = "en",
) -> list[Row]:
    """Every section that has something to say: a fact's name, and what hangs from it, in the language that is spoken:
    notes, tags and names stay as they were written."""
    sections: tuple[tuple[str, list[tuple[str, str]]], ...] = (
        ("run", [(_label(name), value) for name, value in _run_facts(run)]),
        ("source", list(_source_facts(run, lang))),
        ("sealed test", [("", found) for found in sealed]),
        ("attempts", [("", _attempt_line(attempt)) for attempt in attempts]),
        ("epochs", [("", in_language(line).plain) for line in run_header.epoch_table(run, glyphs, palette)]),
        ("validation sets, last evaluation", [("", tr(line)) for line in _set_lines(evaluation)]),
        ("configuration", list(_config_facts(run, ws))),
    )
    rows: list[Row] = []
    for title, facts in sections:
        if facts:
            rows += [row("", Text(tr(title), palette.accent))]
            rows += [row(f"  {formats.clean(name)}", formats.clean(value)) for name, value in facts]
            rows += [row("", "")]
    return rows


def _label(name: str) -> str:
    return f"{fit(tr(name), 10)} "


def _source_facts(run: Run, lang: str) -> Iterator[tuple[str, str]]:
    """Where an imported run was read; several notes one below the other."""
    origin = origin_of(RunFolder(run.folder))
    notes = origin["notes"] if origin else []
    for label, value in origin_lines(origin, lang):
        for number, part in enumerate(notes if value == "; ".join(notes) else [value]):
            yield _label("" if number else label), tr(part, words=False)


def _run_facts(run: Run) -> Iterator[tuple[str, str]]:
    facts = {
        "id": run.id,
        "state": tr(state_text(run.state, run.reason)),
        "preset": run.preset,
        "data": run.data,
        "host": run.host,
        "processes": run.processes,
        "tags": ", ".join(run.tags),
        "group": run.group,
        "note": run.note,
        "folder": run.folder,
    }
    yield from ((name, str(value)) for name, value in facts.items() if value)


def _attempt_line(attempt: Attempt) -> str:
    now = time.time()
    parts = [f"{attempt.n}", state_text(attempt.state, attempt.reason)]
    parts += [f"from step {attempt.resumed_from_step}"] if attempt.resumed_from_step else []
    parts += [f"started {formats.clock(attempt.started, now)}"] if attempt.started else []
    parts += [f"ended {formats.clock(attempt.ended, now)}"] if attempt.ended else []
    parts += [f"exit code {attempt.exit_code}"] if attempt.exit_code is not None else []
    return " · ".join(map(tr, parts))


def _set_lines(evaluation: Mapping[str, EvaluationDocument]) -> Iterator[str]:
    """Further sets, and the files that a set joins, beside the run's own; nothing where that stands alone."""
    width = max(map(len, evaluation), default=0)
    for name, found in evaluation.items() if len(evaluation) > 1 else ():
        loss, accuracy, pairs = found["val_loss"], found["val_acc"], found["val_pairs"]
        parts = [f"val_loss {loss:.4f}"] if loss is not None else []
        parts += [f"val_acc {formats.percent(accuracy)}"] if accuracy is not None else []
        parts += [f"of {pairs:.0f} pairs"] if pairs is not None else []
        yield f"{name:<{width}}  {' '.join(parts)}"


def _config_facts(run: Run, ws: Workspace) -> Iterator[tuple[str, str]]:
    from rmtui.app.jobs.launch_plan import texts_of

    texts = texts_of(run.config, ws)
    width = max(map(len, texts), default=0)
    yield from ((f"{key:<{width}}  ", text) for key, text in texts.items())
