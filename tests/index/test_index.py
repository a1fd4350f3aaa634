"""The index follows the folders: runs that appear, change, vanish; names; imports; rebuilding."""

from __future__ import annotations

import json
import shutil

import pytest
from support import START, add_attempt, append_events, config, index_content, make_run_folder, make_runs, training

from rmtui.errors import UserError
from rmtui.index import ingest, sqlite
from rmtui.index.add_imported import add_imported
from rmtui.index.index import Index
from rmtui.operations import runs as operations
from rmtui.runs.model import Epoch, State
from rmtui.workspace import Workspace
from trainer.events import Event


def test_a_run_has_what_its_folder_says(ws: Workspace) -> None:
    folder = make_run_folder(ws, "helpful-A-1", tags=["night"], meta={"note": "first try"})
    with Index.open(ws) as index:
        assert index.sync() == {folder.id}
        run = index.run(folder.id)
    assert (run.name, run.preset, run.data, run.note, run.tags) == (
        "helpful-A-1", "A", "helpful", "first try", ("night",),
    )  # fmt: skip
    assert run.state is State.FINISHED
    assert (run.step, run.total_steps, run.epochs_done, run.num_epochs) == (60, 60, 3.0, 3)
    assert (run.val_acc, run.val_pairs) == (0.74, 200)  # 0.739 of 200 pairs is 148 of them
    assert run.best is not None
    assert (run.best.epoch, run.best.val_acc) == (3.0, 0.74)
    assert run.seconds_per_step == pytest.approx(1.5)
    assert run.ended - run.started == pytest.approx(90)  # type: ignore[operator]
    assert run.config["lora"]["r"] == 32
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3]


def test_the_best_epoch_is_not_the_last_when_accuracy_falls(ws: Workspace) -> None:
    folder = make_run_folder(ws, events=training(accuracy=(0.70, 0.75, 0.72)))
    with Index.open(ws) as index:
        index.sync()
        run = index.run(folder.id)
    assert run.val_acc == 0.72
    assert run.best is not None
    assert (run.best.epoch, run.best.val_acc, run.best.val_loss) == (2.0, 0.75, pytest.approx(0.58))


def test_of_evaluations_with_one_accuracy_the_lower_loss_is_the_best(ws: Workspace) -> None:
    """As the trainer chooses its checkpoint; val_loss falls from epoch to epoch here."""
    folder = make_run_folder(ws, events=training(accuracy=(0.75, 0.75, 0.72)))
    with Index.open(ws) as index:
        index.sync()
        best = index.run(folder.id).best
        assert best is not None
        losses = [epoch.val_loss for epoch in index.run(folder.id).epochs]
    assert losses[1] < losses[0]
    assert (best.epoch, best.val_acc, best.val_loss) == (2.0, 0.75, pytest.approx(losses[1]))


def test_nothing_new_costs_no_change(ws: Workspace) -> None:
    make_runs(ws, 3)
    with Index.open(ws) as index:
        assert len(index.sync()) == 3
        assert index.sync() == set()


def test_new_events_notes_attempts_and_deletions_are_found(ws: Workspace) -> None:
    begun = make_run_folder(ws, "live", events=training()[:20], outcome=None, created=START)
    done = make_run_folder(ws, "done", created=START + 10)
    gone = make_run_folder(ws, "gone", created=START + 20)
    with Index.open(ws) as index:
        index.sync()
        append_events(begun, training()[20:])
        assert index.sync() == {begun.id}
        done.set_meta(note="good")
        assert index.sync() == {done.id}
        assert index.run(done.id).note == "good"
        add_attempt(done, 2, training(start=START + 999, first_step=41))
        assert index.sync() == {done.id}
        assert [attempt.n for attempt in index.attempts(done.id)] == [1, 2]
        shutil.rmtree(gone.path)
        assert index.sync() == {gone.id}
        with pytest.raises(UserError, match="there is no run"):
            index.run(gone.id)


def test_two_indexes_at_once_count_every_event_once(ws: Workspace) -> None:
    folder = make_run_folder(ws, outcome=None, events=training()[:30])
    with Index.open(ws) as one, Index.open(ws) as other:
        one.sync()
        append_events(folder, training()[30:])
        other.sync()
        one.sync()
        assert len(one.series_full(folder.id, "loss")) == 60
    before = index_content(ws)
    operations.rebuild(ws)
    assert index_content(ws) == before


