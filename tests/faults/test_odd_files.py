"""Something else in the place of a workspace's own files: every verb answers in words or works, and never waits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import support

from rmtui.cli import main
from rmtui.operations import adopt
from rmtui.workspace import Workspace, open_workspace

PATHS = (
    *("queue/.workspace.json", "queue/.workspace.lock", "queue/turn.lock", "queue/20200101-000000-0001.json"),
    *("queue/20200101-000000-0001.lock", "queue/unannounced", "queue/unannounced/20200101-000000-0001.1", "queue"),
    *("runs.sqlite", "runs.sqlite.lock", "workspace.toml", "presets", "presets/a-conservative.toml"),
    *("runs/odd", "data", ".gitignore"),
)
KINDS = ("FIFO", "folder", "file", "loop", "socket", "device", "sparse")
VERBS = (["ls"], ["show", "A-1"], ["queue"], ["doctor", "--fast"], ["presets"], ["note", "A-1", "x"])


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = support.make_workspace(tmp_path / "ws")
    support.make_run_folder(made, "A-1")
    return made


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """A verb that waits for ever fails here."""

    def late(*_: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def put(path: Path, kind: str) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"\0\xff{[" * 50)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PATHS)
def test_whatever_is_in_a_files_place_is_said_or_passed_over(ws, capsys, name, kind):
    put(ws.root / name, kind)
    for words in VERBS:
        with patience(20):
            code = main(["-C", str(ws.root), *words])
        out, err = capsys.readouterr()
        assert code in (0, 1, 2), (words, code)
        assert "Traceback" not in err + out, err
        assert code != 2 or err, f"{words} says nothing"
        if words == ["ls"] and not name.startswith(("workspace.toml", "runs.sqlite")):
            assert "A-1" in out, f"the other run is listed: {err}"
    if name != "workspace.toml":
        with patience(20):
            adopt.adopt_all(open_workspace(ws.root))
