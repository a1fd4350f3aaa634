"""The verbs about runs and presets, as scripts and people use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import START, make_run_folder, make_runs, training, wait_until

from rmtui.cli import main
from rmtui.cli.text_tables import Cell, Column, layout
from rmtui.operations.runs import init
from rmtui.text import width as cells_of
from rmtui.workspace import Workspace
from trainer.events import Event


@pytest.fixture
def rmtui(ws: Workspace, capsys: pytest.CaptureFixture[str]):
    """Runs a verb in the workspace: (exit code, stdout, stderr)."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["-C", str(ws.root), *argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_ls_in_a_pipe_is_one_line_a_run_with_tabs(ws: Workspace, rmtui) -> None:
    make_run_folder(ws, "helpful-A-1", tags=["night", "good"])
    make_run_folder(ws, "failed one", created=START + 60, outcome="failed", reason="boom\twith a tab", events=[])
    code, out, err = rmtui("ls")
    head, newer, older = (line.split("\t") for line in out.splitlines())
    assert (code, err) == (0, "")
    assert head[1:4] == ["run", "state", "preset"]
    assert older[1:7] == ["helpful-A-1", "finished", "A", "helpful", "3", "74.0%"]
    assert newer[1:3] == ["failed one", "failed"]
    assert len(newer) == len(head)
    assert "\x1b" not in out


def test_ls_json_has_the_documented_keys(ws: Workspace, rmtui) -> None:
    make_run_folder(ws, "helpful-A-1")
    code, out, _ = rmtui("ls", "--json")
    (run,) = json.loads(out)
    assert code == 0
    for key in ("id", "name", "state", "reason", "preset", "data", "created", "started", "ended", "host", "processes",
                "config", "epochs", "best", "tags", "note", "folder"):  # fmt: skip
        assert key in run
    assert "attempts" not in run
    assert run["created"] == "2025-10-09T08:53:20.000Z"
    assert run["config"]["lora"]["r"] == 32
    assert run["best"] == {"epoch": 3, "step": 60, "val_acc": 0.74, "val_loss": pytest.approx(0.56)}
    assert set(run["epochs"][0]) >= {"epoch", "train_loss", "val_loss", "val_acc", "val_pairs"}


def test_ls_filters_sorts_and_limits(ws: Workspace, rmtui) -> None:
    make_runs(ws, 12)
    _, out, _ = rmtui("ls", "--filter=state:failed", "--json")
    assert [run["state"] for run in json.loads(out)] == ["failed"]
    _, out, _ = rmtui("ls", "--sort", "name", "--limit", "2", "--json")
    assert [run["name"] for run in json.loads(out)] == ["helpful-A-0", "helpful-A-3"]
    code, out, err = rmtui("ls", "--filter", "lr>fast")
    assert (code, out) == (2, "")
    assert "fast is not a number" in err
    assert "→" in err


def test_show_tells_attempts_and_epochs(ws: Workspace, rmtui) -> None:
    first = [event for event in training() if event.step <= 30]
    rest = training(start=START + 999, first_step=21)
    folder = make_run_folder(ws, "resumed", attempts=[first, rest], meta={"note": "warmer"})
    code, out, _ = rmtui("show", "resumed", "--json")
    run = json.loads(out)
    assert code == 0
    assert run["folder"] == str(folder.path)
    assert [(a["n"], a["state"], a["resumed_from_step"]) for a in run["attempts"]] == [
        (1, "interrupted", 0),
        (2, "finished", 20),
    ]
    assert set(run["attempts"][0]) >= {"n", "state", "exit_code", "started", "ended", "resumed_from_step"}
    assert [epoch["epoch"] for epoch in run["epochs"]] == [1, 2, 3]
    _, words, _ = rmtui("show", "resumed")
    for part in ("finished", "warmer", "74.0%", "learning_rate", "attempts"):
        assert part in words
    assert "attempts 2" in " ".join(words.split())


def test_show_tells_the_last_evaluation_of_each_validation_set_with_its_ties(ws: Workspace, rmtui) -> None:
    figures = {"val_loss": 0.56, "val_acc": 0.74, "val_pairs": 200, "reward_margin": 0.25, "reward_mean": -0.1}
    figures |= {"reward_std": 0.5, "calibration_error": 0.087, "val_acc_chosen_shorter": 0.525}
    figures |= {"pairs_chosen_shorter": 40, "length_correlation": -0.31}
    alone = {"val_loss": 0.5, "val_acc": 1.0, "val_pairs": 1, "val_ties": 0, "pairs_chosen_shorter": 0}
    events = training()
    for step, ties in ((20, 9), (60, 3)):
        at = next(place for place, event in enumerate(events) if event.kind == "eval" and event.step == step)
        told = events[at]
        events[at] = Event("eval", told.t, step, told.epoch, {**figures, "val_ties": ties})
        events.insert(at + 1, Event("eval", told.t, step, told.epoch, alone, {"set": "holdout"}))
    make_run_folder(ws, "two-sets", events=events)
    make_run_folder(ws, "older")
    _, out, _ = rmtui("show", "two-sets")
    lines = [line.split("\t") for line in out.splitlines()]
    assert ["val", "0.5600", "74.0%", "200", "3", "0.250", "-0.10 ± 0.50", "0.087", "52.5% of 40", "-0.31"] in lines
    assert ["holdout", "0.5000", "100.0%", "1", "0", "–", "–", "–", "–", "–"] in lines
    _, out, _ = rmtui("show", "two-sets", "--json")
    evaluation = json.loads(out)["evaluation"]
    assert list(evaluation) == ["val", "holdout"]
    assert (evaluation["val"]["val_ties"], evaluation["holdout"]["reward_mean"]) == (3, None)
    _, out, _ = rmtui("show", "older", "--json")
    assert json.loads(out)["evaluation"] == {}


