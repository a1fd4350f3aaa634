"""What `ls`, `show` and `presets` print for people."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from rmtui import text
from rmtui.cli.text_tables import Cell, Column, show
from rmtui.cli.verb import print_json
from rmtui.i18n import value_text
from rmtui.presets import Preset, spellings
from rmtui.runs.model import Run, State, state_text, state_words
from rmtui.translation import spoken, tr
from trainer import config as table

if TYPE_CHECKING:
    from rmtui.documents.launching import OptionDocument
    from rmtui.documents.runs import BestDocument, EpochDocument, EvaluationAt, EvaluationDocument, ShowDocument
    from rmtui.documents.scalars import Figure

_RUN_COLUMNS = (
    Column(""),
    Column("run", widest=40),
    Column("state", worth=2, ours=True),
    Column("preset", worth=6),
    Column("data", worth=9),
    Column("epochs", right=True, worth=3),
    Column("val_acc", right=True),
    Column("val_loss", right=True, worth=1),
    Column("train_loss", right=True, worth=4),
    Column("gap", right=True, worth=8),
    Column("best", right=True, worth=5),
    Column("took", right=True, worth=10),
    Column("age", right=True, worth=3),
    Column("tags", worth=11, widest=30),
    Column("why", worth=7, widest=50, ours=True),
)
_SIGNS = {
    **dict.fromkeys((State.STARTING, State.RUNNING, State.STOPPING), ("●", "live")),
    **dict.fromkeys((State.FAILED, State.KILLED), ("✗", "bad")),
    State.FINISHED: ("✓", "good"),
    State.QUEUED: ("◌", ""),
    State.STOPPED: ("■", ""),
    State.INTERRUPTED: ("▲", "bad"),
    State.IMPORTED: ("⌁", "quiet"),
    State.UNKNOWN: ("?", "bad"),
}
UNKNOWN = "–"
LONGEST_REASON = 300
"""Cells of a reason in the list, in a pipe too; `show` has the whole."""
ENTERED = "✎"
"""After a val_acc that a person entered."""


STAR = "★"
"""After the best val_acc of runs on one validation set: the highest of many, so less is expected on other pairs."""


def runs(found: Sequence[Run], best: Container[str] = ()) -> None:
    """The list; unknown metrics are a dash. `best`: ids with a star."""
    now = time.time()
    show(_RUN_COLUMNS, [_run_row(run, now, run.id in best) for run in found])


def _run_row(run: Run, now: float, starred: bool = False) -> list[Cell | str]:
    sign, colour = _SIGNS[run.state]
    state, why = state_words(run.state, run.reason)
    until = run.ended or (now if run.state.alive else None)
    took = text.span(until - run.started, tenths=True) if run.started is not None and until is not None else UNKNOWN
    return [
        Cell(sign, colour),
        run.name,
        Cell(state, colour),
        run.preset or UNKNOWN,
        run.data or UNKNOWN,
        _epochs(run),
        percent(run.val_acc) + (ENTERED if run.entered else ""),
        loss(run.val_loss),
        loss(run.train_loss),
        UNKNOWN if run.gap is None else f"{run.gap:+.3f}",
        percent(run.best.val_acc if run.best else None) + (STAR if starred else ""),
        took if run.state != State.IMPORTED else UNKNOWN,
        text.age(now - run.created) if run.created else UNKNOWN,
        " ".join(run.tags),
        text.fit(" ".join(why.split()), LONGEST_REASON).rstrip(),
    ]


def _epochs(run: Run) -> str:
    if run.epochs_done is None:
        return UNKNOWN
    done = f"{run.epochs_done:.1f}".removesuffix(".0")
    if run.num_epochs is None or run.epochs_done == run.num_epochs:
        return done
    return f"{done}/{run.num_epochs}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.1%}"


def loss(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def run(document: ShowDocument) -> None:
    """One run: what it is, its state, its epochs, its configuration."""
    head = [(tr(label), words) for label, words in _head(document)]
    room = max(12, *(text.width(label) + 1 for label, _ in head))
    for label, words in head:
        print(text.fit(label, room) + text.clean(words))
    epochs = document["epochs"]
    if epochs:
        print()
        names = ("epoch", "train_loss", "val_loss", "val_acc", "val_pairs", "reward_margin")
        show([Column(name, right=True) for name in names], [_epoch_row(epoch) for epoch in epochs])
    between = [one for one in document["evaluations"] if one["epoch"] not in [epoch["epoch"] for epoch in epochs]]
    if between:
        print()
        names = ("evaluation at epoch", "step", "val_loss", "val_acc", "val_pairs", "reward_margin")
        show([Column(name, right=True) for name in names], [_evaluation_at(one) for one in between])
    if document["evaluation"]:
        print()
        titles = (
            "val_loss",
            "val_acc",
            "pairs",
            "ties",
            "margin",
            "rewards",
            "calibration",
            "chosen shorter",
            "length",
        )
        columns = [Column("evaluated"), *(Column(title, right=True) for title in titles)]
        show(columns, [[name, *_evaluation_row(found)] for name, found in document["evaluation"].items()])
    if document["margins"]:
        from rmtui.guide.text_report import margins_line

        print()
        print(margins_line(document["margins"], spoken()))
    for test in document["tests"]:
        print(test["text"])
    if document["chosen"]:
        print(document["chosen"]["text"])
    print()
    for key, value in table.flatten(document["config"]).items():
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        written = value_text(key, value) if isinstance(value, float) else written
        print(f"{key:<32}{text.clean(written)}")


def _head(document: ShowDocument) -> list[tuple[str, str]]:
    from rmtui.operations.runs import origin_lines

    best, reason = document["best"], document["reason"]
    pairs = [
        ("run", f"{document['name']}  ({document['id']})"),
        ("state", tr(state_text(document["state"], reason))),
        ("preset", document["preset"]),
        ("data", document["data"]),
        ("started", document["started"]),
        ("ended", document["ended"]),
        ("processes", document["processes"]),
        ("step", tr(f"{document['step']} of {document['total_steps']}") if document["total_steps"] else None),
        (
            "best",
            best and tr(f"val_acc {percent(best['val_acc'])}, val_loss {loss(best['val_loss'])}") + _where(best),
        ),
        ("entered", _entered(document)),
        *origin_lines(document["origin"]),
        *((link["how"].replace("_", " "), f"{link['name']}  ({link['id']})") for link in document["links"]),
        ("attempts", len(document["attempts"]) if len(document["attempts"]) > 1 else None),
        ("tags", " ".join(document["tags"])),
        ("group", document["group"]),
        ("note", document["note"]),
        ("folder", document["folder"]),
    ]
    return [(label, str(value)) for label, value in pairs if value]


def _entered(document: ShowDocument) -> str:
    """`val_acc of epoch 2, by hand`: what a person entered."""
    found = [(row["epoch"], row.get("entered")) for row in document["epochs"] if row.get("entered")]
    return "; ".join(tr(f"val_acc of epoch {epoch}, {entered} {ENTERED}") for epoch, entered in found)


def _where(best: BestDocument) -> str:
    """Where in the training the best evaluation was."""
    if isinstance(best["epoch"], (int, float)):
        return tr(f", epoch {best['epoch']:.3g}")
    step = best.get("step")
    return "" if step is None else tr(f", step {step}")


def _evaluation_at(one: EvaluationAt) -> list[Cell | str]:
    epoch, pairs, margin = one["epoch"], one["val_pairs"], one["reward_margin"]
    return [
        f"{epoch:.4g}" if isinstance(epoch, (int, float)) else UNKNOWN,
        UNKNOWN if one["step"] is None else str(one["step"]),
        _loss_text(one["val_loss"]),
        percent(one["val_acc"]),
        UNKNOWN if pairs is None else str(pairs),
        f"{margin:.3f}" if isinstance(margin, (int, float)) else UNKNOWN,
    ]


def _loss_text(value: Figure | None) -> str:
    return loss(value) if value is None or isinstance(value, (int, float)) else value


def _epoch_row(epoch: EpochDocument) -> list[Cell | str]:
    pairs, margin = epoch["val_pairs"], epoch.get("reward_margin")
    return [
        str(epoch["epoch"]),
        loss(epoch["train_loss"]),
        loss(epoch["val_loss"]),
        percent(epoch["val_acc"]) + (ENTERED if epoch.get("entered") else ""),
        UNKNOWN if pairs is None else str(pairs),
        UNKNOWN if margin is None else f"{margin:.3f}",
    ]


def _evaluation_row(found: EvaluationDocument) -> list[str]:
    """Rewards as mean ± spread; accuracy where the chosen answer is the shorter; correlation of reward and length."""
    return [
        loss(found["val_loss"]),
        percent(found["val_acc"]),
        _format_or_dash(found, "{val_pairs:.0f}"),
        _format_or_dash(found, "{val_ties:.0f}"),
        _format_or_dash(found, "{reward_margin:.3f}"),
        _format_or_dash(found, "{reward_mean:.2f} ± {reward_std:.2f}"),
        _format_or_dash(found, "{calibration_error:.3f}"),
        _format_or_dash(found, "{val_acc_chosen_shorter:.1%} of {pairs_chosen_shorter:.0f}"),
        _format_or_dash(found, "{length_correlation:+.2f}"),
    ]


def _format_or_dash(found: EvaluationDocument, form: str) -> str:
    """Figures in a form; a dash where one of them is not known."""
    try:
        return tr(form.format(**found))
    except TypeError:
        return UNKNOWN


def presets(found: Sequence[Preset]) -> None:
    """The presets with the numbers that tell them apart."""
    keys = ("num_epochs", "learning_rate", "batch_size", "gradient_accumulation_steps", "lora.r", "lora.dropout")
    titles = ("epochs", "rate", "batch", "accumulation", "r", "dropout")
    columns = [
        Column("name"),
        Column("title", ours=True),
        *(Column(title, right=True) for title in titles),
        Column("purpose", ours=True),
    ]
    rows = []
    for preset in found:
        flat = spellings(preset)
        rows.append([preset.name, preset.title, *(flat.get(key, UNKNOWN) for key in keys), preset.purpose])
    show(columns, rows)


def options(as_json: bool) -> None:
    """Every key of a preset with type, default and meaning."""
    if as_json:
        document: list[OptionDocument] = [
            {"key": o.key, "type": o.type, "default": o.default, "range": table.range_text(o), "help": o.meta.help}
            for o in table.options()
        ]
        print_json(document)
        return
    rows = [[o.key, o.type, str(o.default), table.range_text(o), o.meta.help] for o in table.options()]
    show(
        [
            Column("key"),
            Column("type", worth=2),
            Column("default"),
            Column("range", worth=1),
            Column("meaning", ours=True),
        ],
        rows,
    )
