"""What the tests of the app look at."""

from __future__ import annotations

import shutil

import pytest
import support

from rmtui.workspace import Workspace


@pytest.fixture
def runs(ws: Workspace) -> Workspace:
    """A workspace with six runs of all kinds."""
    support.make_runs(ws, 6)
    return ws


@pytest.fixture(autouse=True)
def no_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without Slurm, whatever this one has; a test of the job's fields asks for `slurm`."""
    if "slurm" not in request.fixturenames:
        which = shutil.which
        monkeypatch.setattr(
            shutil, "which", lambda name, *more, **options: None if name == "sbatch" else which(name, *more, **options)
        )
