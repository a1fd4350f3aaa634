"""Manners: one table of actions, names that are never interpreted, wide signs, any size, work that can be ended."""

from __future__ import annotations

import json
import time

import pytest
import support
from app_pilot import NARROW, SIZES, SMALL, WIDE, lines, opened, sees, shown, table, toasts, told, type_text, until
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from rmtui.app import actions
from rmtui.app.app import RmtuiApp
from rmtui.app.base import Done
from rmtui.app.chrome import KeyLine, TopBar
from rmtui.app.jobs.jobs import still_wanted
from rmtui.app.presentation.hanging_indent import laid, row
from rmtui.app.presentation.run_list import FilterLine
from rmtui.app.presentation.run_panel import Charts
from rmtui.app.screens import (
    advice,
    compare,
    data,
    dialogs,
    empty,
    form,
    help,
    home,
    launch,
    new_search,
    pairs,
    presets,
    queue,
    run,
    suspects,
    tune,
)
from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.launch import LaunchScreen
from rmtui.app.screens.presets import PresetsScreen
from rmtui.app.screens.run import RunScreen
from rmtui.app.widgets.chart.chart import Chart
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.form.form import Form
from rmtui.app.widgets.log.view import LogView
from rmtui.app.widgets.path_input import PathInput
from rmtui.app.widgets.table.run_table import RunTable

OWNERS = {
    "app": RmtuiApp, "back": run.RunScreen, "home": home.HomeScreen, "run": run.RunScreen, "form": form.FormScreen,
    "presets": presets.PresetsScreen, "compare": compare.CompareScreen, "advice": advice.AdviceScreen,
    "pairs": pairs.PairsScreen, "data": data.DataScreen, "queue": queue.QueueScreen, "empty": empty.EmptyScreen,
    "table": RunTable, "chart": Chart, "log": LogView, "fields": Form, "choices": Choices, "filter": FilterLine,
    "launch": launch.LaunchScreen, "dialog": dialogs.Confirm, "ask": dialogs.Ask, "path": PathInput,
    "help": help.HelpScreen, "tune": tune.TuneScreen, "begin": new_search.NewSearchScreen,
    "marks": suspects.SuspectsScreen,
}  # fmt: skip
ROUGH = "[red]x[/] [b"
WIDE_NAME = "奖励模型-一号"


# One table


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.id)
def test_every_action_of_the_table_is_done_by_its_pane(action):
    owner = OWNERS[action.pane]
    name = action.binding().action.partition("(")[0]
    holder, _, name = name.rpartition(".")
    assert hasattr(RmtuiApp if holder == "app" else owner, f"action_{name}")
    if action.pane != "back":
        assert action.id in {binding.id for binding in owner.BINDINGS}


def test_nobody_binds_a_key_beside_the_table():
    known = {action.id for action in actions.ACTIONS}
    for owner in OWNERS.values():
        assert {binding.id for binding in owner.BINDINGS} <= known, owner.__name__


async def test_keys_of_widgets_can_be_changed_too(runs):
    (runs.root / "keys.toml").write_text('[table]\ndown = "ctrl+n"\n[log]\nwrap = "f6"\n')
    async with opened(runs.root, NARROW) as pilot:
        assert not toasts(pilot)
        first = table(pilot).selected.id
        await pilot.press("j")
        assert table(pilot).selected.id == first
        await pilot.press("ctrl+n")
        assert table(pilot).selected.id != first


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('new = "foo"', "no key is called 'foo'"),
        ('new = "hyper+x"', "no key is called 'hyper+x'"),
        ("new = 7", "write keys as text"),
        ('fly = "f"', "home.fly is not an action"),
        ('new = "x"', "home.new and home.stop share the key x"),
    ],
)
async def test_a_wrong_line_of_keys_toml_is_told_and_the_rest_counts(runs, line, words):
    (runs.root / "keys.toml").write_text(f'[home]\n{line}\nfilter = "f7"\n')
    async with opened(runs.root, NARROW) as pilot:
        await told(pilot, words)
        await pilot.press("f7")
        await until(pilot, lambda: pilot.app.screen.query_one(FilterLine).has_class("-used"))


# Names


