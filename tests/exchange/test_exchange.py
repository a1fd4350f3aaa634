"""Round trips, exports that others read, and following a training from outside."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import START, make_run_folder, make_workspace, training

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.importers.sources import gather
from rmtui.operations import exchange, imports
from rmtui.operations import follow as watch
from rmtui.operations.resume import resume
from rmtui.operations.runs import reading, set_note, set_tags, show
from rmtui.operations.stop import stop
from rmtui.workspace import Workspace
from trainer.events import Event, number


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_workspace(tmp_path / "ws")
    make_run_folder(ws, "helpful-A-1", run_id="20260101-000000-aaaa")
    make_run_folder(ws, "chosen <b>&amp;", run_id="20260102-000000-bbbb", data="x", created=1_760_100_000.0)
    return ws


@pytest.fixture
def other(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "other")


def exported(ws: Workspace, *refs: str) -> Any:
    text = exchange.export(ws, refs, "json", None)
    assert text is not None
    return json.loads(text)


def test_export_import_export_is_identical(ws: Workspace, other: Workspace, tmp_path: Path) -> None:
    set_note(ws, "helpful-A-1", "a note\nof two lines")
    set_tags(ws, "helpful-A-1", add=["lr-sweep"])
    first = exported(ws, "helpful-A-1")
    (tmp_path / "out.json").write_text(json.dumps(first))
    (imported,) = imports.import_paths(other, [tmp_path / "out.json"]).runs
    assert exported(other, imported.id) == first


def test_an_import_repeated_adds_nothing(ws: Workspace, other: Workspace, tmp_path: Path) -> None:
    exchange.export(ws, ["helpful-A-1", "20260102"], "json", tmp_path / "two.json")
    once = imports.import_paths(other, [tmp_path / "two.json"]).runs
    again = imports.import_paths(other, [tmp_path / "two.json"]).runs
    assert [run.new for run in once] == [True, True]
    assert [(run.id, run.new) for run in again] == [(run.id, False) for run in once]


def test_a_log_that_went_on_since_its_import_is_still_one_run(ws: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "helpful_1.log"
    log.write_text("Epoch 1\nstep 10 loss=0.7\nEpoch 1: val_loss=0.6\n")
    (first,) = imports.import_paths(ws, [log]).runs
    with log.open("a") as file:
        file.write("Epoch 2\nstep 15 loss=0.6\nstep 24 loss=0.5\nEpoch 2: val_loss=0.5\n")
    (second,) = imports.import_paths(ws, [log]).runs
    assert (second.id, second.new) == (first.id, False) and "continued" in second.notes[0]
    (run,) = _runs_called(ws, "helpful_1")
    assert [epoch["val_loss"] for epoch in run["epochs"]] == [0.6, 0.5]
    assert [value for _, value in exported(ws, first.id)["metrics"]["val_loss"]] == [0.6, 0.5]
    log.write_text("Epoch 1: val_loss=0.9\n")
    (another,) = imports.import_paths(ws, [log]).runs
    assert another.new and another.id != first.id


def test_a_tarball_brings_the_run_as_it_was(ws: Workspace, other: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "run.tar.gz"
    exchange.export(ws, ["helpful-A-1"], "", out)
    (imported,) = imports.import_paths(other, [out]).runs
    assert imported.id == "20260101-000000-aaaa"
    with reading(ws) as here, reading(other) as there:
        left, right = (show(index, imported.id) for index in (here, there))
        assert left.pop("folder") != right.pop("folder")
        assert left == right
    again = imports.import_paths(other, [out]).runs
    assert [run.new for run in again] == [False]


def test_a_run_brought_along_is_never_resumed_with_its_own_command(
    ws: Workspace, other: Workspace, tmp_path: Path
) -> None:
    make_run_folder(ws, "x", run_id="20260103-000000-cccc", outcome="failed", trainer={"command": ["-c", "harm"]})
    exchange.export(ws, ["x"], "", tmp_path / "x.tar.gz")
    imports.import_paths(other, [tmp_path / "x.tar.gz"])
    with pytest.raises(UserError, match="trained elsewhere"):
        resume(other, "20260103-000000-cccc", force=True)


def test_csv_gives_every_value_in_full(ws: Workspace) -> None:
    text = exchange.export(ws, ["helpful-A-1"], "csv", None)
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = exported(ws, "helpful-A-1")["metrics"]
    for name, points in wanted.items():
        found = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        assert found == [(step, number(value)) for step, value in points]


def test_tensorboards_own_reader_reads_the_same_numbers(ws: Workspace, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    exchange.export(ws, ["helpful-A-1"], "tensorboard", tmp_path / "tb")
    document = exported(ws, "helpful-A-1")
    accumulator = reader.EventAccumulator(str(tmp_path / "tb" / document["id"]))
    accumulator.Reload()
    for name, points in document["metrics"].items():
        found = [(scalar.step, scalar.value) for scalar in accumulator.Scalars(name)]
        assert found == [(step, pytest.approx(number(value), rel=1e-6)) for step, value in points]


@pytest.mark.parametrize(("form", "out", "exact"), [("csv", "out.csv", 0.0), ("tensorboard", "tb", 1e-6)])
def test_a_run_that_comes_back_step_by_step_has_its_epochs(
    ws: Workspace, other: Workspace, tmp_path: Path, form: str, out: str, exact: float
) -> None:
    """TensorBoard's figures are float32."""
    if form == "tensorboard":
        pytest.importorskip("tensorboard")
    exchange.export(ws, ["helpful-A-1"], form, tmp_path / out)
    (imported,) = imports.import_paths(other, [tmp_path / out]).runs
    first, back = exported(ws, "helpful-A-1"), exported(other, imported.id)
    assert len(first["epochs"]) > 1
    known = [{name: value for name, value in epoch.items() if value is not None} for epoch in first["epochs"]]
    found = [{name: value for name, value in epoch.items() if value is not None} for epoch in back["epochs"]]
    assert found == [pytest.approx(epoch, rel=exact, abs=0) for epoch in known]
    assert set(back["metrics"]) == {*first["metrics"], "epoch"}
    assert [step for step, _ in back["metrics"]["epoch"]] == [step for step, _ in first["metrics"]["train_loss"]]


