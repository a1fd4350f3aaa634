"""The list of runs: keys, marks, what stays where when rows arrive, what each width shows, what it costs."""

from __future__ import annotations

import itertools

import pytest
from rich.cells import cell_len
from widgets_support import Made, Rows, Stage, lines, page, run

from rmtui.app.widgets.table.columns import ends_at, state_label
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.runs.model import Landmarks, State


async def test_the_cursor_moves_by_keys_and_says_so():
    table = RunTable(Made(200))
    async with Stage(table).run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "j", "down", "k")
        assert table.selected.id == "run-000002"
        await pilot.press("G")
        assert table.selected.id == "run-000199"
        assert "helpful-199" in lines(table)[-1]
        await pilot.press("pageup")
        assert table.selected.id == "run-000177"
        await pilot.press("g", "k")
        assert table.selected.id == "run-000000"
        told = [message.run_id for message in pilot.app.heard(RunTable.Moved)]
        assert told[0] == "run-000000" and "run-000199" in told and told[-1] == "run-000000"


async def test_enter_opens_and_space_marks_and_goes_on():
    table = RunTable(Made(5))
    async with Stage(table).run_test(size=(80, 24)) as pilot:
        await pilot.press("space", "space", "enter")
        assert table.marked == ("run-000000", "run-000001")
        assert pilot.app.heard(RunTable.Opened)[-1].run_id == "run-000002"
        assert pilot.app.heard(RunTable.Marked)[-1].run_ids == ("run-000000", "run-000001")
        assert lines(table)[1].startswith("▌") and lines(table)[2].startswith("▌")
        await pilot.press("g", "space")
        assert table.marked == ("run-000001",)


async def test_selection_and_scroll_stay_with_their_runs_when_rows_arrive_above():
    rows = Rows(run(n) for n in range(100))
    table = RunTable(rows)
    async with Stage(table).run_test(size=(80, 20)) as pilot:
        for _ in range(30):
            await pilot.press("j")
        before = lines(table)
        rows.rows[:0] = [run(1000 + n) for n in range(7)]
        table.refresh_rows()
        await pilot.pause()
        assert table.selected.id == "run-000030"
        assert lines(table) == before


async def test_a_run_that_the_filter_takes_away_leaves_the_cursor_in_its_place():
    rows = Rows(run(n) for n in range(10))
    table = RunTable(rows)
    async with Stage(table).run_test(size=(80, 20)) as pilot:
        await pilot.press("j", "j", "j")
        del rows.rows[3]
        table.refresh_rows()
        await pilot.pause()
        assert table.selected.id == "run-000004"
        rows.rows.clear()
        table.empty_text = "no run matches"
        table.refresh_rows()
        await pilot.pause()
        assert table.selected is None
        assert "no run matches" in page(table)
        assert pilot.app.heard(RunTable.Moved)[-1].run_id is None


async def test_a_hundred_thousand_rows_are_read_no_more_than_two_hundred():
    asked = {}
    for length in (200, 100_000):
        source = Made(length)
        table = RunTable(source)
        async with Stage(table).run_test(size=(160, 45)) as pilot:
            await pilot.press("j", "G", "pageup", "g")
            asked[length] = source.fetched
    assert asked[100_000] <= asked[200]