def test_unknown_figures_are_null_and_never_invented(ws: Workspace, rmtui) -> None:
    code, _, _ = rmtui("init", "--guide")
    _, out, _ = rmtui("show", "after", "--json")
    after = json.loads(out)
    assert code == 0
    unknown = dict.fromkeys(("val_acc", "val_pairs", "reward_margin", "val_clusters", "val_effective"))
    assert after["epochs"] == [{"epoch": 2, "train_loss": 0.6728, "val_loss": 0.605, **unknown}]
    assert (after["preset"], after["started"], after["processes"]) == (None, None, None)


def test_init_bare_has_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--bare", str(tmp_path / "new")]) == 0
    assert main(["-C", str(tmp_path / "new"), "ls", "--json"]) == 0
    assert capsys.readouterr().out.endswith("[]\n")


def test_a_wrong_run_or_workspace_is_exit_2(ws: Workspace, rmtui, tmp_path: Path, capsys) -> None:
    make_runs(ws, 2)
    code, out, err = rmtui("show", "nobody")
    assert (code, out) == (2, "")
    assert "there is no run nobody" in err
    code, _, err = rmtui("show", "helpful")
    assert code == 2
    assert "several" in err
    assert main(["-C", str(tmp_path), "ls"]) == 2
    assert "rmtui init" in capsys.readouterr().err


def test_presets_are_listed_and_printed(ws: Workspace, rmtui) -> None:
    _, out, _ = rmtui("presets")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["name", "A", "B", "C", "M"]
    assert "1.5e-5" in out
    _, out, _ = rmtui("presets", "a")
    assert out == (ws.presets / "a-conservative.toml").read_text()
    _, out, _ = rmtui("presets", "C", "--json")
    assert json.loads(out)["config"]["batch_size"] == 6
    _, out, _ = rmtui("presets", "--json")
    assert [preset["name"] for preset in json.loads(out)] == ["A", "B", "C", "M"]
    _, out, _ = rmtui("presets", "--options")
    assert "lora.target_modules" in out


def test_notes_tags_names_pins_archive(ws: Workspace, rmtui) -> None:
    make_run_folder(ws, "one")
    assert rmtui("note", "one", "calmer")[0] == 0
    assert rmtui("tag", "one", "--add", "good", "--add", "night")[1] == "good night\n"
    assert rmtui("tag", "one", "--remove", "night")[1] == "good\n"
    assert rmtui("rename", "one", "two")[0] == 0
    assert rmtui("pin", "two")[0] == 0
    assert rmtui("group", "two", "--name", "seeds")[0] == 0
    run = json.loads(rmtui("ls", "--json")[1])[0]
    assert (run["name"], run["note"], run["tags"], run["pinned"], run["group"]) == (
        "two", "calmer", ["good"], True, "seeds",
    )  # fmt: skip
    assert rmtui("archive", "two")[0] == 0
    assert json.loads(rmtui("ls", "--json")[1]) == []
    assert len(json.loads(rmtui("ls", "--all", "--json")[1])) == 1
    assert rmtui("rename", "two", "\x1b[31m")[0] == 2


def test_rm_asks_and_refuses_where_nobody_can_answer(ws: Workspace, rmtui, monkeypatch) -> None:
    folder = make_run_folder(ws, "one")
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123
    code, _, err = rmtui("rm", "one")
    assert code == 2
    assert "--yes" in err
    assert folder.path.exists()
    assert rmtui("rm", "one", "nobody", "--yes")[0] == 2
    assert folder.path.exists()  # all are looked up before one is deleted
    assert rmtui("rm", "one", "--yes") == (0, f"{folder.id}\n", "")
    assert not folder.path.exists()


def test_rebuild_says_what_it_did(ws: Workspace, rmtui) -> None:
    make_runs(ws, 3)
    assert "3 runs" in rmtui("rebuild")[1]
    ws.database.write_bytes(b"")
    code, out, err = rmtui("ls", "--json")
    assert code == 0
    assert len(json.loads(out)) == 3
    assert "0 bytes" in err
    code, out, _ = rmtui("rebuild")
    assert code == 0
    assert "damaged index was moved" in out
    assert rmtui("ls")[2] == ""


