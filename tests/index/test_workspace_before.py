"""A workspace that the version before made (its demo, weights and texts taken out) opens, lists, shows and rebuilds
today, and says what that version said of it: `said.json` in the archive is what its verbs printed, word for word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import support

from rmtui.cli import main

ARCHIVE = Path(__file__).with_name("workspace_of_the_version_before.tar.xz")


@pytest.fixture(params=["its index", "no index", "rebuilt"])
def before(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, dict[str, Any]]]:
    support.unpack(ARCHIVE, tmp_path)
    root = tmp_path / "workspace"
    if request.param == "no index":
        (root / "runs.sqlite").unlink()
    if request.param == "rebuilt":
        assert main(["-C", str(root), "rebuild"]) == 0
    said = json.loads((tmp_path / "said.json").read_text().replace("WORKSPACE", str(root)))
    yield root, said


def printed(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> Any:
    capsys.readouterr()
    assert main(["-C", str(root), *words]) == 0
    return json.loads(capsys.readouterr().out)


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """What was said then and is not said the same way now; a key that is new is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        gone = [f"{at}/{key} is gone" for key in old if key not in new]
        return gone + [each for key in old if key in new for each in differences(old[key], new[key], f"{at}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [each for n, pair in enumerate(zip(old, new, strict=True)) for each in differences(*pair, f"{at}/{n}")]
    return [] if old == new else [f"{at}: {old!r} → {new!r}"]


def test_every_run_is_listed_as_then(before: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    root, said = before
    assert differences(said["ls"], printed(capsys, root, "ls", "--json")) == []


def test_a_run_is_shown_as_then(before: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    root, said = before
    assert differences(said["show"], printed(capsys, root, "show", said["run"], "--json")) == []


def test_every_curve_has_its_points(before: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    root, said = before
    now = printed(capsys, root, "export", said["run"], "--format", "json")
    assert len(said["export"]["metrics"]) > 15
    assert differences(said["export"]["metrics"], now["metrics"]) == []