@pytest.mark.parametrize("size", SIZES)
async def test_markup_in_names_notes_and_tags_is_never_interpreted(ws, size):
    made = {"note": ROUGH, "tags": [ROUGH], "name": ROUGH}
    support.make_run_folder(ws, name="x", outcome="failed", reason=ROUGH, meta=made, log=f"{ROUGH}\n")
    async with opened(ws.root, size) as pilot:
        await sees(pilot, ROUGH)
        await pilot.press("delete")
        await sees(pilot, f"Delete {ROUGH}?")
        await pilot.press("n", "p")
        await told(pilot, f"{ROUGH} is pinned")
        await pilot.press("enter", "5")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await sees(pilot, f"failed: {ROUGH}")
        await pilot.press("3")
        await sees(pilot, ROUGH)
        await pilot.press("escape", "a")
        await sees(pilot, f"{ROUGH}: readings and advice")


@pytest.mark.parametrize("size", SIZES)
async def test_wide_signs_keep_every_column_in_its_place(ws, size):
    support.make_run_folder(ws, name=WIDE_NAME, meta={"note": "学习率太高", "tags": ["好"]})
    support.make_run_folder(ws, name="plain", created=support.START + 50)
    async with opened(ws.root, size) as pilot:
        await sees(pilot, WIDE_NAME[:4], "plain")
        rows = [line for line in lines(pilot)[:6] if "74.0" in line]
        assert len({cell_len(line[: line.index("74.0")]) for line in rows}) == 1 and len(rows) == 2
        for key in ("enter", "3", "escape", "b", "escape", "a", "escape", "e"):
            await pilot.press(key)
            await pilot.pause()
            assert {cell_len(line) for line in lines(pilot)} == {size[0]}, key


# Sizes


async def test_every_screen_lives_through_forty_by_ten_and_back(runs):
    async with opened(runs.root, WIDE) as pilot:
        for keys in (
            (),
            ("enter",),
            ("2",),
            ("3",),
            ("escape", "escape", "n"),
            ("enter",),
            ("escape", "a"),
            ("escape", "D"),
        ):
            await pilot.press(*keys)
            await pilot.pause()
            for width, height in ((40, 10), (200, 60), (60, 16), WIDE):
                await pilot.resize_terminal(width, height)
                await until(pilot, lambda width=width: {cell_len(line) for line in lines(pilot)} == {width})
                assert "help" in lines(pilot)[-1], f"{type(pilot.app.screen).__name__} at {width}x{height}"


@pytest.mark.parametrize("width", [60, 80, 110, 130, 160, 200])
async def test_a_state_stands_in_words_at_every_width(runs, width):
    support.make_run_folder(runs, name="ill", created=support.START + 9, outcome="failed", reason="disk full")
    async with opened(runs.root, (width, 30)) as pilot:
        await sees(pilot, "helpful-C-5")
        found = {name: next(line for line in lines(pilot) if name in line) for name in ("helpful-C-5", "ill ")}
        assert "finished" in found["helpful-C-5"] and "failed" in found["ill "]


@pytest.mark.parametrize("size", [(110, 30), (130, 28), (180, 24)])
async def test_charts_keep_room_on_a_wide_screen_that_is_low(runs, size):
    async with opened(runs.root, size) as pilot:
        charts = pilot.app.screen.query_one(Charts)
        await until(pilot, lambda: all(chart.size.height >= 6 for chart in charts.query(Chart)))
        await pilot.press("3")
        await sees(pilot, "Epoch 3/3 | train_loss")


async def test_any_column_can_be_sorted_by_and_is_then_seen(runs):
    async with opened(runs.root, NARROW) as pilot:
        assert "gap" not in lines(pilot)[1]
        while pilot.app.memory.sort != "gap":
            await pilot.press("greater_than_sign")
        await until(pilot, lambda: "gap↓" in lines(pilot)[1])


async def test_the_list_alone_shows_every_column_and_that_is_remembered(runs):
    async with opened(runs.root, (200, 60)) as pilot:
        assert "took" not in lines(pilot)[1]
        await pilot.press("z")
        for title in ("preset", "done", "val_acc", "best", "val_loss", "train", "gap", "data", "tags", "took"):
            await until(pilot, lambda title=title: title in lines(pilot)[1])
        await pilot.press("q")
    async with opened(runs.root, (200, 60)) as pilot:
        await until(pilot, lambda: "took" in lines(pilot)[1])
        await pilot.press("2")
        await until(pilot, lambda: "took" not in lines(pilot)[1])


@pytest.mark.parametrize("width", range(40, 120, 8))
async def test_the_head_of_a_running_run_says_when_it_ends_before_it_draws_a_bar(ws, width):
    events = support.training(start=time.time())[:30]
    folder = support.make_run_folder(ws, name="live", events=events, outcome=None)
    current = None
    async with opened(ws.root, (width, 24)) as pilot:
        from rmtui.app.presentation import run_header as said
        from rmtui.app.widgets.glyphs import UNICODE
        from rmtui.app.widgets.palette import palette_of
        from rmtui.runs.model import State

        current = pilot.app.feed.index.run(folder.id)._replace(state=State.RUNNING, reason="")
        words = said.head(current, UNICODE, palette_of(pilot.app.screen), width).plain
    assert "ends " in words and cell_len(words) <= width
    assert "━" not in words or "epoch" in words


