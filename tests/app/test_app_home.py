"""Home: what a person sees first, and every action on runs, by key."""

from __future__ import annotations

import json

import pytest
import support
from app_pilot import NARROW, SIZES, SMALL, WIDE, lines, opened, sees, shown, strips_of, table, told, type_text, until
from rich.cells import cell_len

from rmtui.app.app import RmtuiApp
from rmtui.app.chrome import KeyLine
from rmtui.app.presentation import run_panel
from rmtui.app.presentation.run_list import FilterLine
from rmtui.app.presentation.run_panel import Charts
from rmtui.app.screens.dialogs import Ask, Confirm
from rmtui.index.index import Index
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State


def folder_of(ws, name):
    return next(path for path in ws.runs.iterdir() if RunFolder(path).name() == name)


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_glance_has_runs_figures_and_keys_at_every_size(runs, size):
    async with opened(runs.root, size) as pilot:
        text = await sees(pilot, "helpful-C-5", "val_acc", "6 runs", "? help")
        assert all(cell_len(line) == size[0] for line in lines(pilot))
        assert len(lines(pilot)) == size[1]
        row = next(line for line in text.split("\n") if "helpful-A-3" in line)
        assert "64.5" in row and "0.560" in row  # 129 of 200 pairs, and 0.62 − 3 × 0.02
        header, rows = lines(pilot)[1], [line for line in lines(pilot)[2:8] if "helpful-" in line]
        assert header.index("val_acc") <= row.index("64.5") < header.index("val_loss")
        assert len({line.index("0.5") for line in rows}) == 1, "the decimal points stand in one column"


async def test_a_wide_screen_shows_list_curves_words_and_log_together(runs):
    async with opened(runs.root, WIDE) as pilot:
        text = await sees(pilot, "loss", "train", "val", "Epoch 3/3 | train_loss", "epoch   train")
        assert "⠉" in text or "⠒" in text, "a curve is drawn in braille"


@pytest.mark.parametrize("size", SIZES)
async def test_ascii_mode_draws_nothing_beyond_ascii(runs, size):
    async with opened(runs.root, size, ascii_mode=True) as pilot:
        await sees(pilot, "helpful-C-5")
        await pilot.press("2")
        await sees(pilot, "val_acc  *-- 64.5")
        list_alone = pilot.app.screen.query_one("#list").size.width if size == WIDE else size[0]
        drawn = "\n".join(line[:list_alone] for line in lines(pilot))
        assert drawn.isascii(), sorted({sign for sign in drawn if not sign.isascii()})