def test_rebuild_gives_the_same_rows(ws: Workspace) -> None:
    make_runs(ws, 12)
    first = [event for event in training() if event.step <= 30]
    make_run_folder(ws, "resumed", created=START - 50, attempts=[first, training(start=START + 99, first_step=21)])
    operations.init(ws.root)
    with Index.open(ws) as index:
        index.sync()
    before = index_content(ws)
    assert len(before["runs"]) == 15
    assert operations.rebuild(ws) == (15, None)
    assert index_content(ws) == before
    for ending in ("", "-wal", "-shm"):
        ws.database.with_name(ws.database.name + ending).unlink(missing_ok=True)
    with Index.open(ws) as index:
        index.sync()
    assert index_content(ws) == before


def test_garbage_in_a_run_folder_harms_nobody(ws: Workspace) -> None:
    make_run_folder(ws, "good")
    bad = make_run_folder(ws, "bad", created=START + 5)
    (bad.path / "spec.toml").write_text("name = [unclosed")
    (bad.path / "meta.toml").write_bytes(b"\xff\xfe")
    lines = [
        '{"kind": "step", "t": 1, "step": 1e999}',
        '{"kind": "step", "t": NaN, "step": 1, "metrics": {"loss": 1}}',
        '{"kind": "step", "t": 1e300, "step": 1, "metrics": {"loss": 1}}',
        json.dumps({"kind": "step", "t": 1, "step": 10**40, "metrics": {"loss": 1}}),
        '{"kind": "epoch", "t": 1, "step": 1, "epoch": "NaN", "metrics": {"val_acc": 0.5}}',
        '{"kind": "epoch", "t": 1, "step": 2, "epoch": 1, "metrics": {"val_pairs": "Infinity", "val_acc": "NaN"}}',
        json.dumps({"kind": "derived", "t": 1, "data": {"total_steps": 10**40}}),
        json.dumps({"kind": "start", "t": 1, "data": {"resumed_from_step": -(10**40)}}),
        "[" * 100_000,
    ]
    (bad.path / "attempt-1" / "events.jsonl").write_text("\n".join(lines) + "\n")
    (ws.runs / "a file.txt").write_text("no run")
    (ws.runs / "empty folder").mkdir()
    with Index.open(ws) as index:
        index.sync()
        assert index.run(bad.id).state is State.FINISHED  # exit.json still says so
        assert operations.show(index, bad.id)["best"] is None
        assert index.run(index.resolve("good")).val_acc == 0.74
        assert {run.name for run in index.runs()} == {"good", bad.id, "empty folder"}


def test_a_setting_that_a_spec_names_twice_harms_nobody(ws: Workspace) -> None:
    make_run_folder(ws, name="twice", config={"lora": {"r": 8}, "lora.r": 16, "seed": 1})
    make_run_folder(ws, name="once", config={"lora": {"r": 16}})
    with Index.open(ws) as index:
        index.sync()
        assert {run.name for run in index.runs("lora.r>=8")} == {"twice", "once"}


def test_a_folder_that_cannot_be_read_is_listed_and_hides_nobody(ws: Workspace) -> None:
    make_run_folder(ws, "good")
    bad = make_run_folder(ws, "bad", created=START + 5)
    events = bad.path / "attempt-1" / "events.jsonl"
    events.rename(bad.path / "kept")
    events.mkdir()
    with Index.open(ws) as index:
        assert len(index.sync()) == 2
        assert index.sync() == set()
        assert index.trouble is None
        assert index.run(index.resolve("good")).val_acc == 0.74
        assert index.run(bad.id).state is State.UNKNOWN
        assert "cannot be read" in index.run(bad.id).reason
        events.rmdir()
        (bad.path / "kept").rename(events)
        assert index.sync() == {bad.id}
        assert (index.run(bad.id).state, index.run(bad.id).val_acc) == (State.FINISHED, 0.74)


