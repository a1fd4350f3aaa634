"""What messages tell a person to install is there to be installed."""

from __future__ import annotations

import re
from pathlib import Path

import tomli

from rmtui.errors import install

ROOT = Path(__file__).resolve().parents[2]


def test_no_message_names_rmtui_as_a_package_of_a_registry() -> None:
    told = [path for path in (ROOT / "rmtui").rglob("*.py") if re.search(r"rmtui\[\w+\]", path.read_text("utf-8"))]
    assert told == []


def test_every_extra_that_a_message_names_is_one_of_the_projects() -> None:
    """And the command is the README's."""
    extras = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    source = "".join(path.read_text("utf-8") for path in (ROOT / "rmtui").rglob("*.py"))
    named = set(re.findall(r'\binstall\("(\w+)"\)', source))
    assert named and named <= set(extras)
    assert install("train").partition(": ")[2] in (ROOT / "README.md").read_text("utf-8")
    assert (ROOT / "constraints.txt").is_file()