async def test_moving_shows_the_figures_of_the_run_under_the_cursor_and_then_its_curves(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("j")
        await sees(pilot, "✓ helpful-B-4   finished")
        chosen = table(pilot).selected.id
        charts = pilot.app.screen.query_one(Charts)
        await until(pilot, lambda: pilot.app.screen.panel.wanted.runs[0].run_id == chosen)
        await until(pilot, lambda: any(chosen in curve.key for curve in charts.query_one("#loss").curves))


async def test_the_curves_come_with_their_band_before_the_guide_has_read_the_run(runs, monkeypatch):
    monkeypatch.setattr(run_panel, "READ_SECONDS", 3600)  # the guide has not read the run yet
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("j", "j")
        await sees(pilot, "✓ helpful-A-3", "guide's range")
        assert "Next:" not in shown(pilot)
        monkeypatch.setattr(run_panel, "READ_SECONDS", 0.01)
        await pilot.press("k", "j")
        await sees(pilot, "✓ helpful-A-3", "Next:", "guide's range")
        await pilot.press("k")
        await sees(pilot, "✓ helpful-B-4")
        await until(pilot, lambda: "guide's range" not in shown(pilot))


@pytest.mark.parametrize("outcome", [None, "finished"])
async def test_the_log_panel_follows_what_a_run_writes(ws, outcome):
    """Also what is added to the log of one that ended."""
    folder = support.make_run_folder(ws, name="live", outcome=outcome, log="first line\n")
    async with opened(ws.root, WIDE) as pilot:
        await sees(pilot, "first line")
        with (folder.path / "attempt-1" / "logs" / "rank0.log").open("a") as log:
            log.write("second line\n")
        await sees(pilot, "second line")


async def test_new_events_move_figures_without_moving_the_cursor(ws):
    first = support.training(epochs=1)
    folder = support.make_run_folder(ws, name="older", events=first, outcome=None)
    support.make_run_folder(ws, name="newer", created=support.START + 100)
    async with opened(ws.root, WIDE) as pilot:
        await pilot.press("j")
        await sees(pilot, "68.5")
        support.append_events(folder, support.training(epochs=2, first_step=21)[2:])
        await sees(pilot, "71.0")
        assert table(pilot).selected.name == "older"


async def test_a_run_that_arrives_does_not_move_the_selection(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("j", "j")
        before = table(pilot).selected.id
        support.make_run_folder(runs, name="just-arrived", created=support.START + 10**6)
        await sees(pilot, "just-arrived", "7 runs")
        assert table(pilot).selected.id == before


async def test_the_cursor_waits_at_the_top_while_the_list_is_read_in_for_the_first_time(runs):
    with Index.open(runs) as index:
        index.sync()
    support.make_run_folder(runs, name="not-read-yet", created=support.START + 10**6)
    async with opened(runs.root, NARROW) as pilot:
        await until(pilot, lambda: table(pilot).selected.name == "not-read-yet")
        support.make_run_folder(runs, name="just-arrived", created=support.START + 2 * 10**6)
        await sees(pilot, "just-arrived", "8 runs")
        assert table(pilot).selected.name == "not-read-yet"


async def test_the_filter_counts_while_one_types_and_escape_takes_it_away(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("slash")
        await type_text(pilot, "preset:a")
        text = await sees(pilot, "2 of 6")
        assert "helpful-B" not in text.split("─")[0]
        await pilot.press("enter")
        assert table(pilot).has_focus
        await pilot.press("escape")
        await sees(pilot, "helpful-B-4")
        assert not pilot.app.screen.query_one(FilterLine).has_class("-used")


async def test_a_filter_that_cannot_be_read_says_why_beside_it(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("slash")
        await type_text(pilot, "val_acc>abc")
        line = await until(pilot, lambda: pilot.app.screen.query_one(".-wrong", FilterLine))
        assert "abc" in line.query_one("#count").plain
        await pilot.press("escape")
        await sees(pilot, "helpful-C-5")


async def test_sorting_by_column_and_turning_it_round(runs):
    async with opened(runs.root, WIDE) as pilot:
        order = []
        while pilot.app.memory.sort != "val_acc":
            await pilot.press("less_than_sign")
            assert pilot.app.memory.sort not in order, "every column is reached once"
            order.append(pilot.app.memory.sort)
        first = await until(pilot, lambda: [row.name for row in table(pilot).source.fetch(0, 6)])
        await pilot.press("s")
        assert [row.name for row in table(pilot).source.fetch(0, 6)] == first[::-1]
        assert first[0] == "helpful-C-5"


async def test_selection_filter_sort_and_marks_survive_a_restart(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("slash")
        await type_text(pilot, "helpful")
        await pilot.press("enter", "s", "j", "space")
        remembered = table(pilot).selected.id, table(pilot).marked
        await pilot.press("q")
    async with opened(runs.root, NARROW) as pilot:
        assert (table(pilot).selected.id, table(pilot).marked) == remembered
        assert pilot.app.memory.query == "helpful" and not pilot.app.memory.descending
        assert "/helpful" in shown(pilot)


async def test_a_state_file_of_another_shape_is_forgotten_not_fatal(runs):
    (runs.state_dir / "app.json").write_text(json.dumps({"query": 7, "marked": [1, "x"], "sort": None}))
    async with opened(runs.root, NARROW) as pilot:
        await sees(pilot, "helpful-C-5")
        assert pilot.app.memory.query == ""


async def test_rename_note_tags_and_group_are_kept_in_the_run_folder(runs):
    async with opened(runs.root, NARROW) as pilot:
        meta = folder_of(runs, "helpful-C-5") / "meta.toml"
        for key, text, kept in [
            ("o", "too noisy", 'note = "too noisy"'),
            ("t", "good", '"good"'),
            ("F", "ablation", 'group = "ablation"'),
        ]:
            await pilot.press(key)
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            await type_text(pilot, text)
            await pilot.press("enter")
            await until(pilot, lambda kept=kept: meta.is_file() and kept in meta.read_text())
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await type_text(pilot, "-renamed")
        await pilot.press("enter")
        await until(pilot, lambda: folder_of(runs, "helpful-C-5-renamed"))
        await sees(pilot, "helpful-C-5-re")


async def test_escape_in_a_prompt_changes_nothing(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await type_text(pilot, "x")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Ask))
        assert not (folder_of(runs, "helpful-C-5") / "meta.toml").exists()


async def test_pin_brings_a_run_to_the_top_and_archive_takes_it_out(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("G", "p")
        await until(pilot, lambda: table(pilot).source.fetch(0, 1)[0].name == "helpful-A-0")
        await pilot.press("A")
        await sees(pilot, "5 runs")


async def test_deleting_asks_first_and_no_keeps_everything(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("space", "space", "delete")
        dialog = await until(pilot, lambda: pilot.app.screen if isinstance(pilot.app.screen, Confirm) else None)
        assert dialog.question == "Delete 2 runs?"
        assert "helpful-C-5" in shown(pilot) and "cannot be undone" in shown(pilot)
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm))
        assert len(list(runs.runs.iterdir())) == 6
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: len(list(runs.runs.iterdir())) == 4)
        await sees(pilot, "4 runs")


async def test_stop_of_a_finished_run_is_refused_in_words(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("j", "x")
        await told(pilot, "only a running or queued run can be stopped")


async def test_a_star_stands_at_the_best_run_and_delta_follows_the_chosen_baseline(runs):
    async with opened(runs.root, WIDE) as pilot:
        await sees(pilot, "64.5~★")
        starred = [line[:80] for line in lines(pilot)[2:8] if "★" in line[:80]]
        assert len(starred) == 1 and "helpful-A-3" in starred[0], "of three equal ones the oldest"
        await pilot.press("G", "B")
        await told(pilot, "measured from helpful-A-0")
        row = next(line for line in lines(pilot) if "helpful-A-3" in line)
        assert "Δ" in lines(pilot)[1] and "+0.5" in row  # 129 − 128 of 200 pairs
        await pilot.press("q")
    async with opened(runs.root, NARROW) as pilot:
        assert pilot.app.memory.baseline.endswith("-0000")
        assert "Δ" in lines(pilot)[1] and "+0.5" in shown(pilot)
        await pilot.press("G", "B")
        await told(pilot, "from no run")
        assert "Δ" not in lines(pilot)[1]


async def test_a_run_without_accuracy_is_no_baseline(ws):
    support.make_run_folder(ws, name="silent", events=[], outcome="failed")
    async with opened(ws.root, NARROW) as pilot:
        await sees(pilot, "silent")
        await pilot.press("B")
        await told(pilot, "no val_acc to measure from")
        assert pilot.app.memory.baseline == ""


async def test_the_footer_offers_what_applies_to_the_run_under_the_cursor(ws, monkeypatch):
    support.make_runs(ws, 2)
    async with opened(ws.root, NARROW) as pilot:
        keys = pilot.app.screen.query_one(KeyLine)
        await until(pilot, lambda: "b re-run" in keys.plain)
        assert "stop" not in keys.plain and "resume" not in keys.plain
        current = pilot.app.screen.current()
        for state, resumable, offered in (
            (State.RUNNING, False, "x stop"),
            (State.QUEUED, False, "x stop"),
            (State.INTERRUPTED, True, "r resume"),
        ):
            run = current._replace(state=state, resumable=resumable)
            monkeypatch.setattr(pilot.app.screen, "current", lambda run=run: run)
            pilot.app.screen._show_current()
            assert offered in keys.plain and "re-run" not in keys.plain
            assert ("x stop" in keys.plain) != ("r resume" in keys.plain)


async def test_the_head_of_a_failed_run_keeps_progress_beside_a_long_reason(ws):
    reason = "RoundTripFailed: " + "the model loads with other rewards than were trained " * 3
    support.make_run_folder(ws, name="broken", events=support.training()[:32], outcome="failed", reason=reason)
    for size in (NARROW, WIDE):
        async with opened(ws.root, size) as pilot:
            await until(pilot, lambda: "46 %" in pilot.app.screen.query_one("#head").plain)  # 28 of 60
            assert "failed: RoundTripFailed" in pilot.app.screen.query_one("#head").plain


async def test_marks_overlay_curves_with_colours_of_their_own(runs):
    async with opened(runs.root, WIDE) as pilot:
        await pilot.press("space", "space")
        await until(pilot, lambda: len(pilot.app.screen.panel.wanted.runs) == 3)
        slots = {one.run_id: one.slot for one in pilot.app.screen.panel.wanted.runs}
        assert len(set(slots.values())) == 3
        await pilot.press("j")
        await until(pilot, lambda: len(pilot.app.screen.panel.wanted.runs) == 3)
        for one in pilot.app.screen.panel.wanted.runs:
            if one.run_id in table(pilot).marked:
                assert one.slot == slots[one.run_id], "a marked run keeps its colour"


async def test_more_marks_than_colours_are_quiet_lines_behind(ws):
    support.make_runs(ws, 12)
    async with opened(ws.root, WIDE) as pilot:
        for _ in range(10):
            await pilot.press("space")
        loss, accuracy = pilot.app.screen.query_one("#loss"), pilot.app.screen.query_one("#accuracy")

        def drawn(chart, quiet: bool) -> set[str]:
            return {curve.key.split("/")[0] for curve in chart.curves if curve.quiet is quiet and "val" in curve.key}

        marked = table(pilot).marked
        for chart in (loss, accuracy):
            await until(pilot, lambda chart=chart: drawn(chart, True) == set(marked[6:]))
            assert set(marked[:6]) <= drawn(chart, False) and len(marked) == 10


async def test_digits_go_to_panes_and_back(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("3")
        await sees(pilot, "Epoch 3/3 | train_loss")
        assert pilot.app.screen.query_one("#log").has_focus
        await pilot.press("2")
        assert pilot.app.screen.query_one("#loss").has_focus
        await pilot.press("4")
        await sees(pilot, "epoch   train")
        await pilot.press("1")
        assert table(pilot).has_focus


async def test_a_small_screen_gives_a_pane_the_whole_room(runs):
    async with opened(runs.root, SMALL) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: not pilot.app.screen.query_one("#list").display)
        assert pilot.app.screen.query_one("#loss").size.height >= 8
        await pilot.press("1")
        await sees(pilot, "helpful-C-5", "epochs")


async def test_copy_puts_the_folder_into_the_clipboard(runs):
    async with opened(runs.root, NARROW) as pilot:
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard)
        assert pilot.app.clipboard == str(folder_of(runs, "helpful-C-5"))


async def test_a_run_without_events_and_one_with_a_broken_spec_are_listed(ws):
    support.make_run_folder(ws, name="silent", events=[], outcome="failed", reason="no such model")
    broken = support.make_run_folder(ws, name="broken", created=support.START + 5)
    (broken.path / "spec.toml").write_text("not toml [")
    async with opened(ws.root, WIDE) as pilot:
        await sees(pilot, "silent", "no such model", broken.id[:8], "2 runs")


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every frame as text, as it is sent."""
    kept: list[str] = []

    def keep(app: RmtuiApp) -> None:
        strips = strips_of(app)
        kept.append("\n".join("".join(segment.text for segment in strip) for strip in strips))

    monkeypatch.setattr(RmtuiApp, "post_display_hook", keep)
    return kept


async def test_the_first_frame_has_the_list_and_its_curves(runs, frames):
    with Index.open(runs) as index:
        index.sync()
    async with opened(runs.root, WIDE):
        assert "helpful-C-5" in frames[0] and "val_acc" in frames[0]
        assert any("\u2801" <= sign <= "\u28ff" for sign in frames[0]), "no curve"


async def test_a_list_without_rows_is_shown_all_the_same(runs, frames):
    with Index.open(runs) as index:
        index.sync()
    (runs.state_dir / "app.json").write_text(json.dumps({"query": "nothing has this name"}))
    async with opened(runs.root, WIDE) as pilot:
        await until(pilot, lambda: "0 of 6" in frames[-1])
