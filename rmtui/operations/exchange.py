"""Out: runs of the workspace into files; and a configuration from elsewhere as a preset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rmtui import presets
from rmtui.errors import UserError
from rmtui.exporters import bundle, flat, html_report, tensorboard
from rmtui.guide import comparison_tables
from rmtui.guide.comparison import MOST
from rmtui.importers.yaml_config import YamlConfig, read_yaml
from rmtui.index.index import Index
from rmtui.operations.compare import compare
from rmtui.operations.runs import reading, show
from rmtui.presets import Preset
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run
from rmtui.workspace import Workspace
from trainer.config import flatten
from trainer.files import replace_file
from trainer.values import format_number

if TYPE_CHECKING:
    from rmtui.documents.runs import ExportDocument

FORMATS = ("json", "csv", "markdown", "html", "tensorboard", "tar")
STEPWISE = ("csv", "tensorboard")
_BY_ENDING = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html", ".gz": "tar", ".tgz": "tar"}


_OF_ANY_USE = frozenset({"max_length", "batch_size", "eval_batch_size", "method", "mixed_precision", "seed"})
"""Settings that a file for scoring, merging or generating has, too."""


def import_preset(ws: Workspace, path: Path, name: str) -> tuple[Preset, tuple[str, ...]]:
    """`rm_config.yaml` as a new preset on the ground of A; returns it with the keys that have no place here.

    What A is expected to reach is not expected of it.
    """
    read = read_yaml(path)
    if read.unread:
        lines = "\n  ".join(["", *read.unread])
        raise UserError(
            f"no preset was saved from {path}",
            f"these lines set something that rmtui knows, in a place or by a variable that it cannot read:{lines}",
            "move them to the top level or into `training:` with plain values, or take them out",
        )
    said = flatten(read.config).keys() - {"model", "trust_remote_code"}
    if not said or (read.unknown and not read.producer and not said - _OF_ANY_USE):
        raise UserError(f"no preset was saved from {path}", "no setting of a training is in it", "name another file")
    changes = {key: _as_typed(value) for key, value in {**read.defaults, **flatten(read.config)}.items()}
    base = presets.find(ws, "A")
    base = replace(base, text=presets.without_expectations(base.text), path=path)
    purpose = "; ".join([f"imported from {path.name}", *_sources(read)])
    return presets.save_as(ws, base, name, changes, title=f"from {path.name}", purpose=purpose), read.unknown


def _sources(read: YamlConfig) -> Iterator[str]:
    """Where the values come from that the file does not give."""
    if read.defaults:
        listed = ", ".join(f"{key} {_as_typed(value)}" for key, value in read.defaults.items())
        yield f"defaults of {read.producer} where it is silent: {listed}"
    yield from read.notes
    yield "everything else as in preset A"


def _as_typed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return format_number(value) if isinstance(value, (int, float)) else str(value)


def document(index: Index, run: Run, chosen: bool = True) -> ExportDocument:
    """A run as `export --format json` writes it: what `show --json` says, less the folder, and every metric in full;
    `chosen` costs a moment a run."""
    found: dict[str, object] = dict(show(index, run.id, chosen=chosen))
    origin = RunFolder(run.folder).origin_facts()
    if "epochs" in origin:
        found |= {"origin": None, **origin, "name": found["name"], "tags": found["tags"], "note": found["note"]}
    del found["folder"]
    metrics = {name: index.series_full(run.id, name) for name in index.metrics(run.id)}
    return cast("ExportDocument", {**found, "metrics": metrics})  # what an import brought was an export itself


def stepwise(index: Index, run: Run, chosen: bool = True) -> ExportDocument:
    """The same for formats that know steps only: at the steps at which epochs end, `epoch` says which. A val_acc that
    a person entered is a metric of its own name, `val_acc_entered`: it was not measured."""
    found = document(index, run, chosen)
    entered = [(step, value) for step, _, value in index.entered(run.id)]
    own = {"epoch": index.epoch_ends(run.id)} | ({"val_acc_entered": entered} if entered else {})
    return {**found, "metrics": {**own, **found["metrics"]}}


def export(
    ws: Workspace,
    refs: Sequence[str],
    form: str,
    out: Path | None,
    weights: bool = False,
    stream: BinaryIO | None = None,
) -> str | None:
    """Write runs in one format; returns the text where `out` is None, and writes a tarball to `stream` there. Files are
    renamed into place when complete.

    Two to six runs as Markdown are a comparison, as `compare --markdown` writes it.
    """
    form = form or _format_of(out)
    if form == "markdown" and 2 <= len(set(refs)) <= MOST:
        return _leave(comparison_tables.markdown(compare(ws, refs)), out)
    with reading(ws) as index:
        runs = [index.run(index.resolve(ref)) for ref in refs]
        if form == "tar":
            _export_tar(runs, out, weights, stream)
            return None
        documents = [(stepwise if form in STEPWISE else document)(index, run, len(runs) <= MOST) for run in runs]
    if form == "tensorboard":
        _export_events(documents, out)
        return None
    return _leave(_text(form, documents), out)


def _leave(text: str, out: Path | None) -> str | None:
    """Into the file; without one back to the caller."""
    if out is None:
        return text
    write_file(out, text)
    return None


def _format_of(out: Path | None) -> str:
    """By the ending of the output; JSON without an output."""
    if out is None:
        return "json"
    if out.suffix not in _BY_ENDING:
        endings = ", ".join(_BY_ENDING)
        raise UserError(f"the format of {out} is not known", f"known endings are {endings}", "add --format FORMAT")
    return _BY_ENDING[out.suffix]


def _text(form: str, documents: Sequence[ExportDocument]) -> str:
    if form == "json":
        return _json_text(documents)
    if form == "html":
        return html_report.html(documents)
    return {"csv": flat.csv_text, "markdown": flat.markdown_text}[form](documents)


def _json_text(documents: Sequence[ExportDocument]) -> str:
    import json

    from trainer.events import plain

    one = documents[0] if len(documents) == 1 else list(documents)
    return json.dumps(plain(one), ensure_ascii=False, indent=1, allow_nan=False, default=str) + "\n"


def write_file(out: Path, text: str) -> None:
    """Replace a file by text in one step; nothing half-written remains."""
    try:
        replace_file(out, text.encode())
    except OSError as error:
        raise UserError(f"cannot write {out}", error.strerror or str(error), "choose another folder") from None


def _export_tar(runs: Sequence[Run], out: Path | None, weights: bool, stream: BinaryIO | None) -> None:
    if len(runs) != 1:
        raise UserError("a tarball holds one run", f"{len(runs)} runs were named", "name one run and -o FILE.tar.gz")
    if out is not None:
        bundle.pack(runs[0].folder, out, weights)
    elif stream is not None:
        bundle.write(runs[0].folder, stream, weights)
    else:
        raise UserError("a tarball needs a file", "it is not text for a terminal", "add -o FILE.tar.gz, or -o - | …")


def _export_events(documents: Sequence[ExportDocument], out: Path | None) -> None:
    if out is None:
        raise UserError("TensorBoard files need a folder", "no -o was given", "add -o FOLDER")
    for one in documents:
        _export_run_events(one, out, one["id"])


def _export_run_events(document: ExportDocument, out: Path, name: str) -> None:
    """Written aside and moved in when complete, so that TensorBoard never reads a part.

    An earlier export is left alone where the run still says the same, and replaced where it says something else.
    """
    mark = tensorboard.mark(document)
    before = [path for path in (out / name).glob("*") if tensorboard.is_ours(path)]
    if any(path.name.endswith(mark) for path in before):
        return
    partial = out / f".{name}.{os.getpid()}.partial"
    try:
        tensorboard.write(document, partial, mark)
        (out / name).mkdir(parents=True, exist_ok=True)
        for file in partial.iterdir():
            file.replace(out / name / file.name)
        for file in before:
            file.unlink()
    finally:
        shutil.rmtree(partial, ignore_errors=True)
