"""The advice screen shows whatever the guide says: the same reading twice, a path, a step that evaluates."""

from __future__ import annotations

import io
import re
from contextlib import asynccontextmanager

import pytest
from rich.console import Console
from support import START, make_run_folder, training
from textual.widgets import OptionList

from rmtui.app.app import RmtuiApp
from rmtui.app.chrome import Label
from rmtui.app.screens.advice import AdviceScreen
from rmtui.app.screens.launch import LaunchScreen
from rmtui.guide import short_form
from rmtui.index.index import Index
from rmtui.operations import mute
from rmtui.workspace import open_workspace


@asynccontextmanager
async def advice_of(ws, run):
    """The app with the advice on a run in front: (pilot, screen)."""
    app = RmtuiApp(ws, ws.root)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        screen = AdviceScreen(run)
        await app.push_screen(screen)
        yield pilot, screen


async def shown(pilot, screen):
    items = screen.query_one(OptionList)
    for _ in range(400):
        if items.option_count and beside(screen):
            break
        await pilot.pause(0.02)
    return [written(items.get_option_at_index(place).prompt) for place in range(items.option_count)]


def written(prompt):
    console = Console(width=400, file=io.StringIO())
    console.print(prompt)
    return console.file.getvalue().strip()


HAN = re.compile("[\u4e00-\u9fff]")


def one_run(ws):
    make_run_folder(ws, "one", created=START)
    with Index.open(ws) as index:
        index.sync()
        return index.run(index.resolve("one"))


async def test_every_line_is_chinese_when_that_is_the_language(ws):
    (ws.root / "workspace.toml").write_text('lang = "zh"\n')
    run = one_run(ws)
    mute.silence(ws, "one", "val_loss_fell")
    async with advice_of(open_workspace(ws.root), run) as (pilot, screen):
        lines = [line for line in await shown(pilot, screen) if line]
    assert len(lines) > 15 and all(HAN.search(line) for line in lines), [line for line in lines if not HAN.search(line)]


async def test_what_is_silenced_is_listed_with_its_record_and_said_again_on_enter(ws):
    run = one_run(ws)
    mute.silence(ws, "one", "val_loss_fell")
    async with advice_of(ws, run) as (pilot, screen):
        assert any("1 hidden" in line for line in await shown(pilot, screen))
        await pilot.press("w")
        lines = await shown(pilot, screen)
        assert not any("val_loss fell" in line for line in lines[:-1])
        assert "val_loss fell (this run, 20" in lines[-1]
        screen.query_one(OptionList).highlighted = len(lines) - 1
        screen.action_take()
        for _ in range(400):
            if not mute.silenced(ws, run.id):
                break
            await pilot.pause(0.02)
    assert mute.silenced(ws, run.id) == []


async def test_a_reading_of_the_epochs_and_of_the_run_before_are_both_shown(ws):
    make_run_folder(ws, "first", created=START)
    events = training(start=START + 50, accuracy=(0.70, 0.74, 0.78))
    for event in events:
        if event.kind == "epoch":
            event.metrics["train_loss"] -= 0.05
    make_run_folder(ws, "second", created=START + 50, events=events)
    with Index.open(ws) as index:
        index.sync()
        run = index.run(index.resolve("second"))
    async with advice_of(ws, run) as (pilot, screen):
        await shown(pilot, screen)
        await pilot.press("w")
        lines = await shown(pilot, screen)
    assert sum("train_loss fell" in line and "based on" not in line for line in lines) == 2
    pointed = [line for line in lines if "Try A first" in line or "Is A good enough" in line]
    assert len(pointed) == 2


def beside(screen):
    """What stands beside the lines: the reasons of the one under the cursor."""
    return " ".join(screen.query_one("#detail", Label).plain.split())


def above(screen):
    return " ".join(screen.query_one("#verdict", Label).plain.split())


async def test_reasons_expectation_and_readings_are_those_of_the_line_under_the_cursor(ws):
    run = one_run(ws)
    async with advice_of(ws, run) as (pilot, screen):
        lines = await shown(pilot, screen)
        steps = short_form.first_advices(screen.document)
        assert steps
        for place, step in enumerate(steps):
            assert lines[screen.query_one(OptionList).highlighted].startswith(f"{place + 1}. ")
            said = beside(screen)
            assert " ".join(step["why"].split()) in said and all(text in said for text in step["because_text"])
            assert ("expected:" in said) is bool(step["expected"])
            others = [other["why"] for other in steps if other is not step]
            assert not any(other in said for other in others)
            await pilot.press("j")
        reading = short_form.worst_readings(screen.document)[0]
        assert reading["text"] in beside(screen)


async def test_w_unfolds_everything_and_folds_it_again(ws):
    run = one_run(ws)
    async with advice_of(ws, run) as (pilot, screen):
        before = await shown(pilot, screen)
        await pilot.press("w")
        whole = " ".join(" ".join(await shown(pilot, screen)).split())
        for row in [*screen.document["advice"], *screen.document["readings"]]:
            assert row["text"] in whole
        assert all(step["why"] in whole for step in screen.document["advice"])
        await pilot.press("w")
        assert await shown(pilot, screen) == before


@pytest.mark.parametrize("keys", [["enter"], ["j", "j", "j", "j", "enter"]])
async def test_enter_takes_the_first_step_from_its_line_and_from_a_reading(ws, keys):
    run = one_run(ws)
    async with advice_of(ws, run) as (pilot, screen):
        await shown(pilot, screen)
        assert above(screen).endswith("⏎") and above(screen).startswith(screen.document["verdict"][:40])
        first = screen.document["advice"][0]
        for key in keys:
            await pilot.press(key)
        for _ in range(400):
            if isinstance(pilot.app.screen, LaunchScreen):
                break
            await pilot.pause(0.02)
        overrides = pilot.app.screen.request().overrides
        assert {key: float(overrides[key]) for key in first["changes"]} == first["changes"]
