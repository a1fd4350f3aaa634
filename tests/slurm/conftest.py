"""One real Slurm of two nodes for all tests here; skipped where there is none and none can be started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "launch"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "faults"))

import fault_kit
import launch_kit as kit
import slurm_kit
from slurm_kit import Cluster

from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged", "unshare", "nsenter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [name for name in NEEDED if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(
            f"no Slurm here: {', '.join(missing)} missing (apt-get install slurmctld slurmd slurm-client munge)"
        )
    if os.geteuid():
        pytest.skip("a cluster on one machine is started by root only")
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(made.folder / "slurm.conf"))
        patch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
        try:
            made.start()
        except slurm_kit.NoCluster as error:
            pytest.skip(f"no Slurm could be started here: {error}")
        yield made
        made.do("stop")


@pytest.fixture
def ws(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """Afterwards the cluster is idle; the runs of a fault are in the summary."""
    made = kit.make_workspace(tmp_path)
    yield made
    cluster.clear()
    if request.node.get_closest_marker("faults"):
        slurm_kit.Slurm().look(made, at_once=True)
        for run in map(RunFolder, sorted(made.runs.glob("2*"))):
            kit.until(lambda run=run: kit.none_left(run), "the ranks' end")
            fault_kit.note(request.node, run)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    fault_kit.summarise(terminalreporter, "slurm")
