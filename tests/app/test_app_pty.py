"""Ways out of the real program, and a terminal that is slow to read."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import support
from app_pty import LEAVE_SCREEN, SHOW_CURSOR, Pty

CRASH = """
import sys
from rmtui.app.screens.home import HomeScreen
def broken(self): raise ValueError("a hole in the floor")
HomeScreen.action_baseline = broken
from rmtui.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    support.make_runs(support.make_workspace(tmp_path / "ws"), 40)
    return tmp_path / "ws"


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture
def terminal(listed: Path, state: str) -> Iterator[Pty]:
    made = Pty(listed, XDG_STATE_HOME=state)
    made.sees("helpful-A-39")
    yield made
    made.close()


def restored(terminal: Pty) -> None:
    """The alternate screen is left, the cursor shown, and typing works as before."""
    assert terminal.seen.rindex(LEAVE_SCREEN) > terminal.seen.rindex(b"helpful")
    assert terminal.seen.rindex(SHOW_CURSOR) > terminal.seen.rindex(b"\x1b[?25l")
    assert terminal.after == terminal.before


def test_q_leaves_the_terminal_as_it_was(terminal: Pty) -> None:
    terminal.press("q")
    assert terminal.ends() == 0
    restored(terminal)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_connection_or_a_polite_end_keeps_the_cursor_and_restores_the_terminal(
    terminal: Pty, state: str, number: signal.Signals
) -> None:
    terminal.press("jjj")
    terminal.sees("helpful-A-36")
    terminal.read()
    terminal.process.send_signal(number)
    assert terminal.ends() != 0
    assert b"Traceback" not in terminal.seen
    restored(terminal)
    (memory,) = Path(state).rglob("app.json")
    assert json.loads(memory.read_text())["cursor"].endswith("-0024")  # run number 36


def test_a_cut_connection_ends_the_app_and_it_remembers(terminal: Pty, state: str) -> None:
    terminal.press("jjj")
    terminal.sees("helpful-A-36")
    terminal.hang_up()
    terminal.process.wait(20)
    (memory,) = Path(state).rglob("app.json")
    assert json.loads(memory.read_text())["cursor"].endswith("-0024")


def test_a_terminal_that_goes_without_a_signal_ends_the_app_too(listed: Path, state: str) -> None:
    """As when the client of `docker exec` dies: the kernel has no session to tell."""
    with closing(Pty(listed, session=False, XDG_STATE_HOME=state)) as terminal:
        terminal.sees("helpful-A-39")
        terminal.hang_up()
        assert terminal.process.wait(20) != 0


def test_a_crash_restores_the_terminal_and_says_what_happened(listed: Path, state: str) -> None:
    terminal = Pty(listed, CRASH, XDG_STATE_HOME=state)
    try:
        terminal.sees("helpful-A-39")
        terminal.press("B")
        assert terminal.ends() == 1
        assert b"a hole in the floor" in terminal.seen
        assert terminal.seen.rindex(b"a hole in the floor") > terminal.seen.rindex(LEAVE_SCREEN)
        assert terminal.after == terminal.before
    finally:
        terminal.close()


@pytest.mark.slow  # alone: beside other work more frames find the terminal empty
def test_a_terminal_that_does_not_read_is_sent_few_frames_and_then_the_last_one(terminal: Pty) -> None:
    terminal.read(1.0)
    drained = 0
    for _ in range(20):
        terminal.press("j")
        drained += len(terminal.read())
    terminal.press("g")
    terminal.read(1.0)
    for _ in range(20):  # unread; the last key ends on the same run as above
        terminal.press("jk" * 20 + "j")
    terminal.comes_to_rest()
    undrained = len(terminal.read(1.5))
    assert undrained < 3 * drained, "820 moves cost no more than a few frames"
    terminal.press("q")
    assert terminal.ends() == 0


@pytest.mark.parametrize(("more", "hues"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_the_theme_of_sixteen_colours_sends_no_others(
    listed: Path, state: str, more: dict[str, str], hues: bool
) -> None:
    (listed / "workspace.toml").write_text('theme = "16-colours"\n')
    terminal = Pty(listed, XDG_STATE_HOME=state, COLORTERM="truecolor", **more)
    try:
        terminal.sees("helpful-A-39")
        if hues:
            assert b"38;2;" not in terminal.seen and b"48;2;" not in terminal.seen
            assert b"38;5;" not in terminal.seen and b"48;5;" not in terminal.seen
        mixed = set(re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", terminal.seen))
        assert all(len(set(channels)) == 1 for channels in mixed), "greys alone"
        terminal.press("q")
        assert terminal.ends() == 0
    finally:
        terminal.close()
