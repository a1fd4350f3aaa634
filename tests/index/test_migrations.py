"""Every earlier schema, with and without rows, becomes the newest one, and its index tells what the folders tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import index_content, make_run_folder, make_runs

from rmtui.index import migrations, sqlite
from rmtui.index.index import Index
from rmtui.workspace import Workspace

NEWEST = len(migrations.migrations._migrations)


def schema(path: Path) -> list[tuple[str, str]]:
    connection = sqlite.open_database(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return rows


def test_the_number_is_known_where_databases_are_opened() -> None:
    assert sqlite.SCHEMA == NEWEST


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_an_empty_index_of_an_earlier_schema(ws: Workspace, tmp_path: Path, version: int) -> None:
    assert migrations.apply(str(ws.database), version) == version
    assert schema(ws.database) == schema(tmp_path / "new.sqlite")


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_an_index_of_an_earlier_schema_with_rows(ws: Workspace, version: int) -> None:
    kept, gone = make_runs(ws, 2)
    migrations.apply(str(ws.database), version)
    old = sqlite.connect_file(ws.database)
    for folder in (kept, gone):
        old.execute(
            """INSERT INTO runs (id, name, state, created, pinned, archived, settled, folder_time, meta_time)
            VALUES (?, ?, 'finished', 1, 0, 0, 1, ?, 0)""",
            (folder.id, folder.name(), folder.path.stat().st_mtime_ns),
        )
    old.execute("INSERT INTO documents (run, config, tags, figures) SELECT n, '{}', '[]', NULL FROM runs")
    old.execute(
        "INSERT INTO progress (run, n, position, bad_lines, resumed, seconds) SELECT n, 1, 99, 0, 0, 0 FROM runs"
    )
    old.close()
    gone.path.rename(ws.root / "elsewhere")
    with Index.open(ws) as index:
        index.sync()
        assert [run.name for run in index.runs()] == ["helpful-A-0"]
        assert len(index.series_full(kept.id, "loss")) == 60  # what an older schema lacked is read from the folders
        assert index.count("lora.r=16") == 1
    migrated = index_content(ws)
    ws.database.rename(ws.root / "old.sqlite")
    for ending in ("-wal", "-shm"):
        ws.database.with_name(ws.database.name + ending).unlink(missing_ok=True)
    with Index.open(ws) as index:
        index.sync()
    assert migrated == index_content(ws)


def test_a_migration_that_fails_leaves_the_index_as_it_was(ws: Workspace) -> None:
    migrations.apply(str(ws.database), 2)
    old = sqlite.connect_file(ws.database)
    old.execute("CREATE TABLE tags (mine TEXT)")  # in the way of the third step
    before = old.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    with pytest.raises(sqlite.DatabaseError, match="could not be brought to this version"):
        sqlite.open_database(ws.database)
    assert old.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == before
    old.close()


def test_an_index_of_a_newer_rmtui_is_left_alone(ws: Workspace) -> None:
    make_run_folder(ws)
    with Index.open(ws) as index:
        index.sync()
    newer = sqlite.connect_file(ws.database)
    newer.execute(f"PRAGMA user_version = {NEWEST + 1}")
    newer.close()
    before = ws.database.read_bytes()
    with pytest.raises(sqlite.NewerSchema, match="newer rmtui"):
        Index.open(ws)
    with Index.open_reading(ws) as index:
        index.sync()
        assert index.count() == 1
        assert "newer rmtui" in str(index.trouble)
    assert ws.database.read_bytes() == before
