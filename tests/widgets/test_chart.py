"""Curves: what survives down-sampling, gaps, axes, the cursor that reads values, and what is not drawn again."""

from __future__ import annotations

import math
import re

import pytest
from widgets_support import Stage, lines, page

from rmtui import text as formats
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.chart.curve import Axis, Band, Curve, View, Window
from rmtui.app.widgets.chart.plot import dots, smoothed
from rmtui.app.widgets.chart.scale import Scale, x_ticks, y_scale, y_ticks


def falling(key: str = "r/loss", label: str = "train", length: int = 1000, spike: int | None = None, **more) -> Curve:
    points = [(step, 0.5 + 0.4 * math.exp(-3 * step / length)) for step in range(1, length + 1)]
    if spike is not None:
        points[spike] = (points[spike][0], 3.0)
    return line(key, label, points, **more)


def line(key: str, label: str, points: list[tuple[float, float]], **more) -> Curve:
    return Curve.points(key, label, points)._replace(**more)


def test_a_spike_of_one_step_reaches_its_height_on_few_columns():
    curve = falling(length=5000, spike=2500)
    y = Scale(0.0, 3.0, 80)
    found = dots(curve, Scale(1, 5000, 100), y)
    assert max(dot for line in found.lines for _, dot in line) == y.dot(3.0)
    assert all(0 <= x < 100 for line in found.lines for x, _ in line)


def test_a_gap_cuts_the_line_and_is_marked_where_it_is():
    values = [1.0] * 10 + [math.nan] * 3 + [2.0] * 10
    found = dots(Curve.points("k", "l", list(enumerate(values))), Scale(0, 22, 23), Scale(0, 3, 40))
    assert [(line[0][0], line[-1][0]) for line in found.lines] == [(0, 9), (13, 22)]
    assert found.gaps == (10, 11, 12)


def test_infinite_values_and_zero_on_a_log_scale_are_gaps_too():
    values = [1.0, math.inf, 0.0, 10.0]
    found = dots(Curve.points("k", "l", list(enumerate(values))), Scale(0, 3, 4), Scale(0.1, 10, 40, log=True))
    assert [line[0][0] for line in found.lines] == [0, 3]


def test_a_window_between_two_points_shows_the_line_between_them():
    curve = Curve.points("k", "val", [(0.0, 0.0), (100.0, 1.0)])
    found = dots(curve, Scale(40, 60, 21), Scale(0, 1, 101))
    assert found.lines == (((0, 40), (20, 60)),)


def test_smoothing_keeps_a_constant_and_its_gaps():
    points = [(n, math.nan if n == 30 else 0.7) for n in range(60)]
    soft = smoothed(Curve.points("k", "l", points), 0.9)
    assert all(value == pytest.approx(0.7) for n, value in enumerate(soft.last) if n != 30)
    assert math.isnan(soft.last[30])


@pytest.mark.parametrize(
    "low,high", [(0.55, 0.87), (0.6812, 0.6898), (12.0, 13.5), (0.0, 1e-5), (0.0, 1.5e-5), (-3.0, 4.0), (5.0, 5.0)]
)
def test_y_labels_tell_their_values_apart_with_no_digit_too_many(low, high):
    scale = y_scale([low, high], 80, 5, log=False)
    ticks = y_ticks(scale, 5)
    labels = [tick.label for tick in ticks]
    assert scale.low <= low + 1e-12 and high <= scale.high + 1e-12
    assert 2 <= len(ticks) <= 7 and len(set(labels)) == len(labels)
    assert len({len(label.partition(".")[2]) for label in labels if "e" not in label and label != "0"}) <= 1
    assert max(map(len, labels)) <= 6
    for tick in ticks:
        assert float(tick.label.replace("−", "-")) == pytest.approx(tick.value, abs=1e-12)
    shorter = [f"{tick.value:.{max(0, len(labels[0].partition('.')[2]) - 1)}f}" for tick in ticks]
    assert "." not in labels[0] or any(
        float(text) != pytest.approx(tick.value) for text, tick in zip(shorter, ticks, strict=True)
    )


def test_x_labels_are_in_the_axis_unit():
    assert [tick.label for tick in x_ticks(Scale(0, 3, 10), Axis.EPOCH, 4)][:2] == ["0", "1"]
    assert "10 min" in [tick.label for tick in x_ticks(Scale(0, 3600, 10), Axis.TIME, 6)]
    assert "2M" in [tick.label for tick in x_ticks(Scale(0, 4e6, 10), Axis.TOKENS, 4)]


