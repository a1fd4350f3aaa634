"""A wheel built outside the checkout carries everything the program reads at run time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)], check=True
    )
    return next(out.glob("rmtui-*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_presets_and_style_sheets(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("rmtui/shipped_presets/a-conservative.toml", "trainer/config.py", "rmtui/cli/__init__.py"):
        assert part in names
    sheets = {path.name for path in (ROOT / "rmtui" / "app").rglob("*.tcss")}
    assert sheets and sheets <= {Path(name).name for name in names}


@pytest.mark.slow
def test_the_installed_wheel_makes_a_workspace_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    run = [sys.executable, "-P", "-m", "rmtui"]
    subprocess.run([*run, "init", str(tmp_path / "ws")], check=True, env=environment, cwd=tmp_path)
    where = "import rmtui; print(rmtui.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], check=True, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert str(site) in found.stdout
    assert (tmp_path / "ws" / "presets" / "a-conservative.toml").is_file()
