"""Ctrl-C at any moment of the command's start: no traceback, an exit code that shells read as interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED_AT = """
import os, signal, sys
module = sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from rmtui.entry import main
sys.exit(main())
"""


def interrupted_at(module: str, folder: Path, **how) -> subprocess.CompletedProcess[str]:
    """`rmtui presets` with a SIGINT at the moment at which it imports a module."""
    words = [sys.executable, "-c", INTERRUPTED_AT, module, "presets", "-C", str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False, **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "rmtui", "init", "--bare", str(tmp_path / "ws")], check=True)
    return tmp_path / "ws"


@pytest.mark.parametrize(
    ("module", "code"),
    [("rmtui.cli", -signal.SIGINT), ("rmtui.errors", -signal.SIGINT), ("argparse", 130), ("rmtui.presets", 130)],
)
def test_ctrl_c_while_the_program_loads_is_silent(folder: Path, module: str, code: int) -> None:
    done = interrupted_at(module, folder)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_an_ignored_interrupt_stays_ignored(folder: Path) -> None:
    """A shell script's `rmtui … &` is started with SIGINT ignored."""
    done = interrupted_at("rmtui.presets", folder, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert done.returncode == 0 and "conservative" in done.stdout.casefold()