async def test_of_a_list_in_which_one_run_lives_one_row_is_drawn_anew():
    drawn: list[int] = []

    class Told(RunTable):
        def render_line(self, y):
            drawn.append(y)
            return super().render_line(y)

    rows = [run(number) for number in range(40)]
    table = Told(Rows(rows))
    async with Stage(table).run_test(size=(120, 20)) as pilot:
        await pilot.pause()
        drawn.clear()
        table.set_source(Rows([*rows[:3], run(3, name="moved on"), *rows[4:]]))
        await pilot.pause()
        assert set(drawn) == {4} and "moved on" in lines(table)[4]
        drawn.clear()
        table.set_source(Rows([run(99), *rows]))
        await pilot.pause()
        assert len(set(drawn)) >= 19


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
async def test_columns_align_and_the_dearest_stay(width):
    runs = [
        run(1),
        run(2, name="中文模型-很长的名字-2", val_acc=None),
        run(3, val_loss=12.3456),
        run(4, train_loss=123456.0),
    ]
    table = RunTable(Rows(runs))
    async with Stage(table).run_test(size=(width, 12)):
        heading, first, wide, third, fourth = lines(table)[:5]
        assert "val_acc" in heading and "val_loss" in heading and "epochs" in heading
        end = heading.index("val_loss") + len("val_loss")
        for line, text in ((first, "0.570"), (wide, "0.570"), (third, "12.346"), (fourth, "0.570")):
            assert _cut(line, end).endswith(text)
        assert all(cell_len(line) <= width for line in lines(table))


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (State.STARTING, "checking the saved model", "checking th"),
        (State.QUEUED, "resumes from step 53; place 1, waits for the CPU", "queued (res"),
    ],
)
async def test_what_a_live_run_does_takes_no_columns_room_at_80_and_a_reason_that_lasts_does(state, reason, words):
    rows = Rows([run(1), run(2, state=state, ended=None, reason=reason)])
    table = RunTable(rows)
    async with Stage(table).run_test(size=(80, 12)) as pilot:
        assert "±" in lines(table)[0] and words in lines(table)[2]
        rows.rows[1] = run(2, state=State.FAILED, reason="out of memory")
        table.refresh_rows()
        await pilot.pause()
        assert "±" not in lines(table)[0] and "out of memory" in lines(table)[2]  # a reason that lasts


async def test_columns_that_gave_way_to_a_live_run_come_back_when_it_has_ended():
    rows = Rows([run(1), run(2, state=State.RUNNING, ended=None, reason="no step for 6 min, usually 1.3 s")])
    table = RunTable(rows)
    async with Stage(table).run_test(size=(100, 12)) as pilot:
        assert "train" not in lines(table)[0]
        rows.rows[1] = run(2)
        table.refresh_rows()
        await pilot.pause()
        assert "train" in lines(table)[0]


@pytest.mark.parametrize(
    ("state", "reason", "label"),
    [
        (State.STARTING, "", "starting"),
        (State.STARTING, "importing torch, 6 s", "importing torch, 6 s"),
        (State.STOPPING, "", "stopping"),
        (State.STOPPING, "saving a checkpoint; will be killed in 89 s if it hangs", "stopping"),
    ],
)
def test_a_resumed_run_is_not_said_to_start_or_stop_since_its_first_start(state, reason, label):
    again = run(1, state=state, ended=None, started=1000.0, reason=reason)
    assert state_label(again, now=1108.0, spelled=True) == label


def test_a_run_that_is_asked_to_stop_has_no_end_of_all_its_steps():
    live = run(1, state=State.STOPPING, ended=None, step=200, last_event=1000.0, seconds_per_step=2.0)
    assert ends_at(live, now=1100.0) is None


def test_an_end_that_should_have_been_is_no_end():
    live = run(1, state=State.RUNNING, ended=None, step=200, last_event=1000.0, seconds_per_step=2.0)
    assert ends_at(live, now=1100.0) == 1200.0
    assert ends_at(live, now=1300.0) is None


@pytest.mark.parametrize(
    ("step", "reason", "words"),
    [
        (299, "", "ends "),
        (300, "", "running"),
        (300, "checking the saved model", "checking the saved model"),
        (200, "evaluating 120/341", "evaluating 120/341"),
        (200, "no step for 6 min, usually 1.3 s", "no step for 6 min, usually 1.3 s"),
    ],
)
async def test_a_running_run_says_what_it_does_in_place_of_an_end_that_is_past(step, reason, words):
    live = run(1, state=State.RUNNING, ended=None, step=step, reason=reason, seconds_per_step=1.0)
    async with Stage(RunTable(Rows([live]))).run_test(size=(200, 12)) as pilot:
        assert words in lines(pilot.app.query_one(RunTable))[1][60:]
        assert ("ends " in lines(pilot.app.query_one(RunTable))[1]) == (words == "ends ")


