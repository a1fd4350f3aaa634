"""Curves: what is read back, at any zoom, is what the trainings said, attempts joined."""

from __future__ import annotations

import math

import pytest
import support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import START, add_attempt, append_events, index_content, make_run_folder, training

from rmtui.index.index import Index
from rmtui.index.sqlite import open_database
from rmtui.index.write_curves import LEVELS
from rmtui.workspace import Workspace
from trainer.events import Event


def steps(values: list[float], first: int = 1, t: float = START, resumed: int = 0) -> list[Event]:
    said = [Event("start", t, data={"resumed_from_step": resumed})]
    return said + [Event("step", t + n + 1, first + n, (first + n) / 10, {"loss": v}) for n, v in enumerate(values)]


def loss_of(ws: Workspace, run_id: str) -> list[tuple[int, float]]:
    with Index.open(ws) as index:
        index.sync()
        return index.series_full(run_id, "loss")


def test_a_spike_survives_any_zoom(ws: Workspace) -> None:
    values = [0.5] * 5000
    values[3210] = 9.0
    run = make_run_folder(ws, events=steps(values))
    with Index.open(ws) as index:
        index.sync()
        for columns in (1, 7, 80, 400, 5000):
            series = index.series(run.id, "loss", columns)
            assert len(series) <= columns
            assert max(series.high) == 9.0
            assert min(series.low) == 0.5
            assert series.steps[-1] == 5000


def test_few_points_come_back_one_by_one(ws: Workspace) -> None:
    run = make_run_folder(ws, events=steps([3.0, 2.0, 1.0]))
    with Index.open(ws) as index:
        index.sync()
        series = index.series(run.id, "loss", 80)
    assert series.x == (1.0, 2.0, 3.0)
    assert series.low == series.high == series.last == (3.0, 2.0, 1.0)


def test_values_that_are_not_finite_are_gaps_with_a_mark(ws: Workspace) -> None:
    run = make_run_folder(ws, events=steps([1.0, math.nan, math.inf, 2.0]))
    with Index.open(ws) as index:
        index.sync()
        series = index.series(run.id, "loss", 80)
        full = index.series_full(run.id, "loss")
    assert series.broken == (False, True, True, False)
    assert [math.isnan(value) for value in series.last] == [False, True, True, False]
    assert math.isnan(full[1][1])
    assert full[2] == (3, math.inf)


def test_a_resumed_attempt_replaces_what_came_after_its_checkpoint(ws: Workspace) -> None:
    first = steps([float(n) for n in range(1, 101)])
    second = steps([1000.0 + n for n in range(81, 121)], first=81, t=START + 500, resumed=80)
    run = make_run_folder(ws, attempts=[first, second])
    found = loss_of(ws, run.id)
    assert [step for step, _ in found] == list(range(1, 121))
    assert found[79:81] == [(80, 80.0), (81, 1081.0)]


def test_a_resumed_attempt_that_made_no_step_takes_nothing_away(ws: Workspace) -> None:
    run = make_run_folder(ws, attempts=[steps([1.0, 2.0, 3.0]), [Event("start", START, data={"resumed_from_step": 1})]])
    assert len(loss_of(ws, run.id)) == 3


def test_late_lines_of_an_older_attempt_do_not_come_back(ws: Workspace) -> None:
    run = make_run_folder(ws, attempts=[steps([1.0, 2.0, 3.0]), steps([7.0], first=3, resumed=2)])
    assert loss_of(ws, run.id) == [(1, 1.0), (2, 2.0), (3, 7.0)]
    append_events(run, [Event("step", START, step, 0.4, {"loss": 99.0}) for step in (2, 4, 9)], n=1)
    append_events(run, [Event("step", START, 4, 0.4, {"loss": 8.0})], n=2)
    with Index.open(ws) as index:
        index.refresh(run.id)
        assert index.series_full(run.id, "loss") == [(1, 1.0), (2, 99.0), (3, 7.0), (4, 8.0)]
    assert_derived_from_points(ws)