def test_a_loss_at_an_epochs_end_is_no_train_loss_on_its_way_back(
    ws: Workspace, other: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text("Epoch 1/1\nstep 10 loss=0.75\nstep 20 loss=0.5\nEpoch 1: val_loss=0.6\n")
    (run,) = imports.import_paths(ws, [tmp_path / "a.log"]).runs
    exchange.export(ws, [run.id], "csv", tmp_path / "a.csv")
    (imported,) = imports.import_paths(other, [tmp_path / "a.csv"]).runs
    (epoch,) = exported(other, imported.id)["epochs"]
    assert (epoch["val_loss"], epoch["train_loss"]) == (0.6, None)


def event_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_tensorboard_export_adds_nothing_and_a_changed_run_replaces_the_first(
    ws: Workspace, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    log, out = tmp_path / "grows.log", tmp_path / "tb"
    log.write_text("Epoch 1: val_loss=0.5\n")
    followed, *_ = watch.follow(ws, log, watch.Until(once=True))
    run_id = followed.split()[0]
    beside = out / run_id / "events.out.tfevents.1.other"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"somebody else's")
    exchange.export(ws, ["grows"], "tensorboard", out)
    first = event_files(out)
    exchange.export(ws, ["grows"], "tensorboard", out)
    assert event_files(out) == first and len(first) == 2
    log.write_text("Epoch 1: val_loss=0.5\nEpoch 2: val_loss=0.25\n")
    list(watch.follow(ws, log, watch.Until(once=True)))
    exchange.export(ws, ["grows"], "tensorboard", out)
    assert len(event_files(out)) == 2
    (run,) = gather([next(path for path in beside.parent.iterdir() if path != beside)]).runs
    assert [point[:2] for point in run.series["val_loss"]] == [(1.0, 0.5), (2.0, 0.25)]
    assert beside.read_bytes() == b"somebody else's"


def test_a_tensorboard_export_comes_back_with_the_validations_own_accuracy(ws: Workspace, tmp_path: Path) -> None:
    """`accuracy` of a training step and `val_acc` are two figures; neither stands in for the other."""
    pytest.importorskip("tensorboard")
    events = [*training(epochs=1), Event("step", START + 500, 21, 1.05, {"accuracy": 0.25, "loss": 0.5})]
    make_run_folder(ws, "both", events=events)
    exchange.export(ws, ["both"], "tensorboard", tmp_path / "tb")
    (run,) = gather([tmp_path / "tb"]).runs
    assert [value for _, value, _ in run.series["val_acc"]] == [pytest.approx(0.685)]
    assert [(step, value) for step, value, _ in run.series["accuracy"]] == [(21, 0.25)]


def test_pandas_reads_the_same_numbers_from_the_csv(ws: Workspace, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    exchange.export(ws, ["helpful-A-1", "20260102"], "", tmp_path / "runs.csv")
    table = pandas.read_csv(tmp_path / "runs.csv")
    for document in exported(ws, "helpful-A-1", "20260102"):
        rows = table[table["run"] == document["id"]].set_index("step")
        for name, points in document["metrics"].items():
            assert list(rows[name].dropna().items()) == [(step, number(value)) for step, value in points]


def test_a_tarball_leaves_mirrors_behind_and_brings_an_imported_run(
    ws: Workspace, other: Workspace, tmp_path: Path
) -> None:
    """A training with live mirrors, and a run that came from a log."""
    mirrored = make_run_folder(ws, "mirrored", run_id="20260106-000000-ffff").path / "trackers" / "wandb"
    mirrored.mkdir(parents=True)
    (mirrored / "run.wandb").write_bytes(b"x")
    (tmp_path / "old.log").write_text("Epoch 1: train_loss=0.9, val_loss=0.6, val_acc=70%\n")
    imports.import_paths(ws, [tmp_path / "old.log"])
    for name in ("mirrored", "old"):
        exchange.export(ws, [name], "", tmp_path / f"{name}.tar.gz")
        (imported,) = imports.import_paths(other, [tmp_path / f"{name}.tar.gz"]).runs
        first, second = exported(ws, name), exported(other, imported.id)
        assert first == second and first["epochs"]
    assert not list(other.runs.rglob("*.wandb"))


def test_the_report_holds_curves_and_no_foreign_markup(ws: Workspace) -> None:
    page = exchange.export(ws, ["helpful-A-1", "20260102"], "html", None)
    assert page is not None
    assert page.count("<svg") >= 4
    assert "<b>" not in page and "&lt;b&gt;" in page
    assert "http://" not in page and "https://" not in page and "<script" not in page


def test_the_report_marks_whole_epochs_only(ws: Workspace) -> None:
    page = exchange.export(ws, ["helpful-A-1", "20260102"], "html", None)
    assert page is not None
    by_epoch = page.partition("Validation loss</text>")[2].partition("</svg>")[0]
    assert re.findall(r'class="tick middle">([^<]+)<', by_epoch) == ["1", "2", "3"]


def test_markdown_is_one_table_with_unknown_figures_as_a_dash(ws: Workspace) -> None:
    text = exchange.export(ws, ["helpful-A-1"], "markdown", None)
    assert text is not None
    lines = text.splitlines()
    assert len(lines) == 2 + 3
    assert all(line.count("|") == 8 for line in lines)


def test_two_runs_as_markdown_are_the_comparison_that_compare_writes(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-C", str(ws.root)]
    assert main([*words, "compare", "helpful-A-1", "20260102", "--markdown", "--lang", "en"]) == 0
    wanted = capsys.readouterr().out
    text = exchange.export(ws, ["helpful-A-1", "20260102"], "markdown", None)
    assert text is not None and text.strip() == wanted.strip()
    assert "<b>" not in text.replace("\\<b>", "")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        exchange.export(ws, ["helpful-A-1"], "json", tmp_path / "no" / "such" / "folder.json")
    assert not (tmp_path / "no").exists()


def test_a_yaml_configuration_becomes_a_preset(ws: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "rm_config.yaml"
    path.write_text("num_epochs: 2\nlearning_rate: 1e-5\nlora:\n  r: 16\nproject: x\n")
    preset, unknown = exchange.import_preset(ws, path, "mine")
    assert preset.config["num_epochs"] == 2 and preset.config["learning_rate"] == 1e-5
    assert preset.config["lora"]["r"] == 16
    assert "learning_rate = 1e-5" in preset.text
    assert "conservative" not in preset.text.partition("name =")[0]
    assert unknown == ("project",)
    assert not preset.expect and "expected" not in preset.text


def test_watching_goes_on_with_the_same_run(ws: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1: train_loss=0.9, val_loss=0.6, val_acc=60%\n")
    assert any("Epoch 1" in line or "follows" in line for line in watch.follow(ws, log, watch.Until(once=True)))
    with log.open("a") as file:
        file.write("Epoch 2: train_loss=0.7, val_loss=0.5, val_acc=70%\n")
    said = list(watch.follow(ws, log, watch.Until(once=True)))
    assert any("Epoch 2" in line for line in said)
    (run,) = _runs_called(ws, "rm")
    assert [(epoch["epoch"], epoch["val_acc"]) for epoch in run["epochs"]] == [(1, 0.6), (2, 0.7)]


def _runs_called(ws: Workspace, name: str) -> Iterator[dict[str, Any]]:
    with reading(ws) as index:
        for run in index.runs():
            if run.name == name:
                yield show(index, run.id)


def test_watching_follows_a_file_while_it_grows(ws: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1: val_loss=0.6\n")
    told = watch.follow(ws, log)
    assert "follows" in next(told)
    with log.open("a") as file:
        file.write("Epoch 2: val_loss=0.5\n")
    assert "Epoch 2" in next(told)


def test_a_training_that_is_watched_is_shown_as_running_until_its_log_is_over(ws: Workspace, tmp_path: Path) -> None:
    def state() -> str:
        (run,) = _runs_called(ws, "rm")
        return str(run["state"])

    log = tmp_path / "rm.log"
    log.write_text("Epoch 1/3: train_loss=0.7, val_loss=0.6\n")
    told = watch.follow(ws, log)
    next(told)
    with log.open("a") as file:
        file.write("Epoch 2/3: train_loss=0.6, val_loss=0.5\n")
    while "Epoch 2" not in next(told):
        pass
    assert state() == "running"
    with pytest.raises(UserError, match="started elsewhere"):
        stop(ws, next(_runs_called(ws, "rm"))["id"])
    with log.open("a") as file:
        file.write("Epoch 3/3: train_loss=0.5, val_loss=0.4\n")
    assert "is over" in list(told)[-1]
    assert state() == "imported"


def test_a_watching_that_is_ended_leaves_no_run_behind_that_looks_alive(ws: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1/3: train_loss=0.7, val_loss=0.6\n")
    told = watch.follow(ws, log)
    next(told)
    with log.open("a") as file:
        file.write("Epoch 2/3: train_loss=0.6, val_loss=0.5\n")
    next(told)
    assert [run["state"] for run in _runs_called(ws, "rm")] == ["running"]
    told.close()
    assert [run["state"] for run in _runs_called(ws, "rm")] == ["imported"]


def test_watching_a_log_that_was_imported_goes_on_with_that_run(ws: Workspace, tmp_path: Path) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1: val_loss=0.6\n")
    (imported,) = imports.import_paths(ws, [log]).runs
    with log.open("a") as file:
        file.write("Epoch 2: val_loss=0.5\n")
    said = list(watch.follow(ws, log, watch.Until(once=True)))
    assert imported.id in said[0]
    (run,) = _runs_called(ws, "rm")
    assert [epoch["val_loss"] for epoch in run["epochs"]] == [0.6, 0.5]


def test_an_ending_that_says_nothing_is_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.pdf"):
        exchange.export(ws, ["helpful-A-1"], "", tmp_path / "run.pdf")
    assert not (tmp_path / "run.pdf").exists()


def test_watching_nothing_is_said(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        list(watch.follow(ws, tmp_path / "nowhere.log", watch.Until(once=True)))


OVER = {
    "rm.log": [
        ("Epoch 2/3 | train_loss=0.7 | val_loss=0.6 | val_acc=70%\n", ""),
        ("Epoch 3/3 | train_loss=0.6 ", ""),
        ("| val_loss=0.5 | val_acc=71%\n", "epoch 3 of 3"),
    ],
    "free.log": [
        ("Epoch 1: val_loss=0.6\n", ""),
        ("Epoch 2 training finished\nEpoch 2: val_loss=0.5\n", ""),
        ("2026-01-01 12:00:00 INFO Training finished.\nmodel saved\n", "the log says so"),
        ("Epoch 3: val_loss=0.4\n", ""),
    ],
    "trainer.log": [
        ("{'eval_loss': 0.6, 'epoch': 1.0}\n", ""),
        ("{'train_runtime': 60.1, 'train_loss': 0.7, 'epoch': 1.0}\n", "train_runtime"),
    ],
    "zero.log": [("Epoch 0/2: val_loss=0.6\n", ""), ("Epoch 1/2: val_loss=0.5\n", "epoch 2 of 2")],
    "trainer_state.json": [
        ('{"global_step": 20, "max_steps": 30, "log_history": [{"step": 10, "epoch": 1, "eval_loss": 0.6}]}', ""),
        (
            '{"global_step": 30, "max_steps": 30, "log_history": [{"step": 10, "epoch": 1, "eval_loss": 0.6}]}',
            "step 30",
        ),
    ],
}


@pytest.mark.parametrize("name", OVER)
def test_a_source_says_that_its_training_is_over(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    for piece, word in OVER[name]:
        with source.open("a" if name.endswith(".log") else "w") as file:
            file.write(piece)
        (run,) = gather([source]).runs
        assert word in run.last_word and bool(word) is bool(run.last_word), piece


def test_watching_ends_when_every_training_there_is_over(ws: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "first.log").write_text("Epoch 1/1: val_loss=0.6\n")
    (folder / "second.log").write_text("Epoch 1/2: val_loss=0.6\n")
    told = watch.follow(ws, folder)
    assert "first  follows" in next(told) and "second  follows" in next(told)
    with (folder / "second.log").open("a") as file:
        file.write("Epoch 2/2: val_loss=0.5\n")
    rest = list(told)
    assert "Epoch 2" in rest[0] and rest[1] == "second  is over: epoch 2 of 2, as is 1 other"


class Clock:
    """Time that passes only while nobody looks; at a moment of it, the log goes on."""

    def __init__(self, log: Path) -> None:
        self.now, self.log = 0.0, log

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += 40.0
        if self.now == 80.0:
            with self.log.open("a") as file:
                file.write("Epoch 2: val_loss=0.5\n")


def test_watching_ends_when_nothing_new_has_come_for_the_time_given(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1: val_loss=0.6\n")
    clock = Clock(log)
    monkeypatch.setattr(watch, "time", clock)
    said = list(watch.follow(ws, log, watch.Until(idle=60.0)))
    assert any("Epoch 2" in line for line in said) and said[-1] == "nothing new for 1 min"
    assert clock.now == 160.0


def test_watching_on_ends_by_its_own_word_only(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "rm.log"
    log.write_text("Epoch 1/1: val_loss=0.6\n")
    monkeypatch.setattr(watch, "time", Clock(log))
    command = ["-C", str(ws.root), "watch", str(log)]
    assert main(command) == 0 and capsys.readouterr().out.endswith("is over: epoch 1 of 1\n")
    assert main([*command, "--stay", "--until-idle", "1"]) == 0
    assert capsys.readouterr().out.endswith("nothing new for 1 min\n")
    with pytest.raises(SystemExit) as refused:
        main([*command, "--until-idle", "-1"])
    assert refused.value.code == 2
