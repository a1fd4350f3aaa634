"""The shadow screen in a real terminal: after every step it shows what Textual's plain output shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import support

HERE = Path(__file__).resolve().parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


class Pair:
    """The same program twice, in two tmux windows of a server of their own."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux")
        self.logs = {mode: folder / f"{mode}.log" for mode in ("plain", "shadow")}
        for mode, log in self.logs.items():
            log.write_text("".join(f"step {n} 日志 | loss=0.{n}\n" for n in range(100)))
            command = f"{sys.executable} {HERE / 'shadow_app.py'} {log}"
            self.tmux("new-session", "-d", "-s", mode, "-x", "100", "-y", "40", f"RMTUI_SCREEN={mode} exec {command}")

    def tmux(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in ("TMUX", "NO_COLOR")}
        environment |= {"LANG": "C.UTF-8", "PYTHONPATH": str(HERE)}
        done = subprocess.run(
            ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments], capture_output=True, text=True, env=environment
        )
        return done.stdout

    def both(self, *arguments: str) -> None:
        for mode in self.logs:
            self.tmux(arguments[0], "-t", mode, *arguments[1:])

    def keys(self, *keys: str) -> None:
        self.both("send-keys", *keys)

    def screen(self, mode: str) -> str:
        text = self.tmux("capture-pane", "-p", "-t", mode)
        return "\n".join(line.rstrip() for line in text.splitlines())

    def agree(self, *contains: str, gone: str = "\0") -> None:
        """Both show the same, and these texts with it."""
        deadline = time.monotonic() + support.PATIENCE
        while time.monotonic() < deadline:
            plain, shadow = self.screen("plain"), self.screen("shadow")
            if plain == shadow and all(text in plain for text in contains) and gone not in plain:
                return
            time.sleep(0.05)
        assert shadow == plain
        raise AssertionError(f"{contains} is not on the screen:\n{plain}")


@pytest.fixture
def pair(tmp_path: Path):
    made = Pair(tmp_path)
    yield made
    made.tmux("kill-server")


def test_plain_and_shadow_show_the_same(pair: Pair):
    pair.agree("helpful-0", "loss", "step 99 日志")
    pair.keys("j", "j", "Space", "G")
    pair.agree("helpful-199")
    pair.keys("C-o")
    pair.agree("really delete 中文模型-3?")
    pair.keys("Escape")
    pair.agree(gone="really")
    pair.keys("g", "C-t")
    pair.agree("helpful-0", "resumable")
    for count in (3, 40):
        for log in pair.logs.values():
            with log.open("a") as file:
                file.write("".join(f"{count} 中文 more {n}\n" for n in range(count)))
        pair.agree(f"{count} 中文 more {count - 1}")
    pair.keys("Tab", "Left", "Left", "m", "L")
    pair.agree("log", "┊")
    pair.keys("Tab", "k", "k", "k", "w", "/", "o", "r", "e", "Enter")
    pair.agree("line")
    pair.both("resize-window", "-x", "80", "-y", "24")
    pair.agree("helpful-0", "resumable")
    pair.both("resize-window", "-x", "120", "-y", "45")
    pair.keys("G")
    pair.agree("helpful-0", "following")
    pair.both("resize-window", "-x", "30", "-y", "10")
    pair.both("resize-window", "-x", "100", "-y", "40")
    pair.agree("helpful-0", "following")
