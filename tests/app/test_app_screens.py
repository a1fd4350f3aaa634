"""Every other screen: what it shows and what its keys do."""

from __future__ import annotations

import json
import os
import shutil
import threading

import pytest
import support
from app_pilot import NARROW, SIZES, WIDE, lines, opened, sees, strips_of, toasts, told, type_text, until
from rich.cells import cell_len
from textual.widgets import Input

from rmtui.app import themes
from rmtui.app.actions import ACTIONS, DIGITS, LETTERS, PANES, SENSES
from rmtui.app.chrome import Label
from rmtui.app.jobs.devices import Loads, look
from rmtui.app.screens.advice import AdviceScreen
from rmtui.app.screens.compare import CompareScreen
from rmtui.app.screens.dialogs import Confirm
from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.help import HelpScreen
from rmtui.app.screens.home import HomeScreen
from rmtui.app.screens.launch import LaunchScreen
from rmtui.app.screens.pairs import PairsScreen
from rmtui.app.screens.presets import PresetsScreen
from rmtui.app.screens.run import RunScreen
from rmtui.app.themes import Depth
from rmtui.app.widgets.choices import Choices
from rmtui.app.widgets.device_load import Device
from rmtui.app.widgets.form.form import Form
from rmtui.app.widgets.log.view import LogView
from rmtui.launch import slots
from rmtui.runs import identity
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.runs.state import status


@pytest.fixture
def ready(ws):
    """A workspace in which a launch is right: data and a model folder are there."""
    pair = {"prompt": "Say hello.", "chosen": "Hello, nice to see you!", "rejected": "No."}
    for name, count in (("train", 12), ("val", 5)):
        rows = [
            pair | {"prompt": f"Say hello, number {name} {n}.", "chosen": f"Hello {n}{name}!"} for n in range(count)
        ]
        (ws.data / name / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = ws.root / "models" / "m"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text('model = "models/m"\ndata = "tiny"\nprocesses = 2\n')
    return ws


async def screen_of(pilot, kind):
    return await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, kind) else None)


# Help, palette, keys, themes


@pytest.mark.parametrize("size", SIZES)
async def test_help_tells_the_keys_of_the_pane_one_came_from(runs, size):
    async with opened(runs.root, size) as pilot:
        await pilot.press("question_mark")
        screen = await screen_of(pilot, HelpScreen)
        said = "\n".join(f"{lead.plain}{words.plain}" for lead, words in screen._rows())
        for action in ACTIONS:
            if action.pane in ("home", "app"):
                assert action.word in said, action.id
        assert said.index("home:") < said.index("everywhere")
        assert all(f"\n  {sign}  " in f"\n{said}" for sign in "⌃★↑↓✎~"), "every sign of the list is explained"
        await pilot.press("escape")
        await screen_of(pilot, HomeScreen)


async def test_the_palette_finds_an_action_by_its_name_and_does_it(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("colon")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "CommandPalette")
        await type_text(pilot, "high-contrast")
        await sees(pilot, "theme: high-contrast")
        await pilot.press("down", "enter")
        await until(pilot, lambda: pilot.app.theme == "high-contrast")


@pytest.mark.parametrize(("typed", "found"), [("tune", "search"), ("best checkpoint", "evaluate"), ("queue", "queue")])
async def test_the_palette_finds_an_action_by_what_is_said_of_it_and_by_its_id(runs, typed, found):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("colon")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "CommandPalette")
        await type_text(pilot, typed)
        await sees(pilot, f"{found}  (")


async def test_keys_toml_moves_a_key_and_tells_what_it_cannot_use(runs):
    (runs.root / "keys.toml").write_text('[home]\nnew = "w"\nfly = "f"\n')
    async with opened(runs.root, NARROW) as pilot:
        await told(pilot, "home.fly is not an action")
        await pilot.press("w")
        await screen_of(pilot, PresetsScreen)


async def test_a_keys_toml_that_is_no_toml_locks_nobody_out(runs):
    (runs.root / "keys.toml").write_text("[home\n")
    async with opened(runs.root, NARROW) as pilot:
        await told(pilot, "keys.toml cannot be read")
        await pilot.press("n")
        await screen_of(pilot, PresetsScreen)