def test_a_run_is_found_by_id_name_and_beginning(ws: Workspace) -> None:
    one = make_run_folder(ws, "helpful-A-1", run_id="20251001-000000-aaaa", created=START)
    two = make_run_folder(ws, "helpful-A-12", run_id="20251002-000000-bbbb", created=START + 60)
    make_run_folder(ws, "other_1", run_id="20251003-000000-cccc", created=START + 30)
    with Index.open(ws) as index:
        index.sync()
        assert index.resolve(one.id) == one.id
        assert index.resolve("helpful-A-1") == one.id  # a whole name before a beginning
        assert index.resolve("HELPFUL-a-12") == two.id
        assert index.resolve("20251002") == two.id
        assert index.resolve("@latest") == two.id
        for text in ("helpful", "2025"):
            with pytest.raises(UserError, match="fits several runs"):
                index.resolve(text)
        for text in ("nobody", "", "%", "helpful_A"):
            with pytest.raises(UserError, match="there is no run"):
                index.resolve(text)


def test_best_is_the_highest_accuracy_on_the_newest_runs_validation_set(ws: Workspace) -> None:
    other_set = {"train": "aa" * 32, "val": "cc" * 32}
    make_run_folder(ws, "elsewhere", created=START, events=training(accuracy=(0.99,)), fingerprints=other_set)
    make_run_folder(ws, "good", created=START + 10, events=training(accuracy=(0.6, 0.8, 0.7)))
    make_run_folder(ws, "newest", created=START + 20, events=training(accuracy=(0.6, 0.7, 0.75)))
    with Index.open(ws) as index:
        with pytest.raises(UserError, match="there is no run yet"):
            index.resolve("@latest")
        index.sync()
        assert index.run(index.resolve("@best")).name == "good"
        assert index.run(index.resolve("@latest")).name == "newest"


def test_an_import_is_a_run_with_unknown_figures_left_unknown(ws: Workspace) -> None:
    origin = {"source": "logs/helpful_1.log", "digest": "abc", "created": START}
    spec = {"name": "baseline", "data": "helpful", "config": config(num_epochs=2)}
    epochs = [Epoch(1, 0.8755, 0.5928, 0.6845), Epoch(2, 0.6728, 0.6050, None)]
    run_id = add_imported(ws, spec, epochs, {"loss": [(10, 0.9), (40, 0.7)]}, origin)
    assert add_imported(ws, spec, epochs, {}, origin) == run_id
    with Index.open(ws) as index:
        assert index.sync() == set()
        run = index.run(run_id)
        assert run.state is State.IMPORTED
        assert run.created == START
        assert (run.started, run.ended, run.last_event) == (None, None, None)
        assert [(e.train_loss, e.val_loss, e.val_acc) for e in run.epochs] == [
            (0.8755, 0.5928, 0.6845),
            (0.6728, 0.6050, None),
        ]
        assert index.series_full(run_id, "loss") == [(10, 0.9), (40, 0.7)]
        assert index.series_full(run_id, "val_acc") == [(20, 0.6845)]
        with pytest.raises(UserError, match="newest run made here"):
            index.resolve("@latest")


def test_an_import_can_be_told_with_times(ws: Workspace) -> None:
    points = [(1, 0.9, START), (2, 0.8, START + 5), (3, None, None)]
    run_id = add_imported(ws, {"name": "x"}, [], {"loss": points}, {"source": "s", "digest": "d", "created": START})
    with Index.open(ws) as index:
        index.sync()
        assert index.series(run_id, "loss", x="time").x == (0.0, 5.0)


def test_a_second_init_changes_nothing(ws: Workspace) -> None:
    operations.init(ws.root)
    (ws.root / "workspace.toml").write_text('data = "mine"\n')
    again = operations.init(ws.root)
    assert again.settings.data == "mine"
    with Index.open(again) as index:
        assert sorted(run.name for run in index.runs()) == ["after", "before"]
        after = index.run(index.resolve("after"))
    assert (after.val_acc, after.val_loss, after.train_loss) == (None, 0.6050, 0.6728)
    assert (after.config["lora"], after.config.get("batch_size")) == ({"r": 32, "dropout": 0.1}, None)


def test_what_a_person_set_is_in_the_folder_and_in_the_list(ws: Workspace) -> None:
    folder = make_run_folder(ws, "first", tags=["night"])
    operations.rename(ws, "first", "better name")
    operations.set_note(ws, folder.id, "  calmer\nwith warm-up  ")
    assert operations.set_tags(ws, folder.id, add=["good"], remove=["night"]) == ["good"]
    operations.pin(ws, folder.id)
    operations.set_group(ws, folder.id, "seeds")
    with Index.open(ws) as index:
        run = index.run(folder.id)
    assert (run.name, run.note, run.tags, run.pinned, run.group) == (
        "better name", "calmer\nwith warm-up", ("good",), True, "seeds",
    )  # fmt: skip
    assert folder.meta()["tags"] == ["good"]
    operations.pin(ws, folder.id, on=False)
    operations.archive(ws, folder.id)
    with Index.open(ws) as index:
        assert index.runs() == []
        assert index.runs(archived=True)[0].pinned is False


