"""Charts that show no more than is known: bands of 95 %, means with their steps behind, an axis to the planned end."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from rich.style import Style
from scipy.stats import binomtest
from support import START, make_run_folder
from textual.geometry import Region
from widgets_support import Stage, lines, page

from rmtui.app.jobs.curves import VAL, Shown, Wanted, load_curves
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.chart.curve import Axis, Curve, View
from rmtui.app.widgets.chart.plot import smoothed
from rmtui.app.widgets.chart.scale import Scale, y_scale, y_ticks
from rmtui.app.widgets.palette import palette_of
from rmtui.index.index import Index
from trainer.events import Event

ACCURACY = Curve.points("r/val_acc", "val_acc", [(100, 0.684), (200, 0.705), (300, 0.728)])
BAND = ACCURACY._replace(spread=([0.63, 0.65, 0.67], [0.73, 0.75, 0.77]), slot=VAL)


def noisy(length: int = 400, **more) -> Curve:
    chance = random.Random(7)
    points = [(float(step), 0.9 - step / 1000 + chance.gauss(0, 0.05)) for step in range(1, length + 1)]
    return Curve.points("r/loss", "train", points)._replace(noisy=True, **more)


def grounds(chart: Chart) -> list[Style]:
    return [part.style for strip in chart.render_lines(Region(0, 0, *chart.size)) for part in strip if part.style]


@pytest.mark.parametrize("rows", range(3, 40))
@pytest.mark.parametrize("half", [0.004, 0.013, 0.048, 0.11])
def test_no_label_is_nearer_to_the_next_than_a_third_of_the_band(rows, half):
    parts = max(2, min(7, rows // 2))
    scale = y_scale([0.7 - half, 0.7 + half], 4 * rows, parts, False, 2 * half / 3)
    ticks = [tick.value for tick in y_ticks(scale, parts, True, 2 * half / 3)]
    assert scale.low <= 0.7 - half and scale.high >= 0.7 + half
    assert len(ticks) >= 2
    assert min(b - a for a, b in itertools.pairwise(ticks)) >= 2 * half / 3


async def test_a_sign_in_the_legend_has_its_word_or_is_left_out():
    chart = Chart("val_acc", percent=True)
    async with Stage(chart).run_test(size=(60, 12)) as pilot:
        chart.show([BAND])
        seen = set()
        for width in range(60, 20, -1):
            await pilot.resize_terminal(width, 12)
            await pilot.pause()
            head = lines(chart)[0]
            assert ("▮▮" in head or "░░" in head) == ("95 %" in head), head
            seen.add("95 %" in head)
        assert seen == {True, False}


async def test_the_band_is_filled_and_named_and_its_ends_are_on_the_axis():
    chart = Chart("val_acc", percent=True)
    async with Stage(chart).run_test(size=(80, 20)) as pilot:
        chart.show([BAND])
        await pilot.pause()
        fill = palette_of(chart).fills[VAL] or palette_of(chart).band
        assert "95 %" in lines(chart)[0]
        labels = [int(line.split()[0]) for line in lines(chart)[1:] if "┤" in line]
        assert min(labels) <= 65 and max(labels) >= 75
        assert "░" in page(chart) or any(style.bgcolor == fill.color for style in grounds(chart))


async def test_the_axis_reaches_the_planned_end_and_says_when():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 20)) as pilot:
        chart.show([noisy(400)])
        chart.spread((1, 1600), "ends 14:32")
        await pilot.pause()
        assert lines(chart)[-1].endswith("step  ends 14:32") and "1,000" in lines(chart)[-1]
        drawn = [line[8:].rstrip() for line in lines(chart)[1:-2]]
        assert 20 <= max(map(len, drawn)) <= 26, "a quarter of the way"
        await pilot.press("plus")
        assert chart.view.window.low < 400, "zooming goes to what is there, not into the empty part"


async def test_the_cursor_reads_steps_that_exist():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(60, 20)) as pilot:
        curve = noisy(400)
        chart.show([curve, Curve.points("r/val", "val", [(200, 0.61), (400, 0.58)])])
        for _ in range(12):
            await pilot.press("left")
            step = chart.view.cursor
            assert step in curve.x
            mean = dict(zip(curve.x, smoothed(curve, None).last, strict=True))[step]
            assert f"step {step:.0f}" in lines(chart)[0] and f"train {mean:.3f}" in lines(chart)[0]


async def test_a_curve_of_few_points_is_read_from_one_to_the_next():
    chart = Chart("val_acc", percent=True)
    async with Stage(chart).run_test(size=(80, 20)) as pilot:
        chart.show([ACCURACY])
        seen = []
        for key in ("left", "left", "left", "left", "right"):
            await pilot.press(key)
            seen.append(chart.view.cursor)
        assert seen == [300, 200, 100, 100, 200]


async def test_steps_lie_behind_their_mean_until_the_steps_are_wanted():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(80, 20)) as pilot:
        chart.show([noisy()])
        await pilot.pause()
        raw = palette_of(chart).raw.color
        assert any(style.color == raw for style in grounds(chart))
        await pilot.press("m")
        assert "each step" in lines(chart)[0]
        assert not any(style.color == raw for style in grounds(chart))


def test_the_mean_around_is_the_mean_of_as_many_on_both_sides():
    curve = noisy(300)
    mean = smoothed(curve, None).last
    for place in (0, 7, 150, 299):
        reach = min(20, max(2, place), max(2, 299 - place))
        assert mean[place] == pytest.approx(statistics.fmean(curve.last[max(0, place - reach) : place + reach + 1]))


@pytest.fixture
def live(ws):
    """A run at step 100 of 300, one epoch of three done, and its index."""
    events = [Event("start", START), Event("derived", START, data={"total_steps": 300, "steps_per_epoch": 100})]
    for step in range(1, 101):
        events.append(Event("step", START + step, step, step / 100, {"loss": 0.8, "tokens": 50.0 * step}))
    metrics = {"train_loss": 0.8, "val_acc": 0.7, "val_loss": 0.6, "val_pairs": 200.0}
    events.append(Event("epoch", START + 100, 100, 1.0, metrics))
    folder = make_run_folder(ws, "live", events=events, config={"num_epochs": 3})
    with Index.open_reading(ws) as index:
        index.sync()
        yield index, folder.id


def test_train_and_val_have_two_colours_and_the_band_is_wilsons(live):
    index, run_id = live
    loaded = load_curves(index, Wanted((Shown(run_id, "live", 0),), View(), 80))
    train, val = loaded.losses
    assert train.noisy and (train.label, val.label) == ("train", "val") and train.slot != val.slot
    (accuracy,) = loaded.accuracies
    exact = binomtest(140, 200).proportion_ci(method="wilson")
    assert accuracy.slot == val.slot
    assert [ends[0] for ends in accuracy.spread] == pytest.approx([exact.low, exact.high])
    assert loaded.planned is None, "a run that has ended is planned no further"


@pytest.mark.parametrize(("axis", "end"), [(Axis.STEP, 300), (Axis.EPOCH, 3), (Axis.TIME, 300), (Axis.TOKENS, 15000)])
def test_a_run_at_work_reaches_to_its_planned_end_on_every_axis(live, monkeypatch, axis, end):
    index, run_id = live
    whole = index.run(run_id)
    monkeypatch.setattr(index, "run", lambda run_id: whole._replace(state=type(whole.state).RUNNING))
    loaded = load_curves(index, Wanted((Shown(run_id, "live", 0),), View(axis), 80))
    assert loaded.planned == pytest.approx(end, rel=0.02)


def test_a_scale_without_a_band_is_as_fine_as_its_values():
    assert y_scale([0.5, 0.6], 40, 5, False) == Scale(0.5, 0.6, 40)


@pytest.mark.parametrize("height", range(8, 40))
async def test_no_label_pushes_the_axis_aside(height):
    chart = Chart("learning rate")
    async with Stage(chart).run_test(size=(60, height)) as pilot:
        chart.show([Curve.points("r/lr", "learning rate", [(step, 1.5e-5 * step / 60) for step in range(61)])])
        await pilot.pause()
        places = {line.find(sign) for line in lines(chart)[1:-2] for sign in "┤│" if sign in line}
        assert places == {7}