def test_action_ids_are_unique_and_no_pane_has_one_key_twice():
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)
    for pane in PANES:
        keys = [key for action in ACTIONS if action.pane == pane for key in action.keys.split(",")]
        assert len(keys) == len(set(keys)), pane


def test_a_letter_means_one_thing_on_every_screen():
    """Questions are left out, where y and n are yes and no; a digit is a pane."""
    found = {}
    for action in ACTIONS:
        if action.pane == "dialog":
            continue
        for key in action.keys.split(","):
            if len(key) == 1:
                found.setdefault(key, set()).add(SENSES.get(action.word, action.word))
    assert all(len(senses) == 1 for senses in found.values()), {k: v for k, v in found.items() if len(v) > 1}
    assert {key: min(senses) for key, senses in found.items()} == DIGITS | LETTERS


async def test_every_theme_draws_and_is_remembered(runs):
    async with opened(runs.root, NARROW) as pilot:
        seen = [pilot.app.theme]
        for _ in themes.NAMES[1:]:
            await pilot.press("ctrl+t")
            await sees(pilot, "helpful-C-5")
            seen.append(pilot.app.theme)
        assert sorted(seen) == sorted(themes.NAMES)
        last = pilot.app.theme
        await pilot.press("q")
    async with opened(runs.root, NARROW) as pilot:
        assert pilot.app.theme == last


def colours_drawn(pilot):
    """The colours of all cells on the screen in front."""
    styles = {part.style for strip in strips_of(pilot.app) for part in strip if part.style}
    return {colour.get_truecolor().hex for style in styles for colour in (style.color, style.bgcolor) if colour}


def inks(name):
    """Every colour of a theme."""
    theme = next(theme for theme in themes.themes(Depth.TRUE) if theme.name == name)
    return {value for value in theme.variables.values() if value.startswith("#")} | {theme.background, theme.surface}


OPENED = {
    "home": [],
    "run": ["enter"],
    "log": ["enter", "l"],
    "advice": ["a"],
    "compare": ["space", "space", "c"],
    "queue": ["Q"],
    "presets": ["n"],
    "data": ["D"],
}


@pytest.mark.parametrize("keys", OPENED.values(), ids=OPENED)
async def test_another_theme_leaves_no_line_in_the_colours_of_the_one_before(runs, keys):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press(*keys)
        for name in themes.NAMES[:-1]:  # the last has the terminal's own colours
            assert pilot.app.theme == name
            alien = set().union(*map(inks, themes.NAMES[:-1])) - inks(name)
            await until(pilot, lambda alien=alien: colours_drawn(pilot) and not colours_drawn(pilot) & alien)
            await pilot.press("ctrl+t")


async def test_readings_change_their_language_and_wide_signs_keep_the_lines_straight(runs):
    async with opened(runs.root, WIDE) as pilot:
        pulse, says = (pilot.app.screen.query_one(name) for name in ("#pulse", "#says"))
        await until(pilot, lambda: "val_loss" in pulse.plain and "folded" not in says.plain and says.plain)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "下一步：" in pulse.plain and "理由" in says.plain)
        assert {cell_len(line) for line in lines(pilot)} == {WIDE[0]}


# Empty


async def test_an_empty_folder_offers_ways_to_start_and_writes_nothing(tmp_path):
    async with opened(tmp_path, NARROW) as pilot:
        await sees(pilot, "Ways to start:", "demo", "launch", "import")
        assert list(tmp_path.iterdir()) == []
        await pilot.press("n")
        await screen_of(pilot, PresetsScreen)
        assert (tmp_path / "presets").is_dir()


# Run


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_fills_the_screen_with_curves_then_log_then_details(runs, size):
    async with opened(runs.root, size) as pilot:
        await pilot.press("enter")
        await screen_of(pilot, RunScreen)
        await sees(pilot, "helpful-C-5", "loss", "val_acc")
        await pilot.press("3")
        await sees(pilot, "Epoch 3/3 | train_loss")
        await pilot.press("5")
        await sees(pilot, "attempts", "state")
        assert {cell_len(line) for line in lines(pilot)} == {size[0]}
        await pilot.press("escape")
        await sees(pilot, "loss", "val_acc")
        assert isinstance(pilot.app.screen, RunScreen), "escape is one step back: to the curves, then to the list"
        await pilot.press("escape")
        await screen_of(pilot, HomeScreen)