async def test_why_a_run_ended_is_said_shorter_where_all_of_it_has_no_room():
    ended = run(1, state=State.STOPPED, step=169, reason="stopped by somebody_with_a_name at step 169")
    killed = run(2, state=State.KILLED, step=480, reason="rank 0 was killed (SIGKILL) at step 480")
    for width, words in ((80, ("stopped at step 169", "killed at step 480")), (200, (ended.reason, killed.reason))):
        async with Stage(RunTable(Rows([ended, killed]))).run_test(size=(width, 12)) as pilot:
            shown = lines(pilot.app.query_one(RunTable))
            assert all(line.rstrip().endswith(said) for line, said in zip(shown[1:3], words, strict=True)), shown


def _cut(line: str, cells: int) -> str:
    """The first cells of a line: wide characters take two."""
    kept = ""
    for character in line:
        if cell_len(kept + character) > cells:
            break
        kept += character
    return kept


async def test_wider_screens_show_more_and_never_less():
    shown = []
    for width in range(60, 220, 10):
        table = RunTable(Made(3))
        async with Stage(table).run_test(size=(width, 6)):
            shown.append(set(table.sortable))
    assert all(narrow <= wide for narrow, wide in itertools.pairwise(shown))
    assert {"tags", "gap", "duration"} <= shown[-1]


async def test_every_state_has_a_sign_a_word_and_its_reason():
    runs = [run(n, state=state, reason=f"because {n}") for n, state in enumerate(State)]
    table = RunTable(Rows(runs))
    async with Stage(table).run_test(size=(120, 20)):
        said = lines(table)[1:]
    for state, line in zip(State, said, strict=False):
        assert state.value in line or state in (State.STARTING, State.RUNNING), "what it does stands for its word"
    signs = {line.strip()[0] for line, state in zip(said, State, strict=False) if state is not State.KILLED}
    assert len(signs) == len(State) - 1
    assert "because 6" in next(line for line in said if "failed" in line)


async def test_a_pin_takes_nothing_from_the_name():
    table = RunTable(Rows([run(1, name="helpful-A-12", pinned=True)]))
    async with Stage(table).run_test(size=(80, 6)):
        assert "⌃✓ helpful-A-12 " in lines(table)[1]


@pytest.mark.parametrize("width", [60, 80])
async def test_the_hundredth_run_is_told_from_the_hundred_and_first(width):
    table = RunTable(Rows([run(n, name=f"helpful-A-{n}") for n in (101, 100)]))
    async with Stage(table).run_test(size=(width, 6)):
        assert "helpful-A-101 " in lines(table)[1] and "helpful-A-100 " in lines(table)[2]


async def test_a_group_column_comes_with_the_first_group():
    table = RunTable(Rows([run(1, group="night"), run(2)]))
    async with Stage(table).run_test(size=(120, 12)) as pilot:
        assert "group" not in lines(table)[0]
        table.set_landmarks(Landmarks(grouped=True), None)
        await pilot.pause()
        assert "group" in lines(table)[0] and "night" in lines(table)[1] and "night" not in lines(table)[2]
        assert "group" in table.sortable


async def test_accuracy_has_its_interval_where_there_is_room():
    table = RunTable(Rows([run(1, val_acc=0.75, val_pairs=400), run(2, val_acc=0.75, val_pairs=None)]))
    async with Stage(table).run_test(size=(140, 12)):
        # Wilson's half width is z / (1 + z²/n) · √(p(1 − p)/n + z²/4n²) = 0.0423 at n = 400
        assert "±4.2" in lines(table)[1] and "±" not in lines(table)[2]
    table = RunTable(Rows([run(1, val_acc=0.95, val_pairs=40)]))
    async with Stage(table).run_test(size=(140, 12)):
        assert "83–99" in lines(table)[1] and "±" not in lines(table)[1]  # off its middle: low and high, not ±
    long = run(1, name="a-name-that-needs-all-the-room-there-is", val_pairs=400)
    async with Stage(other := RunTable(Rows([long]))).run_test(size=(80, 12)):
        assert "±" not in page(other)