def test_epochs_of_a_resumed_run_are_joined(ws: Workspace) -> None:
    whole = training(epochs=3, steps_per_epoch=10)
    begun = [event for event in whole if event.step <= 25]
    rest = training(epochs=3, steps_per_epoch=10, start=START + 9000, first_step=21, accuracy=(0.5, 0.5, 0.9))
    run = make_run_folder(ws, attempts=[begun, rest])
    with Index.open(ws) as index:
        index.sync()
        assert [epoch.epoch for epoch in index.epochs(run.id)] == [1, 2, 3]
        assert index.epochs(run.id)[2].val_acc == 0.9
        assert index.run(run.id).best is not None
        assert index.run(run.id).best.val_acc == 0.9  # type: ignore[union-attr]


def test_time_leaves_the_pause_between_attempts_out(ws: Workspace) -> None:
    night = 8 * 3600
    run = make_run_folder(ws, attempts=[steps([1.0] * 10), steps([1.0] * 10, first=11, t=START + night, resumed=10)])
    with Index.open(ws) as index:
        index.sync()
        series = index.series(run.id, "loss", 80, x="time")
    assert series.x[9] == pytest.approx(10)
    assert series.x[-1] == pytest.approx(20)


def test_tokens_follow_from_the_speeds(ws: Workspace) -> None:
    run = make_run_folder(ws)  # 1000 tokens/s at 8 pairs/s: 125 a pair; 16 pairs a step, 10 in each 20th
    with Index.open(ws) as index:
        index.sync()
        series = index.series(run.id, "loss", 80, x="tokens")
    assert series.x[0] == 16 * 125
    assert series.x[-1] == 3 * (19 * 16 + 10) * 125


def test_a_window_on_another_axis(ws: Workspace) -> None:
    run = make_run_folder(ws, events=steps([float(n) for n in range(1, 101)]))  # 10 steps an epoch
    with Index.open(ws) as index:
        index.sync()
        series = index.series(run.id, "loss", 80, x="epoch", lo=2.0, hi=3.0)
        assert series.steps == tuple(range(20, 31))
        assert index.series(run.id, "loss", 80, x="step", lo=95, hi=999).steps == tuple(range(95, 101))
        assert len(index.series(run.id, "loss", 80, lo=500, hi=600)) == 0
        assert len(index.series(run.id, "no such metric")) == 0


def test_further_validation_sets_are_metrics_of_their_own(ws: Workspace) -> None:
    said = [Event("start", START), Event("eval", START + 1, 5, 1.0, {"val_acc": 0.6}, {"set": "holdout"})]
    run = make_run_folder(ws, events=said)
    with Index.open(ws) as index:
        index.sync()
        assert index.metrics(run.id) == ["holdout/val_acc"]
        assert index.run(run.id).best is None


def test_half_a_last_line_waits_for_its_other_half(ws: Workspace) -> None:
    run = make_run_folder(ws, events=steps([1.0, 2.0]), outcome=None)
    path = run.path / "attempt-1" / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert loss_of(ws, run.id) == [(1, 1.0)]
    path.write_bytes(whole)
    assert loss_of(ws, run.id) == [(1, 1.0), (2, 2.0)]


def test_foreign_lines_are_counted_and_skipped(ws: Workspace) -> None:
    run = make_run_folder(ws, events=steps([1.0]), outcome=None)
    with (run.path / "attempt-1" / "events.jsonl").open("ab") as file:
        file.write(b"\x00\xff garbage\n{}\n[1, 2]\n")
    append_events(run, [Event("step", START + 9, 2, 0.2, {"loss": 2.0})])
    assert loss_of(ws, run.id) == [(1, 1.0), (2, 2.0)]
    connection = open_database(ws.database)
    assert connection.execute("SELECT bad_lines FROM progress").fetchone() == (3,)
    connection.close()


