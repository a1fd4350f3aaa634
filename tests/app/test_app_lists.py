"""Screens that are lists: one line a row, hanging lines, weights of type, and the keys their footers name."""

from __future__ import annotations

from pathlib import Path

from app_pilot import NARROW, WIDE, lines, opened, sees, strips_of, until

from rmtui.app.screens.advice import AdviceScreen
from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.help import STATES
from rmtui.app.screens.presets import PresetsScreen
from rmtui.app.widgets.choices import Choices
from rmtui.guide.short_form import advice_line
from rmtui.launch.command import PLAIN_CONFIG
from rmtui.runs.model import State


def weights(pilot, words: str) -> set[bool]:
    """Whether the segments that hold these words are bold."""
    strips = strips_of(pilot.app)
    return {bool(one.style and one.style.bold) for strip in strips for one in strip if words in one.text}


def below(pilot, start: str) -> tuple[str, str]:
    """The line that begins with these words, borders and blanks aside, and the next one."""
    shown = lines(pilot)
    place = next(n for n, line in enumerate(shown) if line.strip().startswith(start))
    return shown[place], shown[place + 1]


async def test_advice_is_bold_in_its_first_line_alone_and_says_what_enter_does(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("j", "a")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, AdviceScreen) else None)
        step = (await until(pilot, lambda: screen.document.get("advice")))[0]
        first = advice_line(screen.document, step, "en")[:30]
        await sees(pilot, first, step["why"][:20], "take it", "preset ")
        assert weights(pilot, first) == {True}
        assert weights(pilot, step["why"][:20]) == {False}


async def test_a_wrapped_reading_stands_below_its_first_word(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("j", "a")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, AdviceScreen) else None)
        readings = await until(pilot, lambda: screen.document.get("readings"))
        await pilot.press("w")
        place, long = next((n, one) for n, one in enumerate(readings) if len(one["text"]) > 100)
        items = screen.query_one(Choices)
        items.highlighted = items.get_option_index(f"reading-{long['id']}-{place}")
        await sees(pilot, long["text"][:40])
        shown = lines(pilot)
        first = next(n for n, line in enumerate(shown) if long["text"][:40] in line)
        column = shown[first].index(long["text"][:40])
        assert not shown[first + 1][:column].strip() and shown[first + 1][column] != " "


async def test_the_three_ways_hang_and_home_is_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "new").mkdir()
    async with opened(tmp_path / "new", NARROW) as pilot:
        text = await sees(pilot, "Ways to start:", "~/new isn't a workspace yet")
        assert str(tmp_path) not in text
        assert weights(pilot, "Tune reward models") == {True} and weights(pilot, "a workspace yet") == {False}
        first, second = below(pilot, "d  demo")
        column = first.index("make a small")
        assert not second[:column].strip() and second[column] != " "


async def test_presets_say_that_enter_opens_and_arrows_move(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("n")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, PresetsScreen) else None)
        await sees(pilot, "conservative", "open")
        choice = screen.query_one(Choices)
        await pilot.press("down")
        await until(pilot, lambda: screen.chosen() and screen.chosen().name == "B")
        assert choice.styles.background == screen.styles.background
        assert choice.styles.background_tint.a == 0


async def test_help_tells_what_the_signs_of_states_mean(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("question_mark")
        text = await sees(pilot, "imported")
        signs = {State.RUNNING: "●", State.QUEUED: "◌", State.FINISHED: "✓", State.FAILED: "✗", State.IMPORTED: "⌁"}
        for state, sign in signs.items():
            assert f"{sign} {state.value}" in text
        assert set(STATES) == set(State)


async def test_a_form_shows_the_workspace_s_model_and_a_short_command_while_the_launch_names_the_file(runs):
    (runs.root / "workspace.toml").write_text('model = "models/small"\nprocesses = 2\n')
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter")
        text = await sees(pilot, "models/small", "from workspace.toml", "--config_file .../accelerate.yaml")
        assert str(PLAIN_CONFIG) not in text
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, FormScreen) else None)
        assert "model" not in screen.form.changes()
        assert str(PLAIN_CONFIG) in screen.planned.plan.line