async def test_names_get_all_spare_room_and_are_cut_in_the_middle():
    name = "helpful-qwen2.5-0.5b-lora16-warmup0.06-seed-43"
    table = RunTable(Rows([run(1, name=name), run(2, name=name.replace("43", "44"))]))
    async with Stage(table).run_test(size=(80, 12)):
        first, second = lines(table)[1:3]
    assert "helpful-qwen" in first and "…" in first and "seed-43" in first and "seed-44" in second
    assert cell_len(first.split()[1]) >= 25
    async with Stage(whole := RunTable(Rows([run(1, name=name)]))).run_test(size=(120, 12)):
        assert name in page(whole)


@pytest.mark.parametrize("width", [60, 80, 110, 160, 200])
async def test_a_reason_is_never_cut_where_room_is_left(width):
    reason = "out of memory on rank 1 at step 57"
    table = RunTable(Rows([run(1, state=State.KILLED, reason=reason), run(2)]))
    async with Stage(table).run_test(size=(width, 12)):
        line = lines(table)[1]
    assert reason in line or cell_len(line) >= width - 2


async def test_the_state_is_said_once_in_a_row():
    table = RunTable(Made(3))
    async with Stage(table).run_test(size=(200, 12)) as pilot:
        assert all(line.count("finished") == 1 for line in lines(table)[1:4])
        table.set_sort("state", False)
        await pilot.pause()
        assert "state" in lines(table)[0]


async def test_a_wide_screen_gives_reasons_their_room():
    reason = "RoundTripFailed: the model loads with other rewards"
    table = RunTable(Rows([run(1, state=State.FAILED, reason=reason)]))
    async with Stage(table).run_test(size=(110, 12)):
        assert "RoundTripFailed: the" in lines(table)[1]


async def test_delta_is_shown_only_on_the_same_validation_pairs():
    base = run(1, val_acc=0.70, val_fingerprint="x")
    better, foreign = run(2, val_acc=0.725, val_fingerprint="x"), run(3, val_acc=0.9, val_fingerprint="y")
    table = RunTable(Rows([base, better, foreign]))
    async with Stage(table).run_test(size=(200, 10)) as pilot:
        table.set_landmarks(Landmarks(frozenset({"run-000002"})), base)
        await pilot.pause()
        assert "+2.5" in lines(table)[2] and "72.5~★" in lines(table)[2]
        assert "+" not in lines(table)[1] and "+" not in lines(table)[3]
        assert "base" in lines(table)[1]


async def test_signs_of_curves_stand_apart_from_those_of_states_and_only_where_there_are_several():
    table = RunTable(Rows([run(1, state=State.RUNNING), run(2)]))
    async with Stage(table).run_test(size=(120, 10)) as pilot:
        table.set_slots({"run-000001": 0})
        await pilot.pause()
        assert lines(table)[1].count("●") == 1
        table.set_slots({"run-000001": 0, "run-000002": 1})
        await pilot.pause()
        assert "● ● " in lines(table)[1] and "◆ ✓ " in lines(table)[2]


async def test_ascii_mode_sends_ascii():
    table = RunTable(Rows([run(1, pinned=True), run(2, state=State.FAILED, reason="x")]))
    async with Stage(table, ascii_mode=True).run_test(size=(160, 10)) as pilot:
        table.set_slots({"run-000001": 0, "run-000002": 1})
        table.set_marked(["run-000002"])
        await pilot.pause()
        assert page(table).isascii()


async def test_control_characters_in_names_are_harmless():
    table = RunTable(Rows([run(1, name="evil\x1b[2J\x07name", note="\x9b31m")]))
    async with Stage(table).run_test(size=(80, 6)):
        assert "\x1b" not in page(table) and "\x07" not in page(table)
