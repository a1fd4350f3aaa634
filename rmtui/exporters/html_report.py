"""A report of one or more runs as a single HTML file: metrics, curves as SVG, configuration. No script, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from rmtui import __version__
from rmtui.exporters.svg import COLOURS, SvgLine, chart, escape
from rmtui.runs.model import state_text
from trainer.config import flatten
from trainer.events import number
from trainer.values import format_number

if TYPE_CHECKING:
    from rmtui.documents.runs import ExportDocument

_STYLE = files("rmtui.exporters").joinpath("report.css").read_text()

_EPOCH_COLUMNS = ("epoch", "train_loss", "val_loss", "val_acc", "val_pairs")


def html(documents: Sequence[ExportDocument], title: str = "", before: Sequence[str] = ()) -> str:
    """The page. Each document is what `export --format json` writes of a run, `metrics` included; parts of the page
    that come `before` them are HTML already."""
    title = title or ", ".join(str(document["name"]) for document in documents)
    parts = [f"<h1>{escape(title)}</h1>", *before]
    if len(documents) > 1:
        parts += ["<h2>Side by side</h2>", table(*_side_by_side(documents)), *_overlays(documents)]
    for document in documents:
        parts += _section(document)
    parts.append(f'<p class="faint">Written by rmtui {__version__}.</p>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _section(document: ExportDocument) -> Iterator[str]:
    yield f"<h2>{escape(str(document['name']))}</h2>"
    words = [state_text(document["state"], document.get("reason") or ""), document.get("started"), document.get("note")]
    yield f'<p class="faint">{escape(" · ".join(str(word) for word in words if word))}</p>'
    for test in document.get("tests") or ():
        yield f"<p><strong>{escape(test['text'])}</strong></p>"
    columns = (*_EPOCH_COLUMNS, "entered") if any(row.get("entered") for row in document["epochs"]) else _EPOCH_COLUMNS
    yield table(columns, [[epoch.get(name) for name in columns] for epoch in document["epochs"]])
    chosen = document.get("chosen")
    if chosen:
        yield f"<p>{escape(chosen['text'])}</p>"
    yield from _charts(document)
    yield "<h3>Configuration</h3>"
    yield table(("key", "value"), [[key, value] for key, value in sorted(flatten(document["config"]).items())])


def _charts(document: ExportDocument) -> Iterator[str]:
    metrics = document.get("metrics", {})
    losses = [
        SvgLine(name, _points(metrics[key]), colour, dashed)
        for key, name, colour, dashed in (
            ("loss", "train, each step", COLOURS[4], False),
            ("train_loss", "train, epoch mean", COLOURS[0], False),
            ("val_loss", "validation", COLOURS[1], True),
        )
        if metrics.get(key)
    ]
    yield chart("Loss", "optimizer step", losses)
    if metrics.get("val_acc"):
        yield chart(
            "Validation accuracy", "optimizer step", [SvgLine("val_acc", _points(metrics["val_acc"]), COLOURS[2])]
        )


def _overlays(documents: Sequence[ExportDocument]) -> Iterator[str]:
    """By epoch: steps of runs with different batches are not comparable."""
    charts: tuple[tuple[Literal["val_loss", "val_acc"], str], ...]
    charts = (("val_loss", "Validation loss"), ("val_acc", "Validation accuracy"))
    for metric, title in charts:
        lines = [
            SvgLine(str(document["name"]), points, COLOURS[index % len(COLOURS)])
            for index, document in enumerate(documents)
            if (
                points := [
                    (float(row["epoch"]), number(row[metric]))
                    for row in document["epochs"]
                    if row.get(metric) is not None
                ]
            )
        ]
        yield chart(title, "epoch", lines)


def _points(series: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    return [(number(step), number(value)) for step, value in series]


def listed(items: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _side_by_side(documents: Sequence[ExportDocument]) -> tuple[list[str], list[list[Any]]]:
    """The metrics, then what is known to differ between the runs."""
    bests = [document.get("best") for document in documents]
    rows: list[list[Any]] = [
        ["best val_acc", *(best and best.get("val_acc") for best in bests)],
        ["best val_loss", *(best and best.get("val_loss") for best in bests)],
    ]
    flats = [flatten(document["config"]) for document in documents]
    for key in sorted({key for flat in flats for key in flat}):
        values = [flat.get(key) for flat in flats]
        if len({repr(value) for value in values if value is not None}) > 1:
            rows.append([key, *values])
    return ["", *(str(document["name"]) for document in documents)], rows


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; every cell is text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_number(float(f"{value:.4g}"))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {inner}" for name, inner in value.items()) or "–"
    return str(value)
