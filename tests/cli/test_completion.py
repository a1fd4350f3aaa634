"""The completion scripts, sourced by a real shell."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import make_run_folder, make_workspace

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


def test_values_of_an_option_and_names_of_runs(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_runs(script.parent, monkeypatch)
    assert completed(script, "rmtui", "export", "--format", "h") == {"html"}
    assert completed(script, "rmtui", "completion", "") == {"bash", "zsh", "fish"}
    assert completed(script, "rmtui", "-C", "ws", "show", "helpful-A") == {"helpful-A-1", "helpful-A-2"}


def with_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace `ws` with two runs, and `rmtui` on the path."""
    ws = make_workspace(folder / "ws")
    for number in (1, 2):
        make_run_folder(ws, f"helpful-A-{number}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def written(shell: str, path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    assert main(["completion", shell]) == 0
    path.write_text(capsys.readouterr().out)
    return path


def test_fish_offers_verbs_options_values_and_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("fish", tmp_path / "rmtui.fish", capsys)
    with_runs(tmp_path, monkeypatch)

    def offered(line: str) -> list[str]:
        ask = ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"]
        done = subprocess.run(ask, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stderr == ""
        return [row.partition("\t")[0] for row in done.stdout.splitlines()]

    assert offered("rmtui la") == ["launch"]
    assert offered("rmtui -C ws launch --dry") == ["--dry-run"]
    assert offered("rmtui export --format h") == ["html"]
    assert offered("rmtui -C w") == ["ws/"]
    assert sorted(offered("rmtui -C ws show helpful-A")) == ["helpful-A-1", "helpful-A-2"]


def test_zsh_completes_at_its_prompt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written("zsh", tmp_path / "_rmtui", capsys)
    with_runs(tmp_path, monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        os.write(terminal, b"PS1=; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; print rea''dy\n")
        read_until(terminal, "ready")
        for typed, wanted in (
            ("rmtui la", "rmtui launch "),
            ("rmtui launch --dry", "--dry-run"),
            ("rmtui export --format ht", "html"),
            ("rmtui -C ws show helpful-A-", "helpful-A-2"),
        ):
            os.write(terminal, f"{typed}\t".encode())
            read_until(terminal, wanted)
            os.write(terminal, b"\x15")  # Ctrl-U: an empty line again
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def read_until(terminal: int, wanted: str) -> None:
    said = ""
    deadline = time.monotonic() + 60
    while wanted not in said:
        assert time.monotonic() < deadline, said
        if select.select([terminal], [], [], 0.5)[0]:
            said += os.read(terminal, 1 << 16).decode(errors="replace")
