"""The workspace folder: made, completed, recognised; its settings checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtui import workspace
from rmtui.errors import UserError


def test_a_new_workspace_has_presets_data_and_runs(tmp_path: Path) -> None:
    ws = workspace.create(tmp_path / "a" / "b")
    assert sorted(path.name for path in ws.presets.iterdir()) == [
        "a-conservative.toml",
        "b-aggressive.toml",
        "c-balanced.toml",
        "m-modern.toml",
    ]
    assert (ws.root / "data" / "train").is_dir()
    assert ws.runs.stat().st_mode & 0o777 == 0o700
    assert workspace.open_workspace(ws.root).settings == workspace.Settings()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    ws = workspace.create(tmp_path)
    mine = ws.presets / "a-conservative.toml"
    mine.write_text('name = "A"\n')
    workspace.create(tmp_path)
    assert mine.read_text() == 'name = "A"\n'


def test_another_folder_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rmtui init"):
        workspace.open_workspace(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        workspace.open_workspace(tmp_path / "nowhere")


def test_settings_are_read_and_every_wrong_one_is_named(tmp_path: Path) -> None:
    ws = workspace.create(tmp_path)
    path = ws.root / "workspace.toml"
    path.write_text('model = "m"\nprocesses = 8\nbell = true\n')
    assert workspace.open_workspace(tmp_path).settings.processes == 8
    path.write_text('modle = "m"\nprocesses = 0\nbell = "yes"\ncpu_runs = true\n')
    with pytest.raises(UserError) as caught:
        workspace.open_workspace(tmp_path)
    for part in ("modle", "processes = 0", "bell = 'yes'", "cpu_runs = True"):
        assert part in str(caught.value)
    path.write_text("model = \n")
    with pytest.raises(UserError, match="line 1"):
        workspace.open_workspace(tmp_path)


def test_a_place_where_nothing_may_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="was not made"):
        workspace.create(tmp_path / "file" / "ws")


def test_paths_in_toml_are_relative_to_the_workspace(tmp_path: Path) -> None:
    ws = workspace.create(tmp_path)
    assert ws.path("models/m") == ws.root / "models" / "m"
    assert ws.path("/elsewhere") == Path("/elsewhere")