async def test_the_cursor_reads_every_curve_and_moves_in_step():
    loss, accuracy = Chart("loss"), Chart("val_acc", percent=True)

    class Two(Stage):
        def on_chart_view_changed(self, message: Chart.ViewChanged) -> None:
            for chart in self.query(Chart):
                chart.look(message.view)

    async with Two(loss, accuracy).run_test(size=(100, 30)) as pilot:
        loss.show([falling(), line("r/val", "val", [(500, 0.61), (1000, 0.58)], dashed=True)])
        accuracy.show([Curve.points("r/acc", "val_acc", [(500, 0.684), (1000, 0.712)])])
        await pilot.pause()
        assert "0.580" in lines(loss)[0] and "71.2" in lines(accuracy)[0]
        await pilot.press("left")
        assert "step 1,000" in lines(loss)[0]
        for _ in range(4):
            await pilot.press("shift+left")
        step = loss.view.cursor
        assert 400 < step < 1000 and accuracy.view == loss.view
        assert "0.610" in lines(loss)[0] and "68.4" in lines(accuracy)[0]
        assert any("┊" in line for line in lines(accuracy)[1:])
        await pilot.press("enter")
        assert pilot.app.heard(Chart.LogWanted)[-1].x == step


async def test_zoom_pan_and_reset():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 20)) as pilot:
        chart.show([falling()])
        await pilot.press("plus")
        window = chart.view.window
        assert window.high is None and window.low == pytest.approx(500, abs=2)
        assert "zoomed" in lines(chart)[0]
        await pilot.press("left_square_bracket")
        assert chart.view.window.high == pytest.approx(875, abs=2)
        await pilot.press("minus")
        assert chart.view.window == Window()
        await pilot.press("plus", "backspace")
        assert chart.view == View()


async def test_a_zoomed_live_curve_goes_on_inside_its_window():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 20)) as pilot:
        chart.show([falling()])
        await pilot.press("plus")
        await pilot.pause()
        assert formats.count(1000) not in page(chart)
        left = chart.view.window.low
        chart.show([falling(length=1250)])
        await pilot.pause()
        assert formats.count(1000) in page(chart) and chart.view.window.low == left
        await pilot.press("left_square_bracket")
        window = chart.view.window
        chart.show([falling(length=2000)])
        assert chart.view.window == window and window.high < 1250, "a part in the middle stays where it is"


async def test_zoom_in_stays_inside_after_the_source_cut_to_the_window():
    """A source that answers with the window alone must not make the zoomed part the whole."""
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 20)) as pilot:
        chart.show([falling()])
        await pilot.press("plus")
        part = chart.view.window
        cut = falling()
        kept = [n for n, x in enumerate(cut.x) if part.low <= x]
        chart.show([Curve.points("r/loss", "train", [(cut.x[n], cut.last[n]) for n in kept])])
        await pilot.press("left_square_bracket")
        assert chart.view.window.low < part.low - 50
        await pilot.press("minus")
        assert chart.view.window == Window()


async def test_nothing_is_drawn_again_when_nothing_changed(monkeypatch):
    from rmtui.app.widgets.chart import chart as module

    drawn = []
    whole = module.Picture._lay
    monkeypatch.setattr(module.Picture, "_lay", lambda self: drawn.append(1) or whole(self))
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 20)) as pilot:
        chart.show([falling()])
        await pilot.pause()
        page(chart)
        count = len(drawn)
        chart.show([falling()])
        chart.look(View(cursor=500))
        await pilot.pause()
        page(chart)
        assert len(drawn) == count
        chart.show([falling(length=900)])
        page(chart)
        assert len(drawn) == count + 1


async def test_band_target_best_and_gap_are_marked():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(100, 24)) as pilot:
        broken = [(step, math.nan if step == 300 else 0.9 - step / 2000) for step in range(1, 601)]
        band = Band((200, 400, 600), (0.6, 0.55, 0.5), (0.75, 0.7, 0.65), target=0.55)
        chart.show([line("a/loss", "train", broken, best=(450, 0.675))], band)
        await pilot.pause()
        text = page(chart)
        assert "░" in text and "★" in text and "✗" in text and "┄" in text
        assert "guide's range" in text and "target 0.550" in text


async def test_a_band_out_of_sight_is_not_in_the_legend():
    chart = Chart("val_acc")
    async with Stage(chart).run_test(size=(100, 24)) as pilot:
        band = Band((800, 900), (0.6, 0.55), (0.75, 0.7))
        chart.show([Curve.points("a/loss", "train", [(step, 0.5) for step in range(1, 601)])], band)
        await pilot.pause()
        assert "░" not in page(chart) and "guide's range" not in page(chart)


