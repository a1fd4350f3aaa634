"""A file is replaced whole or not at all."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from trainer.files import PRIVATE, replace_file

TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from trainer.files import replace_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
replace_file(Path(sys.argv[1]), b"new" * 1000)
"""


def test_no_room_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    """The kernel refuses to write on, as on a full disk."""
    path = tmp_path / "best"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", TOO_LARGE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["best"]


def test_an_end_between_writing_and_renaming_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "best"
    path.write_text("old")

    def interrupted(source, target):
        assert source.read_text() == "new", "what is renamed is complete"
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new")
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["best"]


def test_a_writer_that_fails_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "tokens.npz"
    path.write_text("old")

    def half(file):
        file.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        replace_file(path, half)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_private_files_are_their_owners_alone(tmp_path):
    replace_file(tmp_path / "a", b"", PRIVATE)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
