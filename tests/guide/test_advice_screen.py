"""The advice screen shows whatever the guide says: the same reading twice, a path, a step that evaluates."""

from __future__ import annotations

import io
import re
from contextlib import asynccontextmanager

from rich.console import Console
from support import START, make_run_folder, training
from textual.widgets import OptionList

from rmtui.app.app import RmtuiApp
from rmtui.app.screens.advice import AdviceScreen
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
        if items.option_count:
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
        lines = await shown(pilot, screen)
    assert sum("train_loss fell" in line and "rests on" not in line for line in lines) == 2
    pointed = [line for line in lines if "Try A first" in line or "Is A good enough" in line]
    assert len(pointed) == 2


async def test_an_advice_names_what_it_rests_on_in_words_and_leads_there_and_back(ws):
    run = one_run(ws)
    async with advice_of(ws, run) as (pilot, screen):
        lines = await shown(pilot, screen)
        items = screen.query_one(OptionList)
        step = max(screen.document["advice"], key=lambda step: len(step["because"]))
        assert step["because"]
        items.highlighted = items.get_option_index(f"advice-{step['id']}")
        said = lines[items.highlighted]
        assert not any(name in line for name in step["because"] for line in lines)
        assert all(words.split(" (")[0] in " ".join(said.split()) for words in step["because_titles"])
        passed = []
        for _ in range(20):
            await pilot.press("w")
            kind, name, *_ = items.get_option_at_index(items.highlighted).id.split("-")
            passed.append(name)
            if kind == "advice":
                break
        assert set(passed[:-1]) == set(step["because"]) and passed[-1] == step["id"]
        resting = next(place for place, line in enumerate(lines) if "The gap val_loss" in line)
        items.highlighted = resting
        await pilot.press("enter")
        assert items.highlighted == resting
