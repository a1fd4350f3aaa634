"""The log view over real files: following, pausing, searching, filtering, and lines that would harm a terminal."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import support
from textual import events
from textual.strip import Strip
from widgets_support import Stage, lines, page

from rmtui.app.widgets.log.spans import shown, step_in, tone, wrapped
from rmtui.app.widgets.log.view import LogView
from rmtui.runs import log_index as logindex
from rmtui.runs.log_index import LogIndex


def write_log(path: Path, steps: int) -> Path:
    rows = [f"12:00:{step % 60:02d} step {step}/{steps} | loss={1 / step:.4f}" for step in range(1, steps + 1)]
    path.write_text("\n".join(rows) + "\n")
    return path


def add(path: Path, *rows: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{row}\n" for row in rows))


async def until(pilot, condition, seconds: float = support.PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        await pilot.pause()
        await asyncio.sleep(0.01)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path / "rank0.log", 500)


def opened(path: Path) -> LogView:
    view = LogView()
    view.call_later(view.open, LogIndex(path), "rank0")
    return view


async def test_a_log_opens_at_its_end_and_follows(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        assert "step 500/500" in lines(view)[-2] and "following" in lines(view)[-1]
        add(log, "step 501 is new")
        await until(pilot, lambda: "step 501 is new" in lines(view)[-2])


class Told(LogView):
    """Writes down what it does, in order; with the first slice a key is pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def poll(self) -> bool:
        changed = super().poll()
        if changed and not self.done:
            self.app.post_message(events.Key("k", "k"))
        self.done += ["slice"] if changed else []
        return changed

    def action_move(self, by: int) -> None:
        super().action_move(by)
        self.done.append("key")


@pytest.mark.parametrize("pattern", ["", "fits"])
async def test_keys_come_between_the_slices_of_a_burst_of_which_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
):
    monkeypatch.setattr(logindex, "MOST_NEW", 1 << 18)
    path = tmp_path / "rank0.log"
    path.write_text("begin fits\n")
    view = Told()
    view.call_later(view.open, LogIndex(path), "rank0")
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        view.set_filter(pattern)
        await until(pilot, lambda: not pattern or "lines match fits" in lines(view)[-1])
        view.done.clear()
        add(path, *(f"line {n} {'fits' if n % 2 else 'does'} {'.' * 60}" for n in range(100_000)))
        await until(pilot, lambda: "key" in view.done)
        await until(pilot, lambda: not view._page.behind)
        assert view.done.count("slice") > 10 and "slice" in view.done[view.done.index("key") :]
        await pilot.press("G")
        assert view._page.count == (50_001 if pattern else 100_001)
        assert "line 99999 fits" in lines(view)[-2]
        assert view._page.texts(0, 1) == ["begin fits"]


