"""The question before a launch: enter waits for its plan and starts, and paths are completed by tab."""

from __future__ import annotations

import json
import threading

import pytest
import support
from app_pilot import NARROW, opened, sees, table, until
from textual.widgets import Input

from rmtui.app.chrome import Label
from rmtui.app.jobs import launch_plan
from rmtui.app.screens import form, launch
from rmtui.app.screens.launch import LaunchScreen


@pytest.fixture
def ready(ws):
    """A workspace in which a launch is right, and a folder `models/` with two models of nearly one name."""
    for name, count in (("train", 12), ("val", 5)):
        rows = [{"prompt": f"{name} {n}?", "chosen": f"Yes {n}.", "rejected": "No."} for n in range(count)]
        (ws.data / name / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("small-a", "small-b"):
        model = ws.root / "models" / name
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
        (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "models/small-a"\ndata = "tiny"\nprocesses = 2\n')
    return ws


async def dialog(pilot) -> LaunchScreen:
    await pilot.press("n", "enter", "ctrl+r")
    return await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, LaunchScreen) else None)


async def test_enter_before_the_plan_is_there_starts_when_it_is(ready, monkeypatch):
    wanted, started = threading.Event(), []

    def slow(*args, **options):
        assert wanted.wait(support.PATIENCE)
        return launch_plan.plan_launch(*args, **options)

    def record(ws, requests, *rest):
        started.extend(requests if isinstance(requests, (list, tuple)) else [requests])
        return launch_plan.Launched(("none",))

    monkeypatch.setattr(launch, "plan_launch", slow)
    monkeypatch.setattr(form, "launch", record)
    async with opened(ready.root, NARROW) as pilot:
        screen = await dialog(pilot)
        await pilot.press("a", "b", "enter")
        await sees(pilot, "working out the plan, then it starts")
        assert pilot.app.screen is screen and not started
        wanted.set()
        await until(pilot, lambda: started)
        assert [request.name for request in started] == ["ab"]
        assert pilot.app.screen is not screen


async def test_typing_on_after_enter_takes_the_start_back(ready, monkeypatch):
    wanted, started = threading.Event(), []

    def slow(*args, **options):
        assert wanted.wait(support.PATIENCE)
        return launch_plan.plan_launch(*args, **options)

    monkeypatch.setattr(launch, "plan_launch", slow)
    monkeypatch.setattr(form, "launch", lambda *args: started.append(args))
    async with opened(ready.root, NARROW) as pilot:
        screen = await dialog(pilot)
        await pilot.press("enter", "x")
        wanted.set()
        await until(pilot, lambda: screen.planned and screen.planned.request.name == "x")
        assert pilot.app.screen is screen and not started


async def test_the_model_is_completed_by_tab_as_far_as_it_is_clear_then_tab_goes_on(ready):
    async with opened(ready.root, NARROW) as pilot:
        screen = await dialog(pilot)
        model = screen.query_one("#model", Input)
        await pilot.press("tab", "m", "o", "tab")
        assert model.has_focus and model.value == "models/"
        await pilot.press("tab")
        assert model.has_focus and model.value == "models/small-"
        await pilot.press("b", "tab")
        assert model.value == "models/small-b/"
        await until(pilot, lambda: screen.planned and screen.planned.request.model == "models/small-b/")
        assert not screen.planned.plan.errors
        await pilot.press("tab")
        assert screen.query_one("#data", Input).has_focus


async def test_of_several_runs_the_best_has_the_thicker_curve(ws):
    for number, top in enumerate((0.70, 0.76, 0.73)):
        support.make_run_folder(
            ws,
            name=f"run-{number}",
            created=support.START + number,
            events=support.training(accuracy=(0.6, 0.65, top)),
        )
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "run-0", "run-2")
        best = pilot.app.feed.index.resolve("run-1")
        await pilot.press("space", "space", "space")
        chart = pilot.app.screen.query_one("#accuracy")
        await until(pilot, lambda: len({curve.key for curve in chart.curves}) >= 3)
        thick = [curve.key for curve in chart.curves if curve.thick]
        assert len(thick) == 1 and best in thick[0]
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not table(pilot).marked and not any(curve.thick for curve in chart.curves))


async def test_what_is_missing_is_filled_in_here_and_no_option_of_the_command_line_is_named(ready):
    (ready.root / "workspace.toml").write_text("")
    async with opened(ready.root, NARROW) as pilot:
        screen = await dialog(pilot)
        await sees(pilot, "fill in the model field")
        wrong = screen.query_one("#wrong", Label).plain
        assert wrong.startswith("model: no model is named; ") and "--" not in wrong
        screen.query_one("#model", Input).value = "models/small-a"
        screen.query_one("#data", Input).value = "nothing"
        await sees(pilot, "fill in one of data/")
        wrong = screen.query_one("#wrong", Label).plain
        assert "--" not in wrong and "model:" not in wrong
        screen.query_one("#data", Input).value = "tiny"
        screen.query_one("#procs", Input).value = "999"
        await sees(pilot, "processes: 999 processes share")
        assert "--" not in screen.query_one("#wrong", Label).plain