async def test_six_runs_are_told_apart_without_colour():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(160, 30)) as pilot:
        runs = [falling(f"{n}/loss", f"run {n}", slot=n, length=1000 + 50 * n) for n in range(6)]
        others = [falling(f"q{n}/loss", "quiet", quiet=True, length=1000 + n) for n in range(30)]
        chart.show([*runs, *others])
        await pilot.pause()
        body = "\n".join(lines(chart)[1:])
        assert all(sign in body for sign in "●◆▲■▼✚")
        assert all(f"run {n}" in lines(chart)[0] for n in range(6))
        assert "30 others" in lines(chart)[0]


NAMES = ("helpful-A-3", "helpful-C-2", "helpful-long-B-1", "奖励模型-大批次", "奖励模型-小批次", "helpful-A-3-续")


@pytest.mark.parametrize("size", [(39, 9), (46, 12), (58, 12), (30, 10), (160, 24)])
@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("cursor", [False, True])
async def test_every_run_keeps_a_name_of_its_own_and_its_value_in_a_narrow_legend(size, count, cursor):
    """Six runs in less than half a terminal: their names, at a cursor their values; in 30 cells signs and values."""
    chart = Chart("loss")
    async with Stage(chart).run_test(size=size) as pilot:
        runs = [
            line(f"{n}/l", "", [(1, 0.9), (2, 0.5 + n / 10)], slot=n, run=NAMES[n], dashed=True) for n in range(count)
        ]
        chart.show([falling(length=2), *runs])
        await pilot.pause()
        if cursor:
            await pilot.press("left")
        height = next(place for place, line in enumerate(lines(chart)) if "┤" in line or "│" in line)
        legend = " ".join(lines(chart)[:height])
        said = [re.search(rf"{sign}(?:┄┄)? ([^●◆▲■▼✚]+?)  ", legend + "  ")[1] for sign in "●◆▲■▼✚"[:count]]
        said[0] = re.search(r"train[^●]*●(?:┄┄)? ([^●◆▲■▼✚]+?)  ", legend + "  ")[1]
        names = [re.sub(r" \d\.\d{3}$", "", words) for words in said]
        values = [f"{0.5 + n / 10:.3f}" for n in range(count)]
        roomy = count == 2 or size[0] > 50
        if roomy or (not cursor and size[0] > 30):
            assert len(set(names)) == count and all(name[-1] == NAMES[n][-1] for n, name in enumerate(names))
        if roomy or cursor or size[0] == 30:
            assert all(words.endswith(value) for words, value in zip(said, values, strict=True))
        assert size[1] - height >= 6 and "more" not in legend
        assert not cursor or re.search(r"step [12]", legend)


async def test_a_wide_legend_gives_whole_names_and_one_line():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(160, 24)) as pilot:
        chart.show([line(f"{n}/l", "", [(1, 0.9), (2, 0.5)], slot=n, run=NAMES[n]) for n in range(5)])
        await pilot.pause()
        assert all(name in lines(chart)[0] for name in NAMES[:5])


async def test_where_nothing_fits_the_legend_says_how_many_are_left_out():
    chart = Chart("loss")
    async with Stage(chart).run_test(size=(30, 6)) as pilot:
        chart.show([line(f"{n}/l", "", [(1, 0.9), (2, 0.5)], slot=n, run=NAMES[n]) for n in range(6)])
        await pilot.pause()
        shown = sum(sign in lines(chart)[0] for sign in "●◆▲■▼✚")
        assert 0 < shown < 6 and f"+{6 - shown} more" in lines(chart)[0]


async def test_ascii_mode_sends_ascii():
    chart = Chart("loss")
    async with Stage(chart, ascii_mode=True).run_test(size=(80, 20)) as pilot:
        chart.show([falling()], Band((100, 900), (0.5, 0.5), (0.6, 0.6), target=0.55))
        await pilot.press("left")
        assert page(chart).isascii()


@pytest.mark.parametrize("size", [(60, 16), (80, 3), (20, 8), (9, 5), (200, 60)])
async def test_any_size_is_survived(size):
    chart = Chart("loss")
    async with Stage(chart).run_test(size=size) as pilot:
        for curves in (
            [],
            [Curve.points("a", "one", [(5, 0.5)])],
            [falling()],
            [Curve.points("a", "n", [(1, math.nan)])],
        ):
            chart.show(curves, note="nothing yet")
            await pilot.press("left", "plus", "L", "m", "X")
            assert len(lines(chart)) == size[1]


async def test_a_learning_rate_is_said_with_the_digits_it_has():
    chart = Chart("learning rate")
    async with Stage(chart).run_test(size=(100, 12)) as pilot:
        for last, said in ((1.5e-5, "1.5e-5"), (0.0, " 0 ")):
            chart.show([Curve.points("a/lr", "learning rate", [(1, 2e-5), (2, last)])], None)
            await pilot.pause()
            assert said in f"{lines(chart)[0]} " and "0.000" not in lines(chart)[0]
