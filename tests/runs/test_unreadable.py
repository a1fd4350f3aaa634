"""Anything in place of any file of one run: that run says so in its row, and everything else is as before."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import make_run_folder, make_workspace

from rmtui.cli import main
from rmtui.errors import UserError
from rmtui.operations import adopt, doctor, runs, stop
from rmtui.runs import proc, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.just("9" * 400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("outcome", "reason", "exit_code", "ended", "step", "rank", "tail", "suggest", "kind", "t", "host", "boot_id"),
        *("pid", "started", "nonce", "argv", "processes", "devices", "grace", "slots", "type", "text", "now", "by"),
        *("attempt", "name", "note", "tags", "pinned", "archived", "group", "silenced", "run", "order", "needs", "id"),
        *(
            "created",
            "config",
            "trainer",
            "launch",
            "fingerprints",
            "origin",
            "schema",
            "metrics",
            "epoch",
            "data",
            "v",
        ),
    ]
)
RUN_FILES = (
    *("spec.toml", "meta.toml", "origin.json", "events.jsonl", "forecasts.jsonl", "control/stop-1.json", "control"),
    *("attempt-1/launch.json", "attempt-1/exit.json", "attempt-1/result.json", "attempt-1/failure-rank0.json"),
    *("attempt-1/events.jsonl", "attempt-1/ranks/rank0", "attempt-1/logs/launch.log", "attempt-1/logs/rank0.log"),
    *("attempt-1/stuck.txt", "attempt-1/ending.txt", "attempt-1/ranks", "attempt-1/logs", "attempt-1"),
    *("checkpoints/best", "checkpoints/step-000001/manifest.json", "validation/epoch-1.jsonl", "attempt-" + "9" * 5000),
)
CONTENT = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(KEYS, JSON, max_size=6).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(KEYS, JSON, max_size=6).map(lambda value: toml(value)),
    st.just(b"[" * 100_000),
    st.just(b'{"a":' * 500 + b"1" + b"}" * 500),
)


def toml(value: dict[str, Any]) -> bytes:
    try:
        return tomlkit.dumps(value).encode("utf-8", "surrogatepass")
    except Exception:  # what TOML cannot hold
        return b"= broken"


def place(target: Path, content: bytes | str) -> None:
    """Put a content, or a FIFO, folder, device or loop, at a path; a name that no file system takes is passed over."""
    with contextlib.suppress(OSError):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        kinds: dict[str, Callable[[], object]] = {
            "fifo": lambda: os.mkfifo(target),
            "folder": target.mkdir,
            "device": lambda: target.symlink_to("/dev/zero"),
            "terminal": lambda: target.symlink_to("/dev/tty"),
            "loop": lambda: target.symlink_to(target.name),
        }
        kinds[content]() if isinstance(content, str) else target.write_bytes(content)


KIND = st.sampled_from(["fifo", "folder", "device", "loop", "terminal"])


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = make_workspace(tmp_path / "ws")
    make_run_folder(ws, "good")
    return ws


def said(ws: Workspace, *words: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(["-C", str(ws.root), *words])
    return code, out.getvalue()


def rows(ws: Workspace) -> dict[str, dict[str, Any]]:
    code, text = said(ws, "ls", "--json")
    assert code == 0
    return {row["id"]: row for row in json.loads(text, parse_constant=pytest.fail)}


@SETTINGS
@given(name=st.sampled_from(RUN_FILES), content=CONTENT | KIND, alive=st.booleans())
def test_any_file_of_one_run_spoils_nothing_else(ws: Workspace, name: str, content: bytes | str, alive: bool) -> None:
    before = rows(ws)
    good = next(iter(before))
    shown = said(ws, "show", good)
    bad = make_run_folder(ws, "bad")
    if alive:
        (bad.path / "attempt-1" / "exit.json").unlink(missing_ok=True)
    place(bad.path / name, content)
    after = rows(ws)
    assert {run: after[run] for run in before} == before
    assert said(ws, "show", good) == shown
    assert said(ws, "rebuild")[0] == 0
    assert rows(ws) == after
    assert said(ws, "ls")[0] == 0
    state.status(bad)
    adopt.adopt_all(ws)
    doctor.examine(ws, deep=False)
    if bad.id in after:
        assert said(ws, "rm", bad.id, "--yes", "--not-running")[0] == 0
    shutil.rmtree(bad.path, ignore_errors=True)
    assert rows(ws) == before


@pytest.mark.parametrize("kind", ["loop", "fifo", "folder", "device", b"\xff"])
def test_rewards_that_cannot_be_read_spoil_no_other_runs_choice(ws: Workspace, kind: bytes | str) -> None:
    """The best of several runs on one validation set looks into the rewards of each of them."""
    good = next(ws.runs.iterdir())
    bad = make_run_folder(ws, "bad")
    for run in (good, bad.path):
        for epoch in (1, 2, 3):
            lines = [json.dumps({"id": str(n), "chosen": n % (epoch + 1), "rejected": 0.5}) for n in range(12)]
            (run / "validation").mkdir(exist_ok=True)
            (run / "validation" / f"epoch-{epoch}.jsonl").write_text("\n".join(lines))
    place(bad.path / "validation" / "epoch-2.jsonl", kind)
    code, text = said(ws, "show", good.name, "--json")
    assert code == 0 and json.loads(text)["chosen"]["candidates"] == 5, "all but the one that cannot be read"
    assert said(ws, "rm", bad.id, "--yes")[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("attempt-1/exit.json", b'{"outcome": []}', "outcome is a list, not text"),
        ("attempt-1/exit.json", b'{"outcome": "failed", "ended": "x"}', "ended is text, not a finite number"),
        ("attempt-1/launch.json", b'{"t": "x"}', "t is text, not a finite number"),
        ("attempt-1/launch.json", "fifo", "it is a FIFO, not a file"),
        ("spec.toml", "fifo", "it is a FIFO, not a file"),
        ("spec.toml", b"launch = 3", "launch is 3, not a table"),
        ("meta.toml", "folder", "it is a folder, not a file"),
        ("meta.toml", b"\xff", "it is not UTF-8 text"),
        ("attempt-1/result.json", b"", "it is empty"),
    ],
)
def test_a_bad_file_is_named_in_its_runs_row_with_why(ws: Workspace, name: str, content: bytes | str, why: str) -> None:
    bad = make_run_folder(ws, "bad")
    if name == "attempt-1/result.json":
        (bad.path / "attempt-1" / "exit.json").unlink()
    place(bad.path / name, content)
    assert f"{name} is unreadable: {why}" in rows(ws)[bad.id]["reason"]
    assert "unreadable" in said(ws, "ls")[1]
    assert str(bad.path) in said(ws, "show", bad.id)[1]


def test_a_run_whose_metrics_were_never_read_is_listed_with_none_and_why(ws: Workspace) -> None:
    bad = make_run_folder(ws, "bad")
    place(bad.path / "attempt-1" / "events.jsonl", "folder")
    row = rows(ws)[bad.id]
    assert (row["step"], row["epochs_done"]) == (0, 0) and "it is a folder, not a file" in row["reason"]
    code, listed = said(ws, "ls")
    assert code == 0 and "it is a folder, not a file" in listed


def test_a_run_that_cannot_be_judged_is_not_touched_and_can_be_removed(ws: Workspace) -> None:
    """Where and when it was started is not known: nobody stops it, or starts it again."""
    bad = make_run_folder(ws, "bad")
    (bad.path / "attempt-1" / "exit.json").unlink()
    (bad.path / "attempt-1" / "launch.json").write_text('{"host": 1}')
    assert state.status(bad).state == State.UNKNOWN
    with pytest.raises(UserError, match="host is 1, not text"):
        stop.stop(ws, bad.id)
    assert said(ws, "rm", bad.id, "--yes")[0] == 0 and not bad.path.exists()


def test_a_note_is_not_written_over_a_meta_file_that_is_unreadable(ws: Workspace) -> None:
    bad = make_run_folder(ws, "bad", meta={"note": "precious"})
    broken = (bad.path / "meta.toml").read_text() + "= "
    (bad.path / "meta.toml").write_text(broken)
    with pytest.raises(UserError, match="unreadable"):
        runs.set_note(ws, bad.id, "new")
    assert (bad.path / "meta.toml").read_text() == broken


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[31m", b".hidden"])
def test_a_folder_that_cannot_be_a_run_is_no_row_and_the_doctor_names_it(ws: Workspace, name: bytes) -> None:
    before = rows(ws)
    (ws.runs / os.fsdecode(name)).mkdir()
    assert rows(ws) == before
    found = [each.text for each in doctor.examine(ws, deep=False) if each.topic == "runs"]
    assert found == [] if name.startswith(b".") else len(found) == 1 and found[0].isprintable()


def test_many_requests_are_read_in_bounded_time(ws: Workspace) -> None:
    run = RunFolder.create(ws.runs, {"name": "waits"})
    for number in range(1500):
        (run.control / f"stop-{number:04}.json").write_text('{"attempt": 7}')
    assert len(run.requests("stop", 7)) == 1000


def test_a_ticket_of_another_shape_is_none(ws: Workspace) -> None:
    run = RunFolder.create(ws.runs, {"name": "waits"})
    ticket = {"run": run.id, "attempt": "x", "order": 1, "t": 1, "host": proc.host(), "boot_id": "", "needs": {}}
    for broken in (ticket, ticket | {"attempt": 1}, ticket | {"attempt": 1, "needs": []}, ticket | {"further": 1}):
        (ws.queue / f"{run.id}.json").write_text(json.dumps(broken))
        assert rows(ws)[run.id]["state"] == "interrupted"
        assert said(ws, "queue")[0] == 0
