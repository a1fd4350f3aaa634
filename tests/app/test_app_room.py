"""Who gets the room of home: reasons in the list, the verdict above the curves, list and panel side by side."""

from __future__ import annotations

import re
import shutil

import pytest
import support
from app_pilot import NARROW, SMALL, lines, opened, sees, shown, table, until
from textual.widget import Widget

from rmtui.app.widgets.table.run_table import RunTable
from rmtui.operations.advise import advise
from rmtui.runs import queue_tickets

LONG_REASON = "out of memory on rank 1 at step 57: try batch_size 2 with gradient_accumulation_steps 4"


def said_in(pilot, selector: str) -> str:
    """What a part of the screen shows, its lines joined."""
    area = pilot.app.screen.query_one(selector, Widget).region
    rows = [line[area.x : area.right].strip() for line in lines(pilot)[area.y : area.bottom]]
    return re.sub(r"\s+", " ", " ".join(rows))


async def test_a_stopped_run_says_so_once(ws):
    support.make_run_folder(ws, name="halted", outcome="stopped", reason="stopped by ann at step 60")
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "halted", "by ann")
        row = next(line for line in lines(pilot) if "■ halted " in line and "by ann" in line)
        assert "stopped by ann at step 60" in row and row.count("stopped") == 1


@pytest.mark.parametrize("size", [(80, 24), (110, 30), (140, 40), (200, 60)], ids=str)
async def test_the_verdict_of_a_live_run_is_read_to_its_end_with_its_key(ws, size):
    events = support.training(epochs=3, accuracy=(0.688, 0.719, 0.725))[:-3]  # before the last evaluation
    run = support.make_run_folder(ws, name="live", outcome=None, events=events)
    async with opened(ws.root, size) as pilot:
        await sees(pilot, "live")
        verdict = advise(ws, run.id, "en")["verdict"].rstrip(".")
        assert "Next: " in verdict
        await until(pilot, lambda: f"{verdict} a ⏎" in said_in(pilot, "#pulse"))
        left = pilot.app.screen.panel.region.x
        assert not [line for line in lines(pilot) if line[left:].strip(" │") in ("a ⏎", "⏎")]


@pytest.mark.parametrize(("width", "least_panel"), [(140, 54), (160, 73), (200, 98)])
async def test_a_long_reason_in_the_list_leaves_the_panel_its_room(ws, width, least_panel):
    support.make_run_folder(ws, name="broken", outcome="killed", reason=LONG_REASON)
    support.make_run_folder(ws, name="whole", created=support.START + 100)
    async with opened(ws.root, (width, 45)) as pilot:
        await sees(pilot, "broken", "whole", "killed: out of memory")
        assert pilot.app.screen.panel.size.width >= least_panel
        await pilot.press("down")
        await until(pilot, lambda: table(pilot).selected.name == "broken")
        await sees(pilot, "killed: out of memory on rank 1")


async def test_names_are_not_cut_for_the_panel(ws):
    name = "helpful-A-with-a-name-of-forty-letters-01"
    support.make_run_folder(ws, name=name, outcome="killed", reason=LONG_REASON)
    async with opened(ws.root, (160, 45)) as pilot:
        await sees(pilot, name)
        assert name in said_in(pilot, "#list") and "val_loss" in said_in(pilot, "#list")
        assert pilot.app.screen.query_one(RunTable).size.width < 100


async def test_curves_of_a_small_screen_are_seven_rows_high_on_home_and_on_the_runs_own(ws):
    support.make_run_folder(ws, name="whole")
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "val_acc  ◆")
        assert pilot.app.screen.query_one("#loss").size.height >= 7
        await pilot.press("enter")
        await sees(pilot, "5 details", "val_acc  ◆")
        loss, accuracy = pilot.app.screen.query_one("#loss"), pilot.app.screen.query_one("#accuracy")
        assert loss.region.y == accuracy.region.y and loss.size.height >= 7, shown(pilot)


async def test_compared_names_keep_the_ends_that_tell_them_apart(ws):
    for number, letter in enumerate("XYZ"):
        name = f"helpful-with-a-long-beginning-{letter}"
        support.make_run_folder(ws, name=name, created=support.START + number)
    async with opened(ws.root, SMALL) as pilot:
        await sees(pilot, "3 runs")
        await pilot.press("space", "space", "space", "c")
        text = await sees(pilot, "comparison of 3 runs", "val_acc")
        heads = next(line for line in text.split("\n") if line.count("●") == 1 and "…" in line)
        assert all(f"-{letter}" in heads for letter in "XYZ")


@pytest.mark.parametrize("size", [SMALL, NARROW], ids=str)
async def test_each_letter_to_sort_by_is_on_the_line_of_its_column(runs, size):
    async with opened(runs.root, size) as pilot:
        await pilot.press("S")
        text = await sees(pilot, "Sort by", "r run")
        assert all(words in text for words in ("a val_acc", "b best", "l val_loss", "g gap", "n data", "m tags"))


async def test_names_in_the_queue_leave_room_for_what_is_waited_for(ws):
    folder = support.make_run_folder(ws, name="waiting-run", outcome=None)
    shutil.rmtree(folder.path / "attempt-1")
    queue_tickets.add(ws.queue, folder.id, 1, queue_tickets.Needs())
    async with opened(ws.root, SMALL) as pilot:
        await pilot.press("Q")
        await sees(pilot, "waiting-run  needs you: r starts it again  since ")


async def test_an_advice_that_is_cut_takes_one_line(runs):
    for width in (110, 124, 132, 140):
        async with opened(runs.root, (width, 42)) as pilot:
            await pilot.press("a")
            await sees(pilot, "1. ", "2. ", "what the metrics mean")
            for keys in ((), ("w", "w")):
                await pilot.press(*keys)
                await sees(pilot, "1. ", "2. ", "what the metrics mean")
                rows = [line[: width // 2].rstrip() for line in lines(pilot)]
                first = next(number for number, row in enumerate(rows) if row.startswith(" 1. "))
                assert rows[first + 1].startswith(" 2. "), rows
