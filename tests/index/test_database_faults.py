"""A faulty index says what happened, what is safe and what to do; nothing is overwritten and lists are right anyway."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import START, make_run_folder, make_runs, make_workspace, training, wait_until

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.index import ingest, sqlite
from rmtui.index.index import Index
from rmtui.operations import runs as operations
from rmtui.runs.files import locked
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace, open_workspace

pytestmark = pytest.mark.faults


@pytest.fixture
def filled(ws: Workspace) -> Workspace:
    """Thirty runs, indexed."""
    make_runs(ws, 30)
    with Index.open(ws) as index:
        index.sync()
    return ws


def close_wal(path: Path) -> None:
    """Everything in the database file itself."""
    connection = sqlite.connect_file(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def damage(path: Path) -> None:
    close_wal(path)
    data = bytearray(path.read_bytes())
    data[8192 : len(data) // 2] = os.urandom(len(data) // 2 - 8192)
    path.write_bytes(data)


def cut(path: Path) -> None:
    close_wal(path)
    path.write_bytes(b"")


def another_file(path: Path) -> None:
    close_wal(path)
    path.write_text("these are my notes, not a database\n" * 100)


@pytest.mark.parametrize("harm", [damage, cut, another_file])
def test_a_ruined_index(filled: Workspace, harm) -> None:
    harm(filled.database)
    ruined = filled.database.read_bytes()
    with Index.open_reading(filled) as index:
        index.sync()
        assert index.count() == 30
        assert len(index.series_full(index.resolve("@best"), "loss")) == 60
        said = str(index.trouble)
    assert "safe" in said
    assert "rmtui rebuild" in said
    assert filled.database.read_bytes() == ruined
    with pytest.raises(sqlite.DatabaseError):
        ingest.catch_up(filled, make_run_folder(filled, "new"))
    count, aside = operations.rebuild(filled)
    assert count == 31
    assert aside is not None
    assert aside.read_bytes() == ruined
    with Index.open(filled) as index:
        assert index.trouble is None
        assert index.count() == 31


def test_an_index_deleted_while_it_is_open(filled: Workspace) -> None:
    with Index.open(filled) as index:
        for ending in ("", "-wal", "-shm"):
            filled.database.with_name(filled.database.name + ending).unlink(missing_ok=True)
        folder = make_run_folder(filled, "new")
        index.sync()
        assert index.count() == 31
        ingest.catch_up(filled, folder)
    with Index.open(filled) as index:
        assert index.count() == 31


def test_an_index_rebuilt_while_it_is_open(filled: Workspace) -> None:
    with Index.open_reading(filled) as index:
        index.sync()
        damage(filled.database)
        operations.rebuild(filled)
        index.sync()
        assert index.trouble is None
        assert index.count() == 30


LOCKER = """
import sys, time
from rmtui.index.sqlite import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_an_index_locked_by_another_program(filled: Workspace) -> None:
    command = [sys.executable, "-c", LOCKER, str(filled.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:
        assert locker.stdout is not None
        assert locker.stdin is not None
        assert locker.stdout.readline() == "locked\n"
        folder = make_run_folder(filled, "new")
        with Index.open_reading(filled) as index:
            index.sync()
            assert "locked by another program" in str(index.trouble)
            assert index.count() == 30  # what was known last
            locker.stdin.write("\n")
            locker.stdin.flush()
            locker.wait(10)
            index.sync()
            assert index.trouble is None
            assert index.run(folder.id).name == "new"


@pytest.mark.parametrize("words", [["note", "run-0", "held"], ["tag", "run-0", "--add", "held"]])
def test_a_verb_that_waits_for_the_index_says_so_in_one_line_and_succeeds(filled: Workspace, words, capfd) -> None:
    with Index.open(filled) as index:
        words[1] = index.runs()[0].name
    holder = sqlite.open_database(filled.database)
    with sqlite.write(holder):
        assert main(["-C", str(filled.root), *words]) == 0
    said = capfd.readouterr().err.splitlines()
    assert said == [f"rmtui: waiting for the index {filled.database}, which another program holds"]
    holder.close()
    assert main(["-C", str(filled.root), "note", words[1], "free"]) == 0
    assert capfd.readouterr().err == ""


def test_waiting_for_a_lock_is_counted_together(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.6)
    asked: list[int] = []

    def note(statement: str) -> None:
        if statement.startswith("PRAGMA busy_timeout = "):
            asked.append(int(statement.rpartition(" ")[2]))

    holder, other = sqlite.open_database(ws.database), sqlite.open_database(ws.database)
    with sqlite.write(holder):
        other.set_trace_callback(note)
        for _ in range(3):
            with (
                pytest.raises(sqlite.DatabaseError, match="locked by another"),
                sqlite.faults(ws.database),
                sqlite.write(other),
            ):
                pass
    naps = [milliseconds for milliseconds in asked if milliseconds != sqlite._STATEMENT]
    assert naps[0] == 600
    assert all(nap <= 250 for nap in naps[1:]), "the first has waited for all"
    with sqlite.write(other):
        assert other.in_transaction
    holder.close()
    other.close()


def test_an_rmtui_that_hangs_while_it_makes_the_index_hangs_no_other(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_MAKING", 0.1)
    for path in filled.database.parent.glob("runs.sqlite*"):
        path.unlink()
    with locked(sqlite.lock_file(filled.database), 10.0), Index.open_reading(filled) as index:
        assert index.count() == 30
        assert "made or replaced by another rmtui" in str(index.trouble)


@contextlib.contextmanager
def read_only(folder: Path):
    """A folder that nobody may write in: by its rights, or, for root whom they do not stop, by a mount over it."""
    if os.geteuid():
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        undo = ["chmod", "-R", "u+w", folder]
    else:
        mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"root may write everywhere, and nothing can be mounted here: {mounted.stderr.strip()}")
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        undo = ["umount", "-l", folder]
    try:
        with pytest.raises(OSError):
            (folder / "probe").touch()
        yield
    finally:
        subprocess.run(undo, check=True)


def test_a_workspace_that_cannot_be_written(filled: Workspace) -> None:
    run = RunFolder(next(filled.runs.iterdir()))
    command = [sys.executable, "-m", "rmtui", "-C", str(filled.root)]
    with read_only(filled.root):
        ws = open_workspace(filled.root)
        assert not ws.database.is_relative_to(ws.root)
        with Index.open_reading(ws) as index:
            index.sync()
            assert index.count() == 30 and index.trouble is None
        listed = subprocess.run([*command, "ls", "--json"], capture_output=True, text=True, check=False)
        assert listed.returncode == 0 and len(json.loads(listed.stdout)) == 30 and listed.stderr == ""
        for words in (["note", run.id, "x"], ["pin", run.id], ["rm", run.id, "--yes"], ["stop", run.id]):
            refused = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
            assert "Traceback" not in refused.stderr, refused.stderr
            if words[0] == "stop":  # of a run that has ended: nothing has to be written
                assert refused.returncode == 0 and refused.stderr.startswith(("finished", "failed"))
            else:
                assert refused.returncode == 1, refused.stderr
                assert "ead-only" in refused.stderr or "ermission denied" in refused.stderr, refused.stderr
    assert run.meta() == {} and run.path.is_dir()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A tmpfs of 600 kB; skipped where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk: Path, leave: int = 0) -> Path:
    filler = disk / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        while True:
            os.write(file, b"x" * 4096)
    os.ftruncate(file, os.fstat(file).st_size - leave)
    os.close(file)
    return filler


@pytest.mark.parametrize("leave", [0, 120_000])
def test_a_full_disk(small_disk: Path, tmp_path: Path, leave: int) -> None:
    ws = make_workspace(small_disk / "ws")
    folder = make_run_folder(ws, "first")
    with Index.open(ws) as index:
        index.sync()
    elsewhere = make_workspace(tmp_path / "elsewhere")
    long = make_run_folder(elsewhere, "long", created=START + 5, events=training(epochs=20, steps_per_epoch=500))
    filler = fill(small_disk, leave)
    (ws.runs / long.id).symlink_to(long.path)
    with Index.open_reading(ws) as index:
        index.sync()
        assert "full" in str(index.trouble)
        assert "safe" in str(index.trouble)
        assert index.run(folder.id).val_acc == 0.74
    with pytest.raises(UserError, match="was not written"):
        operations.set_note(ws, folder.id, "x" * 200_000)
    assert not (folder.path / "meta.toml").exists()
    filler.unlink()
    (ws.runs / long.id).unlink()
    operations.set_note(ws, folder.id, "there is room again")
    with Index.open(ws) as index:
        index.sync()
        assert index.trouble is None
        assert index.run(folder.id).note == "there is room again"


WRITER = """
import sys
from pathlib import Path
from rmtui.index import ingest
from rmtui.runs.folder import RunFolder
from rmtui.workspace import open_workspace
from trainer.events import Event, EventWriter
ws, folder = open_workspace(Path(sys.argv[1])), RunFolder(Path(sys.argv[2]))
with EventWriter(folder.path / "attempt-1" / "events.jsonl") as said:
    for step in range(61, 361):
        said.record("step", step, step / 100, {"loss": 1 / step, "grad_norm": 1.0})
        if step % 10 == 0:
            ingest.catch_up(ws, folder)
"""


def test_eight_writers_at_once_lose_nothing(ws: Workspace) -> None:
    folders = [make_run_folder(ws, f"run-{n}", outcome=None) for n in range(8)]
    with Index.open(ws) as index:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(ws.root), str(folder.path)]) for folder in folders
        ]
        wait_until(lambda: index.sync() is not None and all(writer.poll() is not None for writer in writers), 120)
        assert [writer.returncode for writer in writers] == [0] * 8
        index.sync()
        for folder in folders:
            steps = [step for step, _ in index.series_full(folder.id, "grad_norm")]
            assert steps == [*range(1, 361)]


def test_the_write_ahead_log_is_folded_in(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LONG_LOG", 1 << 20)
    short = make_run_folder(ws, "short")
    long = make_run_folder(ws, "long", created=START + 5, events=training(epochs=20, steps_per_epoch=500))
    log = ws.database.with_name("runs.sqlite-wal")
    with Index.open(ws) as index:
        reader = sqlite.open_database(ws.database)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()  # a reader in the way of every checkpoint
        index.sync()
        assert log.stat().st_size > 1 << 20
        reader.execute("COMMIT")
        ingest.catch_up(ws, short)
        assert log.stat().st_size < 1 << 20
        assert len(index.series_full(long.id, "loss")) == 10_000
        reader.close()
