"""Whoever replaces a file leaves the old one whole and nothing beside it when the disk is full."""

from __future__ import annotations

import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import make_run_folder, make_workspace

from rmtui import presets
from rmtui.app import remembered
from rmtui.errors import UserError
from rmtui.exporters import bundle
from rmtui.operations import exchange
from rmtui.runs.files import write_json, write_toml
from trainer import manifest
from trainer.files import replace_file

ROOM = 4096
LONG = "x" * (ROOM + 1)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond ROOM bytes: what fits is written, the next byte fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: replace_file(path, LONG.encode()),
    "json": lambda path: write_json(path, {"a": LONG}),
    "toml": lambda path: write_toml(path, {"a": LONG}),
    "export": lambda path: exchange.write_file(path, LONG),
    "memory": lambda path: remembered.store(remembered.Memory(marked=[LONG]), path),
    "manifest": lambda path: manifest.seal(path.parent, {"step": LONG}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / manifest.MANIFEST
    path.write_text("old")
    with full_disk(), suppress(UserError, OSError):
        WRITERS[name](path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    WRITERS[name](path)
    assert LONG in path.read_text() and list(tmp_path.iterdir()) == [path]


def test_a_preset_that_does_not_fit_is_as_it_was(tmp_path: Path) -> None:
    path = make_workspace(tmp_path / "ws").presets / "long.toml"
    path.write_text(f'name = "long"\n# {LONG}\nlearning_rate = 1e-5\n')
    before = sorted(path.parent.iterdir())
    with full_disk(), pytest.raises(UserError, match="the old file is unchanged"):
        presets.save(presets.load(path), {"learning_rate": "3e-5"})
    assert "learning_rate = 1e-5" in path.read_text() and sorted(path.parent.iterdir()) == before
    presets.save(presets.load(path), {"learning_rate": "3e-5"})
    assert "learning_rate = 3e-5" in path.read_text() and sorted(path.parent.iterdir()) == before


def test_a_tarball_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    run = make_run_folder(make_workspace(tmp_path / "ws"), "one")
    (run.path / "attempt-1" / "logs").mkdir(exist_ok=True)
    (run.path / "attempt-1" / "logs" / "rank0.log").write_bytes(os.urandom(4 * ROOM))
    out = tmp_path / "out" / "one.tar.gz"
    out.parent.mkdir()
    out.write_text("old")
    with full_disk(), pytest.raises(UserError, match="cannot write"):
        bundle.pack(run.path, out)
    assert out.read_text() == "old" and list(out.parent.iterdir()) == [out]
    bundle.pack(run.path, out)
    with tarfile.open(out) as archive:
        assert f"{run.id}/attempt-1/logs/rank0.log" in archive.getnames()
    assert list(out.parent.iterdir()) == [out]