async def test_both_charts_of_a_run_share_their_x(runs):
    async with opened(runs.root, WIDE) as pilot:
        loss, accuracy = (pilot.app.screen.query_one(name, Chart) for name in ("#loss", "#accuracy"))
        await until(pilot, lambda: loss.curves and accuracy.curves)
        assert loss.curves[0].x[0] < accuracy.curves[0].x[0], "steps begin before the first epoch ends"
        first, second = loss.x_scale(), accuracy.x_scale()
        assert (first.low, first.high) == (second.low, second.high)


@pytest.mark.parametrize("size", SIZES)
async def test_a_workspace_without_runs_says_the_three_ways_on(ws, size):
    async with opened(ws.root, size) as pilot:
        await sees(pilot, "Three ways to start", "n     open preset", "i     read past runs", "rmtui demo DIR")


async def test_a_filter_that_hides_everything_says_the_way_out(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("slash")
        await type_text(pilot, "nothing")
        await sees(pilot, "no run matches; escape clears the filter", "0 of 6")


async def test_the_app_opens_on_the_run_it_was_opened_for(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("j")
        await pilot.press("q")
    from rmtui.app.start import find_workspace

    app = RmtuiApp(find_workspace(runs.root), runs.root)
    app.awaited = next(path.name for path in sorted(runs.runs.iterdir()))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: table(pilot).selected and table(pilot).selected.id == app.awaited)


# Summary and comparison


async def test_the_verdict_and_the_next_step_with_its_keys_stand_above_the_curves_of_home_and_run(runs):
    async with opened(runs.root, WIDE) as pilot:
        said = pilot.app.screen.query_one("#pulse")
        await until(pilot, lambda: "Next: " in said.plain)
        verdict = " ".join(said.plain.split())
        assert verdict.endswith(" a ⏎")
        says = pilot.app.screen.query_one("#says").plain.split("\n")
        assert all(line[:2] in ("▲ ", "✗ ", "▸ ", "✓ ", "▼ ", "  ", "ep") for line in says)
        assert sum(line[:2] in ("▲ ", "✗ ", "▸ ", "✓ ") for line in says) <= 5
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await until(pilot, lambda: " ".join(pilot.app.screen.query_one("#verdict").plain.split()) == verdict)


async def test_no_verdict_is_shown_under_the_name_of_another_run(runs):
    async with opened(runs.root, WIDE) as pilot:
        said = pilot.app.screen.query_one("#pulse")
        await until(pilot, lambda: "Next: " in said.plain)
        await pilot.press("j")
        assert "Next: " not in said.plain
        await until(pilot, lambda: "Next: " in said.plain)
        await pilot.press("k")
        assert "Next: " in said.plain  # nothing has changed: it is not read anew


async def test_a_comparison_begins_with_its_verdict(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("space", "G", "space", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, compare.CompareScreen))
        lead = pilot.app.screen.query_one("#lead")
        await until(pilot, lambda: "helpful-C-5 leads on val_acc by" in lead.plain and "Next: " in lead.plain)
        assert lines(pilot)[1].strip().startswith("helpful-C-5 leads on val_acc by")
        assert any("differs" in line for line in lines(pilot)[2:7]), "then the runs, side by side"
        assert "no paired test" in pilot.app.screen.query_one("#text").plain
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, advice.AdviceScreen))
        assert pilot.app.screen.current().name == "helpful-C-5"


@pytest.mark.parametrize("size", [SMALL, NARROW])
async def test_six_runs_fit_side_by_side_on_a_small_screen(runs, size):
    async with opened(runs.root, size) as pilot:
        await pilot.press(*["space"] * 6, "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, compare.CompareScreen))
        text = pilot.app.screen.query_one("#text")
        await until(pilot, lambda: "val_loss" in text.plain)
        rows = [line for line in text.plain.split("\n") if "epoch 3" in line]
        assert rows and all(len(row.split()[-6:]) == 6 and row.split()[-1][0].isdigit() for row in rows)
        assert max(map(cell_len, text.plain.split("\n"))) < size[0]


# Forms


async def test_a_form_shows_what_the_chosen_baseline_had(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("G", "B")
        await told(pilot, "measured from helpful-A-0")
        await pilot.press("g", "b")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, FormScreen) else None)
        names = [reference.name for reference in screen.form.fields.references]
        assert names == ["helpful-C-5", "helpful-A-0"]
        await sees(pilot, "← helpful-A-0 ")


