"""A search through the real trainer and queue, killed on its way; what it leaves, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import REPO, make_run_folder, make_workspace, wait_until

from rmtui.errors import UserError
from rmtui.launch import spawn
from rmtui.operations.runs import reading
from rmtui.runs import ownership, queue_tickets
from rmtui.runs.files import locked
from rmtui.runs.folder import RunFolder, run_folders
from rmtui.tune import begin
from rmtui.tune.course import Course, create, folders
from rmtui.tune.drive import drive
from rmtui.tune.model import Budget, Score, Search, Trial
from rmtui.workspace import Workspace, open_workspace
from trainer.events import read_from
from trainer.model import toy

GOOD, BAD = ("use warm soap", "ask your doctor", "check the cable"), ("no idea", "who cares", "go away")


def rmtui(ws: Workspace, *argv: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line(ws, *argv), capture_output=True, text=True, check=False, cwd=ws.root, **more)


def line(ws: Workspace, *argv: str) -> list[str]:
    return [sys.executable, "-m", "rmtui", "-C", str(ws.root), *argv]


def pairs(count: int) -> str:
    draw = random.Random(3)
    rows = [
        {
            "id": f"p{number}",
            "prompt": f"question {number}: ",
            "chosen": " ".join(draw.choices(GOOD, k=2)),
            "rejected": " ".join(draw.choices(BAD, k=2)),
        }
        for number in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def toy_ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a tiny model of its own."""
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ws = make_workspace(tmp_path / "ws")
    for side, count in (("train", 80), ("val", 24)):
        (ws.data / side / "toy_pairs.jsonl").write_text(pairs(count))
    toy.make_decoder(ws.root / "model", [*GOOD, *BAD, "question 0123456789: "], vocabulary=300, hidden=32, layers=2)
    (ws.root / "workspace.toml").write_text('model = "model"\ndata = "toy"\nprocesses = 1\n')
    return open_workspace(ws.root)


