"""The real program in a real terminal: start, launch, kill, reopen, resize, NO_COLOR, suspend, and a clean way out."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import support

from rmtui.runs import proc
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.runs.state import status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Terminal:
    """A shell in tmux, on a socket of its own."""

    def __init__(self, folder: Path, width: int = 160, height: int = 45) -> None:
        self._socket = f"rmtui-test-{secrets.token_hex(4)}"
        environment = {
            **os.environ,
            "PS1": "$ ",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(support.REPO),
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("TMUX", None)
        size = ["-x", str(width), "-y", str(height)]
        command = ["new-session", "-d", *size, "-c", str(folder), "bash --norc --noprofile"]
        subprocess.run(["tmux", "-L", self._socket, "-f", "/dev/null", *command], check=True, env=environment)

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._socket, *arguments], capture_output=True, text=True, check=False)
        return done.stdout

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def run(self, before: str = "") -> None:
        self.type(f'clear; {before} {shlex.quote(sys.executable)} -m rmtui; echo "exit code $?"')
        self.press("Enter")

    def screen(self, colours: bool = False) -> str:
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def sees(self, *words: str, seconds: float = support.PATIENCE) -> str:
        try:
            support.wait_until(lambda: all(word in self.screen() for word in words), seconds)
        except AssertionError:
            raise AssertionError(f"{words} never stood here:\n{self.screen()}") from None
        return self.screen()

    def app_pid(self) -> int:
        shell = self.tmux("list-panes", "-F", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[-1])

    def close(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    ws = support.make_workspace(tmp_path)
    support.make_runs(ws, 3)
    return tmp_path


def test_quit_leaves_the_terminal_as_it_was_and_exit_code_zero(terminal: Terminal, listed: Path):
    terminal.run()
    terminal.sees("helpful-C-2", "? help")
    terminal.press("q")
    screen = terminal.sees("exit code 0")
    assert "helpful-C-2" not in screen, "the alternate screen was left"
    terminal.type("echo still-here")
    terminal.press("Enter")
    assert terminal.sees("still-here").count("still-here") == 2, "typing is echoed again"


def test_resizing_changes_the_layout_and_never_breaks(terminal: Terminal, listed: Path):
    terminal.run()
    terminal.sees("helpful-C-2", "Epoch 3/3")
    for width, height in ((80, 24), (60, 16), (40, 10), (200, 60), (160, 45)):
        terminal.tmux("resize-window", "-x", str(width), "-y", str(height))
        terminal.sees("helpful", "? help")
        support.wait_until(lambda height=height: len(terminal.screen().rstrip("\n").split("\n")) >= height - 1)
    terminal.sees("helpful-C-2", "Epoch 3/3")
    terminal.press("q")
    terminal.sees("exit code 0")


def test_no_color_sends_no_colour(terminal: Terminal, listed: Path):
    terminal.run("NO_COLOR=1")
    terminal.sees("helpful-C-2", "? help")
    coloured = {part.split("m")[0] for part in terminal.screen(colours=True).split("\x1b[")[1:]}
    hues = [code for code in coloured if code.startswith(("38;2", "48;2")) and len(set(code.split(";")[2:5])) > 1]
    assert not hues
    terminal.press("q")
    terminal.sees("exit code 0")


def test_suspend_gives_the_shell_back_and_fg_returns(terminal: Terminal, listed: Path):
    terminal.run()
    terminal.sees("helpful-C-2", "? help")
    terminal.press("C-z")
    terminal.sees("Stopped")
    terminal.type("fg")
    terminal.press("Enter")
    terminal.sees("helpful-C-2", "? help")
    terminal.press("q")
    terminal.sees("rmtui")


def test_a_terminal_that_is_none_is_refused_in_words(listed: Path):
    done = subprocess.run(
        [sys.executable, "-m", "rmtui", "-C", str(listed)],
        capture_output=True,
        text=True,
        check=False,
        cwd=support.REPO,
    )
    assert done.returncode == 2 and "needs a terminal" in done.stderr


def send(run: RunFolder, number: signal.Signals) -> None:
    """A signal to every process of the run's training."""
    for process in proc.tagged(run.id):
        os.kill(process.proc.pid, number)


def trains(folder: Path) -> RunFolder | None:
    """The run below `folder` that has made a step."""
    runs = (RunFolder(path) for path in (folder / "runs").glob("[0-9]*"))
    started = ((run, attempt) for run in runs if (attempt := run.last_attempt()))
    return next((run for run, attempt in started if any(step for step, _ in attempt.rank_steps().values())), None)


def test_demo_trains_on_while_the_app_is_killed_and_is_there_when_it_reopens(terminal: Terminal, tmp_path: Path):
    pytest.importorskip("torch")
    terminal.run()
    terminal.sees("Ways to start")
    terminal.press("d")
    run = support.wait_until(lambda: trains(tmp_path), 180, every=0.01)
    send(run, signal.SIGSTOP)  # on a fast machine the training would end while the test looks
    terminal.sees("running", "/93", "loss")
    os.kill(terminal.app_pid(), signal.SIGKILL)
    terminal.sees("Killed")
    assert status(run).state.alive, "the training goes on without the app"
    terminal.type("reset")
    terminal.press("Enter")
    terminal.run()
    terminal.sees("demo", "1 running", "● demo", seconds=120)
    terminal.press("x")
    terminal.sees("Stop demo?")
    terminal.press("y")
    support.wait_until(lambda: status(run).state is State.STOPPING, 60)
    send(run, signal.SIGCONT)
    support.wait_until(lambda: status(run).state is State.STOPPED, 180)
    terminal.sees("■ demo")
    terminal.press("q")
    terminal.sees("exit code 0")