def assert_derived_from_points(ws: Workspace) -> None:
    """Every roll-up and summary is what its points give, counted the plain way."""
    connection = open_database(ws.database)
    points: dict[int, dict[int, float | None]] = {}
    for metric, step, value in connection.execute("SELECT metric, step, value FROM points ORDER BY step"):
        points.setdefault(metric, {})[step] = value
    for metric, level, bucket, *found in connection.execute(
        "SELECT metric, level, bucket, low, high, last, last_step, broken FROM rollups"
    ):
        inside = {step: value for step, value in points[metric].items() if step >> level == bucket}
        finite = [value for value in inside.values() if value is not None and math.isfinite(value)]
        broken = int(len(finite) < len(inside))
        ends = [min(finite), max(finite), finite[-1]] if finite else [None, None, None]
        assert found == [*ends, max(inside), broken]
    counted = connection.execute("SELECT metric, level, count(*) FROM rollups GROUP BY metric, level").fetchall()
    assert counted == [
        (m, level, len({step >> level for step in points[m]})) for m in sorted(points) for level in LEVELS
    ]
    for metric, *found in connection.execute(
        "SELECT metric, count, first_step, first, last_step, last, low_step, low, high_step, high FROM summaries"
    ):
        said = points[metric]
        finite = {step: value for step, value in said.items() if value is not None and math.isfinite(value)}
        low, high = (min(finite.values()), max(finite.values())) if finite else (None, None)
        low_step, high_step = (next((step for step, value in finite.items() if value == end), 0) for end in (low, high))
        expected = [len(said), min(said), said[min(said)], max(said), said[max(said)], low_step, low, high_step, high]
        assert found == expected
    connection.close()


@pytest.mark.parametrize("resumed", [0, 1, 15, 16, 255, 4095, 4096, 5000, 8191])
def test_a_cut_leaves_every_roll_up_right(ws: Workspace, resumed: int) -> None:
    first = steps([math.sin(n) * (n % 97) for n in range(9000)])
    make_run_folder(ws, attempts=[first, steps([0.5, math.nan], first=resumed + 1, t=START + 1e5, resumed=resumed)])
    with Index.open(ws) as index:
        index.sync()
    assert_derived_from_points(ws)


VALUES = st.floats(min_value=-10, max_value=10, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3),
    resumes=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    data=st.data(),
)
def test_whatever_was_said_is_read_back_at_any_zoom(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], resumes: list[float], data: st.DataObject
) -> None:
    ws = support.make_workspace(tmp_path_factory.mktemp("any") / "ws")
    expected: dict[int, float] = {}
    folder = None
    for n, length in enumerate(lengths, start=1):
        resumed = int(resumes[n - 1] * max(expected, default=0)) if n > 1 else 0
        some = data.draw(st.lists(VALUES, min_size=1, max_size=8))
        values = [some[k % len(some)] + k / 100 for k in range(length)]
        said = steps(values, first=resumed + 1, t=START + 10_000 * n, resumed=resumed)
        expected = {step: value for step, value in expected.items() if step <= resumed}
        expected |= {event.step: event.metrics["loss"] for event in said if event.kind == "step"}
        if folder is None:
            folder = make_run_folder(ws, events=said)
        else:
            add_attempt(folder, n, said)
        if data.draw(st.booleans()):
            with Index.open(ws) as index:
                index.sync()
    assert folder is not None
    columns = data.draw(st.integers(1, 300))
    with Index.open(ws) as index:
        index.sync()
        assert [step for step, _ in index.series_full(folder.id, "loss")] == sorted(expected)
        series = index.series(folder.id, "loss", columns)
    finite = [value for value in expected.values() if math.isfinite(value)]
    drawn = [value for value in (*series.low, *series.high) if math.isfinite(value)]
    assert len(series) <= columns
    assert any(series.broken) == (len(finite) < len(expected))
    if finite:
        assert (min(drawn), max(drawn)) == (min(finite), max(finite))
    assert_derived_from_points(ws)
    before = index_content(ws)
    with Index.open(ws) as index:
        index.rebuild()
    assert index_content(ws) == before


def test_the_same_figure_said_twice_counts_once(ws: Workspace) -> None:
    run = make_run_folder(ws)  # eval and epoch events repeat val_loss at the same step
    with Index.open(ws) as index:
        index.sync()
        assert [step for step, _ in index.series_full(run.id, "val_loss")] == [20, 40, 60]
    connection = open_database(ws.database)
    row = connection.execute(
        "SELECT count FROM summaries JOIN metric_names ON id = metric WHERE name = 'val_loss'"
    ).fetchone()
    connection.close()
    assert row == (3,)


def test_a_corrected_figure_replaces_the_first(ws: Workspace) -> None:
    run = make_run_folder(ws, events=[*steps([1.0, 50.0, 3.0]), Event("step", START + 9, 2, 0.2, {"loss": 2.0})])
    with Index.open(ws) as index:
        index.sync()
        assert index.series_full(run.id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
        assert max(index.series(run.id, "loss", 1).high) == 3.0
