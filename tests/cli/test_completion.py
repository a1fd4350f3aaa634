"""The completion scripts, sourced by a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rmtui.cli import main


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "rmtui.bash"
    path.write_text(capsys.readouterr().out)
    return path


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rmtui; printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "--norc", "-c", ask, "bash", str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=script.parent)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_verbs_options_and_files(script: Path) -> None:
    assert completed(script, "rmtui", "la") == {"launch"}
    assert {"compare", "advise", "export", "score"} <= completed(script, "rmtui", "")
    assert completed(script, "rmtui", "launch", "--dry") == {"--dry-run"}
    assert completed(script, "rmtui", "check", "rmt") == {"rmtui.bash"}


def test_a_workspace_before_the_verb_is_no_verb(script: Path) -> None:
    (script.parent / "workspace").mkdir()
    assert completed(script, "rmtui", "-C", "work") == {"workspace"}
    assert completed(script, "rmtui", "-C", "workspace", "la") == {"launch"}
    assert completed(script, "rmtui", "-C", "workspace", "export", "--form") == {"--format"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    assert main(["completion", shell]) == 0
    path = tmp_path / "rmtui"
    path.write_text(capsys.readouterr().out)
    assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0
