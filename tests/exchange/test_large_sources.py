"""Sources of any size: JSON part by part, stores run by run, in bounded memory, with progress that can be cancelled."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import make_workspace

from rmtui.importers import log_order, logs, model, text_files
from rmtui.importers.json_stream import BadJson, items, members
from rmtui.importers.model import RecordedCurve
from rmtui.importers.source_rows import Said, SourceRow
from rmtui.importers.sources import gather
from rmtui.importers.training import trainings
from rmtui.operations import imports

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(document=st.dictionaries(st.text(max_size=4), JSON, max_size=4), size=st.integers(1, 9), indent=st.booleans())
def test_members_are_those_of_the_whole_document(
    tmp_path: Path, document: dict[str, object], size: int, indent: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, indent=2 if indent else None, ensure_ascii=False))
    found: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_CHUNK", size)
        for key, value in members(path):
            if isinstance(document[key], list) and document[key]:
                found.setdefault(key, []).append(value)  # type: ignore[attr-defined]
            else:
                found[key] = value
    assert found == document


@SETTINGS
@given(document=JSON, size=st.integers(1, 9), cut=st.integers(0, 40))
def test_items_are_those_of_the_whole_document_or_it_is_refused(
    tmp_path: Path, document: object, size: int, cut: int
) -> None:
    path = tmp_path / "a.json"
    text = json.dumps(document)
    path.write_text(text[: len(text) - cut])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_CHUNK", size)
        try:
            wanted = json.loads(path.read_text())
        except ValueError:
            if isinstance(document, list):
                with pytest.raises(BadJson):
                    list(items(path))
            return
        assert list(items(path)) == (wanted if isinstance(wanted, list) else [wanted])


def test_a_state_that_is_cut_off_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text('{"log_history": [{"loss": 0.6, "step": 1}, {"loss": 0.5, "st')
    harvest = gather([path])
    assert not harvest.runs and "cut off" in harvest.unread[0]


def test_a_state_with_numbers_that_are_none_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text('{"global_step": 2, "log_history": [{"grad_norm": NaN, "loss": 0.6, "epoch": 1.0, "step": 2}]}')
    (run,) = gather([path]).runs
    assert [value for _, value, _ in run.series["loss"]] == [0.6]


def project(path: Path, rows: list[tuple[str, str, int, float]]) -> None:
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL,"
        " run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
    )
    connection.execute("CREATE TABLE configs (run_id TEXT, run_name TEXT, config TEXT, created_at TEXT)")
    for run, name, step, loss in rows:
        connection.execute(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, '2026-01-05', ?, ?, ?)",
            (run, name, step, json.dumps({"train/loss": loss, "eval/loss": loss + 0.01})),
        )
    connection.execute("INSERT INTO configs VALUES ('b', 'same', '{\"learning_rate\": 1e-5}', '2026')")
    connection.commit()
    connection.close()


def test_trackio_runs_of_one_name_are_runs_each(tmp_path: Path) -> None:
    path = tmp_path / "project.db"
    rows = [("a", "same", 1, 0.7), ("b", "same", 1, 0.6), ("a", "same", 2, 0.69), ("b", "same", 2, 0.59)]
    project(path, rows)
    first, second = sorted(gather([path]).runs, key=lambda run: run.identity)
    losses = [[value for _, value, _ in run.series["loss"]] for run in (first, second)]
    assert losses == [[0.7, 0.69], [0.6, 0.59]]
    assert [dict(run.config) for run in (first, second)] == [{}, {"learning_rate": 1e-5}]
    assert first.identity != second.identity


def rows(count: int) -> Iterator[SourceRow]:
    return (SourceRow({"loss": 0.5, "eval_loss": 0.6}, float(step), step / 10) for step in range(1, count + 1))


def test_curves_of_any_length_keep_so_many_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MOST_POINTS", 10)
    monkeypatch.setattr(model, "MOST_EVALUATIONS", 40)
    (training,) = trainings(rows(1000), Said())
    kept = {name.written: curve for name, curve in training.curves.items()}
    assert len(kept["loss"].points) <= 10 and len(kept["eval_loss"].points) <= 40
    assert all(step % curve.every == 0 for curve in kept.values() for step, _, _ in curve.points)


def test_a_log_of_very_many_epochs_keeps_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_EVALUATIONS", 100)
    path = tmp_path / "own.log"
    path.write_text("".join(f"Epoch {at}: val_loss={at / 1024}\nloss: 0.5, test_acc=0.6\n" for at in range(1, 1001)))
    (run,) = gather([path]).runs
    assert 50 <= len(run.epochs) <= 100
    assert all(epoch.val_loss == epoch.epoch / 1024 for epoch in run.epochs)
    assert [int(re.findall(r"1 in (\d+)", note)[0]) for note in run.notes if "epochs" in note] == [16]


def test_the_first_epochs_show_where_a_log_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_order, "_ENOUGH", 3)
    path = tmp_path / "own.log"
    path.write_text("".join(f"val_loss: {at / 1024}\nEpoch {at} done\n" for at in range(1, 10)))
    (run,) = gather([path]).runs
    assert [(epoch.epoch, epoch.val_loss) for epoch in run.epochs] == [(at, at / 1024) for at in range(1, 10)]


def test_a_halved_curve_keeps_points_at_even_distances() -> None:
    curve = RecordedCurve()
    for step in range(1, 9):
        curve.add((float(step), 0.5, None), thin=True)
    curve.halve()
    curve.add((9.0, 0.5, None), thin=True)
    curve.add((10.0, 0.5, None), thin=True)
    assert [step for step, _, _ in curve.points] == [2, 4, 6, 8, 10]


def test_progress_is_reported_and_may_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "_SMALL", 1000)
    monkeypatch.setattr(text_files, "_CHUNK", 4096)
    ws = make_workspace(tmp_path / "ws")
    log = tmp_path / "own.log"
    log.write_text("".join(f"Epoch {epoch}: train_loss=0.6, val_loss=0.6\n" for epoch in range(1, 2000)))
    told: list[float] = []
    report = imports.import_paths(ws, [log], progress=lambda path, share: told.append(share))
    assert len(report.runs) == 1 and told[-1] == 1.0 and len(set(told)) > 10

    class Cancelled(Exception):
        pass

    def cancel(path: Path, share: float) -> None:
        raise Cancelled

    other = make_workspace(tmp_path / "other")
    with pytest.raises(Cancelled):
        imports.import_paths(other, [log], progress=cancel)
    assert not list(other.runs.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trainer_state.json", "history.json"])
def test_json_of_40_megabytes_is_read_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    entry = json.dumps({"loss": 0.5, "step": 0, "note": "x" * 900})
    with path.open("w") as file:
        file.write('{"log_history": [' if "state" in name else "[")
        file.write(",\n".join(entry.replace('"step": 0', f'"step": {step}') for step in range(1, 42_000)))
        file.write('], "global_step": 41999}' if "state" in name else "]")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (250 << 20,) * 2);"
        "from pathlib import Path; from rmtui.importers.sources import gather;"
        "print(gather([Path(sys.argv[1])]).runs[0].series['loss'][-1][0])"
    )
    done = subprocess.run([sys.executable, "-c", limited, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == "41999.0\n", done.stderr[-500:]
