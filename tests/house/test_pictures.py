"""The pictures of the docs can be drawn, and each one is shown somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_picture_is_shown() -> None:
    text = "".join(page.read_text("utf-8") for page in (DOCS.parent / "README.md", *DOCS.glob("*.md")))
    assert [path.name for path in (DOCS / "pictures").iterdir() if f"pictures/{path.name})" not in text] == []


@pytest.mark.slow
def test_pictures_are_drawn_from_the_real_program(tmp_path: Path) -> None:
    command = [sys.executable, str(DOCS / "pictures.py"), "home", "empty", "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=200)
    assert "helpful-A-3" in (tmp_path / "home.svg").read_text("utf-8")
    assert "2&#160;logs" in (tmp_path / "empty.svg").read_text("utf-8")