async def test_a_filter_takes_a_line_that_fits_only_once_it_is_whole(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        view.set_filter("ended well")
        await until(pilot, lambda: "no line of 500 matches ended well" in lines(view)[-1])
        with log.open("a") as file:
            file.write("all ended")
            file.flush()
            view.poll()
            file.write(" well\nafterwards\n")
        await until(pilot, lambda: "all ended well" in page(view))
        assert view._page.count == 1


async def test_half_a_line_is_shown_and_then_completed(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        with log.open("a") as file:
            file.write("half of")
            file.flush()
            await until(pilot, lambda: lines(view)[-2].strip() == "half of")
            file.write(" a line\n")
        await until(pilot, lambda: lines(view)[-2].strip() == "half of a line")


async def test_moving_up_pauses_and_counts_what_comes(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("k", "k")
        before = lines(view)[:-1]
        add(log, *(f"line {n}" for n in range(128)))
        await until(pilot, lambda: "▼ 128 new" in lines(view)[-1])
        assert lines(view)[:-1] == before and not view.following
        await pilot.press("G")
        assert view.following and "line 127" in lines(view)[-2] and "new" not in lines(view)[-1]
        assert [message.following for message in pilot.app.heard(LogView.FollowChanged)][-1] is True


async def test_search_goes_back_from_the_end_and_on(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("slash", *"STEP 2", "enter")
        await until(pilot, lambda: pilot.app.heard(LogView.SearchDone))
        assert pilot.app.heard(LogView.SearchDone)[-1].line is None
        assert "no line of 500 matches STEP 2" in lines(view)[-1]
        await pilot.press("slash", *"step 2", "enter")
        await until(pilot, lambda: "step 299" in view.current_line)
        await pilot.press("n")
        await until(pilot, lambda: view.following or "step 299" in view.current_line)
        await pilot.press("N")
        await until(pilot, lambda: "step 298" in view.current_line)
        await pilot.press("n")
        await until(pilot, lambda: "step 299" in view.current_line)


TYPED = [
    (r"step 41\d/", "step 419/500"),
    (r"step 4(11|12)/", "step 412/500"),
    (r"step 11/\|step 12/", "step 12/500"),
    ("loss=(", "an open loss=( here"),
    (r"\a.c [x", "a.c [x"),
    (r"\d+ apples", "17 apples"),
    (r"\bapples\b", "17 apples"),
    (r"^a\.c", "a.c [x"),
    ("Läufe? beendet", "Lauf: Läufe beendet"),
    (r"损失|错误", "出现错误 7"),
]


@pytest.mark.parametrize(("typed", "line"), TYPED)
async def test_what_is_typed_is_a_regular_expression_or_else_a_text(log: Path, typed: str, line: str):
    others = [
        "an open loss=( here",
        "abc [x",
        "a.c [x",
        "17 apples",
        "some pineapples",
        "Lauf: Läufe beendet",
        "出现错误 7",
    ]
    add(log, *others)
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        view.search(typed)
        await until(pilot, lambda: line in view.current_line)
        view.set_filter(typed)
        await until(pilot, lambda: "match" in lines(view)[-1])
        assert any(line in row for row in lines(view)[:-1])
        assert not {"abc [x", "some pineapples"} & {row.strip() for row in lines(view)[:-1]}


async def test_an_expression_fits_within_one_line_only(log: Path):
    add(log, "begin a", "and z")
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        for typed in (r"begin[^q]*z", r"a\s+and"):
            view.search(typed)
            await until(pilot, lambda typed=typed: f"no line of 502 matches {typed}" in lines(view)[-1])


async def test_the_end_of_a_search_is_told_from_no_line_at_all(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("slash", *"step 1/", "enter")
        await until(pilot, lambda: "step 1/500" in view.current_line)
        await pilot.press("N")
        await until(pilot, lambda: "no more matches for step 1/" in lines(view)[-1])


async def test_after_a_jump_only_lines_that_came_since_are_new(log: Path, monkeypatch: pytest.MonkeyPatch):
    """The log was not on screen, so that what came meanwhile was not taken in before the jump."""
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        with monkeypatch.context() as hidden:
            hidden.setattr(LogView, "poll", lambda self: False)
            add(log, *(f"line {n}" for n in range(300)))
            view.go_to_step(212)
            await until(pilot, lambda: "step 212/500" in view.current_line)
        view.poll()
        assert " new" not in lines(view)[-1]
        add(log, "one", "two")
        await until(pilot, lambda: "▼ 2 new" in lines(view)[-1])
        view.go_to_step(100)
        await until(pilot, lambda: "step 100/500" in view.current_line)
        assert " new" not in lines(view)[-1]


async def test_filter_shows_fitting_lines_only_and_new_ones_too(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("ampersand", *"step 49", "enter")
        await until(pilot, lambda: "11 of 500 lines match step 49" in lines(view)[-1])
        assert [line.split()[2] for line in lines(view)[:-1]] == ["49/500", *(f"{n}/500" for n in range(490, 500))]
        add(log, "step 1 of something else", "step 49 again")
        await until(pilot, lambda: "step 49 again" in page(view))
        assert "something else" not in page(view)
        await pilot.press("k", "k", "ampersand", "enter")
        await until(pilot, lambda: "step 497/500" in page(view))
        assert "step 498/500" in view.current_line


async def test_jumps_to_a_step_to_the_first_error_and_to_the_top(log: Path):
    add(log, "Traceback (most recent call last):", "RuntimeError: boom", *(f"later {n}" for n in range(100)))
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        view.go_to_step(212)
        await until(pilot, lambda: "step 212/500" in view.current_line)
        await pilot.press("enter")
        assert pilot.app.heard(LogView.StepWanted)[-1].step == 212
        view.first_error()
        await until(pilot, lambda: view.current_line.startswith("Traceback"))
        await pilot.press("g")
        await until(pilot, lambda: "step 1/500" in lines(view)[0])
        assert "line 1 of 602" in lines(view)[-1]


async def test_wrap_and_timestamps(tmp_path: Path):
    path = tmp_path / "rank0.log"
    path.write_text("12:00:01 " + "word " * 30 + "end\n")
    view = opened(path)
    async with Stage(view).run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert "end" not in page(view)
        await pilot.press("W")
        assert "end" in page(view) and "12:00:01" in page(view)
        await pilot.press("Z")
        assert "12:00:01" not in page(view)


async def test_copying_sends_the_line_to_the_clipboard(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("k", "y")
        assert "step 499/500" in pilot.app.clipboard
        await pilot.press("Y")
        assert pilot.app.clipboard == str(log)


async def test_a_burst_is_read_in_batches_and_nothing_is_lost(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("k")
        add(log, *(f"burst {n}" for n in range(100_000)))
        await until(pilot, lambda: "▼ 100,000 new" in lines(view)[-1])
        await pilot.press("G")
        assert "burst 99999" in lines(view)[-2]


async def test_a_log_that_is_replaced_by_a_shorter_one(log: Path):
    view = opened(log)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("k")
        log.write_text("begun anew\n")
        await until(pilot, lambda: "begun anew" in page(view))


async def test_a_large_log_is_searched_from_its_start(tmp_path: Path):
    path = write_log(tmp_path / "rank0.log", 250_000)
    view = opened(path)
    async with Stage(view).run_test(size=(80, 12)) as pilot:
        await pilot.press("g")
        await until(pilot, lambda: "step 1/250000" in lines(view)[0])
        view.search("step 777/", forward=True)
        await until(pilot, lambda: "step 777/250000" in view.current_line)
        assert "line 777 of 250,000" in lines(view)[-1]


HARMFUL = [
    ("\x1b[31mred\x1b[0m text", "red text"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]52;c;aGVsbG8=\x1b\\after", "after"),
    ("\x1bP1;2|payload\x1b\\after", "after"),
    ("\x9b31mtext", "text"),
    ("bell\x07 and \x08back", "bell· and ·back"),
    ("\x1b[2J\x1b[Hhome", "home"),
    ("a\tb", "a   b"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("cut \x1b[3", "cut 3"),
    ("right \u202eto left", "right ·to left"),
    ("10%|█ |\r 50%|█████ |\r100%|██████████| 10/10\r", "100%|██████████| 10/10"),
]


@pytest.mark.parametrize("raw,text", HARMFUL)
def test_nothing_in_a_line_is_obeyed_by_the_terminal(raw, text):
    assert shown(raw) == text


def test_what_a_line_says():
    assert tone("RuntimeError: CUDA out of memory") == "bad"
    assert tone("UserWarning: warning of something") == "warn"
    assert tone("Epoch 2/3 | train_loss=0.67") == "accent"
    assert step_in("12:01 step 412/1200 | loss=0.6") == 412 and step_in("nothing") is None
    assert shown("12:00:01 text", times=False) == "text" and shown("12 monkeys", times=False) == "12 monkeys"
    assert wrapped("长" * 10, 8) == ["长" * 4, "长" * 4, "长" * 2]


class Painted(LogView):
    """Keeps each row as it was painted last."""

    def __init__(self) -> None:
        super().__init__()
        self.painted: dict[int, Strip] = {}
        self.count = 0

    def render_line(self, y: int) -> Strip:
        self.painted[y] = super().render_line(y)
        self.count += 1
        return self.painted[y]


async def test_rows_that_are_not_painted_anew_are_as_they_would_be(log: Path):
    view = Painted()
    async with Stage(view).run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        view.open(None)
        await pilot.pause()
        view.open(LogIndex(log), "rank0")
        pressed = "k k pageup j right left slash 4 2 enter n w t w G k k G ampersand 7 7 enter k j G g G F"
        for number, key in enumerate(pressed.split()):
            await pilot.press(key)
            if number % 3 == 0:
                add(
                    log, f"step {number} a line that is longer than sixty cells, so that it takes two rows when wrapped"
                )
                view.poll()
            await pilot.app.workers.wait_for_complete()
            await until(pilot, lambda: view.painted == {y: LogView.render_line(view, y) for y in range(12)})


async def test_a_key_that_moves_the_cursor_paints_its_rows_and_not_the_page(log: Path):
    view = Painted()
    async with Stage(view).run_test(size=(80, 40)) as pilot:
        await pilot.pause()
        view.open(LogIndex(log), "rank0")
        await pilot.press("k")
        await pilot.pause()
        view.count = 0
        await pilot.press("k")
        await until(pilot, lambda: view.count)
        assert view.count == 3  # the row it left, the row it came to, the status line
