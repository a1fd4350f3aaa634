"""The form: typing, what is said beside a field while one types, what differs, undo."""

from __future__ import annotations

from textual.events import Key
from widgets_support import Stage, page

from rmtui.app.widgets.form.form import Form, Reference
from rmtui.i18n import value_text
from trainer.config import OPTIONS, parse_text

FILE = Reference("file", {"num_epochs": "3", "learning_rate": "1.5e-5"})
LAST = Reference("helpful-A-2", {"num_epochs": "3", "learning_rate": "2e-5"})


def form() -> Form:
    made = Form()
    made.load({"num_epochs": "3", "learning_rate": "1.5e-5"}, (FILE, LAST))
    return made


def line(widget: Form, key: str) -> str:
    return next(text for text in page(widget).splitlines() if f" {key} " in text)


async def test_typing_a_number_replaces_it_and_keeps_the_spelling():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("j", "2", "e", "minus", "5", "enter")
        assert widget.texts()["learning_rate"] == "2e-5"
        assert widget.values()["learning_rate"] == 2e-5
        assert widget.changes() == {"learning_rate": "2e-5"}
        assert "← file 1.5e-5" in line(widget, "learning_rate")
        assert "helpful-A-2" not in line(widget, "learning_rate")
        texts = [message.text for message in pilot.app.heard(Form.Changed)]
        assert texts == ["2", "2e", "2e-", "2e-5"]
        assert [message.value for message in pilot.app.heard(Form.Changed)] == [None, None, None, 2e-5]


async def test_equal_values_in_another_spelling_are_no_difference():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("j", *"0.000015", "enter")
        assert widget.texts()["learning_rate"] == "0.000015"
        assert widget.changes() == {}


async def test_what_is_wrong_is_said_beside_the_field_while_typing():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("0")
        assert "✗ 0 is out of range" in line(widget, "num_epochs")
        assert [problem.key for problem in widget.problems() if problem.severity == "error"] == ["num_epochs"]
        await pilot.press("backspace", "9", "9")
        assert "! 99 is unusual" in line(widget, "num_epochs")
        await pilot.press("escape")
        assert widget.texts()["num_epochs"] == "3"
        assert "1 … 1000" in line(widget, "num_epochs")


async def test_keys_typed_ahead_end_up_in_their_own_fields():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        for key in ("4", "down", "2", "e", "minus", "5", "down", "8", "enter"):
            character = {"minus": "-"}.get(key, key if len(key) == 1 else None)
            pilot.app.post_message(Key(key, character))
        await pilot.pause()
        assert widget.changes() == {"num_epochs": "4", "learning_rate": "2e-5", "batch_size": "8"}


async def test_the_caret_can_stand_anywhere():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        widget.focus_key("model")
        await pilot.press("enter", *"modls", "left", "left", "e", "end", "slash", "x", "enter")
        assert widget.texts()["model"] == "models/x"


async def test_choices_turn_and_numbers_step():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("right", "right", "left")
        assert widget.texts()["num_epochs"] == "4"
        widget.focus_key("lr_scheduler")
        await pilot.press("right")
        assert widget.values()["lr_scheduler"] == "cosine"
        await pilot.press("left", "left")
        assert widget.values()["lr_scheduler"] == "wsd"
        widget.focus_key("gradient_checkpointing")
        await pilot.press("enter")
        assert widget.values()["gradient_checkpointing"] is True


async def test_undo_takes_back_whole_edits_and_redo_brings_them_again():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("1", "2", "enter", "j", *"3e-5", "enter", "g")
        await pilot.press("u")
        assert widget.texts()["learning_rate"] == "1.5e-5" and widget.key == "learning_rate"
        await pilot.press("u")
        assert widget.texts()["num_epochs"] == "3" and widget.key == "num_epochs"
        await pilot.press("u", "U", "U")
        assert widget.changes() == {"num_epochs": "12", "learning_rate": "3e-5"}


async def test_backspace_at_rest_restores_the_file():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("7", "enter", "backspace")
        assert widget.changes() == {}


async def test_leaving_a_field_keeps_what_was_typed():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        await pilot.press("5", "down")
        assert widget.changes() == {"num_epochs": "5"} and widget.key == "learning_rate"


async def test_advanced_fields_are_folded_unless_they_differ():
    widget = form()
    async with Stage(widget).run_test(size=(120, len(OPTIONS) + 25)) as pilot:
        assert "label_smoothing" not in page(widget)
        await pilot.press("v")
        assert "label_smoothing" in page(widget)
        widget.load({"label_smoothing": "0.1"}, (FILE,))
        await pilot.press("v")
        assert "label_smoothing" in page(widget) and "use_margin" not in page(widget)


async def test_every_field_explains_itself_at_eighty_columns():
    widget = form()
    async with Stage(widget).run_test(size=(80, 24)) as pilot:
        widget.set_derived({"steps": "1,600", "effective batch": "64 = 4 × 2 × 8"})
        for key in OPTIONS:
            widget.focus_key(key)
            await pilot.pause()
            foot = " ".join(page(widget).splitlines()[-2:])
            assert key in foot and OPTIONS[key].meta.help.split()[0] in foot
            assert "effective batch 64" in page(widget)
            assert any(text.startswith(" ▸") for text in page(widget).splitlines()), key


async def test_a_path_beside_a_field_keeps_its_end_and_a_bound_is_read_in_groups():
    widget = Form()
    widget.load({}, (FILE, Reference("helpful-A-3", {"data.train": "/data/of/somebody/far/away/helpful_pairs.jsonl"})))
    async with Stage(widget).run_test(size=(100, 45)):
        assert "← helpful-A-3 …/helpful_pairs.jsonl" in line(widget, "data.train")
        assert "0 … 1,000,000,000 steps" in line(widget, "save_steps")
        assert "1 … 4096" in line(widget, "batch_size")


async def test_pasting_into_a_field():
    widget = form()
    async with Stage(widget).run_test(size=(120, 45)) as pilot:
        from textual.events import Paste

        widget.focus_key("data.train")
        widget.post_message(Paste("/data/pairs\n.jsonl"))
        await pilot.pause()
        await pilot.press("enter")
        assert widget.texts()["data.train"] == "/data/pairs .jsonl"


def test_spelling_of_a_value_reads_back_as_the_same_value():
    for option in OPTIONS.values():
        assert parse_text(option, value_text(option.key, option.default)) == option.default, option.key
    assert [value_text("learning_rate", value) for value in (1.5e-5, 2e-5, 0.1, 64.0)] == [
        "1.5e-5",
        "2e-5",
        "0.1",
        "64",
    ]
