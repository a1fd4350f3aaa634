"""Screens that are lists: one line a row, hanging lines, weights of type, and the keys their footers name."""

from __future__ import annotations

from pathlib import Path

import support
from app_pilot import NARROW, WIDE, lines, opened, sees, shown, strips_of, table, until

from rmtui.app.screens.advice import AdviceScreen
from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.help import STATES
from rmtui.app.screens.presets import PresetsScreen
from rmtui.app.widgets.choices import Choices
from rmtui.cli import main
from rmtui.guide.short_form import advice_line
from rmtui.launch.command import PLAIN_CONFIG
from rmtui.runs.model import State


def weights(pilot, words: str) -> set[bool]:
    """Whether the segments that hold these words are bold."""
    strips = strips_of(pilot.app)
    return {bool(one.style and one.style.bold) for strip in strips for one in strip if words in one.text}


def below(pilot, start: str) -> tuple[str, str]:
    """The line that begins with these words, borders and blanks aside, and the next one."""
    found = lines(pilot)
    place = next(n for n, line in enumerate(found) if line.strip().startswith(start))
    return found[place], found[place + 1]


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
        found = lines(pilot)
        first = next(n for n, line in enumerate(found) if long["text"][:40] in line)
        column = found[first].index(long["text"][:40])
        assert not found[first + 1][:column].strip() and found[first + 1][column] != " "


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


async def test_a_filter_moves_the_panel_with_the_list_and_its_footer_has_the_keys_of_the_filter(ws):
    support.make_runs(ws, 3)
    async with opened(ws.root, NARROW) as pilot:
        await until(pilot, lambda: "helpful-C-2   finished" in shown(pilot))
        await pilot.press("slash", *"A-0")
        await until(pilot, lambda: "helpful-A-0   finished" in shown(pilot))
        assert "⏎ to the list" in lines(pilot)[-1] and "/ filter" not in lines(pilot)[-1]
        await pilot.press(*"zzz")
        await until(pilot, lambda: "finished" not in shown(pilot) and "no run matches" in shown(pilot))
        assert "epoch" not in "\n".join(lines(pilot)[12:]), "no curves of a run that is not in the list"
        await pilot.press(*["backspace"] * 3, "enter")
        await until(pilot, lambda: "helpful-A-0   finished" in shown(pilot) and pilot.app.focused is table(pilot))
        assert "/ filter" in lines(pilot)[-1]


async def test_every_line_of_a_preset_is_there_where_the_list_has_a_scroll_bar(ws):
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, PresetsScreen) and pilot.app.screen.is_filled)
        text = await sees(pilot, "dropout 0.1", "linear")
        second = text[text.index("aggressive") : text.index("balanced")]
        assert "linear" in second, "the list is one cell narrower than when its lines were counted"


async def test_an_imported_run_has_the_log_that_it_was_read_from_and_its_notes_hang(ws):
    log = ws.root / "logs" / "rm" / "helpful_one.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "learning_rate: 2e-05\nLoading the model\n"
        "Epoch 1/2 - train_loss: 0.8755 - val_loss: 0.5928 - val_acc: 68.5%\n"
        "Epoch 2/2 - train_loss: 0.6728 - val_loss: 0.5710 - val_acc: 70.1%\n"
    )
    (log.parent / "rm_config.yaml").write_text("learning_rate: 9e-5\n")
    assert main(["import", str(log), "-C", str(ws.root)]) == 0
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("enter", "3")
        await sees(pilot, "Loading the model", "val_acc: 70.1%")
        await pilot.press("5")
        text = await sees(pilot, "read from")
        place = next(n for n, line in enumerate(text.split("\n")) if "read from" in line)
        column = text.split("\n")[place].index(str(log)[:9])
        assert text.split("\n")[place + 1][:column].strip() in ("", "metrics")
        await sees(pilot, "learning_rate: the log says 2e-5, rm_config.yaml 9e-5; the log's")
