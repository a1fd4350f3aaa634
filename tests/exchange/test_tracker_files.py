"""Files of trackers and trainers: read whole, cut off, growing under a watch, and without words of a validation."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
import tracker_files as made
from producer_logs import EVALS, LOSSES, TRAINED
from support import make_workspace
from tracker_files import BEGAN, STORES, TrackerStore

from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather
from rmtui.operations import follow
from rmtui.operations.runs import reading, show

each_store = pytest.mark.parametrize("store", STORES, ids=lambda store: store.write.__name__)


def points(run: Foreign, name: str) -> list[tuple[float, float]]:
    return [(step, round(value, 6)) for step, value, _ in run.series.get(name, ())]


@each_store
def test_a_store_comes_in_whole(store: TrackerStore, tmp_path: Path) -> None:
    (run,) = gather([store.write(tmp_path, 4, True)]).runs
    assert (run.kind, run.name) == (store.kind, store.name)
    steps = (10, 20, 30, 40)
    assert points(run, "loss") == list(zip(steps, LOSSES, strict=True))
    assert points(run, "train_acc") == list(zip(steps, TRAINED, strict=True))
    assert points(run, "val_loss") == [(20, EVALS[0][0]), (40, EVALS[1][0])]
    assert points(run, "val_acc") == [(20, EVALS[0][1]), (40, EVALS[1][1])]
    assert [(row.epoch, round(row.val_acc or 0, 6)) for row in run.epochs] == [(1, EVALS[0][1]), (2, EVALS[1][1])]
    assert run.reached == (40, 2.0)
    assert bool(run.last_word) is store.over
    times = [time for _, _, time in run.series["loss"]]
    assert not store.timed or (times[0] == BEGAN and BEGAN < (times[-1] or 0) <= BEGAN + 10)


@each_store
def test_a_store_that_is_cut_off_says_nothing_false(store: TrackerStore, tmp_path: Path) -> None:
    path = store.write(tmp_path, 4, True)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        whole = file.read_bytes()
        for share in (0.3, 0.55, 0.8):
            kept = whole[: int(share * len(whole))]
            text = whole.isascii() and b"\n" in kept  # half a number is another number
            file.write_bytes(kept[: kept.rindex(b"\n") + 1] if text else kept)
            for run in gather([path]).runs:
                assert set(points(run, "val_acc")) <= {(20, EVALS[0][1]), (40, EVALS[1][1])}
                assert {value for _, value in points(run, "loss")} <= {*LOSSES}
        file.write_bytes(whole)


@each_store
def test_a_store_with_damaged_bytes_is_a_run_or_an_error_in_words(store: TrackerStore, tmp_path: Path) -> None:
    path = store.write(tmp_path, 4, True)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    chance = random.Random(1)
    for _ in range(25):
        file = chance.choice(files)
        whole = file.read_bytes()
        at = chance.randrange(len(whole))
        file.write_bytes(whole[:at] + chance.randbytes(chance.randrange(1, 40)) + whole[at + chance.randrange(40) :])
        harvest = gather([path])
        assert harvest.runs or harvest.unread
        file.write_bytes(whole)


@each_store
def test_a_growing_store_is_one_run_while_a_watch_follows_it(store: TrackerStore, tmp_path: Path) -> None:
    ws = make_workspace(tmp_path / "ws")
    for upto in (1, 2, 3, 4):
        path = store.write(tmp_path / "elsewhere", upto, upto == 4)
        list(follow.follow(ws, path, follow.Until(once=True)))
    with reading(ws) as index:
        (run,) = index.runs()
        shown = show(index, run.id)
    assert [(one["step"], one["epoch"], round(one["val_acc"], 6)) for one in shown["evaluations"]] == [
        (20, 1.0, EVALS[0][1]),
        (40, 2.0, EVALS[1][1]),
    ]


@each_store
@pytest.mark.parametrize("word", ["probe", "train"])
def test_a_store_whose_validation_is_called_something_else_validated_nothing(
    store: TrackerStore, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = [
        (step, {name.replace("eval/", f"{word}/"): value for name, value in values.items()})
        for step, values in made.rows(4)
    ]
    monkeypatch.setattr(made, "rows", lambda upto: iter(renamed))
    for run in gather([store.write(tmp_path, 4, True)]).runs:
        assert not {"val_loss", "val_acc", "reward_margin"} & run.series.keys()
        assert all(row.val_loss is None and row.val_acc is None for row in run.epochs)


def test_where_nothing_logs_a_step_of_its_own_wandbs_count_is_the_step(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    rows = [made.wandb_history({"loss": loss}, call) for call, loss in enumerate(LOSSES)]
    path.write_bytes(made.wandb_bytes(rows))
    (run,) = gather([path]).runs
    assert points(run, "loss") == list(enumerate(LOSSES))
    assert not run.last_word


def test_a_wandb_run_keeps_its_settings_and_leaves_out_those_of_the_logger(tmp_path: Path) -> None:
    (run,) = gather([made.wandb(tmp_path, 4, True)]).runs
    assert run.config["learning_rate"] == 1e-5 and "_wandb" not in run.config
    assert run.created == BEGAN


@pytest.mark.parametrize(
    ("folders", "tag"),
    [
        (("run-1/train", "run-1/validation"), "epoch_loss"),  # Keras
        (("run-1", "run-1/loss_train", "run-1/loss_val"), "loss"),  # SummaryWriter.add_scalars
        (("run-1_train", "run-1_eval"), "loss"),
    ],
)
def test_folders_that_are_splits_of_one_training_are_one_run(
    folders: tuple[str, ...], tag: str, tmp_path: Path
) -> None:
    *trained, evaluated = (tmp_path / folder / "events.out.tfevents.1" for folder in folders)
    made.write_events(trained[0], [("lr", 1, 0.5, 0)])
    made.write_events(trained[-1], [(tag, 1, 0.75, 0), (tag, 2, 0.5, 1)])
    made.write_events(evaluated, [(tag, 2, 0.625, 1)])
    (run,) = gather([tmp_path]).runs
    assert run.name == "run-1"
    assert points(run, "loss") == [(1, 0.75), (2, 0.5)]
    assert points(run, "val_loss") == [(2, 0.625)]
    assert run.sources["val_loss"] == f"{tag} (validation)"


@pytest.mark.parametrize("folders", [("a_train", "b_eval"), ("test", "debug"), ("train_1", "train_2")])
def test_folders_that_only_sound_like_splits_are_trainings_each(folders: tuple[str, ...], tmp_path: Path) -> None:
    for folder in folders:
        made.write_events(tmp_path / folder / "events.out.tfevents.1", [("loss", 1, 0.5, 0)])
    runs = gather([tmp_path]).runs
    assert sorted(run.name for run in runs) == sorted(folders)
    assert all(set(run.series) == {"loss"} for run in runs)


def test_parameters_of_mlflow_that_are_settings_are_kept(tmp_path: Path) -> None:
    (run,) = gather([made.mlflow_database(tmp_path, 4, True)]).runs
    assert run.config["learning_rate"] == 1e-5 and "output_dir" not in run.config


def test_a_sqlite_file_of_another_program_is_refused_in_words(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE metrics (name TEXT, loss FLOAT)")
    connection.commit()
    connection.close()
    harvest = gather([tmp_path / "x.db"])
    assert not harvest.runs and "it has no table of metrics" in harvest.unread[0]


def test_wandbs_records_are_parted_at_the_ends_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    steps = range(1, 1500)
    rows = [made.wandb_history({"train/loss": step / 4096, "train/global_step": step}, 2 * step) for step in steps]
    path.write_bytes(made.wandb_bytes(rows))
    (run,) = gather([path]).runs
    assert points(run, "loss") == [(step, round(step / 4096, 6)) for step in steps]
    assert not run.notes


@pytest.mark.parametrize("left", range(9))
def test_a_record_begins_the_next_block_where_no_chunk_fits_the_last_one(left: int, tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    first = made.wandb_history({"x" * (32_000): 0.5}, 0)
    long = made.wandb_history({"x" * (32_000 + 32_768 - 14 - left - len(first)): 0.5}, 0)
    path.write_bytes(made.wandb_bytes([long, made.wandb_history({"loss": 0.25}, 1)]))
    (run,) = gather([path]).runs
    assert points(run, "loss") == [(1, 0.25)]


def test_a_wandb_run_began_when_it_says_and_ended_with_its_last_row(tmp_path: Path) -> None:
    path = tmp_path / "run-a.wandb"
    late = made.wandb_history({"loss": 0.5, "_timestamp": BEGAN + 60}, 1)
    path.write_bytes(made.wandb_bytes([made.wandb_run("x", {}), late]))
    (run,) = gather([path]).runs
    assert (run.created, run.ended) == (BEGAN, BEGAN + 60)


def test_a_panel_of_several_runs_gives_each_its_own_and_leaves_out_the_ranges(tmp_path: Path) -> None:
    first, second = gather([made.panel(tmp_path, 4, True)]).runs
    assert (first.name, second.name) == ("rm-a", "rm-b")
    assert points(first, "val_loss") == [(20, EVALS[0][0]), (40, EVALS[1][0])]
    assert set(first.series) == {"val_loss"}
    assert points(second, "loss") == list(zip((10, 20, 30, 40), LOSSES, strict=True))
    assert set(second.series) == {"loss"}


def test_a_table_of_many_runs_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmtui.importers import table_files

    opened: list[Path] = []
    read = table_files.lines
    monkeypatch.setattr(table_files, "lines", lambda path: opened.append(path) or read(path))
    names = [f"rm-{number}" for number in range(30)]
    lines = ['"Step",' + ",".join(f'"{name} - eval/loss"' for name in names)]
    lines += [f"{step}," + ",".join(f"0.{number + 10}" for number in range(30)) for step in (100, 200)]
    (tmp_path / "panel.csv").write_text("\n".join(lines) + "\n")
    found = table_files.read_table(tmp_path / "panel.csv")
    assert [(run.name, points(run, "val_loss")[-1]) for run in found] == [
        (name, (200, float(f"0.{number + 10}"))) for number, name in enumerate(names)
    ]
    by_row = ["run,step,loss", *(f"{name},{step},0.5" for step in (1, 2) for name in names)]
    (tmp_path / "rows.csv").write_text("\n".join(by_row) + "\n")
    assert [points(run, "loss") for run in table_files.read_table(tmp_path / "rows.csv")] == [[(1, 0.5), (2, 0.5)]] * 30
    assert len(opened) == 2