@pytest.mark.parametrize("tag", ["two words", "-minus", "", "a\nb", "\x1b[31m"])
def test_a_tag_that_no_filter_could_name_is_refused(ws: Workspace, tag: str) -> None:
    folder = make_run_folder(ws)
    with pytest.raises(UserError):
        operations.set_tags(ws, folder.id, add=[tag])


def test_deleting_takes_the_folder_and_the_row(ws: Workspace) -> None:
    folder = make_run_folder(ws, "old")
    with Index.open(ws) as index:
        index.sync()
    assert operations.remove(ws, "old") == folder.id
    assert list(ws.runs.iterdir()) == []
    with Index.open(ws) as index:
        assert index.count() == 0
    assert all(not rows for rows in index_content(ws).values())


def test_a_living_run_is_not_deleted(ws: Workspace) -> None:
    folder = make_run_folder(ws, "live", events=training()[:9], outcome=None)
    launch = {"kind": "local", "host": "another-machine", "t": START}
    (folder.path / "attempt-1" / "launch.json").write_text(json.dumps(launch))
    with pytest.raises(UserError, match="was not deleted"):
        operations.remove(ws, "live")
    assert folder.path.is_dir()


def test_a_name_never_becomes_a_path(ws: Workspace) -> None:
    outside = ws.root / "presets"
    for text in ("../presets", ".", "..", "/etc", "a/../../presets"):
        with pytest.raises(UserError, match="there is no run"):
            operations.remove(ws, text)
    assert outside.is_dir()


def test_catching_up_with_one_run(ws: Workspace) -> None:
    folder = make_run_folder(ws, outcome=None, events=[Event("start", START)])
    ingest.catch_up(ws, folder)
    append_events(folder, training())
    ingest.catch_up(ws, folder)
    with Index.open(ws) as index:
        assert index.run(folder.id).step == 60


def test_many_new_folders_are_read_with_progress_and_a_broken_one_spoils_no_other(ws: Workspace) -> None:
    folders = make_runs(ws, 12)
    events = folders[5].path / "attempt-1" / "events.jsonl"
    events.unlink()
    events.mkdir()
    heard: list[tuple[int, int]] = []
    with Index.open(ws) as index:
        assert index.sync(lambda done, of: heard.append((done, of))) == {folder.id for folder in folders}
        assert heard[-1] == (12, 12) and heard == sorted(heard)
        assert "cannot be read" in index.run(folders[5].id).reason
        for folder in folders[:5] + folders[6:]:
            assert index.run(folder.id).state in (State.FINISHED, State.FAILED)
            assert len(index.series_full(folder.id, "loss")) == 60
        heard.clear()
        index.sync(lambda done, of: heard.append((done, of)))
        assert heard == []


def test_another_writer_gets_its_turn_while_many_folders_are_read(ws: Workspace) -> None:
    make_runs(ws, 40)
    other = sqlite.open_database(ws.database)
    other.execute("PRAGMA busy_timeout = 0")
    turns = 0

    def write_beside(done: int, of: int) -> None:
        nonlocal turns
        with sqlite.write(other):
            turns += 1

    with Index.open(ws) as index:
        index.sync(write_beside)
    assert turns >= 2


def test_the_newest_runs_follow_whoever_writes(ws: Workspace) -> None:
    make_run_folder(ws, "one")
    with Index.open(ws) as index, Index.open(ws) as other:
        index.sync()
        assert [run.name for run in index.newest_runs("", 10)] == ["one"]
        make_run_folder(ws, "two", created=START + 100)
        index.sync()
        assert [run.name for run in index.newest_runs("", 10)] == ["two", "one"]
        three = make_run_folder(ws, "three", created=START + 200)
        other.sync()
        assert [run.name for run in index.newest_runs("", 10)] == ["three", "two", "one"]
        three.set_meta(name="drei")
        other.sync()
        assert [run.name for run in index.newest_runs("", 2)] == ["drei", "two"]
        assert [run.name for run in index.newest_runs("name:one", 2)] == ["one"]
