"""Ctrl-C at the last moment of a verb that writes: exit code 130, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import make_run_folder, make_workspace

from rmtui.cli import main
from rmtui.index import sqlite
from rmtui.index.sync import run_ids
from rmtui.workspace import Workspace

LOG = "Epoch 1: train_loss=0.67, val_loss=0.61, val_acc=71%\n"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "ws")


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["run.json", "run.csv", "run.html", "run.tar.gz", "tensorboard"])
def test_an_export_leaves_nothing(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make_run_folder(ws, "A-1")
    out = tmp_path / "out"
    out.mkdir()
    words = ["-C", str(ws.root), "export", "A-1", "-o", str(out / name)]
    if name == "tensorboard":
        pytest.importorskip("tensorboard")
        words += ["--format", name]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)  # a folder
        patch.setattr("trainer.files.os.replace", interrupt)
        assert main(words) == 130
    assert left(out) == []
    assert main(words) == 0 and left(out)


def test_an_import_leaves_nothing_and_is_made_up_for(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "helpful_1.log"
    log.write_text(LOG)
    words = ["-C", str(ws.root), "import", str(log)]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        assert main(words) == 130
    assert left(ws.runs) == []
    assert main(words) == 0
    capsys.readouterr()
    assert main(["-C", str(ws.root), "show", "helpful_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"][0]["val_loss"] == 0.61


def test_an_import_into_a_locked_index_is_no_failure_and_no_second_run(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.1)
    log = tmp_path / "helpful_1.log"
    log.write_text(LOG)
    words = ["-C", str(ws.root), "import", str(log), "--json"]
    holder = sqlite.open_database(ws.database)
    with sqlite.write(holder):
        assert main(words) == 0
        assert main(words) == 0
    holder.close()
    assert main(words) == 0
    assert len(run_ids(ws.runs)) == 1
    assert main(["-C", str(ws.root), "show", "helpful_1"]) == 0


def test_an_own_export_that_was_half_imported_is_completed(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run_folder(ws, "A-1", meta={"note": "kept"})
    assert main(["-C", str(ws.root), "export", "A-1", "-o", str(tmp_path / "run.json")]) == 0
    there = make_workspace(tmp_path / "there")
    words = ["-C", str(there.root), "import", str(tmp_path / "run.json")]
    with monkeypatch.context() as patch:
        patch.setattr("rmtui.operations.imports.write_json", interrupt)
        assert main(words) == 130
    assert main(words) == 0
    assert main(["-C", str(there.root), "export", "A-1", "-o", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run.json").read_bytes()


def test_a_cleaned_copy_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out" / "clean.jsonl"
    good = {"prompt": "Why?", "chosen": "Because it is so.", "rejected": "No."}
    pairs.write_text(json.dumps(good) + "\n{broken\n")
    words = ["check", str(pairs), "--fix", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        assert main(words) == 130
    assert left(out.parent) == []
    main(words)
    assert left(out.parent) == ["clean.jsonl", "clean.jsonl.dropped.jsonl"]