async def test_from_a_point_of_the_curve_to_the_log_at_that_step(ws):
    log = "".join(f"step {n}/60 | loss=0.5\n" for n in range(1, 61))
    support.make_run_folder(ws, name="jumpy", log=log)
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("enter")
        screen = await screen_of(pilot, RunScreen)
        await until(pilot, lambda: screen.query_one("#loss").curves)
        await pilot.press("left")
        view = await until(pilot, lambda: screen.query_one("#loss").view.cursor)
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_one(LogView).has_focus)
        await sees(pilot, f"step {round(view)}/60")


async def test_the_first_error_of_a_log_is_one_key_away(ws):
    log = "fine\n" * 300 + "RuntimeError: boom\n" + "after\n" * 300
    support.make_run_folder(ws, name="bad", log=log, outcome="failed", reason="boom")
    async with opened(ws.root, NARROW) as pilot:
        await pilot.press("enter")
        await screen_of(pilot, RunScreen)
        await pilot.press("E")
        await sees(pilot, "RuntimeError: boom")


async def test_a_run_that_is_deleted_elsewhere_closes_its_screen(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("enter")
        screen = await screen_of(pilot, RunScreen)
        folder = screen.current().folder if screen.current() else (await until(pilot, screen.current)).folder
        folder.rename(runs.root / "gone")
        await screen_of(pilot, HomeScreen)


# Preset and form


async def test_presets_say_what_they_are_for_and_what_is_expected(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("n")
        await sees(pilot, "val_loss falls steadily", "73–76 %", "is the learning rate the problem?")
        await sees(pilot, "expected on the guide's base: train_loss")
        await pilot.press("enter")
        await sees(pilot, "expected on the guide's base: train_loss")


async def test_what_a_person_expects_of_a_preset_is_not_said_to_be_the_guides(ready):
    mine = (ready.presets / "a-conservative.toml").read_text().replace("[0.73, 0.76]", "[0.64, 0.66]")
    (ready.presets / "a-conservative.toml").write_text(mine)
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("n")
        await sees(pilot, "expected: train_loss 0.55–0.60", "64–66 %")


async def test_a_form_refuses_wrong_values_beside_the_field_and_starts_nothing(ready):
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter")
        screen = await screen_of(pilot, FormScreen)
        form = screen.query_one(Form)
        form.focus_key("learning_rate")
        await pilot.press("enter", "ctrl+a", "ctrl+k")
        form.set_text("learning_rate", "fast")
        await until(pilot, lambda: any(problem.key == "learning_rate" for problem in form.problems()))
        await pilot.press("ctrl+r")
        await told(pilot, "nothing was started")
        assert not any(ready.runs.iterdir())


def test_this_machine_tells_its_processors():
    cpu = look().devices[-1]
    assert cpu.name == "CPU" and 0 <= cpu.load <= 1 and 0 < cpu.used < cpu.total


@pytest.mark.parametrize("size", SIZES)
async def test_a_running_run_shows_each_device_beside_its_curves_and_among_its_details(ws, size):
    support.make_runs(ws, 1)
    async with opened(ws.root, size) as pilot:
        await pilot.press("enter")
        screen = await screen_of(pilot, RunScreen)
        await until(pilot, lambda: screen.current())
        assert not screen.query_one("#devices").display, "a run that has ended loads no device"
        gpu = Device("GPU 0", 0.87, 11.2 * 2**30, 24 * 2**30, 61.0)
        screen.post_message(Loads((gpu, Device("CPU", 0.5, 4 * 2**30, 16 * 2**30))))
        line = "87 %  11.2 GB of 24.0 GB  61 °C"
        await sees(pilot, line)
        await pilot.press("5")
        await sees(pilot, line, "configuration" if size == WIDE else "50 %  4.0 GB of 16.0 GB")


async def test_a_form_tells_parameters_and_memory_and_they_follow_the_method(ready):
    sizes = {"intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100}
    facts = {"model_type": "llama", "hidden_size": 8, **sizes}
    (ready.root / "models" / "m" / "config.json").write_text(json.dumps(facts))
    (ready.root / "models" / "m" / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    whole = 100 * 8 + 4 * 8 * 8 + 3 * 8 * 16 + 3 * 8 + 8
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter")
        form = (await screen_of(pilot, FormScreen)).query_one(Form)
        await sees(pilot, "trainable", "memory", "a process")
        form.set_text("method", "full")
        await sees(pilot, f"{whole / 1000:.3g}k of {whole / 1000:.3g}k")


async def test_from_n_to_a_queued_run_by_key_alone_then_out_of_the_queue(ready):
    identity.ensure(ready.root)  # slots are named by it
    taken = slots.hold(ready, slots.cpu_names(ready))
    assert taken is not None
    try:
        async with opened(ready.root, WIDE) as pilot:
            await pilot.press("n")
            await sees(pilot, "conservative")
            await pilot.press("enter")
            await screen_of(pilot, FormScreen)
            await sees(pilot, "effective batch", "16 = 4 × 2 × 2")
            await pilot.press("4", "enter")
            await sees(pilot, "differs from the file: 1", "← file 3")
            await pilot.press("ctrl+r")
            launch = await screen_of(pilot, LaunchScreen)
            await sees(pilot, "accelerate launch", "--num_processes 2")
            await until(pilot, lambda: launch.planned and launch.planned.request == launch.request())
            await pilot.press("enter")
            await screen_of(pilot, HomeScreen)
            await sees(pilot, "queued")
            folder = RunFolder(next(ready.runs.iterdir()))
            assert folder.spec()["config"]["num_epochs"] == 4
            await pilot.press("Q")
            await sees(pilot, "1 waiting", "waits for the CPU")
            await pilot.press("escape", "x")
            await screen_of(pilot, Confirm)
            await pilot.press("y")
            await until(pilot, lambda: status(folder).state is State.STOPPED)
    finally:
        for descriptor in taken:
            os.close(descriptor)


async def test_saving_a_preset_keeps_comments_and_spelling(ready):
    path = ready.presets / "a-conservative.toml"
    before = path.read_text()
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter")
        screen = await screen_of(pilot, FormScreen)
        screen.query_one(Form).set_text("learning_rate", "2e-5")
        await sees(pilot, "differs from the file: 1")
        await pilot.press("ctrl+s")
        await sees(pilot, "as in the file")
    changed = [
        (old, new) for old, new in zip(before.split("\n"), path.read_text().split("\n"), strict=True) if old != new
    ]
    assert len(changed) == 1 and "2e-5" in changed[0][1]


async def test_an_outside_change_of_the_file_is_noticed_and_revert_reads_it(ready):
    path = ready.presets / "a-conservative.toml"
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("enter")
        screen = await screen_of(pilot, FormScreen)
        path.write_text(path.read_text().replace("num_epochs = 3", "num_epochs = 7"))
        await told(pilot, "was changed on disk")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: screen.query_one(Form).texts()["num_epochs"] == "7")


async def test_a_form_of_a_past_run_holds_its_values(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("b")
        screen = await screen_of(pilot, FormScreen)
        await sees(pilot, "helpful-C-5 re-run with changes")
        assert screen.query_one(Form).texts()["learning_rate"] == "2e-5"
        assert screen.request().procs == 2, "as many processes as the run had"


async def test_files_typed_into_a_form_are_trained_on_and_empty_fields_say_whose_are(ready):
    few = ready.data / "few.jsonl"
    few.write_text("".join((ready.data / "train" / "tiny_pairs.jsonl").read_text().splitlines(True)[:3]))
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("n", "enter")
        screen = await screen_of(pilot, FormScreen)
        await sees(pilot, "data/train/tiny_pairs.jsonl")
        screen.query_one(Form).set_text("data.train", "data/few.jsonl")
        await until(pilot, lambda: screen.planned and screen.planned.plan.derived.train_pairs == 3)
        files = screen.planned.plan.spec["config"]["data"]
        assert files["train"] == str(few)
        assert files["val"] == str(ready.data / "val" / "tiny_pairs.jsonl"), "what was not named is the workspace's"


async def test_a_set_named_in_the_launch_dialog_replaces_the_files_of_a_past_run(ready):
    for part in ("train", "val"):
        path = ready.data / part / "other_pairs.jsonl"
        path.write_text((ready.data / part / "tiny_pairs.jsonl").read_text())
    files = {part: str(ready.data / part / "tiny_pairs.jsonl") for part in ("train", "val")}
    support.make_run_folder(ready, name="tiny-A-1", preset="A", data="tiny", config={"data": files})
    async with opened(ready.root, WIDE) as pilot:
        await sees(pilot, "tiny-A-1")
        await pilot.press("b")
        await screen_of(pilot, FormScreen)
        await pilot.press("ctrl+r")
        screen = await screen_of(pilot, LaunchScreen)
        await until(pilot, lambda: screen.planned)
        assert screen.planned.plan.spec["config"]["data"]["train"] == files["train"]
        screen.query_one("#data", Input).value = "other"
        other = str(ready.data / "train" / "other_pairs.jsonl")
        await until(pilot, lambda: screen.planned.plan.spec["config"]["data"]["train"] == other)


async def test_the_launch_dialog_shows_the_model_and_takes_another(ready):
    other = ready.root / "models" / "other"
    shutil.copytree(ready.root / "models" / "m", other)
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("n", "enter", "ctrl+r")
        screen = await screen_of(pilot, LaunchScreen)
        await until(pilot, lambda: screen.planned)
        await sees(pilot, "model", "models/m")
        screen.query_one("#model", Input).value = "models/other"
        await until(pilot, lambda: screen.planned.plan.spec["config"]["model"] == str(other))
        screen.query_one("#model", Input).value = "models/none"
        await sees(pilot, "models/none")
        await until(pilot, lambda: any(problem.key == "model" for problem in screen.planned.plan.errors))


async def test_a_changed_workspace_toml_counts_at_once(ready):
    shutil.copytree(ready.root / "models" / "m", ready.root / "models" / "later")
    settings = ready.root / "workspace.toml"
    async with opened(ready.root, NARROW) as pilot:
        settings.write_text(settings.read_text().replace("models/m", "models/later"))
        await pilot.press("n", "enter")
        screen = await screen_of(pilot, FormScreen)
        await until(pilot, lambda: screen.planned and screen.planned.plan.spec["config"]["model"].endswith("later"))
        settings.write_text(settings.read_text().replace("models/later", "models/m"))
        await until(pilot, lambda: screen.planned.plan.spec["config"]["model"].endswith("models/m"))
        settings.write_text("model = ")
        await told(pilot, "cannot be read")
        assert pilot.app.ws.settings.model == "models/m"


async def test_training_all_presets_says_on_what(ready):
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("n")
        await sees(pilot, "conservative")
        await pilot.press("T")
        await sees(pilot, "Train A, B, C, M one after the other?", "data set tiny, model models/m")


async def test_paths_of_a_past_run_stand_in_a_form_as_from_the_workspaces_folder(ready):
    train, model = ready.data / "train" / "others_pairs.jsonl", ready.root / "models" / "m"
    support.make_run_folder(
        ready, name="tiny-A-1", preset="A", config={"model": str(model), "data": {"train": str(train)}}
    )
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("n", "enter")
        screen = await screen_of(pilot, FormScreen)
        await sees(pilot, "← tiny-A-1 …/others_pair")
        await pilot.press("escape", "escape", "b")
        await until(pilot, lambda: pilot.app.screen is not screen and isinstance(pilot.app.screen, FormScreen))
        texts = pilot.app.screen.query_one(Form).texts()
        assert (texts["model"], texts["data.train"]) == ("models/m", "data/train/others_pairs.jsonl")
        await until(pilot, lambda: pilot.app.screen.planned)
        assert pilot.app.screen.planned.plan.spec["config"]["model"] == str(model), "and is found from there"


# Compare, advice, pairs, data


@pytest.mark.parametrize("size", SIZES)
async def test_a_comparison_shows_differences_first_and_names_the_best(runs, size):
    async with opened(runs.root, size) as pilot:
        await pilot.press("space", "j", "j", "space", "c")
        await screen_of(pilot, CompareScreen)
        text = await sees(pilot, "● ★ help", "◆ help", "differs", "lora.r")
        assert text.index("differs") < text.index("same")
        assert {cell_len(line) for line in lines(pilot)} == {size[0]}
        await pilot.press("v")
        if size == WIDE:
            await sees(pilot, "warm-up", "seed")


async def test_one_run_alone_cannot_be_compared(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("c")
        await told(pilot, "mark two to six runs")


async def test_advice_opens_a_form_with_its_values(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("j", "a")
        screen = await screen_of(pilot, AdviceScreen)
        await until(pilot, lambda: screen.document.get("advice"))
        step = screen.document["advice"][0]
        await sees(pilot, step["why"][:30], "what the metrics mean")
        await pilot.press("G")
        await sees(pilot, "the guide's path")
        await pilot.press("g", "enter")
        launch = await screen_of(pilot, LaunchScreen)
        assert set(step["changes"]) <= set(launch.request().overrides)
        await pilot.press("escape")
        form = (await screen_of(pilot, FormScreen)).query_one(Form)
        await until(pilot, lambda: set(form.changes()) == set(step["changes"]))


async def test_what_stands_below_the_last_choice_is_read_before_the_cursor_starts_anew(runs):
    async with opened(runs.root, (80, 24)) as pilot:
        await pilot.press("j", "a")
        await screen_of(pilot, AdviceScreen)
        await sees(pilot, "what to try next")
        await pilot.press("w")
        items = pilot.app.screen.query_one(Choices)
        last = max(place for place, option in enumerate(items.options) if not option.disabled)
        items.highlighted = last
        await until(pilot, lambda: items.scroll_y > 0)
        assert not items.is_vertical_scroll_end
        while not items.is_vertical_scroll_end:
            await pilot.press("j")
            assert items.highlighted == last
        await pilot.press("j")
        await until(pilot, lambda: items.highlighted < last)


async def test_a_silenced_reading_is_said_no_more(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("j", "a")
        screen = await screen_of(pilot, AdviceScreen)
        step = await until(pilot, lambda: screen.document.get("advice"))
        await pilot.press("h")
        await until(pilot, lambda: step[0]["id"] not in [one["id"] for one in screen.document["advice"]])


async def test_pairs_show_texts_with_their_differing_words(ready):
    folder = support.make_run_folder(
        ready,
        name="scored",
        config=support.config(data={"train": "data/train/tiny_pairs.jsonl", "val": "data/val/tiny_pairs.jsonl"}),
        fingerprints={},
    )
    from trainer.pairs import distinct_ids, read_rows

    rows = list(distinct_ids(read_rows(ready.data / "val" / "tiny_pairs.jsonl")))
    (folder.path / "validation").mkdir()
    with (folder.path / "validation" / "epoch-3.jsonl").open("w") as file:
        for place, row in enumerate(rows):
            file.write(json.dumps({"id": row.id, "chosen": place - 2.5, "rejected": 0.0}) + "\n")
    async with opened(ready.root, NARROW) as pilot:
        await pilot.press("P")
        await screen_of(pilot, PairsScreen)
        await sees(pilot, "most wrong 3", "of 5 pairs", "Hello 0val!", "rejected", "No.")
        await sees(pilot, "margins −2.5 █   █   █ │  █   █    +2.5, median −0.50")
        await pilot.press("right_square_bracket")
        await sees(pilot, "closest")
        await pilot.press("escape", "enter")
        await screen_of(pilot, RunScreen)
        await until(pilot, lambda: "margins −2.5 █" in pilot.app.screen.query_one("#says", Label).plain)


async def test_what_failed_is_told_once(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("P")
        await screen_of(pilot, PairsScreen)
        await told(pilot, "no rewards of individual pairs")
        assert len(toasts(pilot)) == 1


async def test_a_data_check_names_line_and_harm(ready):
    path = ready.data / "train" / "tiny_pairs.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("D")
        await sees(pilot, "train/tiny_pairs.jsonl + val/tiny_pairs.jsonl")
        await pilot.press("enter")
        await sees(pilot, "line 13", "1 error,", "invalid json")
        await pilot.press("ctrl+l")
        await sees(pilot, "第 13 行", "1 个错误", "JSON 无效")


async def test_a_data_check_is_cancelled_in_its_first_pass(ready, monkeypatch):
    """The check is held until x was pressed, so the machine's speed does not matter."""
    from rmtui.operations import check as operation

    scan, pressed = operation.scan, threading.Event()

    def held(*arguments):
        assert pressed.wait(20)
        return scan(*arguments)

    monkeypatch.setattr(operation, "scan", held)
    async with opened(ready.root, WIDE) as pilot:
        await pilot.press("D")
        await sees(pilot, "train/tiny_pairs.jsonl + val/tiny_pairs.jsonl")
        await pilot.press("enter")
        await sees(pilot, "checking")
        await pilot.press("x")
        pressed.set()
        await sees(pilot, "cancelled")
        await pilot.press("enter")
        await sees(pilot, "good pairs")
