"""What the command line says while it works."""

from __future__ import annotations

import sys

import pytest

from rmtui.cli import messages


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_reading_of_folders_is_told_on_a_terminal_only(terminal, monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(messages.time, "monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    said = messages.reading_folders()
    said(10, 2000)
    assert capsys.readouterr().err == "", "nothing in the first second"
    now += 1.5
    said(1500, 2000)
    assert ("reading run folders: 1,500 of 2,000" in capsys.readouterr().err) == terminal
    said(2000, 2000)
    assert capsys.readouterr() == ("", "\r\x1b[K" if terminal else ""), "its line is left clean"