async def test_a_preset_is_duplicated_by_key_with_its_comments(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("y")
        await type_text(pilot, "slow")
        await pilot.press("enter")
        await sees(pilot, "slow  conservative")
        screen = pilot.app.screen
        assert isinstance(screen, PresetsScreen) and screen.chosen().name == "slow"
    kept = (runs.presets / "slow.toml").read_text().count("#")
    assert kept >= (runs.presets / "a-conservative.toml").read_text().count("#") - 5


@pytest.mark.parametrize("size", [SMALL, NARROW, WIDE])
async def test_the_launch_question_says_its_keys_and_the_whole_command_can_be_read(ws, size):
    pair = {"prompt": "Say hello.", "chosen": "Hello!", "rejected": "No."}
    for name in ("train", "val"):
        rows = [pair | {"prompt": f"Say hello, {name} {n}."} for n in range(12)]
        (ws.data / name / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "models" / "m").mkdir(parents=True)
    (ws.root / "models" / "m" / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (ws.root / "models" / "m" / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "models/m"\ndata = "tiny"\nprocesses = 2\n')
    async with opened(ws.root, size) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter", "ctrl+r")
        screen = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, LaunchScreen) else None)
        await until(pilot, lambda: screen.planned)
        await sees(pilot, "enter start", "esc back")
        for _ in range(6):
            await pilot.press("pagedown")
        await sees(pilot, "effective batch")
        assert isinstance(pilot.app.screen, LaunchScreen)


# Work


@pytest.mark.parametrize("ended", [True, False])
async def test_long_work_is_named_while_it_lasts_and_ctrl_g_ends_it(runs, ended):
    steps = []

    def job():
        while not (ended and len(steps) > 3):
            still_wanted()
            time.sleep(0.01)
            steps.append(1)
        return Done("counted", "counting sheep")

    async with opened(runs.root, NARROW) as pilot:
        bar = pilot.app.screen.query_one(TopBar)
        pilot.app.screen.run_job("counting sheep", job)
        if ended:
            await told(pilot, "counted")
        else:
            await until(pilot, lambda: "counting sheep · ^g cancels" in bar.plain)
            await pilot.press("ctrl+g")
            await told(pilot, "cancelled: counting sheep")
            await until(
                pilot, lambda: all(worker.is_finished for worker in pilot.app.workers if "sheep" in worker.name)
            )
        await until(pilot, lambda: "sheep" not in bar.plain)
        assert not any("JobCancelled" in note.message for note in toasts(pilot))


async def test_an_import_tells_what_it_read_and_a_wrong_path_why_not(runs, tmp_path):
    (tmp_path / "old.log").write_text("Epoch 1/1 | train_loss=0.9 | val_loss=0.6 | val_acc=68.0%\n")
    async with opened(runs.root, NARROW) as pilot:
        for path, words in ((tmp_path / "old.log", "1 run read"), (tmp_path / "missing.log", "missing.log")):
            await pilot.press("i")
            ask = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, dialogs.Ask) else None)
            ask.query_one("Input").value = str(path)
            await pilot.press("enter")
            await told(pilot, words)
        assert not pilot.app.jobs.names


async def test_v_confirms_val_acc_from_the_advice_too_and_says_why_it_cannot(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, advice.AdviceScreen))
        await pilot.press("V")
        await told(pilot, "cannot be evaluated")


async def test_the_footer_keeps_the_way_back_and_help_however_short_it_is(runs):
    async with opened(runs.root, (40, 10)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await until(pilot, lambda: pilot.app.screen.query_one(KeyLine).plain.endswith("esc back   ? help"))
        assert "esc back   ? help" in shown(pilot)


@pytest.mark.parametrize("width", range(5, 60))
def test_hanging_words_end_at_any_width_and_take_no_colour_from_their_lead(width):
    words = "train_loss stands still: 0.5500 → 0.5500, 训练损失没有下降"
    text = laid([row(Text("  a long lead  ", "red"), words), row(Text("→ ", "red"), words)], width, Console())
    said = text.plain.split("\n")
    assert "".join(text.plain.split()).count("没有下降") == 2
    if width > 20:
        assert max(map(cell_len, said)) <= width and said[0].startswith("  a long lead")
    red = {text.plain[place] for span in text.spans if span.style == "red" for place in range(span.start, span.end)}
    assert red <= set("  a long lead  → ") and not text.style