def test_plot_in_a_pipe_has_no_escapes(ws: Workspace, rmtui) -> None:
    make_runs(ws, 2)
    code, out, _ = rmtui("plot", "@latest")
    assert code == 0
    assert "\x1b" not in out
    assert "val_acc" in out
    assert "train_loss" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = rmtui("plot", "helpful-A-0", "helpful-B-1", "--metric", "val_acc", "--x", "epoch", "--width", "60")
    assert "helpful-A-0" in out
    assert "helpful-B-1" in out
    code, _, err = rmtui("plot", "@latest", "--metric", "beauty")
    assert code == 2
    assert "grad_norm" in err


def test_plot_of_values_that_are_not_finite(ws: Workspace, rmtui) -> None:
    values = [1.0, float("nan"), float("inf"), 2.0, float("nan")]
    said = [Event("start", START), *(Event("step", START + n, n, n / 5, {"loss": v}) for n, v in enumerate(values, 1))]
    make_run_folder(ws, "odd", events=said)
    assert rmtui("plot", "odd")[0] == 0
    make_run_folder(ws, "mute", created=START + 9, events=[Event("start", START)])
    code, _, err = rmtui("plot", "mute")
    assert code == 1
    assert "no metrics yet" in err


def test_logs_print_a_runs_attempts_in_order_and_harmless(ws: Workspace, rmtui) -> None:
    folder = make_run_folder(ws, "one", attempts=[training(), training()], log="a\n\x1b[31mb\x1b[0m\n 5%|\r 9%|#\nhalf")
    assert rmtui("logs", "one")[1].splitlines() == ["a", "b", " 9%|#", "half"] * 2
    assert rmtui("logs", "one", "--tail", "5")[1].splitlines() == ["half", "a", "b", " 9%|#", "half"]
    assert rmtui("logs", "one", "--attempt", "2", "--tail", "1")[1] == "half\n"
    (folder.path / "attempt-2" / "logs" / "rank1.log").write_text("from rank 1\n")
    assert rmtui("logs", "one", "--rank", "1")[1] == "from rank 1\n"
    code, _, err = rmtui("logs", "one", "--rank", "7")
    assert code == 1
    assert "rank 0, 1" in err


def test_logs_follow_ends_with_the_run(ws: Workspace) -> None:
    folder = make_run_folder(ws, "live", outcome=None, log="old 1\nold 2\nhal")
    (folder.path / "attempt-1" / "launch.json").unlink()
    lock = folder.path / "attempt-1" / "supervisor.lock"
    lock.touch()
    command = [sys.executable, "-m", "rmtui", "-C", str(ws.root), "logs", "live", "--follow", "--tail", "2"]
    holder = subprocess.Popen(["flock", str(lock), "cat"], stdin=subprocess.PIPE)
    wait_until(lambda: subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode != 0)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "old 2\n"
        log = folder.path / "attempt-1" / "logs" / "rank0.log"
        with log.open("a") as file:
            file.write("f a line\nlast half")
        assert follower.stdout.readline() == "half a line\n"
        (folder.path / "attempt-1" / "exit.json").write_text('{"outcome": "finished"}')
        assert follower.stdout.read() == "last half\n"
        assert follower.wait(20) == 0
    holder.communicate()


def test_a_closed_pipe_is_no_error(ws: Workspace) -> None:
    make_run_folder(ws, "one", log="x\n" * 200_000)
    command = f"{sys.executable} -m rmtui -C {ws.root} logs one | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("x\n", "")


CPU = """
import resource, sys
from rmtui.cli import main
main(["-C", sys.argv[1], "ls"])
spent = resource.getrusage(resource.RUSAGE_SELF)
names = ("textual", "torch", "numpy", "plotext", "tomlkit", "sqlite_utils", "rich")
print("\\nLOADED", [name for name in names if name in sys.modules], file=sys.stderr)
"""


def test_ls_loads_nothing_heavy(ws: Workspace) -> None:
    make_runs(ws, 5)
    done = subprocess.run([sys.executable, "-c", CPU, str(ws.root)], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stderr
    assert len(done.stdout.splitlines()) == 6


def test_a_table_fits_any_width_and_wide_characters_align() -> None:
    columns = [Column("run"), Column("why", worth=2), Column("val_acc", right=True, worth=1)]
    rows = [[Cell("有用-A-1"), Cell("a long reason in words"), Cell("71.2%")], [Cell("b"), Cell(""), Cell("–")]]
    for width in range(8, 60):
        lines = layout(columns, rows, width)
        assert max(map(cells_of, lines)) <= width
    wide = layout(columns, rows, 60)
    at = [cells_of(line[: line.index(mark) + len(mark)]) for line, mark in zip(wide, ("acc", "%", "–"), strict=True)]
    assert len(set(at)) == 1
    assert layout(columns, rows, 20)[0].split() == ["run", "val_acc"]
    assert "…" in layout(columns, rows, 7)[1]


def test_show_writes_a_guides_run_without_empty_brackets_and_rates_as_everywhere(tmp_path: Path, capsys) -> None:
    ws = init(tmp_path / "ws")
    assert main(["-C", str(ws.root), "show", "after"]) == 0
    out = capsys.readouterr().out
    assert "()" not in out and "the tuning guide" in out
    assert "1e-5" in out and "1e-05" not in out