def losses(run: Path) -> dict[int, float]:
    found = [event for path in sorted(run.glob("attempt-*/events.jsonl")) for event in read_from(path)[0]]
    return {event.step: event.metrics["loss"] for event in found if event.kind == "step"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_that_is_killed_goes_on_extends_exactly_and_reports(toy_ws):
    """Three runs: one epoch, the same trained on to two, and that again with another seed. The first process is killed
    while its run trains."""
    asked = ("tune", "--budget", "3runs", "--space", "epochs", "--repeats", "1", "--json")
    asked += ("--set", "learning_rate=1e-3", "--set", "max_length=64", "--set", "lora.r=4", "--preset", "A")
    first = subprocess.Popen(line(toy_ws, *asked), cwd=toy_ws.root, stdout=subprocess.DEVNULL)
    (run,) = wait_until(lambda: list(run_folders(toy_ws.runs)))
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = rmtui(toy_ws, "tune", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["state"] == "done" and found["budget"]["spent"] == 3
    assert [(t["role"], t["epochs"], t["parent"]) for t in found["trials"]] == [
        ("bracket", 1, None),
        ("extension", 2, 1),
        ("repeat", 2, 2),
    ]
    assert found["trials"][0]["run"] == run.id and len(list(run_folders(toy_ws.runs))) == 3
    extension = RunFolder(toy_ws.runs / found["trials"][1]["run"])
    assert extension.spec()["extends"] == run.id
    own, parent = losses(extension.path), losses(run.path)
    branch = min(own) - 1
    assert len(own) == 20 - branch and 0 < branch < 10
    assert {step: own[step] for step in own if step <= branch + 1} == {branch + 1: parent[branch + 1]}
    assert found["trials"][1]["epochs_computed"] == pytest.approx(2 - branch / 10)
    with reading(toy_ws) as index:
        last = index.run(extension.id).epochs[-1]
    assert found["best"]["n"] == 2 and found["best"]["val_loss"] == pytest.approx(last.val_loss)
    report = (Path(found["folder"]) / "report.md").read_text()
    assert "best: trial 2" in report and "seed 43" in report and run.id in report
    assert (Path(found["folder"]) / "report.html").read_text().count("<svg") >= 3
    again = rmtui(toy_ws, *asked)
    assert json.loads(again.stdout)["trials"] == found["trials"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_detached_search_outlives_its_command_and_looks_dead_when_killed(toy_ws):
    asked = ("tune", "--budget", "1runs", "--detach", "--set", "max_length=64", "--set", "lora.r=4", "--preset", "A")
    begun = rmtui(toy_ws, *asked)
    assert begun.returncode == 0 and "runs in the background" in begun.stdout, begun.stderr
    (folder,) = folders(toy_ws)
    assert "running already" in rmtui(toy_ws, *asked).stdout
    holder = next(
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"--search\0{folder.id}".encode() in path.read_bytes()
    )
    os.kill(holder, signal.SIGKILL)
    wait_until(lambda: not folder.driven)
    assert json.loads(rmtui(toy_ws, "tune", "--show", "--json").stdout)["state"] == "waiting"
    assert rmtui(toy_ws, "tune", "--detach").returncode == 0
    wait_until(lambda: not folder.driven, 300)
    assert json.loads(rmtui(toy_ws, "tune", "--show", "--json").stdout)["state"] == "done"


def test_a_dry_run_shows_the_plan_and_starts_nothing(toy_ws):
    done = rmtui(toy_ws, "tune", "--budget", "12epochs", "--preset", "A", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert found["epochs"] <= 12 and found["runs"] == sum(stage["trials"] for stage in found["stages"])
    assert found["seconds"] is None and found["steps_per_epoch"] == 10
    assert not folders(toy_ws) and not list(run_folders(toy_ws.runs))
    text = rmtui(toy_ws, "tune", "--budget", "12epochs", "--preset", "A", "--dry-run").stdout
    assert "× bracket, 1 epoch" in text and "in all" in text
    assert "begins at learning_rate 1.5e-5 · lora.r 32 · lora.alpha 64 · " in text  # as everywhere, not 64.0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("tune",), "a search needs a budget"),
        (("tune", "--budget", "soon"), "is not a budget"),
        (("tune", "--budget", "3runs", "--data", "nothing"), "refused"),
        (("tune", "--budget", "3runs", "--space", "seed"), "cannot be searched"),
        (("tune", "--show"), "there is no search here"),
        (("tune", "--search", "2099"), "there is no search here"),
        (("tune", "--budget", "3runs", "--repeats", "-1"), "--repeats is from 0"),
    ],
)
def test_what_cannot_be_is_refused_in_words(ws, argv, words):
    done = rmtui(ws, *argv, env={**os.environ, "PYTHONPATH": str(REPO), "LANG": "C.UTF-8"})
    assert done.returncode == 2 and words in done.stderr, done.stderr


RULES = Search(Budget(8, "runs"), {"learning_rate": 1e-4}, 3)
SPEC = {"name": "x", "preset": "A", "data": "toy", "config": {"num_epochs": 3}, "launch": {"processes": 1}}


def test_what_is_written_is_what_is_read(ws):
    folder = create(ws, SPEC, 40, RULES)
    one = Trial(1, "bracket", {"learning_rate": 3e-4}, 1, 42, "where it begins", 0, "r1", Score(0.6, 0.7, {}, 1.0, 9.0))
    two = Trial(2, "extension", {"learning_rate": 3e-4}, 2, 42, "on", 1)
    folder.write_course(Course((one, two), ("a note",), "", "trouble"))
    (found,) = folders(ws)
    assert found.order().search == RULES and found.order().train_pairs == 40
    assert found.course() == Course((one, two), ("a note",), "", "trouble")


def test_a_damaged_list_of_trials_is_said_and_never_begun_anew(ws):
    folder = create(ws, SPEC, 40, RULES)
    (folder.path / "trials.json").write_text('{"trials": [{"n": 1}]}')
    done = rmtui(ws, "tune", env={**os.environ, "PYTHONPATH": str(REPO), "LANG": "C.UTF-8"})
    assert done.returncode == 1 and "trials.json cannot be read" in done.stderr
    assert (folder.path / "trials.json").read_text() == '{"trials": [{"n": 1}]}'


def done_search(ws):
    folder = create(ws, SPEC, 40, RULES)
    score = Score(0.6, 0.7, {}, 1.0, 9.0)
    one = Trial(1, "bracket", {"learning_rate": 3e-4}, 1, 42, "where it begins", 0, "r1", score)
    folder.write_course(Course((one,), (), "the budget is spent"))
    return folder


def test_a_search_that_is_done_is_not_said_to_run_in_the_background(ws, monkeypatch):
    folder, driven = done_search(ws), []
    monkeypatch.setattr(begin, "drive_apart", lambda ws, folder: driven.append(folder))
    assert "is done" in begin.start_apart(ws, folder) and not driven
    begin.raise_budget(folder, Budget(9, "runs"))
    assert "in the background" in begin.start_apart(ws, folder) and driven == [folder]


def test_r_gives_a_search_that_is_done_or_runs_more_to_spend(ws, monkeypatch):
    folder, driven = done_search(ws), []
    monkeypatch.setattr(begin, "drive_apart", lambda ws, folder: driven.append(folder))
    assert begin.extend(ws, folder).endswith("with a budget of 12 runs") and driven == [folder]
    assert folder.course().done == "" and folder.order().search.budget == Budget(12, "runs")
    with locked(folder.lock, 1.0, "x"):
        assert begin.extend(ws, folder).endswith("with a budget of 18 runs") and driven == [folder]
    assert folder.order().search.budget == Budget(18, "runs")


def test_a_pause_is_asked_of_a_search_that_runs_alone(ws):
    folder = done_search(ws)
    assert "is not running" in begin.ask_pause(folder) and not folder.pause_asked()
    with locked(folder.lock, 1.0, "x"):
        assert "pauses" in begin.ask_pause(folder) and folder.pause_asked() and not folder.stop_asked()
    folder.forget_requests()
    assert not folder.pause_asked()


def test_a_run_that_nobody_waits_for_any_more_waits_again(ws, monkeypatch):
    """The search was killed between the run's ticket and the process that waits for its turn."""
    run = make_run_folder(ws, name="one", outcome=None)
    shutil.rmtree(run.path / "attempt-1")
    queue_tickets.add(ws.queue, run.id, 1, queue_tickets.Needs())
    ownership.own_run(ws.root, run)
    folder, waits, said = create(ws, SPEC, 40, RULES), [], []
    folder.write_course(Course((Trial(1, "bracket", {"learning_rate": 3e-4}, 1, 42, "begins", 0, run.id),)))
    monkeypatch.setattr(spawn, "wait_in_line", lambda ws, run, attempt: waits.append(run.id) or True)
    with pytest.raises(UserError, match="did not end by itself"):  # no process was begun here, and the search says so
        drive(ws, folder, said.append)
    assert waits == [run.id] and f"trial 1 waits again: run {run.id}" in said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_paused_search_ends_its_run_and_takes_up_a_larger_budget(toy_ws):
    """The pause is asked for while the first run trains: that run finishes, no second one is made."""
    asked = ("tune", "--budget", "2runs", "--detach", "--set", "max_length=64", "--set", "lora.r=4", "--preset", "A")
    assert rmtui(toy_ws, *asked).returncode == 0
    (folder,) = folders(toy_ws)
    assert "pauses" in rmtui(toy_ws, "tune", "--pause").stdout
    wait_until(lambda: not folder.driven, 300)
    (only,) = folder.course().trials
    assert only.score is not None and not folder.course().done
    done = rmtui(toy_ws, "tune", "--budget", "3runs")
    assert done.returncode == 0 and len(folder.course().trials) == 3, done.stderr
